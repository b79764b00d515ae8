"""What every test run says of itself."""

from __future__ import annotations

import duckdb


def pytest_report_header() -> str:
    """The DuckDB that is tested: the suite runs on two."""
    return f"duckdb {duckdb.__version__}"
