"""Tests of what Prometheus is given."""
