"""A source whose owner changes it between refreshes, and its home."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from dbmon_pipeline.core.common.instants import DAY, day_start
from dbmon_pipeline.core.config.monitoring import HomeLimits, Keep
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.home.locks import glance
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.refresh.worker import Worker
from dbmon_pipeline_tests.helpers import (
    add_rows,
    change_source,
    execution,
    make_source,
    refresh_with,
    settings_for,
)
from dbmon_pipeline_tests.soak.reading import generation_faults
from dbmon_pipeline_tests.truth import Row, assert_published, rows_of

KEPT_GENERATIONS = 3
RULES = ("success_rate", "error_rate")
"""Few of the rules, since judging all of them takes as long as a refresh."""

_OF_THE_COMMAND = ("dagster", "live_runs", "incidents.sqlite", "heartbeat.json", "reports")
_MINUTE = timedelta(minutes=1)
_START = datetime(2026, 2, 26, 12)
_LATE_SHARE = 0.3
"""How often a day of long ago changes, too."""


@dataclass(frozen=True)
class Files:
    """What is published.

    Attributes:
        generation: The number of the generation, 0 if there is none.
        files: The inode, size and time of each of its files, by name.
    """

    generation: int
    files: dict[str, tuple[int, int, int]] = field(default_factory=dict)


class Site:
    """A source with a history, its owner, and a home that is refreshed.

    Attributes:
        settings: Where they are.
        as_of: The instant of the next refresh.
        rows: What the source holds.
    """

    def __init__(self, folder: Path, seed: int, *, history_days: int = 70) -> None:
        """Make a source; nothing is refreshed yet.

        Args:
            folder: Where.
            seed: What chance begins with.
            history_days: How far the history reaches back.
        """
        folder.mkdir(exist_ok=True)
        shipped = settings_for(folder).config.rules
        self.settings: Settings = settings_for(
            folder,
            keep=Keep(generations=KEPT_GENERATIONS),
            home=HomeLimits(lock_wait_seconds=20),
            rules={name: shipped[name] for name in RULES},
        )
        self.as_of = _START
        self._chance = random.Random(seed)  # noqa: S311 - a seed, not a secret
        self._oldest = history_days * DAY
        self._worker: Worker | None = None
        rows = [self._row(_START - self._age(self._oldest)) for _ in range(250)]
        # The oldest row is never deleted: that would be pruning.
        self._anchor = execution(_START - self._oldest - DAY)
        make_source(self.settings.source, [self._anchor, *rows])
        self.rows = rows_of(self.settings.source)

    def close(self) -> None:
        """End the reader process, if there is one."""
        if self._worker:
            self._worker.close()
        self._worker = None

    def go_on(self, shortest: timedelta = DAY / 2, longest: timedelta = DAY * 3 / 2) -> None:
        """Let some time pass, in which the owner inserts, changes and deletes.

        Mostly rows of the last two days, now and then also some of a day of long ago.
        """
        chance, source = self._chance, self.settings.source
        self.as_of += timedelta(minutes=chance.randrange(shortest // _MINUTE, longest // _MINUTE))
        old = (_START - chance.randrange(3, self._oldest.days) * DAY).date()
        is_late = chance.random() < _LATE_SHARE

        def is_touched(row: Row) -> bool:
            is_old = is_late and row["timestamp"].date() == old
            is_young = self.as_of - row["timestamp"] < timedelta(hours=40)
            is_anchor = row["task_id"] == self._anchor["task_id"]
            return (is_old or is_young) and not is_anchor

        rows = [self._row(self.as_of - self._age(timedelta(hours=5))) for _ in range(8)]
        if is_late:
            rows += [self._row(day_start(old) + self._age(DAY)) for _ in range(2)]
        add_rows(source, rows)
        ids = [row["task_id"] for row in rows_of(source) if is_touched(row)]
        chosen = chance.sample(ids, 6)
        change_source(
            source,
            "UPDATE executions SET success = NOT success, user_rating = 1"
            " WHERE task_id IN (SELECT unnest($ids))",
            ids=chosen[:4],
        )
        change_source(
            source, "DELETE FROM executions WHERE task_id IN (SELECT unnest($ids))", ids=chosen[4:]
        )
        self.rows = rows_of(source)

    def refresh(self) -> None:
        """Refresh all of it, as whoever comes next does."""
        if self._worker is None:
            self._worker = Worker(self.settings.home)
        worker = self._worker
        refresh_with(worker.lock, worker.reader, self.settings, self.as_of, full=True)

    def refresh_arguments(self) -> tuple[object, ...]:
        """Get the arguments of the command that refreshes."""
        settings = self.settings
        places = ("--source", settings.source, "--home", settings.home.path)
        return ("refresh", *places, "--as-of", f"{self.as_of}Z", "--full")

    def published(self) -> Files:
        """List the published files with their inodes, sizes and times; none if there are none."""
        current = self.settings.home.current
        if not current.exists():
            return Files(0)
        folder = current.resolve()
        stats = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
        return Files(
            int(folder.name),
            {
                str(path.relative_to(folder)): (stat.st_ino, stat.st_size, stat.st_mtime_ns)
                for path, stat in stats.items()
            },
        )

    def assert_old_or_new(self, before: Files) -> bool:
        """See that what is published is whole: the files before, or a generation that is right.

        Args:
            before: What was published before.

        Returns:
            Whether it is a new one.

        Raises:
            AssertionError: It is neither.
        """
        now = self.published()
        if now.generation == before.generation:
            assert now == before, "files of the published generation have changed"
            return False
        self._assert_whole(now.generation)
        assert now.generation > before.generation
        assert_published(self.settings.home, self.rows, self.as_of)
        return True

    def _assert_whole(self, generation: int) -> None:
        with Published(self.settings.home) as published:
            wrong, _ = generation_faults(published)
            assert not wrong, wrong
            assert published.manifest.generation == generation

    def assert_refreshed(self) -> None:
        """See that all is as if nothing had ever happened.

        Raises:
            AssertionError: It is not.
        """
        home = self.settings.home
        self._assert_whole(self.published().generation)
        assert_published(home, self.rows, self.as_of)
        left = leftovers(home)
        assert not left, f"left over: {left}"
        with glance(home.lock) as is_held:
            assert not is_held, "the lock of the home is held"

    def _age(self, oldest: timedelta) -> timedelta:
        return self._chance.random() * oldest

    def _row(self, timestamp: datetime) -> dict[str, object]:
        chance = self._chance
        is_good = chance.random() < 0.8
        return execution(
            timestamp.replace(microsecond=0),
            repo=chance.choice(["a", "b"]),
            model_tier=chance.choice(["small", "large", None]),
            success=is_good,
            duration_seconds=chance.randrange(1, 4000) / 8,
            error_type=None if is_good else chance.choice(["Timeout", "Refused"]),
            error_message=None if is_good else f"step {chance.randrange(9)}",
            complexity_score=chance.choice([None, 3, 55]),
            solution_summary=chance.choice([None, "again", "wait"]),
        )


def leftovers(home: Home) -> list[str]:
    """List what is in a home besides its lock and as many generations as are kept."""
    generations = sorted(home.generations.iterdir())
    found = [str(path) for path in generations if not path.name.isdigit()]
    found += [str(path) for path in generations[:-KEPT_GENERATIONS]]
    expected = {
        home.published: {"current", "generations"},
        home.path: {"lock", "published", *_OF_THE_COMMAND},
    }
    for folder, names in expected.items():
        found += [str(path) for path in folder.iterdir() if path.name not in names]
    return found
