"""Five kinds of owner of a learning database, each in a process of its own.

``python -m dbmon_pipeline_tests.soak.owners KIND PATH SEED`` makes the database, says ``ready``,
writes until its standard input is closed, and then reports its tally as JSON. It uses whatever
DuckDB it finds, and nothing of the pipeline.

Every row keeps a promise, and so does every transaction of the owner ``big``; see
:mod:`dbmon_pipeline_tests.soak.owner_sql`. So a reading that mixes two states gives itself away.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from dbmon_pipeline_tests.soak.companion import until_stdin_closes
from dbmon_pipeline_tests.soak.owner_sql import (
    BATCH_ROWS,
    DELETE,
    INSERT,
    INSERT_ONE,
    RECREATE,
    UPDATE,
    UPDATE_PART,
)

_SQL = Path(__file__).resolve().parents[2] / "sql" / "source"
_DAY = timedelta(days=1)
_LATE = timedelta(hours=40)
"""How old a late row may be: each refresh looks 48 hours back."""
_CHECKPOINT_EVERY = 250
_BATCHES = 2
_PARTS = 4
_DELAYED_SECONDS = 0.25

Connection = duckdb.DuckDBPyConnection


@dataclass
class Tally:
    """Figures of an owner.

    Attributes:
        duckdb: The version of its DuckDB.
        writes: Transactions that it wanted to commit.
        failed: Those that failed, each of them tried once.
        delayed: Those that took longer than a quarter of a second.
        longest_seconds: How long the longest took.
        seconds: For how long it wrote.
        reasons: Why tries failed, each reason once.
    """

    duckdb: str = duckdb.__version__
    writes: int = 0
    failed: int = 0
    delayed: int = 0
    longest_seconds: float = 0.0
    seconds: float = 0.0
    reasons: list[str] = field(default_factory=list)


class Owner:
    """A learning database and whoever writes it."""

    def __init__(self, path: Path, seed: int, stop: threading.Event) -> None:
        """Make the database, with a history of 60 days.

        Args:
            path: Where.
            seed: What chance begins with.
            stop: Set when it has to end.
        """
        self.path = path
        self.stop = stop
        self.tally = Tally()
        self._chance = random.Random(seed)  # noqa: S311 - a seed, not a secret
        self._ids: deque[str] = deque(maxlen=300)
        self._slept = 0.0
        with duckdb.connect(str(path)) as con:
            for file in ("executions", "metadata", "indexes"):
                con.execute((_SQL / f"{file}.sql").read_text("utf-8"))
            self.insert_one(con, _now() - 60 * _DAY)
            self.insert_many(con, 1_000, _now() - 3 * _DAY, 27 * _DAY)
            self.insert_many(con, 1_000, _now(), 2 * _DAY)
        self._ids.clear()

    def open(self) -> Connection:
        """Open it for writing."""
        return duckdb.connect(str(self.path), config={"threads": "1"})

    def pause(self, seconds: float) -> None:
        """Wait, unless it has to end; within a write this does not count as its time."""
        began = time.perf_counter()
        self.stop.wait(max(0.0, seconds))
        self._slept += time.perf_counter() - began

    def insert_many(
        self,
        con: Connection,
        rows: int,
        latest: datetime,
        spread: timedelta,
        batch: str | None = None,
    ) -> None:
        """Insert rows of some time up to an instant."""
        con.execute(
            INSERT,
            {
                "rows": rows,
                "seed": self._chance.getrandbits(40),
                "latest": latest,
                "spread_us": spread // timedelta(microseconds=1),
                "batch": batch,
            },
        )

    def insert_one(self, con: Connection, timestamp: datetime) -> None:
        """Insert a row."""
        chance = self._chance
        task_id = str(uuid.UUID(int=chance.getrandbits(128)))
        is_good = chance.random() < 0.9
        con.execute(
            INSERT_ONE,
            {
                "id": task_id,
                "at": timestamp,
                "type": chance.choice(["bug_fix", "feature"]),
                "repo": f"org/{chance.randrange(4)}",
                "tier": chance.choice(["small", "large"]),
                "n": chance.randrange(101),
                "good": is_good,
                "cost": chance.choice([None, chance.randrange(100) / 1024]),
                "error": None if is_good else chance.choice(["Timeout", "Refused"]),
                "text": chance.choice([None, None, f"try again {chance.randrange(20)}"]),
            },
        )
        self._ids.append(task_id)

    def write_something(self, con: Connection) -> None:
        """Write a transaction of a row: mostly new, now and then late, ahead, changed, deleted."""
        dice = self._chance.random()
        if dice < 0.80 or not self._ids:
            self.insert_one(con, _now())
        elif dice < 0.87:
            self.insert_one(con, _now() - self._chance.random() * _LATE)
        elif dice < 0.88:
            self.insert_one(con, _now() + timedelta(seconds=20))
        else:
            task_id = self._chance.choice(self._ids)
            if dice < 0.96:
                con.execute(UPDATE, {"id": task_id, "n": self._chance.randrange(101)})
            else:
                self._ids.remove(task_id)
                con.execute(DELETE, {"id": task_id})

    def attempt(self, write: Callable[[], None]) -> None:
        """Write once, and count whether that failed and how long it took."""
        tally, self._slept = self.tally, 0.0
        tally.writes += 1
        began = time.perf_counter()
        try:
            write()
        except duckdb.Error as error:
            tally.failed += 1
            reason = str(error).splitlines()[0][:200]
            if reason.split(":")[0] not in [known.split(":")[0] for known in tally.reasons]:
                tally.reasons.append(reason)
        seconds = time.perf_counter() - began - self._slept
        tally.delayed += seconds > _DELAYED_SECONDS
        tally.longest_seconds = max(tally.longest_seconds, round(seconds, 3))


def hold_open(owner: Owner) -> None:
    """Hold it open and commit 200 times a second, with a checkpoint now and then."""
    with owner.open() as con:
        while not owner.stop.is_set():
            began = time.perf_counter()
            owner.attempt(lambda: owner.write_something(con))
            if owner.tally.writes % _CHECKPOINT_EVERY == 0:
                owner.attempt(lambda: _checkpoint(con))
            owner.pause(1 / 200 - (time.perf_counter() - began))


def open_per_write(owner: Owner) -> None:
    """Open it for each write, 25 times a second."""

    def write() -> None:
        with owner.open() as con:
            owner.write_something(con)

    while not owner.stop.is_set():
        began = time.perf_counter()
        owner.attempt(write)
        owner.pause(1 / 25 - (time.perf_counter() - began))


def big(owner: Owner) -> None:
    """Write transactions of thousands of rows: inserted first, changed later, some rolled back."""
    number = inserted = 0

    def write() -> None:
        batch = f"batch {number % _BATCHES}"
        con.execute("BEGIN")
        try:
            for part in range(_PARTS):
                if inserted < _BATCHES:
                    latest = _now() - timedelta(minutes=10)
                    owner.insert_many(con, BATCH_ROWS // _PARTS, latest, _LATE, f"batch {inserted}")
                else:
                    con.execute(UPDATE_PART, {"batch": batch, "parts": _PARTS, "part": part})
                owner.pause(1 / _PARTS)
        except duckdb.Error:
            con.execute("ROLLBACK")
            raise
        con.execute("ROLLBACK" if number % 5 == 4 else "COMMIT")

    with owner.open() as con:
        while not owner.stop.is_set():
            owner.attempt(write)
            inserted += inserted < _BATCHES
            number += 1
            owner.pause(0.2)


def idle(owner: Owner) -> None:
    """Hold it open for seconds without a write, or have it closed."""

    def write() -> None:
        with owner.open() as con:
            owner.write_something(con)
            owner.pause(3)

    while not owner.stop.is_set():
        owner.attempt(write)
        owner.pause(3)


def recreate(owner: Owner) -> None:
    """Drop the table and create it anew, with some writes between."""

    def write() -> None:
        con.execute("BEGIN")
        try:
            con.execute(RECREATE)
            owner.write_something(con)
        except duckdb.Error:
            con.execute("ROLLBACK")
            raise
        con.execute("COMMIT")

    with owner.open() as con:
        con.execute("SET checkpoint_threshold = '100KB'")
        for (index,) in con.execute("SELECT index_name FROM duckdb_indexes()").fetchall():
            con.execute(f"DROP INDEX {index}")
        while not owner.stop.is_set():
            owner.attempt(write)
            for _ in range(5):
                owner.attempt(lambda: owner.write_something(con))
                owner.pause(0.05)


def _checkpoint(con: Connection) -> None:
    con.execute("CHECKPOINT")


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


OWNERS: dict[str, Callable[[Owner], None]] = {
    "hold_open": hold_open,
    "open_per_write": open_per_write,
    "big": big,
    "idle": idle,
    "recreate": recreate,
}


def _main(kind: str, path: Path, seed: int) -> None:
    stop = until_stdin_closes()
    owner = Owner(path, seed, stop)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    started = time.monotonic()
    OWNERS[kind](owner)
    owner.tally.seconds = round(time.monotonic() - started, 3)
    sys.stdout.write(json.dumps(asdict(owner.tally)))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
