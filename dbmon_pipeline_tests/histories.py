"""Random histories of a source and its refreshes, and what must be published after each.

:class:`History` plays the owner and the monitor from one seed; :class:`Model` says which rows the
tables must count. It knows the rules of pruning, and nothing of how they are kept.
"""

from __future__ import annotations

import random
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from dbmon_pipeline.core.changes.request import RefreshRequest
from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.config.monitoring import SourceLimits
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.reader.handlers import HANDLERS
from dbmon_pipeline.core.refresh.refresh import open_refresh
from dbmon_pipeline_tests.helpers import Refreshed, make_source, published_rows, settings_for
from dbmon_pipeline_tests.oracle import SLIM_COLUMNS, Row, assert_same_rows, expected_tables
from dbmon_pipeline_tests.truth import comparable_hours

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
START = datetime(2026, 2, 26, 9)
"""The days around it lie in two months, so that months close on the way."""
CONFIG: dict[str, Any] = {
    "history_start": date(2026, 2, 15),
    "source": SourceLimits(compare_hours=24),
    "rules": {},
}
DAY_TABLES = ("tier_performance", "daily_patterns", "solution_patterns")
"""Tables that are made from all rows of a day together."""


class ReaderInHere:
    """Answers the requests of a refresh in this process, with the same handlers."""

    def request(
        self,
        name: str,
        params: dict[str, Any],
        *,
        progress: Callable[[str], None],
        retries: int = 0,  # noqa: ARG002
    ) -> object:
        """Answer a request."""
        return msgspec.to_builtins(HANDLERS[name](params, progress))


def refresh_here(settings: Settings, as_of: datetime, **request: Any) -> Refreshed:
    """Refresh without another process: constants can be patched, and nothing has to start."""
    with open_refresh(settings, RefreshRequest(as_of=as_of, **request)) as refresh:
        rolled_up = refresh.read(ReaderInHere(), lambda _: None)  # type: ignore[arg-type]
        assert rolled_up.source_differences == ()
        assert rolled_up.ledger_differences == ()
        return Refreshed(rolled_up, refresh.judge(), refresh.publish())


def floor_hour(instant: datetime) -> datetime:
    """The full hour at or before an instant."""
    return instant.replace(minute=0, second=0, microsecond=0)


def midnight(instant: datetime | date) -> datetime:
    """The start of a day."""
    return datetime.combine(instant, time.min)


def by_hour(rows: Iterable[Row]) -> dict[datetime, list[Row]]:
    """Rows by the hour that they belong to."""
    hours: dict[datetime, list[Row]] = {}
    for row in rows:
        hours.setdefault(floor_hour(row["timestamp"]), []).append(row)
    return hours


def _content(rows: Iterable[Row]) -> Counter[str]:
    return Counter(repr([row[name] for name in SLIM_COLUMNS]) for row in rows)


@dataclass
class KnownHour:
    """What is known of an hour: its counted rows, and those that the source had last."""

    rows: list[Row]
    source: list[Row]
    state: str = "whole"

    @property
    def is_incomplete(self) -> bool:
        """Whether rows of it were pruned."""
        return self.state != "whole"


