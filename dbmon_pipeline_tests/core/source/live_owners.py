"""Owners of a DuckDB file that is read while they write it, each in a process of its own.

``python -m dbmon_pipeline_tests.core.source.live_owners KIND PATH SEED`` opens the file, or makes
it, says ``ready`` and writes until its standard input is closed; the owner ``orders`` runs the
statement in each line of it instead. They use whatever DuckDB they find, and nothing of the
pipeline.

Every commit leaves, for each part of the rows, a row in ``promise`` with their count and the sum of
their values; every row carries its value five times over. So one query tells whether all that was
read is of one state.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import duckdb

BROKEN_PROMISES = """
SELECT
    (SELECT count(*) FROM source.rows WHERE NOT (
        digest = md5(CAST(x AS VARCHAR)) AND words = repeat('v' || x, 4)
        AND numbers = [x, x + 1] AND prose = repeat(CAST(x % 10 AS VARCHAR), length(prose))
        AND length(prose) IN (1, 6000)
    )),
    (SELECT count(*) FROM (
        SELECT part, count(*) AS n, sum(x) AS total FROM source.rows GROUP BY part
    ) AS seen FULL JOIN source.promise USING (part)
    WHERE coalesce(seen.n, 0) IS DISTINCT FROM promise.n
        OR coalesce(seen.total, 0) IS DISTINCT FROM promise.total),
    (SELECT count(*) FROM source.rows)
"""
"""Rows with a wrong value, parts with wrong rows, and rows; the first two of one state are 0."""

_COLUMNS = "x BIGINT, part INTEGER, words VARCHAR, numbers BIGINT[], prose VARCHAR, digest VARCHAR"
_SELECT = """
SELECT
    x, $part AS part, repeat('v' || x, 4) AS words, [x, x + 1] AS numbers,
    repeat(CAST(x % 10 AS VARCHAR), CASE WHEN x % 500 = 0 THEN 6000 ELSE 1 END) AS prose,
    md5(CAST(x AS VARCHAR)) AS digest
FROM (SELECT CAST(hash(i, $seed) % 1000000007 AS BIGINT) AS x FROM range($rows) AS r (i)) AS numbers
"""
_KEEP = """
UPDATE promise SET
    n = (SELECT count(*) FROM rows WHERE part = $part),
    total = (SELECT coalesce(sum(x), 0) FROM rows WHERE part = $part)
WHERE part = $part
"""
_UPDATE = """
UPDATE rows SET
    x = x + 1, words = repeat('v' || (x + 1), 4), numbers = [x + 1, x + 2],
    prose = repeat(CAST((x + 1) % 10 AS VARCHAR), length(prose)),
    digest = md5(CAST(x + 1 AS VARCHAR))
