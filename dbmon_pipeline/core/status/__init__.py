"""The status of the database, and the reports about executions."""
