"""The ledger: every state of the fleet, in SQL. One noun a file; nobody else writes a table."""
