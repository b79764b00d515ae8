"""Shared by every package: errors, instants, DuckDB connections, atomic files, shipped files."""
