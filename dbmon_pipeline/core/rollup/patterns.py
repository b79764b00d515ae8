"""Solution patterns: what is done again and again, from the patterns of single days.

The days keep a key of each text, not the text. A pattern's text is at hand all the same: only a day
that is being read can raise its count to what is published.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta

import duckdb

from dbmon_pipeline.core.common.instants import DAY, day_start
from dbmon_pipeline.core.generation.writer import DraftWriter
from dbmon_pipeline.core.rollup.read_rows import ROWS
from dbmon_pipeline.core.schema.catalogue import TABLES

PATTERN_DAYS = timedelta(days=91)
"""Time that the patterns of days are kept: 90 days and today."""
_FEWEST_USES = 5
_TEXTS = "pattern_texts"
_TOTALS = "pattern_totals"
KEY = "CAST(CAST(md5_number_lower({}) AS HUGEINT) - 9223372036854775808 AS BIGINT)"
"""64 bits of a text's md5, as ``sql/rollups/daily_patterns.sql`` has them."""


class Patterns:
    """The texts of patterns that are common, gathered while chunks are rolled up."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, writer: DraftWriter, as_of: datetime
    ) -> None:
        """Gather nothing yet.

        Args:
            con: The instance, with an empty table for each published one.
            writer: Reads the generation before.
            as_of: The instant that the refresh speaks for.
        """
        self._con = con
        self._writer = writer
        self._table = TABLES["solution_patterns"]
        self._days = TABLES["daily_patterns"]
        self._start, self._end = self._table.window_at(as_of)
        con.execute(f"CREATE TABLE {_TOTALS} (id UBIGINT, usage_count BIGINT)")

    def gather(self, touched: Collection[date]) -> None:
        """Take the texts of the chunk whose patterns are common by now.

        Args:
            touched: The days that are read in this refresh; their uses are counted by chunks.
        """
        con = self._con
        before = self._writer.rows_before(self._days, self._start, self._end)
        con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE chunk_patterns AS
            SELECT repo, {KEY.format("text")} AS pattern_key, text, usage_count FROM (
                SELECT
                    CAST(repo AS VARCHAR) AS repo,
                    solution_summary AS text,
                    count(*) AS usage_count
                FROM {ROWS}
                WHERE solution_summary IS NOT NULL AND timestamp >= $start
                GROUP BY ALL
            )
            """,
            {"start": self._start},
        )
        con.execute(
            f"""
            INSERT INTO {_TOTALS}
            SELECT hash(repo, pattern_key), usage_count FROM chunk_patterns
            UNION ALL
            SELECT hash(repo, pattern_key), usage_count FROM ({before})
            WHERE
                date >= $start AND NOT list_contains($touched, date)
                AND hash(repo, pattern_key) IN (
                    SELECT hash(repo, pattern_key) FROM chunk_patterns
                )
            """,
            {"start": self._start.date(), "touched": list(touched)},
        )
        con.execute(
            f"""
            INSERT INTO {_TEXTS}
            SELECT repo, pattern_key, text FROM chunk_patterns
            WHERE
                hash(repo, pattern_key) IN (
                    SELECT id FROM {_TOTALS}
                    WHERE id IN (SELECT hash(repo, pattern_key) FROM chunk_patterns)
                    GROUP BY id HAVING sum(usage_count) >= {_FEWEST_USES}
                )
                AND (repo, pattern_key) NOT IN (SELECT (repo, pattern_key) FROM {_TEXTS})
            """
        )
        con.execute("DROP TABLE chunk_patterns")

    def publish(self, touched: Collection[date], window_before: datetime | None) -> None:
        """Fill ``solution_patterns``: only patterns of days that changed or left are counted anew.

        Args:
            touched: The days that were read.
            window_before: Where the window began before; None to count every pattern.
        """
        con, name = self._con, self._table.name
        days = self._writer.draft_relation(self._days.name)
        known = self._writer.rows_before(self._table, self._start, self._end)
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE known_patterns AS"
            f" SELECT *, {KEY.format('solution_summary')} AS pattern_key FROM ({known})"
        )
        counted = "true"
        if window_before is not None:
            self._find_affected(days, touched, window_before)
            counted = "(repo, pattern_key) IN (SELECT (repo, pattern_key) FROM affected_patterns)"
            con.execute(
                f"INSERT INTO {name} BY NAME SELECT * EXCLUDE (pattern_key) FROM known_patterns"
                f" WHERE NOT ({counted})"
            )
        con.execute(
            f"CREATE OR REPLACE TEMP VIEW {self._days.name} AS SELECT * FROM {days} WHERE {counted}"
        )
        con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE {_TEXTS} AS
            SELECT repo, pattern_key, min(text) AS text FROM (
                FROM memory.main.{_TEXTS}
                UNION ALL SELECT repo, pattern_key, solution_summary FROM known_patterns
            ) GROUP BY ALL
            """
        )
        con.execute(
            f"INSERT INTO {name} BY NAME {self._table.select}",
            {"window_start": self._start, "window_end": self._end},
        )
        con.execute(f"DROP VIEW temp.{self._days.name}; DROP TABLE temp.{_TEXTS}")

    def _find_affected(self, days: str, touched: Collection[date], window_before: datetime) -> None:
        """List the patterns of days that were read, now or before, and of days that left."""
        left = [
            (window_before + n * DAY).date()
            for n in range((self._start - window_before) // timedelta(days=1))
        ]
        changed = sorted({*touched, *left})
        first = day_start(changed[0]) if changed else self._end
        before = self._writer.rows_before(self._days, first, self._end)
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE affected_patterns AS"
            f" SELECT repo, pattern_key FROM ({before}) WHERE list_contains($changed, date)"
            f" UNION SELECT repo, pattern_key FROM {days} WHERE list_contains($touched, date)",
            {"changed": changed, "touched": list(touched)},
        )
