"""Incidents: opened, notified and closed."""
