"""The source: every oddity of a good one is read; bad ones have a catalogue of their own."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.common.duck import connect, explain_source
from dbmon_pipeline.core.common.errors import ContractError, SourceError, SourceLockedError
from dbmon_pipeline.core.config.monitoring import SourceLimits
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.schema.executions import COLUMNS, Column, Role
from dbmon_pipeline.core.schema.rollups import ROLLUPS
from dbmon_pipeline.core.source.file_check import signature
from dbmon_pipeline.core.source.profile import Overview
from dbmon_pipeline.core.source.source import Source
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    add_rows,
    change_source,
    clean_environ,
    execution,
    make_odd_source,
    make_source,
    published_rows,
    refresh_core,
    running,
    settings_for,
    state_of,
)

AS_OF = datetime.fromisoformat("2026-02-10T12:00")
AT = datetime.fromisoformat("2026-02-10T09:30")
QUICK = SourceLimits(lock_wait_seconds=0.2, snapshot=False)
REQUIRED = [column.name for column in COLUMNS if column.required]
OPTIONAL = [column.name for column in COLUMNS if not column.required]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A new home, and a source that is not there yet."""
    return settings_for(tmp_path, source=QUICK)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home after one good refresh."""
    made = settings_for(tmp_path_factory.mktemp("good"), source=QUICK)
    make_source(made.source, [execution(AT)])
    refresh_core(made, AS_OF)
    return made.home


@pytest.fixture
def later(good: Home, tmp_path: Path) -> Iterator[Settings]:
    """That home, at another source; afterwards it must be as it was."""
    before = state_of(good)
    yield Settings(tmp_path / "bad.db", good, settings_for(tmp_path, source=QUICK).config)
    assert state_of(good) == before


def refusal(settings: Settings) -> SourceError:
    """The error with which a later refresh ends, which names the file on one line."""
    with pytest.raises(SourceError) as raised:
        refresh_core(settings, AS_OF + timedelta(hours=1))
    text = str(raised.value)
    assert text.startswith(str(settings.source))
    assert "\n" not in text
    assert text.endswith(raised.value.remedy)
    return raised.value


def look(path: Path) -> Overview:
    """A glance at a source, without a home."""
    with connect() as con:
        return Source(path, QUICK, con).overview(AS_OF - timedelta(days=1), AS_OF)


def test_a_file_of_the_newest_duckdb_is_read_or_refused(later: Settings) -> None:
    """Under the older of two installed versions, what the newer one writes by default is refused.

    Without an older one on ``PYTHONPATH`` both are the same, and the file is read.
    """
    make = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); con.execute(sys.argv[2])"
    environ = clean_environ()
    environ.pop("PYTHONPATH", None)
    table = "CREATE TABLE executions (task_id VARCHAR); SELECT 1"
    subprocess.run([sys.executable, "-c", make, later.source, table], env=environ, check=True)
    newest = subprocess.run(
        [sys.executable, "-c", "import duckdb; print(duckdb.__version__)"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    message = str(refusal(later))
    if newest == duckdb.__version__:
        assert "has no column 'timestamp', 'task_type'" in message
    else:
        assert f"was written by a newer DuckDB than {duckdb.__version__}" in message


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        (
            "IO Error: Trying to read a database file with version number 99, but we can only read"
            " versions between 64 and 68.\nThe database file was created with a newer version",
            SourceError,
            "written by a newer DuckDB",
        ),
        (
            "Serialization Error: Serialized version 9 is not supported",
            SourceError,
            "written by a newer DuckDB",
        ),
        (
            'IO Error: Could not set lock on file "/x/learning.db": Conflicting lock is held in'
            " /usr/bin/python3.11 (PID 4711) by user me. See also https://duckdb.org/docs",
            SourceLockedError,
            "is locked: python3.11 (process 4711) holds it open for writing",
        ),
        (
            'IO Error: Could not set lock on file "/x/learning.db": Resource unavailable',
            SourceLockedError,
            "is locked: another process holds it open for writing",
        ),
        (
            "IO Error: Trying to read file with version 99, but we can only read storage versions"
            " between 64 and 69.",
            SourceError,
            "written by a newer DuckDB",
        ),
        ("IO Error: Could not read enough bytes", SourceError, "is damaged or cut short"),
    ],
)
def test_messages_of_duckdb_are_explained(
    tmp_path: Path, text: str, kind: type[SourceError], words: str
) -> None:
    """The texts are DuckDB's own, of the versions that are supported."""
    path = make_source(tmp_path / "learning.db")
    error = explain_source(path, duckdb.IOException(text))
    assert type(error) is kind
    assert f"{path} {words}" in str(error).replace("was written", "written")
    assert "\n" not in str(error)


