"""The catalogue of bad sources."""

from __future__ import annotations

from dbmon_pipeline_tests.core.source import (
    hostile_damage,
    hostile_files,
    hostile_tables,
    hostile_values,
)

CASES = [
    *hostile_damage.CASES,
    *hostile_files.CASES,
    *hostile_tables.CASES,
    *hostile_values.CASES,
]
"""Each with what may come of it."""
