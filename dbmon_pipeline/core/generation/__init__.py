"""Generations: the draft, its files, the swap, and what is kept."""
