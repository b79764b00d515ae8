"""Status of the database, and the reports about executions."""
