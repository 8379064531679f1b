"""Tests that start real processes and speak over real sockets."""