@dataclass
class Model:
    """What a monitor must know: pruned hours keep their rows, all else is as the source says.

    Attributes:
        hours: What is known of each hour.
        day_rows: The rows that tables made from whole days count, by day.
        as_of: The instant of the last refresh.
        pruned_before: Up to where the owner has pruned.
        unrepairable: Changed hours that kept their figures at the last refresh.
    """

    history_start: datetime
    compare_hours: int
    hours: dict[datetime, KnownHour] = field(default_factory=dict)
    day_rows: dict[date, list[Row]] = field(default_factory=dict)
    as_of: datetime | None = None
    oldest: datetime | None = None
    pruned_before: datetime = datetime.min
    unrepairable: set[datetime] = field(default_factory=set)

    def refresh(
        self,
        source: Iterable[Row],
        as_of: datetime,
        *,
        full: bool = False,
        since: date | None = None,
        until: date | None = None,
        compare_days: int | None = None,
    ) -> None:
        """Take in what a refresh of that kind must find."""
        seen = by_hour(
            row
            for row in source
            if row["timestamp"] is not None and self.history_start <= row["timestamp"] < as_of
        )
        oldest = min((row["timestamp"] for rows in seen.values() for row in rows), default=None)
        horizon = floor_hour(oldest) if oldest else datetime.max
        looked_at = self._looked_at(seen, as_of, horizon, full, compare_days)
        changed = {
            hour
            for hour in seen.keys() | self.hours.keys()
            if (hour in seen or hour >= horizon) and looked_at(hour) and self._differs(hour, seen)
        }
        self._mark_pruned(seen, oldest, horizon, changed)
        days = {hour.date() for hour in changed}
        if since or until:
            last = min(until or as_of.date(), as_of.date())
            first = since or last
            days |= {first + n * DAY for n in range((last - first).days + 1)}
        self._read_days(days, seen, changed, looked_at)
        self.as_of, self.oldest = as_of, oldest

    def _looked_at(
        self,
        seen: dict[datetime, list[Row]],
        as_of: datetime,
        horizon: datetime,
        full: bool,
        compare_days: int | None,
    ) -> Callable[[datetime], bool]:
        """Which hours are looked at: the last ones closely, all others if their number differs."""
        if self.as_of is None or full:
            return lambda _: True
        start = floor_hour(min(as_of, self.as_of)) - self.compare_hours * HOUR
        if compare_days is not None:
            start = min(start, midnight(as_of) - compare_days * DAY)

        def closely(hour: datetime) -> bool:
            return hour >= start or hour == horizon

        now = sum(len(rows) for hour, rows in seen.items() if not closely(hour))
        before = sum(
            len(known.source)
            for hour, known in self.hours.items()
            if hour >= horizon and not closely(hour)
        )
        if now == before:
            return closely
        return lambda hour: closely(hour) or len(seen.get(hour, ())) != len(self._source_of(hour))

    def _source_of(self, hour: datetime) -> list[Row]:
        return self.hours[hour].source if hour in self.hours else []

    def _differs(self, hour: datetime, seen: dict[datetime, list[Row]]) -> bool:
        return _content(seen.get(hour, ())) != _content(self._source_of(hour))

    def _mark_pruned(
        self,
        seen: dict[datetime, list[Row]],
        oldest: datetime | None,
        horizon: datetime,
        changed: set[datetime],
    ) -> None:
        for hour, known in self.hours.items():
            if hour < horizon and hour not in seen:
                known.state, known.source = "pruned", []
        if self.oldest is not None and (oldest is None or oldest > self.oldest):
            assert self.as_of is not None
            self.pruned_before = max(self.pruned_before, oldest or self.as_of)
            if horizon in self.hours and horizon in changed:
                self.hours[horizon].state = "cut"

    def _read_days(
        self,
        days: set[date],
        seen: dict[datetime, list[Row]],
        changed: set[datetime],
        looked_at: Callable[[datetime], bool],
    ) -> None:
        recent_from = midnight(self.as_of) - 2 * DAY if self.as_of else datetime.max
        keeping: set[date] = set()
        self.unrepairable = set()
        for hour in sorted(seen.keys() | self.hours.keys()):
            if hour.date() not in days:
                continue
            rows = seen.get(hour, [])
            known = self.hours.get(hour)
            if known is None or not known.is_incomplete:
                counted = rows
            elif hour >= recent_from:
                counted = rows + self._pruned_rows(known, rows)
            elif len(rows if looked_at(hour) else known.source) < len(known.rows):
                counted = known.rows
                keeping.add(hour.date())
                if hour in changed:
                    self.unrepairable.add(hour)
            else:
                counted, known = rows, None
            incomplete = known is not None and known.is_incomplete and len(rows) < len(counted)
            state = ("cut" if rows else "pruned") if incomplete else "whole"
            self.hours[hour] = KnownHour(counted, rows, state)
            if not counted:
                del self.hours[hour]
        for day in days - keeping:
            self.day_rows[day] = self.rows_of(day)

    def _pruned_rows(self, known: KnownHour, rows: list[Row]) -> list[Row]:
        """The rows of an hour that the owner has pruned: not those that are there again."""
        ids = {row["task_id"] for row in rows if row["task_id"] is not None}
        nameless = {row["timestamp"] for row in rows if row["task_id"] is None}
        return [
            row
            for row in known.rows
            if row["timestamp"] < self.pruned_before
            and row["task_id"] not in ids
            and not (row["task_id"] is None and row["timestamp"] in nameless)
        ]

    def rows_of(self, day: date) -> list[Row]:
        """The counted rows of a day."""
        return [
            row for hour, known in self.hours.items() if hour.date() == day for row in known.rows
        ]

    def rows(self) -> list[Row]:
        """All counted rows."""
        return [row for known in self.hours.values() for row in known.rows]

    def check(self, settings: Settings) -> None:
        """Compare every published table with brute force over the counted rows.

        Raises:
            AssertionError: They differ.
        """
        assert self.as_of is not None
        expected = expected_tables(self.rows(), self.as_of)
        of_days = [row for rows in self.day_rows.values() for row in rows]
        expected |= {
            name: rows
            for name, rows in expected_tables(of_days, self.as_of).items()
            if name in DAY_TABLES
        }
        for table, rows in expected.items():
            actual = published_rows(settings, table)
            if table == "hour_ledger":
                states = {row["hour"]: (row["state"], row["source_executions"]) for row in actual}
                assert states == {
                    hour: (known.state, len(known.source)) for hour, known in self.hours.items()
                }
                actual = comparable_hours(actual)
            assert_same_rows(actual, rows, where=table)


