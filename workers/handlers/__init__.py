"""Handlers: each does one kind of operation for one attempt."""
