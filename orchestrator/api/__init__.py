"""The HTTP API: intake, reads, and what people answer. It decides nothing."""
