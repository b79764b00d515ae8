"""Prometheus: metrics of what is published, and the rules that alert on them."""