@pytest.mark.parametrize("column", REQUIRED)
def test_each_required_column_is_missed_by_name(settings: Settings, column: str) -> None:
    """Without it, no figure could be made."""
    make_odd_source(settings.source, [execution(AT)], **{column: None})
    with pytest.raises(ContractError, match=f"executions has no column '{column}': add it"):
        look(settings.source)


def test_all_missing_columns_are_named_at_once(settings: Settings) -> None:
    """Nobody mends a table one error at a time."""
    make_odd_source(settings.source, [execution(AT)], repo=None, success=None)
    with pytest.raises(ContractError, match="has no column 'repo', 'success': add them"):
        look(settings.source)


@pytest.mark.parametrize(
    "column", [c for c in COLUMNS if c.type != "VARCHAR"], ids=lambda c: c.name
)
def test_a_type_that_cannot_be_cast_is_named(settings: Settings, column: Column) -> None:
    """The column, its type, and the one that it should have; even in an empty table.

    DuckDB itself would refuse the first value only.
    """
    make_odd_source(settings.source, [], **{column.name: "STRUCT(a INTEGER)"})
    with pytest.raises(ContractError) as raised:
        look(settings.source)
    assert (
        f"executions.{column.name} is STRUCT(a INTEGER), which cannot be read as {column.type}:"
        " change its type" in str(raised.value)
    )


@pytest.mark.parametrize(
    ("column", "kind", "value", "shown"),
    [
        ("duration_seconds", "VARCHAR", "abc", "'abc'"),
        ("quality_score", "VARCHAR", "much", "'much'"),
        ("success", "VARCHAR", "perhaps", "'perhaps'"),
        ("timestamp", "VARCHAR", "yesterday", '"yesterday"'),
    ],
)
def test_a_value_that_cannot_be_cast_is_shown(
    later: Settings, column: str, kind: str, value: object, shown: str
) -> None:
    """With the column's name, else nobody finds it among millions of rows."""
    make_odd_source(later.source, [execution(AT) | {column: value}], **{column: kind})
    message = str(refusal(later))
    assert "holds a value that cannot be read" in message
    assert shown in message
    assert message.endswith("correct that value in the source; the last published data stays")


def test_who_holds_the_source_is_named(later: Settings) -> None:
    """With the process id, and within the configured wait."""
    make_source(later.source, [execution(AT)])
    with running(HOLD_DATABASE, later.source):
        error = refusal(later)
    assert type(error) is SourceLockedError
    assert re.search(r"is locked: python\S* \(process \d+\) holds it open for writing", str(error))


def test_an_empty_source_is_none_to_complain_of(settings: Settings) -> None:
    """Every table has a file, with no row and all of its columns."""
    make_source(settings.source)
    done = refresh_core(settings, AS_OF)
    manifest = done.publication.manifest
    assert {r.name: manifest.rows(r.name) for r in ROLLUPS} == {r.name: 0 for r in ROLLUPS}
    for rollup in ROLLUPS:
        (file,) = manifest.tables[rollup.name]
        with duckdb.connect() as con:
            path = settings.home.current / rollup.name / file.name
            names = [row[0] for row in con.execute(f"DESCRIBE FROM '{path}'").fetchall()]
        assert set(rollup.key) < set(names)
    assert manifest.data_through == AS_OF


def recent(settings: Settings) -> list[dict[str, object]]:
    """The published rows after a refresh of a new home."""
    refresh_core(settings, AS_OF)
    return published_rows(settings, "recent_executions")


