"""Helpers of every package: errors, instants, DuckDB connections, atomic and shipped files."""
