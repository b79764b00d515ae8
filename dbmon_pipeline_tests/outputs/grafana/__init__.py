"""Tests of the files for Grafana."""
