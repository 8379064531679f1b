"""Pacing: how much of a vendor's limit is used, and how often it is overstepped, by this fleet and by others.

The witness is the vendor simulator's own ledger: what it counted against the limits, what it refused, what it
answered. The fleet's ledger is asked only what no vendor can know: whose attempt a call was, when it was
claimed, and what ended unwell.
"""
