"""What comes next, decided without I/O: functions from values to values, each answer with its sentence."""
