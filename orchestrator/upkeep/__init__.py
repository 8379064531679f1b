"""Upkeep: the maintenance half. It reads the ledger, and what it finds becomes ordinary jobs."""