WHERE x % 3 = $third
"""
_PARTS = 3
_BULK_ROWS = 130_000
_MOST_ROWS = 260_000

Connection = duckdb.DuckDBPyConnection


class GivenUpError(Exception):
    """A transaction is to be rolled back, as owners do now and then."""


class Owner:
    """An open database and its habits."""

    def __init__(self, path: str, seed: int) -> None:
        """Open it, and make it if it is not there."""
        self.path = path
        self.random = random.Random(seed)  # noqa: S311 - a seed, not a secret
        self.commits = 0
        self.con = duckdb.connect(path)
        self.con.execute("SET threads = 1")
        self.con.execute(
            "BEGIN;"
            f"CREATE TABLE IF NOT EXISTS rows ({_COLUMNS});"
            "CREATE TABLE IF NOT EXISTS promise"
            " AS SELECT part, 0 AS n, 0::HUGEINT AS total FROM range(3) AS p (part);"
            "COMMIT"
        )

    def commit(self, change: Callable[[Connection], None], con: Connection | None = None) -> None:
        """Make a change in a transaction, unless it is rolled back or in conflict."""
        con = con or self.con
        con.execute("BEGIN")
        try:
            change(con)
            con.execute("COMMIT")
            self.commits += 1
        except (GivenUpError, duckdb.TransactionException):
            with suppress(duckdb.TransactionException):
                con.execute("ROLLBACK")

    def insert(self, con: Connection, rows: int, part: int | None = None) -> None:
        """Add rows to a part."""
        part = self.random.randrange(_PARTS) if part is None else part
        seed = self.random.randrange(1 << 30)
        con.execute(
            f"INSERT INTO rows BY NAME {_SELECT}", {"part": part, "seed": seed, "rows": rows}
        )
        con.execute(_KEEP, {"part": part})

    def delete(self, con: Connection, part: int) -> None:
        """Remove all rows of a part."""
        con.execute("DELETE FROM rows WHERE part = ?", [part])
        con.execute(_KEEP, {"part": part})

    def count(self) -> int:
        """Count the rows."""
        (count,) = self.con.execute("SELECT count(*) FROM rows").fetchall()[0]
        return int(count)

    def roll_back_now_and_then(self, probability: float) -> None:
        """Give up a transaction.

        Raises:
            GivenUpError: This is the time.
        """
        if self.random.random() < probability:
            raise GivenUpError


def write_small(owner: Owner) -> None:
    """Commit a few rows; checkpoint after every 60 KB of log."""
    owner.con.execute("SET checkpoint_threshold = '60KB'")
    if owner.count() > 20_000:
        owner.commit(lambda con: owner.delete(con, owner.random.randrange(_PARTS)))
    owner.commit(lambda con: owner.insert(con, owner.random.randint(1, 50)))


def write_updates(owner: Owner) -> None:
    """Update a third of the rows, delete, insert; roll back every fifth time."""
    owner.con.execute("SET checkpoint_threshold = '1MB'")

    def change(con: Connection) -> None:
        con.execute(_UPDATE, {"third": owner.random.randrange(3)})
        if owner.random.random() < 0.3:
            owner.delete(con, owner.random.randrange(_PARTS))
        owner.insert(con, 5_000)
        for part in range(_PARTS):
            con.execute(_KEEP, {"part": part})
        owner.roll_back_now_and_then(0.2)

    if owner.count() > 40_000:
        owner.commit(lambda con: owner.delete(con, 0))
    owner.commit(change)


def write_bulk(owner: Owner) -> None:
    """Insert more than a row group, roll back half of it, use the blocks of deleted rows again."""
    if owner.count() > _MOST_ROWS:
        part = owner.random.randrange(_PARTS)
        owner.commit(lambda con: owner.delete(con, part))

    def change(con: Connection) -> None:
        owner.insert(con, _BULK_ROWS)
        owner.roll_back_now_and_then(0.5)

    owner.commit(change)


def write_without_checkpoints(owner: Owner) -> None:
    """Drop, create and bulk insert, with all since the beginning in the log and its blocks."""
    owner.con.execute("SET checkpoint_threshold = '1TB'")

    def change(con: Connection) -> None:
        con.execute(f"DROP TABLE rows; CREATE TABLE rows ({_COLUMNS})")
        owner.insert(con, owner.random.choice([100, _BULK_ROWS]), 0)
        for part in range(1, _PARTS):
            con.execute(_KEEP, {"part": part})
        owner.roll_back_now_and_then(0.2)

    owner.commit(change)


def write_replacements(owner: Owner) -> None:
    """Create the table anew from a SELECT."""
    owner.con.execute("SET checkpoint_threshold = '200KB'")

    def change(con: Connection) -> None:
        arguments = {"part": 1, "seed": owner.random.randrange(1 << 30)}
        rows = owner.random.choice([1_000, 60_000])
        con.execute(f"CREATE OR REPLACE TABLE rows AS {_SELECT}", arguments | {"rows": rows})
        for part in range(_PARTS):
            con.execute(_KEEP, {"part": part})
        owner.roll_back_now_and_then(0.2)

    owner.commit(change)


def write_and_close(owner: Owner) -> None:
    """Open for each write, and so checkpoint after each."""
    write_small(owner)
    owner.con.close()
    time.sleep(0.04)
    owner.con = duckdb.connect(owner.path)


def write_other_columns(owner: Owner) -> None:
    """Add and drop a column, create and drop an index, which may be left from a killed owner."""
    for statement in (
        "DROP INDEX IF EXISTS of_x",
        "ALTER TABLE rows ADD COLUMN IF NOT EXISTS more INTEGER DEFAULT 7",
        "CREATE INDEX of_x ON rows (x)",
        "DROP INDEX of_x",
        "ALTER TABLE rows DROP COLUMN more",
    ):
        write_small(owner)
        owner.commit(partial(run, statement))
        owner.con.execute("SET checkpoint_threshold = '100KB'")


def run(statement: str, con: Connection) -> None:
    """Run a statement."""
    con.execute(statement)


def write_by_several(owner: Owner, until: threading.Event) -> None:
    """Load in bulk over two connections, delete and insert over a third, checkpoint."""
    owner.con.execute("SET checkpoint_threshold = '100KB'")

    def load(part: int, rows: int) -> None:
        con = owner.con.cursor()
        while not until.is_set():
            for _ in range(2):
                owner.commit(lambda con: owner.insert(con, rows, part), con)
            owner.commit(lambda con: owner.delete(con, part), con)
            time.sleep(0.05)
            if part == 0:
                with suppress(duckdb.Error):  # not while another one writes
                    con.execute("CHECKPOINT")

    threads = [
        threading.Thread(target=load, args=(part, rows))
        for part, rows in enumerate((200, 5_000, _BULK_ROWS))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


OWNERS: dict[str, Callable[[Owner], None]] = {
    "small": write_small,
    "upd": write_updates,
    "big": write_bulk,
    "noauto": write_without_checkpoints,
    "ctas": write_replacements,
    "open": write_and_close,
    "alter": write_other_columns,
}
KINDS = (*OWNERS, "conc")


def tell(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def obey(owner: Owner) -> None:
    """Run the statements that are told, a line of JSON each, and tell how each ended."""
    for line in sys.stdin:
        try:
            owner.con.execute(json.loads(line))
            tell(json.dumps(owner.con.fetchall() if owner.con.description else []))
        except duckdb.Error as error:
            tell(json.dumps(f"{type(error).__name__}: {error}"))


def main(kind: str, path: str, seed: str) -> None:
    """Write until told."""
    owner = Owner(path, int(seed))
    if kind != "orders":
        owner.commit(lambda con: owner.insert(con, 5_000))
    tell("ready")
    if kind == "orders":
        obey(owner)
        return
    until = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        until.set()

    threading.Thread(target=wait, daemon=True).start()
    if kind == "conc":
        write_by_several(owner, until)
    while not until.is_set():
        OWNERS[kind](owner)
        time.sleep(owner.random.choice([0, 0.01, 0.03, 0.1]))
    tell(str(owner.commits))


if __name__ == "__main__":
    main(*sys.argv[1:])
