"""A vendor simulator: one process that speaks three vendors' wire protocols over real sockets.

It has its own limiter, its own token counting and its own ledger, and it imports nothing of ours, so that
what it counted is a witness for what the rest of the fleet says it did.
"""
