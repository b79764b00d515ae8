"""Telling people: what an incident looks like to them, and the ways it takes to reach them."""