@pytest.mark.parametrize("kind", ["FLOAT[384]", "FLOAT[3]", "FLOAT[]", "VARCHAR", None])
def test_embeddings_of_any_kind_are_left_alone(settings: Settings, kind: str | None) -> None:
    """They are not read, nor are columns that nobody knows."""
    make_odd_source(settings.source, [execution(AT)], embedding=kind, surprise="STRUCT(a INTEGER)")
    if kind and "[" in kind:
        width = int(re.sub(r"\D", "", kind) or 7)
        change_source(settings.source, f"UPDATE executions SET embedding = {[0.5] * width}")
    (row,) = recent(settings)
    assert row["duration_seconds"] == 12.5
    assert not {"embedding", "surprise", "task_description"} & set(row)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("TIMESTAMP", datetime.fromisoformat("2026-02-10T09:30")),
        ("TIMESTAMP_S", datetime.fromisoformat("2026-02-10T09:30")),
        ("TIMESTAMP_MS", datetime.fromisoformat("2026-02-10T09:30")),
        ("TIMESTAMP_NS", datetime.fromisoformat("2026-02-10T09:30")),
        ("TIMESTAMPTZ", datetime(2026, 2, 10, 9, 30, tzinfo=UTC)),
        ("TIMESTAMPTZ", datetime(2026, 2, 10, 1, 30, tzinfo=timezone(timedelta(hours=-8)))),
        ("VARCHAR", "2026-02-10 09:30:00"),
        ("VARCHAR", "2026-02-10T09:30:00Z"),
        ("VARCHAR", "2026-02-10T01:30:00-08:00"),
    ],
)
def test_every_timestamp_becomes_utc(settings: Settings, kind: str, value: object) -> None:
    """Down to the hour in which it is counted."""
    make_odd_source(settings.source, [{**execution(AT), "timestamp": value}], timestamp=kind)
    (row,) = recent(settings)
    assert row["timestamp"] == AT
    (hour,) = published_rows(settings, "hourly_summary")
    assert hour["hour"] == datetime.fromisoformat("2026-02-10T09:00")


def test_timestamps_with_a_zone_are_cut_at_the_right_instant(settings: Settings) -> None:
    """One second before ``as_of`` is in, and ``as_of`` itself is not."""
    rows = [
        {**execution(AT), "timestamp": (AS_OF - timedelta(seconds=seconds)).replace(tzinfo=UTC)}
        for seconds in (1, 0, -1)
    ]
    make_odd_source(settings.source, rows, timestamp="TIMESTAMPTZ")
    assert [row["timestamp"] for row in recent(settings)] == [AS_OF - timedelta(seconds=1)]


def test_every_column_may_be_null(settings: Settings) -> None:
    """Dimensions become 'unknown', everything else stays NULL."""
    nothing = {column.name: None for column in COLUMNS if column.name != "timestamp"}
    make_source(settings.source, [execution(AT, **nothing)])
    (row,) = recent(settings)
    assert row.pop("timestamp") == AT
    dimensions = [column.name for column in COLUMNS if column.role is Role.DIMENSION]
    assert row == dict.fromkeys(nothing) | dict.fromkeys(dimensions, "unknown")
    (hour,) = published_rows(settings, "hourly_summary")
    assert (hour["executions"], hour["successes"], hour["duration_count"]) == (1, 0, 0)
    assert (hour["repo"], hour["duration_sum"]) == ("unknown", None)


def test_a_row_without_a_timestamp_belongs_nowhere(settings: Settings) -> None:
    """It is counted, and not taken."""
    make_source(settings.source, [execution(AT), {**execution(AT), "timestamp": None}])
    (extraction,) = refresh_core(settings, AS_OF).extractions
    assert extraction.overview.rows_without_timestamp == 1
    assert extraction.rows == 1


