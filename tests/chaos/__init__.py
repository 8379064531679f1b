"""Chaos: real processes under real faults, judged by the ledger's promises and by witnesses outside it."""
