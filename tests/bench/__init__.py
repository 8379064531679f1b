"""Figures: ours and others', measured in the same run on the same machine. Ratios count."""
