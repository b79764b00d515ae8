"""Sample executions: a learning database to try everything on, the same for equal arguments.

What the rows look like stands in ``sql/sample``; here are only the arguments and the portions.
"""

from __future__ import annotations

import logging
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.common.shipped import sql
from dbmon_pipeline.core.learning_db.create import creating

PORTION = 3 * 122_880
"""The rows that one statement makes: a few seconds' work, so that progress is seen, and whole row
groups of DuckDB's, because a begun one is written again at the commit."""

LONGEST_DAYS = 36_525
"""A hundred years; every hour of them is weighed, rows or not."""

logger = logging.getLogger(__name__)


class Scenario(StrEnum):
    """Scenario of the made-up orchestrator."""

    HEALTHY = "healthy"
    """Nothing."""
    INCIDENT = "incident"
    """From 6 to 2 hours before the end, every other execution of the large tier fails."""
    DRIFT = "drift"
    """Over the second half of the days, the actual cost grows to 1.6 times the estimate."""


def make_sample(
    path: Path,
    *,
    rows: int,
    days: int,
    end: datetime,
    seed: int,
    scenario: Scenario,
    embeddings: bool,
) -> None:
    """Make a learning database of made-up executions.

    Args:
        path: The file to make.
        rows: How many executions, at least one.
        days: Over how many days before ``end`` they are spread, at least one.
        end: The instant that all executions lie before, naive UTC.
        seed: Random seed; the same seed gives the same rows.
        scenario: What happens to the orchestrator.
        embeddings: Whether each row has an embedding, of 1.5 kB.

    Raises:
        ConfigError: There are no rows or no days, or too many days.
        SourceError: Something already lies at ``path``.
        StorageError: The file cannot be written.
    """
    if rows < 1:
        raise ConfigError(f"{rows} rows cannot be made", remedy="ask for at least 1")
    if not 1 <= days <= LONGEST_DAYS:
        raise ConfigError(
            f"rows cannot be spread over {days} days", remedy=f"give 1 to {LONGEST_DAYS} days"
        )
    arguments = {
        "row_count": rows,
        "days": days,
        "until": end,
        "seed": str(seed),
        "scenario": scenario.value,
        "embeddings": embeddings,
    }
    with creating(path) as con:
        for macro in con.extract_statements(sql("sample", "chance")):
            con.execute(macro)
        # Looking for the best way to pack 384 NULLs a row would take longer than all the rest.
        con.execute("SET disabled_compression_methods = 'alp,alprd,rle'")
        con.begin()
        for first in range(0, rows, PORTION):
            portion = {"first_row": first, "next_row": min(first + PORTION, rows)}
            con.execute(sql("sample", "executions"), arguments | portion)
            logger.info("generated %d of %d rows", portion["next_row"], rows)
        con.commit()
