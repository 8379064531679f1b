"""The whole fleet on one machine: a supervisor over one process per role, and an embedded broker."""
