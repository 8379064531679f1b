"""Alembic's environment: it is handed the connection to migrate, and never reads a file of its own."""

from alembic import context

from orchestrator.ledger.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