_COLUMNS = [name for name in SLIM_COLUMNS if name != "timestamp"]


class History:
    """An owner and a monitor, played from one seed."""

    def __init__(self, folder: Path, seed: int, **config: Any) -> None:
        """Begin with an empty source that was never read."""
        self.seed = seed
        self.chance = random.Random(seed)  # noqa: S311 - a history that can be played again
        self.settings = settings_for(folder, **{**CONFIG, **config})
        self.now = START + timedelta(minutes=self.chance.randrange(24 * 60))
        self.rows: dict[str, Row] = {}
        self.pruned: dict[str, Row] = {}
        self.log: list[str] = []
        self.sealed = datetime.min
        self.must_refresh = False
        limits: SourceLimits = self.settings.config.source
        self.model = Model(midnight(self.settings.config.history_start), limits.compare_hours)
        make_source(self.settings.source)

    def play(self, steps: int) -> None:
        """Let so many things happen, and end with a refresh over everything."""
        try:
            for _ in range(steps):
                self.step()
            self.refresh(full=True)
        except BaseException as error:
            error.add_note("\n  ".join((f"seed {self.seed}:", *self.log)))
            raise

    def step(self) -> None:
        """Let one thing happen."""
        deeds = (
            *[self.insert] * 5,
            *[self.update] * 2,
            *[self.delete] * 2,
            *[self.wait] * 3,
            *[self.refresh_somehow] * 4,
            *[self.prune] * 2,
            *(self.restore, self.replace),
        )
        self.refresh() if self.must_refresh else self.chance.choice(deeds)()

    def insert(self) -> None:
        """Write rows: of now, late, in advance, and from before the history."""
        count = self.chance.choice((1, 1, 2, 5, 12))
        made = [self._row() for _ in range(count)]
        self._write({str(uuid.UUID(int=self.chance.getrandbits(128))): row for row in made})
        self.log.append(f"insert {[str(row['timestamp']) for row in made]}")

    def update(self) -> None:
        """Change some values of a row, perhaps its time."""
        if key := self._any_row():
            changed = self._row()
            if self.chance.random() < 0.7:
                changed |= {"timestamp": self.rows[key]["timestamp"]}
            changed["task_id"] = self.rows[key]["task_id"]
            self.log.append(f"update {self.rows[key]['timestamp']} to {changed['timestamp']}")
            self._remove([key])
            self._write({key: changed})

    def delete(self) -> None:
        """Delete a row, or an hour of them."""
        if key := self._any_row():
            hour = floor_hour(self.rows[key]["timestamp"])
            keys = [key]
            if self.chance.random() < 0.3:
                keys = self._removable()
                keys = [k for k in keys if floor_hour(self.rows[k]["timestamp"]) == hour]
            self.log.append(f"delete {[str(self.rows[k]['timestamp']) for k in keys]}")
            self._remove(keys)

    def prune(self) -> None:
        """Have the owner remove all rows of an age: in the middle of an hour, or at midnight."""
        limit = self.now - timedelta(minutes=self.chance.randrange(30, 6 * 24 * 60))
        if self.chance.random() < 0.3:
            limit = midnight(limit)
        keys = [k for k, row in self.rows.items() if row["timestamp"] and row["timestamp"] < limit]
        self.log.append(f"prune {limit}: {len(keys)} rows")
        if keys:
            self.pruned |= {k: self.rows[k] for k in keys}
            self._remove(keys)
            self.must_refresh = True

    def restore(self) -> None:
        """Bring pruned rows back, some or all."""
        keys = [k for k in self.pruned if k not in self.rows]
        if keys and self.chance.random() < 0.5:
            keys = self.chance.sample(keys, self.chance.randrange(1, len(keys) + 1))
        self.log.append(f"restore {[str(self.pruned[k]['timestamp']) for k in keys]}")
        self._write({k: self.pruned.pop(k) for k in keys})

    def replace(self) -> None:
        """Put a copy in the place of the file: all of it is compared."""
        copy = self.settings.source.with_name("copy.db")
        shutil.copy(self.settings.source, copy)
        copy.replace(self.settings.source)
        self.log.append("replace")
        self.refresh(is_replaced=True)

    def wait(self) -> None:
        """Let time pass."""
        self.now += timedelta(minutes=self.chance.choice((7, 61, 300, 1440, 3000, 9000)))
        self.log.append(f"wait until {self.now}")

    def refresh_somehow(self) -> None:
        """Refresh as usual, or looking further, or reading some days again."""
        kind = self.chance.random()
        if kind < 0.6:
            self.refresh()
        elif kind < 0.75:
            self.refresh(compare_days=self.chance.randrange(1, 8))
        elif kind < 0.9:
            since = self.now.date() - self.chance.randrange(8) * DAY
            until = min(self.now.date(), since + self.chance.randrange(3) * DAY)
            self.refresh(since=since, until=until)
        else:
            self.refresh(full=True)

    def refresh(self, *, is_replaced: bool = False, **request: Any) -> None:
        """Refresh, and check that what is published is right; and that again changes nothing."""
        self.must_refresh = False
        self.log.append(f"refresh {self.now} {request}")
        done = self.run_refresh(**request)
        wanted = {**request, "full": bool(request.get("full")) or is_replaced}
        self.model.refresh(self.rows.values(), self.now, **wanted)
        self.model.check(self.settings)
        assert done.rolled_up.changes.unrepairable_hours == len(self.model.unrepairable)
        assert done.rolled_up.executions == len(self.model.rows())
        if self.chance.random() < 0.1:
            self.refresh_again()

    def refresh_again(self) -> None:
        """Refresh the same instant: only what a refresh notes of itself is another file."""
        before = inodes(self.settings)
        again = self.run_refresh()
        assert again.rolled_up.changes.rows_read == 0
        assert again.rolled_up.changes.hours_changed == 0
        changed = {name for name, node in inodes(self.settings).items() if before.get(name) != node}
        histories = {"refresh_history", "check_history"}
        assert {
            name
            for name in changed
            if name.split("/")[0] not in histories and not name.endswith("/empty.parquet")
        } == set()

    def run_refresh(self, **request: Any) -> Refreshed:
        """Refresh, however that is done."""
        return refresh_here(self.settings, self.now, **request)

    def open_for_writing(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the source as its owner does."""
        return connect(self.settings.source)

    def _row(self) -> Row:
        pick, number = self.chance.choice, self.chance.random()
        age = (
            timedelta(minutes=self.chance.randrange(90))
            if number < 0.5
            else timedelta(minutes=self.chance.randrange(6 * 24 * 60))
            if number < 0.9
            else -timedelta(minutes=self.chance.randrange(6 * 60))
        )
        names = (None, "a", "b", "o'brien \N{SNOWMAN}")
        costs = (None, 0.0, 0.125, 1.5, -1.0, float("nan"), float("inf"))
        moment = self.now - age
        return {
            "task_id": pick((None, "twice", *[str(self.chance.getrandbits(64))] * 8)),
            "timestamp": moment if number < 0.98 else pick((None, datetime(2026, 2, 1))),
            "task_type": pick(names),
            "repo": pick(names),
            "file_count": pick((None, 3)),
            "estimated_tokens": pick((None, 0, 10_000)),
            "model_tier": pick(names),
            "pool_type": pick(names),
            "swarm_topology": None,
            "routing_confidence": pick((None, 0.5)),
            "complexity_score": pick((None, -7, 0, 55, 100, 150)),
            "success": pick((None, True, True, False)),
            "duration_seconds": pick((None, 0.0, 1.5, 2.0, 800.25, -1.0, float("nan"))),
            "quality_score": pick((None, 50, 80, 101)),
            "cost_estimate": pick(costs),
            "actual_cost": pick(costs),
            "error_type": pick((None, None, "Timeout", "Refused")),
            "error_message": pick((None, "late", "x" * 600)),
            "user_accepted": pick((None, True, False)),
            "user_rating": pick((None, 1, 5, 6)),
            "peak_memory_mb": pick((None, 1.0, 512.5)),
            "cpu_time_seconds": pick((None, 0.25)),
            "solution_summary": pick((None, "retry", "retry", "cache", "rewrite")),
        }

    def _removable(self) -> list[str]:
        """The rows that the owner changes: taking the oldest away would be pruning."""
        dated = [(row["timestamp"], k) for k, row in self.rows.items() if row["timestamp"]]
        return [k for moment, k in sorted(dated)[1:]]

    def _any_row(self) -> str | None:
        candidates = self._removable()
        return self.chance.choice(candidates) if candidates else None

    def _write(self, rows: dict[str, Row]) -> None:
        self.rows |= rows
        with self.open_for_writing() as con:
            for key, row in rows.items():
                con.execute(
                    f"INSERT INTO executions ({', '.join(row)}, task_description)"
                    f" VALUES ({', '.join('$' + name for name in row)}, $key)",
                    {**row, "key": key},
                )

    def _remove(self, keys: list[str]) -> None:
        for key in keys:
            del self.rows[key]
        with self.open_for_writing() as con:
            con.execute(
                "DELETE FROM executions WHERE list_contains($keys, task_description)",
                {"keys": keys},
            )


def inodes(settings: Settings) -> dict[str, int]:
    """The inode of every published file: one that was carried over keeps its own."""
    current = settings.home.current.resolve()
    return {
        str(path.relative_to(current)): path.stat().st_ino for path in current.rglob("*.parquet")
    }
