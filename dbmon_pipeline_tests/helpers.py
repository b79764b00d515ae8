"""What tests of several modules need: made-up sources, and processes that hold a file."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from dbmon_pipeline.core.alerting.check_history import RecordedVerdict
from dbmon_pipeline.core.changes.request import RefreshRequest
from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.shipped import sql
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.home.locks import HomeLock
from dbmon_pipeline.core.learning_db.create import creating
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.refresh.refresh import Publication, open_refresh
from dbmon_pipeline.core.rollup.result import RolledUp
from dbmon_pipeline.core.source.reader_client import ReaderProcess, shared_reader

Row = Mapping[str, object]
"""One execution, by column; what it leaves out is NULL."""


def execution(timestamp: datetime, **values: object) -> dict[str, object]:
    """A good execution at an instant, with some of its values given."""
    return {
        "task_id": str(uuid.uuid4()),
        "timestamp": timestamp,
        "task_type": "bug_fix",
        "task_description": "Fix it",
        "repo": "org/api",
        "model_tier": "small",
        "pool_type": "main",
        "success": True,
        "duration_seconds": 12.5,
        "quality_score": 80,
        "cost_estimate": 0.02,
        "actual_cost": 0.01,
        "user_rating": 4,
        **values,
    }


def make_source(path: Path, rows: Iterable[Row] = ()) -> Path:
    """Make a learning database that refuses no row, with some rows."""
    path.write_bytes(_empty_source())
    add_rows(path, rows)
    return path


@cache
def _empty_source() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "learning.db"
        with creating(path, relaxed=True):
            pass
        return path.read_bytes()


def add_rows(path: Path, rows: Iterable[Row]) -> None:
    """Add executions to a learning database, as its owner does."""
    with connect(path) as con:
        con.execute("BEGIN")
        for batch in _batches(rows):
            con.execute(
                f"INSERT INTO executions ({', '.join(batch[0])})"
                f" SELECT {', '.join(f'unnest(${name})' for name in batch[0])}",
                {name: [row[name] for row in batch] for name in batch[0]},
            )
        con.execute("COMMIT")
    _leave_alone(path)


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Split rows where another type comes: a statement for each row would take for ever."""
    batch: list[Row] = []
    types: dict[str, type] = {}
    for row in rows:
        own = {name: type(value) for name, value in row.items() if value is not None}
        if batch and (
            list(row) != list(batch[0]) or any(types.get(n, t) is not t for n, t in own.items())
        ):
            yield batch
            batch, types = [], {}
        batch.append(row)
        types |= own
    if batch:
        yield batch


def change_source(path: Path, statement: str, **values: object) -> None:
    """Run a statement of the owner in a learning database."""
    with connect(path) as con:
        con.execute(statement, values)
    _leave_alone(path)


class Snapshot:
    """A source and its home as they are now, to which tests can go back.

    The source keeps its inode: another file in its place would be compared whole.
    """

    def __init__(self, settings: Settings) -> None:
        """Keep a copy of both."""
        self._settings = settings
        self._content = settings.source.read_bytes()
        self._source = settings.source.with_name("kept.db")
        self._source.hardlink_to(settings.source)
        self._home = settings.home.path.with_name("kept")
        _link_tree(settings.home.path, self._home)

    def restore(self) -> Settings:
        """Go back."""
        source, home = self._settings.source, self._settings.home.path
        source.unlink()
        source.hardlink_to(self._source)
        source.write_bytes(self._content)
        source.with_name(f"{source.name}.wal").unlink(missing_ok=True)
        _leave_alone(source)
        shutil.rmtree(home)
        _link_tree(self._home, home)
        return self._settings


def _link_tree(folder: Path, copy: Path) -> None:
    shutil.copytree(folder, copy, symlinks=True, copy_function=os.link)


def add_row_to_log(path: Path) -> None:
    """Add a copy of a database's only row, named ``new``, as an owner that is killed right then."""
    code = (
        "import os, sys, duckdb\n"
        "con = duckdb.connect(sys.argv[1])\n"
        "con.execute(\"INSERT INTO executions BY NAME SELECT * REPLACE ('new' AS task_id)"
        ' FROM executions")\n'
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False)
    assert path.with_name(f"{path.name}.wal").exists()


def _leave_alone(path: Path) -> None:
    """As if its owner had written it a second ago, so that nobody waits for another write."""
    a_second_ago = time.time() - 1
    os.utime(path, (a_second_ago, a_second_ago))


@contextmanager
def running(code: str, *arguments: object) -> Iterator[None]:
    """Another Python process that has come to its line ``wait()``; it ends with the block."""
    prelude = "import sys\ndef wait():\n    print('here', flush=True)\n    sys.stdin.read()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", prelude + code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == b"here\n"
        yield
    finally:
        process.communicate()


HOLD_DATABASE = "import duckdb\ncon = duckdb.connect(sys.argv[1])\nwait()"
"""Holds a DuckDB file open for writing: ``running(HOLD_DATABASE, path)``."""

