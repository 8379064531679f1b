"""The main job, end to end, on a fleet of its own: what it reads, who answers, what is checked at the end."""
