"""Monitoring for the DuckDB database in which an orchestrator of AI agents logs its work."""