DROP_PRIVILEGES = """
import ctypes
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
"""
"""Permissions bind root too after this; it fails, and is not needed, for anybody else."""

HOLD_FILE = """
import fcntl, pathlib
path = pathlib.Path(sys.argv[1])
path.parent.mkdir(parents=True, exist_ok=True)
file = path.open("a+")
fcntl.flock(file, fcntl.LOCK_EX)
wait()
"""
"""Holds the lock of a file: ``running(HOLD_FILE, path)``."""


def settings_for(folder: Path, **config: object) -> Settings:
    """Settings with the source ``learning.db`` and the home ``home`` in a folder."""
    shipped = Settings.load(folder / "learning.db", folder / "home", environ={})
    return replace(shipped, config=msgspec.structs.replace(shipped.config, **config))


@dataclass(frozen=True)
class Refreshed:
    """What a refresh without Dagster did."""

    rolled_up: RolledUp
    verdicts: list[RecordedVerdict]
    publication: Publication


def refresh_core(settings: Settings, as_of: datetime, **request: Any) -> Refreshed:
    """The phases of a refresh in their order, without Dagster and with one reader process for all.

    A process for each refresh would cost as much as a small refresh.
    """
    with closing(HomeLock(settings.home)) as lock:
        return refresh_with(lock, shared_reader(), settings, as_of, **request)


def refresh_with(
    lock: HomeLock, reader: ReaderProcess, settings: Settings, as_of: datetime, **request: Any
) -> Refreshed:
    """Refresh as :func:`refresh_core`, with a lock and a reader process that are there already."""
    wanted = RefreshRequest(as_of=as_of, **request)
    with lock.held("a test", wait_seconds=60), open_refresh(settings, wanted) as refresh:
        rolled_up = refresh.read(reader, lambda _: None)
        assert not rolled_up.source_differences, rolled_up.source_differences
        assert not rolled_up.ledger_differences, rolled_up.ledger_differences
        verdicts = refresh.judge()
        return Refreshed(rolled_up, verdicts, refresh.publish())


def published_rows(settings: Settings, table: str) -> list[dict[str, object]]:
    """The rows of a published table, by column."""
    found = _reader_of(settings.home).rows(table)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


_readers: dict[tuple[Path, int, int], Published] = {}


def _reader_of(home: Home) -> Published:
    """Open a generation once for all that is asked of it: an instance of DuckDB takes its time."""
    folder = home.generation
    stat = (folder / "manifest.json").stat()
    key = folder, stat.st_ino, stat.st_mtime_ns
    if key not in _readers:
        while _readers:
            _readers.popitem()[1].close()
        _readers[key] = Published(home)
    return _readers[key]


def make_odd_source(path: Path, rows: Iterable[Row] = (), **types: str | None) -> Path:
    """Make a bare table of executions, some of whose columns have other types or are left out."""
    path.write_bytes(_bare_source())
    with connect(path) as con:
        for name, kind in types.items():
            con.execute(f"ALTER TABLE executions DROP COLUMN IF EXISTS {name}")
            if kind is not None:
                con.execute(f"ALTER TABLE executions ADD COLUMN {name} {kind}")
    missing = {name for name, kind in types.items() if kind is None}
    add_rows(path, [{k: v for k, v in row.items() if k not in missing} for row in rows])
    return path


@cache
def _bare_source() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "learning.db"
        with connect(path) as con:
            for file in ("executions", "relaxed"):
                for statement in con.extract_statements(sql("source", file)):
                    con.execute(statement)
        return path.read_bytes()


def state_of(home: Home) -> dict[str, str]:
    """Digest all that a failed refresh must leave alone: every file of what is published."""
    return {
        str(path.relative_to(home.published)): str(path.readlink())
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.published.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def run_dbmon(
    *arguments: object, first: str = "", **environ: object
) -> subprocess.CompletedProcess[str]:
    """Run the real command.

    Args:
        arguments: Its arguments.
        first: Python statements for its process to run before it becomes the command.
        environ: What its environment has besides.
    """
    return subprocess.run(
        dbmon_command(*arguments, first=first),
        env=clean_environ(**environ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def dbmon_command(*arguments: object, first: str = "") -> list[str]:
    """The command line for :func:`run_dbmon`."""
    command = [str(Path(sys.executable).with_name("dbmon")), *map(str, arguments)]
    if not first:
        return command
    # Python would leave the halves of compiled modules behind where files cannot be written.
    become = (
        "import os, sys\nos.environ['PYTHONDONTWRITEBYTECODE'] = '1'\n"
        f"{first}\nos.execv(sys.argv[1], sys.argv[1:])"
    )
    return [sys.executable, "-c", become, *command]


def clean_environ(**more: object) -> dict[str, str]:
    """This environment without what would point the command elsewhere, and more."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DBMON_", "DAGSTER_"))
    }
    return kept | {name: str(value) for name, value in more.items()}