def test_optional_columns_may_be_missing(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning names them, and they are NULL."""
    make_odd_source(settings.source, [execution(AT)], **dict.fromkeys(OPTIONAL))
    (row,) = recent(settings)
    assert {name: row[name] for name in OPTIONAL} == dict.fromkeys(OPTIONAL)
    assert row["duration_seconds"] == 12.5
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert ", ".join(OPTIONAL) in warning.getMessage()
    assert str(settings.source) in warning.getMessage()


def test_a_whole_schema_is_not_warned_of(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The control of the one before."""
    make_source(settings.source, [execution(AT)])
    recent(settings)
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE", "VARCHAR"])
def test_what_is_not_finite_becomes_null(settings: Settings, kind: str, value: float) -> None:
    """In every measure; one of them would spoil every sum and average."""
    measures = [column.name for column in COLUMNS if column.role is Role.MEASURE]
    rows = [
        execution(AT, **dict.fromkeys(measures, value)),
        execution(AT, **dict.fromkeys(measures, 1.5)),
    ]
    make_odd_source(settings.source, rows, **dict.fromkeys(measures, kind))
    assert sorted(str([row[name] for name in measures]) for row in recent(settings)) == [
        str([1.5] * len(measures)),
        str([None] * len(measures)),
    ]
    (hour,) = published_rows(settings, "hourly_summary")
    assert (hour["executions"], hour["duration_count"], hour["duration_sum"]) == (2, 1, 1.5)
    assert (hour["actual_cost_count"], hour["actual_cost_sum"]) == (1, 1.5)


def test_whole_numbers_may_be_stored_as_doubles(settings: Settings) -> None:
    """As a data frame does that has gaps; NaN is a gap."""
    whole = ("file_count", "estimated_tokens", "complexity_score", "quality_score", "user_rating")
    rows = [
        execution(AT, **dict.fromkeys(whole, 4.0)),
        execution(AT + timedelta(seconds=1), **dict.fromkeys(whole, math.nan)),
    ]
    make_odd_source(settings.source, rows, **dict.fromkeys(whole, "DOUBLE"))
    assert [[row[name] for name in whole] for row in recent(settings)] == [[4] * 5, [None] * 5]
    (hour,) = published_rows(settings, "hourly_summary")
    assert (hour["quality_count"], hour["quality_sum"]) == (1, 4)


@pytest.mark.parametrize("kind", ["INTEGER", "TINYINT", "DOUBLE", "DECIMAL(3, 1)", "VARCHAR"])
def test_success_may_be_stored_as_a_number(settings: Settings, kind: str) -> None:
    """0 and 1, as SQLite has it."""
    rows = [execution(AT + timedelta(seconds=n), success=n) for n in (0, 1)]
    make_odd_source(settings.source, rows, success=kind, user_accepted=kind)
    assert [row["success"] for row in recent(settings)] == [False, True]


def test_not_a_number_is_no_success(settings: Settings) -> None:
    """As a data frame stores a gap among truths; DuckDB would cast it to true."""
    make_odd_source(settings.source, [execution(AT, success=math.nan)], success="DOUBLE")
    assert [row["success"] for row in recent(settings)] == [None]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("timestamp", "BIGINT"),
        ("timestamp", "TIME"),
        ("duration_seconds", "INTERVAL"),
        ("success", "TIMESTAMP"),
        ("quality_score", "INTEGER[]"),
        ("actual_cost", "MAP(VARCHAR, DOUBLE)"),
        ("peak_memory_mb", "BLOB"),
        ("user_rating", "INTEGER[2]"),
    ],
)
def test_other_types_that_cannot_be_cast(settings: Settings, column: str, kind: str) -> None:
    """Each could be meant in several ways, or in none."""
    make_odd_source(settings.source, [], **{column: kind})
    with pytest.raises(ContractError, match=f"executions.{column} is .*, which cannot be read as"):
        look(settings.source)


def test_a_task_id_may_be_anything(settings: Settings) -> None:
    """No UUID, nothing, or twice the same: each row counts."""
    ids = ["run #7; DROP TABLE executions", None, "twice", "twice"]
    rows = [execution(AT + timedelta(seconds=n), task_id=name) for n, name in enumerate(ids)]
    make_source(settings.source, rows)
    assert [row["task_id"] for row in recent(settings)] == ids
    refresh_core(settings, AS_OF)
    (hour,) = published_rows(settings, "hourly_summary")
    assert hour["executions"] == 4


def test_a_uuid_is_text_here(settings: Settings) -> None:
    """The founding schema's type for it."""
    name = "6f1c9f0e-95a5-4f0e-9a3b-0f1d3c2b4a5e"
    make_odd_source(settings.source, [execution(AT, task_id=name)], task_id="UUID")
    assert [row["task_id"] for row in recent(settings)] == [name]


def test_names_of_columns_may_be_in_capitals(settings: Settings) -> None:
    """DuckDB does not tell them apart."""
    make_odd_source(settings.source, [execution(AT)])
    change_source(settings.source, "ALTER TABLE executions RENAME COLUMN repo TO repo_x")
    change_source(settings.source, 'ALTER TABLE executions RENAME COLUMN repo_x TO "REPO"')
    assert [row["repo"] for row in recent(settings)] == ["org/api"]


@pytest.mark.parametrize("name", ["it's.db", "two words.db", 'quo"te.db', "läarning.db", "a;b.db"])
def test_the_path_may_be_odd(tmp_path: Path, name: str) -> None:
    """It is a value, never a part of a statement."""
    settings = settings_for(tmp_path / name)
    (tmp_path / name).mkdir()
    path = make_source(tmp_path / name / name, [execution(AT)])
    settings = Settings(path, settings.home, settings.config)
    assert len(recent(settings)) == 1


