"""Soak and crash: real owners, refreshes as fast as they can, and kills; ``make soak``."""
