"""Grafana: provisioning files, made from the questions and the rules; nothing here runs a query."""
