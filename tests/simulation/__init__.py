"""A fleet in one thread, on a clock, a chance, a bus and a vendor of its own, driven by a seed."""
