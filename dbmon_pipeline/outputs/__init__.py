"""Renderers for other programs: notifications, Prometheus, Grafana, reports."""
