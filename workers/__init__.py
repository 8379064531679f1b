"""Workers: they do one attempt at a time, hold the vendor keys, and never decide what happens next."""
