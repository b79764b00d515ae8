"""Measurements taken, judged by limits, and explained."""
