"""Columns of an execution: those a source may hold, and those the warehouse keeps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Role of a column: its treatment on the way into the warehouse."""

    KEY = "key"
    """Taken as it is."""
    DIMENSION = "dimension"
    """NULL becomes ``'unknown'``."""
    MEASURE = "measure"
    """A number; NaN and the infinities become NULL, and are counted."""
    TEXT = "text"
    """Free text; loses what looks like a secret."""


@dataclass(frozen=True)
class Column:
    """Column of the warehouse's ``executions``.

    Attributes:
        name: Its name, the same in the source.
        type: Its DuckDB type in the warehouse.
        role: How it is treated on its way in.
        required: Whether a source without it is refused.
    """

    name: str
    type: str
    role: Role = Role.KEY
    required: bool = False


COLUMNS = (
    Column("task_id", "VARCHAR", required=True),
    Column("timestamp", "TIMESTAMP", required=True),
    Column("task_type", "VARCHAR", Role.DIMENSION, required=True),
    Column("repo", "VARCHAR", Role.DIMENSION, required=True),
    Column("file_count", "BIGINT"),
    Column("estimated_tokens", "BIGINT"),
    Column("model_tier", "VARCHAR", Role.DIMENSION, required=True),
    Column("pool_type", "VARCHAR", Role.DIMENSION, required=True),
    Column("swarm_topology", "VARCHAR"),
    Column("routing_confidence", "DOUBLE", Role.MEASURE),
    Column("complexity_score", "BIGINT"),
    Column("success", "BOOLEAN", required=True),
    Column("duration_seconds", "DOUBLE", Role.MEASURE, required=True),
    Column("quality_score", "BIGINT"),
    Column("cost_estimate", "DOUBLE", Role.MEASURE),
    Column("actual_cost", "DOUBLE", Role.MEASURE),
    Column("error_type", "VARCHAR"),
    Column("error_message", "VARCHAR", Role.TEXT),
    Column("user_accepted", "BOOLEAN"),
    Column("user_rating", "BIGINT"),
    Column("peak_memory_mb", "DOUBLE", Role.MEASURE),
    Column("cpu_time_seconds", "DOUBLE", Role.MEASURE),
    Column("solution_summary", "VARCHAR", Role.TEXT),
)
"""The slim row, in the order of the source's schema.

Left behind are ``embedding``, ``task_description`` and ``metadata``: large, and not needed.
"""
