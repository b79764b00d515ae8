"""Replay of rules over the past, and the limits that would have suited them."""
