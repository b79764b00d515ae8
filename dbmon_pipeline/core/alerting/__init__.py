"""Alerting: measurements taken, judged by limits, and explained."""