def test_a_source_is_never_written(settings: Settings) -> None:
    """Neither the file, nor a file beside it, nor the time it was changed."""
    make_source(settings.source, [execution(AT)])
    before = (settings.source.read_bytes(), settings.source.stat().st_mtime_ns)
    refresh_core(settings, AS_OF)
    assert (settings.source.read_bytes(), settings.source.stat().st_mtime_ns) == before
    assert {path.name for path in settings.source.parent.iterdir()} == {"learning.db", "home"}


def test_rows_that_wait_in_the_write_ahead_log_are_read(settings: Settings) -> None:
    """An owner that was killed leaves them there; the log stays where it is."""
    make_source(settings.source, [execution(AT)])
    code = (
        "import os, duckdb\n"
        "con = duckdb.connect(sys.argv[1])\n"
        "con.execute(\"INSERT INTO executions BY NAME SELECT * REPLACE ('new' AS task_id)"
        ' FROM executions")\n'
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", f"import sys\n{code}", settings.source], check=False)
    log = settings.source.with_name("learning.db.wal")
    before = log.read_bytes()
    assert sorted(str(row["task_id"]) for row in recent(settings))[-1] == "new"
    assert log.read_bytes() == before


def test_every_hold_is_recorded_and_ends(tmp_path: Path) -> None:
    """After it, the owner can open the file for writing at once."""
    path = make_source(tmp_path / "learning.db", [execution(AT)])
    with connect() as con:
        source = Source(path, QUICK, con)
        overview = source.overview(AT - timedelta(days=1), AS_OF)
        assert overview.oldest == AT
        with pytest.raises(ZeroDivisionError), source.attached():
            raise ZeroDivisionError
        assert len(source.holds_ms) == 2
        add_rows(path, [execution(AT - timedelta(minutes=1))])
        assert source.overview(AT - timedelta(days=1), AS_OF).oldest == AT - timedelta(minutes=1)


def test_the_overview_counts_what_lies_outside(tmp_path: Path) -> None:
    """Each row outside of the monitored time, by the reason."""
    offsets = [timedelta(0), timedelta(minutes=4, seconds=59), timedelta(minutes=5), timedelta(1)]
    rows = [execution(AS_OF + offset) for offset in offsets]
    rows += [
        execution(AS_OF - timedelta(days=1, seconds=1)),
        {**execution(AS_OF), "timestamp": None},
    ]
    rows += [execution(AS_OF - timedelta(days=1)), execution(AS_OF - timedelta(seconds=1))]
    path = make_source(tmp_path / "learning.db", rows)
    seen = look(path)
    assert seen.oldest == AS_OF - timedelta(days=1)
    assert (seen.future_rows, seen.far_future_rows) == (4, 2)
    assert (seen.too_old_rows, seen.rows_without_timestamp) == (1, 1)
    assert seen.missing_columns == ()


def test_the_signature_follows_every_write(tmp_path: Path) -> None:
    """It is all that the sensor looks at, every minute."""
    path = make_source(tmp_path / "learning.db", [execution(AT)])
    first = signature(path)
    assert signature(path) == first
    add_rows(path, [execution(AT)])
    second = signature(path)
    assert second != first
    path.with_name("learning.db.wal").write_bytes(b"x")
    assert signature(path) != second
    path.unlink()
    with pytest.raises(SourceError, match="does not exist"):
        signature(path)


@pytest.mark.parametrize(
    ("holds", "factor"),
    [
        ([9.0, 15.0], 2.0),
        ([9.0, 25.0], 1.2),
        ([9.0, 60.0], 0.5),
        ([9.0, 900.0], 0.25),
        ([80.0, 90.0], 160 / 90),
        ([80.0, 160.0, 320.0], 0.5),
    ],
)
def test_a_slice_is_as_large_as_a_hold_is_long(
    tmp_path: Path, holds: list[float], factor: float
) -> None:
    """30 ms, or twice the shortest hold where none can be so short."""
    with connect() as con:
        limits = SourceLimits(longest_hold_ms=50)
        source = Source(tmp_path / "learning.db", limits, con)
        source.holds_ms.extend(holds)
        assert source.fit() == pytest.approx(factor)
