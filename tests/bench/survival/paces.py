"""What all sides have in common."""

LEASE_SECONDS = 10.0
"""Ours; the short visibility timeout of plain Celery is as long."""
WORKERS = 2
SLOTS = 4
"""Processes in each worker's pool."""
