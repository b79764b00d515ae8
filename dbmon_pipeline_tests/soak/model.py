"""A model of a source, its owner and its monitor, to hold the real ones against.

It knows which executions the published tables must speak of, and shares no code with the product.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta

from dbmon_pipeline.core.warehouse.plan import Scope
from dbmon_pipeline_tests.oracle import Row

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
START = datetime(2026, 2, 25)
"""The days around it lie in two months, so that months close on the way."""
KEPT_DAYS = 3
COMPARE_HOURS = 24

Known = dict[tuple[str, datetime], Row]
"""Executions by id and time."""


class Model:
    """What there is in the source, and what may be known of it.

    Attributes:
        now: The instant.
        rows: The source's rows by id.
        known: What the published tables must speak of.
        is_uncertain: Whether a process was killed, so that nobody knows how far it came.
        is_replaced: Whether the source is another file than the one that was read.
    """

    def __init__(self) -> None:
        """Begin with an empty source."""
        self.now = START
        self.rows: dict[str, Row] = {}
        self.known: Known = {}
        self.is_uncertain = False
        self.is_replaced = False
        self._through: datetime | None = None
        self._pruned_before = datetime.min
        self._backup: list[Row] | None = None

    def is_open(self, instant: datetime) -> bool:
        """Whether the owner may still change what it has of an instant.

        A day of which a part was pruned is left alone once its raw rows have left the warehouse.
        """
        next_day = (
            _midnight(self._pruned_before) + DAY
            if self._pruned_before > START - DAY
            else (self._pruned_before)
        )
        is_kept = instant.date() > (self.now - KEPT_DAYS * DAY).date()
        return instant >= next_day or (is_kept and instant >= self._pruned_before)

    def new(self, rows: Iterable[Row]) -> list[Row]:
        """Rows that may be added, each as old as it says."""
        dated = [
            {**row, "task_id": str(uuid.uuid4()), "timestamp": self.now + row["timestamp"]}
            for row in rows
        ]
        return [row for row in dated if self.is_open(row["timestamp"])]

    def candidate(self, number: int) -> Row | None:
        """A row that the owner may change; to take the oldest away is to prune."""
        newer = sorted(self.rows.values(), key=_timestamp)[1:]
        open_rows = [row for row in newer if self.is_open(row["timestamp"])]
        return open_rows[number % len(open_rows)] if open_rows else None

    def add(self, rows: Iterable[Row]) -> None:
        """Have rows in the source."""
        self.rows |= {row["task_id"]: row for row in rows}

    def prune(self, before: datetime) -> None:
        """Have the rows before an instant leave the source, after all of them were read."""
        self.rows = {key: row for key, row in self.rows.items() if row["timestamp"] >= before}
        self._pruned_before = max(self._pruned_before, before)
        self._backup = None

    def back_up(self) -> None:
        """Keep what the source has."""
        self._backup = [*self.rows.values()]

    def backup(self) -> list[Row] | None:
        """What was kept, if putting it back would prune nothing."""
        if not self._backup:
            return None
        everything = [*self.rows.values(), *self.known.values()]
        first = min(map(_timestamp, self._backup))
        nothing_older = first <= min(map(_timestamp, everything), default=datetime.max)
        return self._backup if nothing_older else None

    def replace(self, rows: list[Row]) -> None:
        """Have another file in the source's place."""
        self.rows = {row["task_id"]: row for row in rows}
        self.is_replaced = True

    def refreshed(self, scope: Scope) -> Known:
        """What must be published after a refresh."""
        source = {_key(row): row for row in self.rows.values() if row["timestamp"] < self.now}
        oldest = min((row["timestamp"] for row in self.rows.values()), default=datetime.max)
        ids = {task_id for task_id, _ in source}
        pruned = {
            key: row
            for key, row in self.known.items()
            if row["timestamp"] < oldest and key[0] not in ids
        }
        since, days = self._looked_at(scope, source, oldest)

        def seen(row: Row) -> bool:
            return row["timestamp"] >= since or row["timestamp"].date() in days

        unseen = {
            key: row
            for key, row in self.known.items()
            if row["timestamp"] >= oldest and not seen(row)
        }
        return pruned | unseen | {key: row for key, row in source.items() if seen(row)}

    def settle(self, known: Known) -> None:
        """Have a refresh done."""
        self.known = known
        self._through = self.now
        self.is_uncertain = self.is_replaced = False

    def _looked_at(
        self, scope: Scope, source: Known, oldest: datetime
    ) -> tuple[datetime, set[object]]:
        """From when on a refresh looks, and the days that it reads whole."""
        if scope is Scope.FULL or self.is_replaced or self._through is None:
            return datetime.min, set()
        since = _hour(min(self.now, self._through)) - COMPARE_HOURS * HOUR
        if scope is Scope.KEPT:
            since = min(since, _midnight(self.now) - KEPT_DAYS * DAY)
        here, there = (
            {
                (key, repr(sorted(row.items())))
                for key, row in rows.items()
                if row["timestamp"] >= max(since, oldest)
            }
            for rows in (self.known, source)
        )
        return since, {timestamp.date() for (_, timestamp), _ in here ^ there}


def _key(row: Row) -> tuple[str, datetime]:
    return row["task_id"], row["timestamp"]


def _timestamp(row: Row) -> datetime:
    instant: datetime = row["timestamp"]
    return instant


def _hour(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


def _midnight(instant: datetime) -> datetime:
    return _hour(instant).replace(hour=0)
