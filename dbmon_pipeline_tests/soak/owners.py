"""Four kinds of owner of a learning database, each in a process of its own.

``python -m dbmon_pipeline_tests.soak.owners KIND PATH RETRY STORAGE`` makes the database, says
``ready``, writes until its standard input is closed, and then tells its tally as JSON. It uses
whatever DuckDB it finds, and nothing of the pipeline.
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

from dbmon_pipeline_tests.soak.ending import until_told

SQL = Path(__file__).resolve().parents[2] / "sql" / "source"
DAY = timedelta(days=1)
LATE = timedelta(hours=40)
"""How old a late row may be: what every refresh compares reaches back 48 hours."""
_CHECKPOINT_EVERY = 250
_BATCH_ROWS = 20_000
_BATCHES = 2
_PARTS = 4

INSERT = """
INSERT INTO executions BY NAME
SELECT
    uuid() AS task_id,
    CAST($latest AS TIMESTAMP) - to_microseconds(CAST(h % $spread_us AS BIGINT)) AS timestamp,
    ['bug_fix', 'feature', 'test'][1 + h // 7 % 3] AS task_type,
    'Do it' AS task_description,
    'org/' || h // 11 % 4 AS repo,
    h // 13 % 9 AS file_count,
    ['small', 'medium', 'large'][1 + h // 17 % 3] AS model_tier,
    ['main', 'spare'][1 + h // 19 % 2] AS pool_type,
    $batch AS swarm_topology,
    h // 23 % 101 AS complexity_score,
    h // 29 % 10 > 0 AS success,
    h // 31 % 10000 / 16 AS duration_seconds,
    h // 37 % 101 AS quality_score,
    CASE WHEN h // 41 % 5 > 0 THEN h // 43 % 100 / 1024 END AS cost_estimate,
    CASE WHEN h // 47 % 5 > 0 THEN h // 53 % 100 / 1024 END AS actual_cost,
    CASE WHEN h // 29 % 10 = 0 THEN ['Timeout', 'Refused'][1 + h // 59 % 2] END AS error_type,
    CASE WHEN h // 29 % 10 = 0 THEN 'failed at step ' || h // 61 % 50 END AS error_message,
    h // 67 % 4096 AS peak_memory_mb,
    CASE WHEN h // 71 % 3 = 0 THEN 'try again ' || h // 73 % 20 END AS solution_summary,
FROM (SELECT CAST(hash(i, $seed) >> 2 AS BIGINT) AS h FROM range($rows) AS r (i))
"""
INSERT_ONE = """
INSERT INTO executions (
    task_id, timestamp, task_type, task_description, repo, model_tier, pool_type, complexity_score,
    success, duration_seconds, quality_score, actual_cost, error_type, solution_summary
)
VALUES (?, ?, ?, 'Do it', ?, ?, 'main', ?, ?, ?, ?, ?, ?, ?)
"""
UPDATE = """
UPDATE executions
SET success = NOT success, user_rating = 1 + $seed % 5, user_accepted = true, actual_cost = 0.5
WHERE task_id = CAST($id AS UUID)
"""
UPDATE_PART = """
UPDATE executions SET actual_cost = coalesce(actual_cost, 0) + 0.25, user_accepted = true
WHERE swarm_topology = $batch AND complexity_score % $parts = $part
"""

Connection = duckdb.DuckDBPyConnection


@dataclass
class Tally:
    """What an owner went through.

    Attributes:
        duckdb: The version of its DuckDB.
        writes: Transactions that it wanted to commit.
        failed: Those whose first try failed.
        lost: Those whose second try failed, too.
        seconds: For how long it wrote.
        reasons: Why tries failed, each reason once.
    """

    duckdb: str = duckdb.__version__
    writes: int = 0
    failed: int = 0
    lost: int = 0
    seconds: float = 0.0
    reasons: list[str] = field(default_factory=list)

    @property
    def failed_share(self) -> float:
        """Which part of the first tries failed."""
        return self.failed / max(self.writes, 1)


class Owner:
    """Makes a learning database and writes it."""

    def __init__(self, path: Path, retry_seconds: float, storage: str) -> None:
        """Make the database, with a history of 60 days.

        Args:
            path: Where.
            retry_seconds: How long it waits before its second and last try.
            storage: The version of its file format; empty for the default of this DuckDB.
        """
        self.path = path
        self.tally = Tally()
        self._retry_seconds = retry_seconds
        self._chance = random.Random(1)  # noqa: S311
        self._ids: deque[str] = deque(maxlen=300)
        with duckdb.connect() as con:
            version = f" (STORAGE_VERSION '{storage}')" if storage else ""
            con.execute(f"ATTACH '{path}' AS made{version}")
            con.execute("USE made")
            for file in ("executions", "metadata", "indexes"):
                con.execute((SQL / f"{file}.sql").read_text("utf-8"))
            self.insert_one(con, _now() - 60 * DAY)
            self.insert_many(con, 1_000, _now() - 3 * DAY, 27 * DAY)
            self.insert_many(con, 1_000, _now(), 2 * DAY)
        self._ids.clear()

    def open(self) -> Connection:
        """Open it for writing."""
        return duckdb.connect(str(self.path), config={"threads": "1"})

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
            [
                task_id,
                timestamp,
                chance.choice(["bug_fix", "feature"]),
                f"org/{chance.randrange(4)}",
                chance.choice(["small", "large"]),
                chance.randrange(101),
                is_good,
                chance.randrange(10_000) / 16,
                chance.randrange(101),
                chance.choice([None, chance.randrange(100) / 1024]),
                None if is_good else chance.choice(["Timeout", "Refused"]),
                chance.choice([None, None, f"try again {chance.randrange(20)}"]),
            ],
        )
        self._ids.append(task_id)

    def write_something(self, con: Connection) -> None:
        """A transaction of a row: mostly new, now and then late, ahead, changed or deleted."""
        dice = self._chance.random()
        if dice < 0.80 or not self._ids:
            self.insert_one(con, _now())
        elif dice < 0.87:
            self.insert_one(con, _now() - self._chance.random() * LATE)
        elif dice < 0.88:
            self.insert_one(con, _now() + timedelta(seconds=20))
        else:
            task_id = self._chance.choice(self._ids)
            if dice < 0.96:
                con.execute(UPDATE, {"id": task_id, "seed": self._chance.randrange(5)})
            else:
                self._ids.remove(task_id)
                con.execute(
                    "DELETE FROM executions WHERE task_id = CAST($id AS UUID)", {"id": task_id}
                )

    def trying(self, write: Callable[[], None]) -> None:
        """Write, once again after a moment if it fails, and count."""
        self.tally.writes += 1
        for count in ("failed", "lost"):
            try:
                write()
            except duckdb.Error as error:
                setattr(self.tally, count, getattr(self.tally, count) + 1)
                reason = str(error).splitlines()[0][:200]
                if reason.split(":")[0] not in [r.split(":")[0] for r in self.tally.reasons]:
                    self.tally.reasons.append(reason)
                time.sleep(self._retry_seconds)
            else:
                return


def hold_open(owner: Owner, stop: threading.Event) -> None:
    """Holds it open and commits 200 times a second, with a checkpoint now and then."""
    with owner.open() as con:
        while not stop.is_set():
            began = time.perf_counter()
            owner.trying(lambda: owner.write_something(con))
            if owner.tally.writes % _CHECKPOINT_EVERY == 0:
                owner.trying(lambda: _checkpoint(con))
            stop.wait(max(0.0, 1 / 200 - (time.perf_counter() - began)))


def open_per_write(owner: Owner, stop: threading.Event) -> None:
    """Opens it for each write, 25 times a second."""

    def write() -> None:
        with owner.open() as con:
            owner.write_something(con)

    while not stop.is_set():
        began = time.perf_counter()
        owner.trying(write)
        stop.wait(max(0.0, 1 / 25 - (time.perf_counter() - began)))


def big(owner: Owner, stop: threading.Event) -> None:
    """Holds it open and writes long transactions of tens of thousands of rows.

    The first ones insert them, later ones change them; some are rolled back.
    """
    number = 0

    def write() -> None:
        batch = f"batch {number % _BATCHES}"
        con.execute("BEGIN")
        try:
            for part in range(_PARTS):
                if number < _BATCHES:
                    owner.insert_many(con, _BATCH_ROWS // _PARTS, _now(), LATE, batch)
                else:
                    con.execute(UPDATE_PART, {"batch": batch, "parts": _PARTS, "part": part})
                stop.wait(1 / _PARTS)
        except duckdb.Error:
            con.execute("ROLLBACK")
            raise
        con.execute("ROLLBACK" if number % 5 == 4 else "COMMIT")

    with owner.open() as con:
        while not stop.is_set():
            owner.trying(write)
            number += 1
            stop.wait(0.2)


def idle(owner: Owner, stop: threading.Event) -> None:
    """Holds it open for seconds without a word, or has it closed."""
    while not stop.is_set():
        owner.trying(lambda: _write_and_hold(owner, stop))
        stop.wait(3)


def _write_and_hold(owner: Owner, stop: threading.Event) -> None:
    with owner.open() as con:
        owner.write_something(con)
        stop.wait(3)


def _checkpoint(con: Connection) -> None:
    con.execute("CHECKPOINT")


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


OWNERS: dict[str, Callable[[Owner, threading.Event], None]] = {
    "hold_open": hold_open,
    "open_per_write": open_per_write,
    "big": big,
    "idle": idle,
}


def _main(kind: str, path: Path, retry_seconds: float, storage: str) -> None:
    owner = Owner(path, retry_seconds, storage)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    stop, started = until_told(), time.monotonic()
    OWNERS[kind](owner, stop)
    owner.tally.seconds = round(time.monotonic() - started, 3)
    sys.stdout.write(json.dumps(asdict(owner.tally)))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
