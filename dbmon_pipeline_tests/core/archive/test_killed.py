"""An archive that is killed: each month is whole or not there, and what was half-written goes."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.archive.archive import archive
from dbmon_pipeline_tests.helpers import clean_environ, execution, make_source, settings_for

BEFORE = date(2026, 4, 1)
MONTHS = [datetime(2026, month, 1) for month in (1, 2, 3)]
ROWS_A_MONTH = 5
NAMES = [f"executions_{month:%Y-%m}.parquet" for month in MONTHS]

_ARCHIVE = """
import os, sys
from datetime import date
from pathlib import Path
from dbmon_pipeline.core.archive import archive
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.reader import archive as reader_archive
from dbmon_pipeline.core.reader.handlers import HANDLERS

source, out, before, last = sys.argv[1:]
calls = 0

def killed(path):
    global calls
    calls += 1
    if calls == int(last):
        if path.is_file():
            os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), 9)

class Reader:
    def request(self, name, params, **_):
        return HANDLERS[name](params, print)

reader_archive.sync = killed
archive.shared_reader = Reader
settings = Settings.load(Path(source), Path(f"{source}.home"), environ={})
archive.archive(settings, date.fromisoformat(before), Path(out))
"""
"""Archives, and is killed when a file or a folder is to be flushed for the n-th time."""


@pytest.mark.parametrize(
    ("flush", "named"),
    [(1, 0), (2, 1), (5, 2)],
    ids=["half of the first", "after the first has its name", "half of the third"],
)
def test_killed_in_the_middle(tmp_path: Path, flush: int, named: int) -> None:
    """Files that have a name hold the source's rows; the next archive makes up for the others."""
    settings = settings_for(tmp_path)
    moments = [month + n * timedelta(days=5) for month in MONTHS for n in range(ROWS_A_MONTH)]
    make_source(settings.source, [execution(moment) for moment in moments])
    out = tmp_path / "archive"
    done = subprocess.run(
        [sys.executable, "-c", _ARCHIVE, settings.source, out, str(BEFORE), str(flush)],
        env=clean_environ(),
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in sorted(out.glob("*.parquet"))] == NAMES[:named]
    for name in NAMES[:named]:
        assert len(rows_of(out / name)) == ROWS_A_MONTH
    left = [path.name for path in (out / ".archiving").glob("*.parquet")]
    assert left == ([NAMES[named]] if flush % 2 else [])
    for name in left:
        with pytest.raises(duckdb.InvalidInputException):
            rows_of(out / ".archiving" / name)

    again = archive(settings, BEFORE, out)
    assert [file.is_new for file in again.archived.files] == [n >= named for n in range(3)]
    assert {path.name for path in out.iterdir()} == set(NAMES)
    with duckdb.connect(str(settings.source), read_only=True) as con:
        query = "SELECT timestamp, CAST(task_id AS VARCHAR) FROM executions ORDER BY ALL"
        expected = con.execute(query).fetchall()
    assert [row for name in NAMES for row in rows_of(out / name)] == expected


def rows_of(file: Path) -> list[tuple[object, ...]]:
    """The instants and ids of an archived file."""
    query = f"SELECT timestamp, CAST(task_id AS VARCHAR) FROM '{file}' ORDER BY ALL"
    return duckdb.execute(query).fetchall()
