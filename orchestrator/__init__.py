"""The orchestrator: it decides what happens next, owns the ledger, holds no vendor key and calls no model."""
