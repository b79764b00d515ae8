"""The archive holds what the source holds, or there is no file; and nothing else is touched."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dbmon_pipeline.core.archive.archive import Archive, archive
from dbmon_pipeline.core.archive.result import ArchivedRows
from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import ArchiveError, ConfigError, SourceError, StorageError
from dbmon_pipeline.core.common.instants import day_start, utc_now
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.reader import archive as reader_archive
from dbmon_pipeline.core.reader.archive import archive_rows
from dbmon_pipeline.core.schema.catalogue import ROLLED_UP
from dbmon_pipeline.core.source.kinds import Query, Source, open_source
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    HOLD_FILE,
    add_rows,
    change_source,
    execution,
    make_odd_source,
    make_source,
    published_rows,
    refresh_core,
    running,
    settings_for,
)

BEFORE = date(2026, 3, 15)
AS_OF = datetime.fromisoformat("2026-03-20T12:00")
MINUTE = timedelta(minutes=1)
OLD = [
    datetime.fromisoformat(text)
    for text in (
        "1970-01-01 00:00:00",
        "2025-12-31 23:59:59.999999",
        "2026-02-01 00:00:00",
        "2026-02-14 12:30:00",
        "2026-02-28 23:59:59.999999",
        "2026-03-01 00:00:00",
        "2026-03-14 23:59:59.999999",
    )
]
YOUNG = [datetime.fromisoformat(text) for text in ("2026-03-15 00:00:00", "2026-03-16 01:00:00")]
FILES = {
    "executions_1970-01.parquet": 1,
    "executions_2025-12.parquet": 1,
    "executions_2026-02.parquet": 3,
    "executions_2026-03_before_2026-03-15.parquet": 2,
}
ODD_TYPES = {
    "huge": ("HUGEINT", "170141183460469231731687303715884105727"),
    "span": ("INTERVAL", "INTERVAL '14 months 3 days 1 microsecond'"),
    "zoned": ("TIME WITH TIME ZONE", "TIMETZ '01:02:03.000004+05:30'"),
    "bits": ("BIT", "'0101'::BIT"),
    "raw": ("BLOB", "'\\x00\\xFF'::BLOB"),
    "mood": ("ENUM('it''s', 'b')", "'it''s'"),
    "nest": ("STRUCT(h UHUGEINT, l DOUBLE[2])", "{'h': 340282366920938463463374607431768211455,"
    " 'l': [1.5, NULL]}"),
    "pairs": ("MAP(VARCHAR, TIMESTAMP_NS)", "MAP {'k': '2026-01-01 00:00:00.000000001'}"),
    "coarse": ("TIMESTAMP_S", "'2026-01-01 00:00:01'"),
    "end": ("TIMESTAMP WITH TIME ZONE", "'infinity'"),
    'we"ird ü': ("FLOAT", "'nan'"),
    "exact": ("DECIMAL(38, 10)", "1234567890123456789012345678.0123456789"),
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A source with old and young rows."""
    made = settings_for(tmp_path, rules={})
    make_source(made.source, [execution(at) for at in OLD + YOUNG])
    return made


def archived(settings: Settings, folder: str = "archive", before: date = BEFORE) -> Archive:
    """Archive into a folder of the home."""
    return archive(settings, before, settings.home.path / folder)


def archived_here(settings: Settings, folder: Path) -> ArchivedRows:
    """Do the reader's part in this process, where a test can interfere."""
    workshop = folder / "workshop"
    workshop.mkdir(parents=True)
    limits = settings.config.source
    return archive_rows(settings.source, limits, day_start(BEFORE), folder, workshop)


def paths(done: Archive) -> list[Path]:
    """List the files of an archive."""
    return [done.folder / file.name for file in done.archived.files]


def rows_of(path: Path, query: str = "FROM executions ORDER BY ALL") -> list[tuple[object, ...]]:
    """The answer of a learning database, for a comparison."""
    with connect() as con:
        con.execute(f"ATTACH '{path}' AS learning (READ_ONLY)")
        con.execute("USE learning")
        return con.execute(query).fetchall()


def rows_in(*files: Path, query: str = "FROM {} ORDER BY ALL") -> list[tuple[object, ...]]:
    """The rows of some files."""
    names = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    return duckdb.execute(query.format(f"read_parquet([{names}])")).fetchall()


def old_rows(path: Path) -> list[tuple[object, ...]]:
    """The rows that an archive must have."""
    query = f"FROM executions WHERE timestamp < '{BEFORE}' ORDER BY ALL"
    return rows_of(path, query)


def files_in(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, hidden files too."""
    return {path.name: path.read_bytes() for path in folder.glob("*")} if folder.exists() else {}


def test_each_month_has_a_file(settings: Settings) -> None:
    """To the microsecond, whole months and the one that the day cuts; the source stays as it is."""
    before = settings.source.read_bytes()
    done = archived(settings)
    folder = settings.home.path / "archive"
    assert {file.name: file.rows for file in done.archived.files} == FILES
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert [file.size_bytes for file in done.archived.files] == [
        path.stat().st_size for path in paths(done)
    ]
    assert rows_in(*paths(done)) == old_rows(settings.source)
    [(first, last)] = rows_in(paths(done)[2], query="SELECT min(timestamp), max(timestamp) FROM {}")
    assert (first, last) == (OLD[2], OLD[4])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert done.archived.read_as == "live"
    assert settings.source.read_bytes() == before


def test_a_day_that_begins_a_month_cuts_none(settings: Settings) -> None:
    """The file before it is of a whole month."""
    done = archived(settings, before=date(2026, 3, 1))
    assert [file.name for file in done.archived.files] == list(FILES)[:3]


def test_columns_of_every_type_come_back(settings: Settings) -> None:
    """Those that Parquet would change as text, the others in their own type."""
    settings.source.unlink()
    make_odd_source(settings.source, [execution(at) for at in OLD])
    for name, (kind, value) in ODD_TYPES.items():
        quoted = name.replace('"', '""')
        change_source(settings.source, f'ALTER TABLE executions ADD COLUMN "{quoted}" {kind}')
        change_source(
            settings.source,
            f'UPDATE executions SET "{quoted}" = {value}, embedding = [0.5, NULL],'
            """ metadata = '{"a": "\\u0000 ü"}' WHERE timestamp > '2026-02-10'""",
        )
    done = archived(settings)
    files = paths(done)
    [(types,)] = rows_of(
        settings.source,
        "SELECT list(column_name ORDER BY column_index) FROM duckdb_columns()"
        " WHERE table_name = 'executions'",
    )
    described = {str(row[0]): row[1] for row in rows_in(files[0], query="DESCRIBE FROM {}")}
    assert list(described) == types
    assert described["huge"] == described["nest"] == described["mood"] == "VARCHAR"
    assert described["embedding"] == "FLOAT[]"
    assert described["metadata"] == "JSON"
    assert described["exact"] == "DECIMAL(38,10)"
    names = (name.replace('"', '""') for name in types)
    texts = ", ".join(f'CAST("{name}" AS VARCHAR)' for name in names)
    compared = f"SELECT {texts} FROM {{}} WHERE timestamp < '{BEFORE}' ORDER BY task_id"
    there = rows_of(settings.source, compared.format("executions"))
    assert rows_in(*files, query=compared) == there
    assert len(there) == len(OLD)
    assert sum("1 year 2 months 3 days 00:00:00.000001" in row for row in there) == 4


def test_what_belongs_to_no_month_stays(settings: Settings) -> None:
    """Rows without a timestamp, and of a clock that was wrong; they are told."""
    add_rows(settings.source, [{"task_id": "a"}, {"task_id": "b"}])
    add_rows(settings.source, [execution(datetime.fromisoformat("1969-12-31T23:59:59"))])
    change_source(
        settings.source, "UPDATE executions SET timestamp = '-infinity' WHERE task_id = 'b'"
    )
    done = archived(settings)
    assert done.archived.rows == len(OLD)
    assert (done.archived.rows_without_timestamp, done.archived.rows_before_1970) == (1, 2)
    assert done.archived.delete_sql
    change_source(settings.source, done.archived.delete_sql)
    assert len(rows_of(settings.source)) == len(YOUNG) + 3


def test_nothing_to_archive(settings: Settings) -> None:
    """No file, no statement, and not even a folder."""
    done = archived(settings, before=date(1970, 1, 1))
    assert (
        done.archived.files,
        done.archived.rows,
        done.archived.delete_sql,
        done.not_published,
    ) == ((), 0, None, None)
    assert not (settings.home.path / "archive").exists()


def test_a_day_that_has_not_begun(settings: Settings) -> None:
    """Its rows may still come in; today's day has begun."""
    with pytest.raises(ConfigError, match="lies in the future"):
        archived(settings, before=utc_now().date() + timedelta(days=1))
    assert archived(settings, before=utc_now().date()).archived.rows == len(OLD + YOUNG)


def test_a_file_with_the_same_rows_is_kept(settings: Settings) -> None:
    """To the byte; a month that has become whole has a file of its own."""
    first = archived(settings)
    there = files_in(settings.home.path / "archive")
    again = archived(settings)
    assert [file.is_new for file in first.archived.files] == [True] * 4
    assert [file.is_new for file in again.archived.files] == [False] * 4
    assert files_in(settings.home.path / "archive") == there
    assert (again.archived.rows, again.archived.delete_sql) == (
        first.archived.rows,
        first.archived.delete_sql,
    )
    later = archived(settings, before=date(2026, 4, 1))
    assert [(file.name, file.rows, file.is_new) for file in later.archived.files][3:] == [
        ("executions_2026-03.parquet", 4, True)
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE executions SET user_rating = 5 WHERE timestamp = '2026-02-14 12:30:00'",
        "UPDATE executions SET metadata = '{}' WHERE timestamp = '2026-02-14 12:30:00'",
        "DELETE FROM executions WHERE timestamp = '2026-02-14 12:30:00'",
        "INSERT INTO executions FROM executions WHERE timestamp = '2026-02-14 12:30:00'",
        "ALTER TABLE executions ADD COLUMN more INTEGER",
        "CREATE TABLE other AS SELECT * EXCLUDE (metadata) FROM executions;"
        " DROP TABLE executions; ALTER TABLE other RENAME TO executions",
    ],
)
def test_a_file_with_other_rows_is_in_the_way(settings: Settings, statement: str) -> None:
    """It is named, and stays as it is."""
    archived(settings)
    for file in ("executions_1970-01.parquet", "executions_2025-12.parquet"):
        (settings.home.path / "archive" / file).unlink()
    there = files_in(settings.home.path / "archive")
    change_source(settings.source, statement)
    with pytest.raises(ArchiveError, match=r"archive/executions_2026-02.parquet exists and does"):
        archived(settings)
    after = files_in(settings.home.path / "archive")
    assert {name: after[name] for name in there} == there


@pytest.mark.parametrize("content", [b"", b"precious", b"PAR1" * 100])
def test_a_file_of_another_kind_is_in_the_way(settings: Settings, content: bytes) -> None:
    """As is a link to nowhere."""
    target = settings.home.path / "archive" / "executions_2026-02.parquet"
    target.parent.mkdir(parents=True)
    target.write_bytes(content)
    with pytest.raises(ArchiveError, match="no file is overwritten"):
        archived(settings)
    assert target.read_bytes() == content
    target.unlink()
    target.symlink_to(settings.home.path / "nowhere")
    with pytest.raises(ArchiveError, match="no file is overwritten"):
        archived(settings)
    assert target.is_symlink()


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMPTZ", "DATE", "VARCHAR"])
def test_the_statements_delete_what_was_archived(settings: Settings, kind: str) -> None:
    """Whatever the type of the timestamp, and the time zone of the owner."""
    settings.source.unlink()
    make_odd_source(settings.source, timestamp=kind)
    rows = [execution(at) for at in OLD[1:] + YOUNG]
    for row, at in zip(rows, OLD[1:] + YOUNG, strict=True):
        row["timestamp"] = {"TIMESTAMPTZ": f"{at}+00", "VARCHAR": f"{at}Z"}.get(kind, str(at))
    add_rows(settings.source, rows)
    done = archived(settings)
    assert done.archived.rows == len(OLD) - 1
    assert done.archived.delete_sql
    with duckdb.connect(str(settings.source)) as owner:
        owner.execute("SET TimeZone = 'Asia/Tokyo'")
        owner.execute(done.archived.delete_sql)
    left = rows_of(settings.source, "SELECT CAST(task_id AS VARCHAR) FROM executions")
    assert {task for (task,) in left} == {row["task_id"] for row in rows[-len(YOUNG) :]}
    assert not settings.source.with_name("learning.db.wal").exists()


@pytest.mark.parametrize(
    "late",
    [
        [execution(datetime.fromisoformat("2026-02-10"))],
        [execution(datetime.fromisoformat("2025-12-31"))],
    ],
)
def test_the_statements_delete_nothing_else(
    settings: Settings, late: list[dict[str, object]]
) -> None:
    """A row that came in since then is in no file, so all of them stay."""
    done = archived(settings)
    add_rows(settings.source, late)
    before = rows_of(settings.source)
    assert done.archived.delete_sql
    with duckdb.connect(str(settings.source)) as owner:
        with pytest.raises(duckdb.InvalidInputException, match="there are not 7 rows to delete"):
            owner.execute(done.archived.delete_sql)
        for statement in done.archived.delete_sql.splitlines()[3:5]:  # as a shell that goes on
            with pytest.raises(duckdb.TransactionException if "DEL" in statement else duckdb.Error):
                owner.execute(statement)
        owner.execute("COMMIT")
    assert rows_of(settings.source) == before


def test_the_summaries_outlive_the_archived_rows(tmp_path: Path) -> None:
    """To the pipeline it is pruning, which changes no figure."""
    made = settings_for(tmp_path, rules={})
    rows = [
        execution(
            AS_OF - timedelta(hours=7 * n + 1),
            repo="ab"[n % 2],
            duration_seconds=n / 8,
            error_type="timeout" if n % 3 == 0 else None,
            solution_summary="retry" if n % 2 else None,
            complexity_score=n % 50,
        )
        for n in range(100)
    ]
    make_source(made.source, rows)
    refresh_core(made, AS_OF)
    before = {table.name: published_rows(made, table.name) for table in ROLLED_UP}
    done = archived(made)
    assert done.not_published is None
    assert done.archived.delete_sql
    assert done.archived.rows == sum(row["timestamp"] < datetime(2026, 3, 15) for row in rows)  # type: ignore[operator]
    change_source(made.source, done.archived.delete_sql)
    assert len(rows_of(made.source)) == len(rows) - done.archived.rows < len(rows)
    refresh_core(made, AS_OF + MINUTE)
    refresh_core(made, AS_OF + 2 * MINUTE, full=True)
    assert {table.name: published_rows(made, table.name) for table in ROLLED_UP} == before
    assert sum(int(str(row["executions"])) for row in before["daily_summary"]) == len(rows)


def test_rows_that_the_summaries_do_not_hold(settings: Settings, tmp_path: Path) -> None:
    """Whoever deletes them now would lose them to the figures, too."""
    assert "nothing is published in" in str(archived(settings).not_published)
    refresh_core(settings, datetime.fromisoformat("2026-03-14T12:00"))
    assert str(archived(settings).not_published).endswith(
        "has read them through 2026-03-14T12:00:00Z"
    )
    refresh_core(settings, AS_OF)
    # A row from before the first monitored day is in no summary.
    assert archived(settings).not_published == (
        "1 of them, from 1970-01-01 on, are not in its summaries"
    )
    change_source(settings.source, "DELETE FROM executions WHERE timestamp < '1980-01-01'")
    assert archived(settings, "b").not_published is None
    add_rows(settings.source, [execution(OLD[3]), execution(OLD[4]), execution(OLD[4])])
    late = archived(settings, "c").not_published
    assert late == "3 of them, from 2026-02-14 on, are not in its summaries"
    refresh_core(settings, AS_OF, full=True)
    assert archived(settings, "d").not_published is None
    moved = Settings(tmp_path / "moved.db", settings.home, settings.config)
    shutil.copy(settings.source, moved.source)
    assert "has the figures of" in str(archived(moved, "e").not_published)


CHANGES: dict[str, Callable[[Path], None]] = {
    "update": lambda path: change_source(
        path, "UPDATE executions SET user_accepted = true WHERE timestamp = '2026-02-14 12:30:00'"
    ),
    "insert": lambda path: add_rows(path, [execution(OLD[3])]),
    "insert between hours": lambda path: add_rows(
        path, [execution(datetime.fromisoformat("2026-02-20T01:00"))]
    ),
    "insert into another month": lambda path: add_rows(
        path, [execution(datetime.fromisoformat("2026-01-20T01:00"))]
    ),
    "delete": lambda path: change_source(
        path, "DELETE FROM executions WHERE timestamp = '2026-02-28 23:59:59.999999'"
    ),
}


class ChangingSource:
    """A source that is changed before one of its readings."""

    def __init__(self, source: Source, change: Callable[[Path], None], moment: int) -> None:
        """Take the number of the reading."""
        self._source = source
        self._change = change
        self._moment = moment
        self.readings = 0

    def __getattr__(self, name: str) -> object:
        """Be the source otherwise."""
        return getattr(self._source, name)

    def read(self, query: Query[object], *, seconds: float) -> object:
        """Change the source, if it is time to."""
        if self.readings == self._moment:
            self._change(self._source.path)
        self.readings += 1
        return self._source.read(query, seconds=seconds)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_meanwhile(tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At whatever moment: the files hold what was there before it, or after it, or it is told."""
    monkeypatch.setattr(reader_archive, "_MOST_ROWS", 1)
    made = settings_for(tmp_path)
    template = make_odd_source(tmp_path / "template.db", [execution(at) for at in OLD[2:5] + YOUNG])
    told, sources = 0, list[ChangingSource]()

    def opened(*arguments: Any) -> ChangingSource:
        sources.append(ChangingSource(open_source(*arguments), CHANGES[change], len(sources)))
        return sources[-1]

    monkeypatch.setattr(reader_archive, "open_source", opened)
    for moment in range(9):
        shutil.copy(template, made.source)
        states = [old_rows(made.source)]
        folder = made.home.path / f"archive_{moment}"
        try:
            done = archived_here(made, folder)
        except ArchiveError as error:
            told += "changed while they were archived: repeat the command" in str(error)
            if files := list(folder.glob("*.parquet")):
                assert rows_in(*files) == states[0]
        else:
            states.append(old_rows(made.source))
            files = [folder / file.name for file in done.files]
            assert rows_in(*files) in states
            assert done.rows == len(rows_in(*files))
    assert sources[-1].readings == 8, "the last change was to come after all readings"
    assert told >= 2


def test_a_file_that_does_not_hold_what_was_written(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that loses or changes something is not trusted; no file takes its name."""
    values = {
        "a row": "FROM {} LIMIT (SELECT count(*) - 1 FROM {})",
        "a value": "SELECT * REPLACE (duration_seconds + 1 AS duration_seconds) FROM {}",
        "a large value": "SELECT * REPLACE ([0.5] AS embedding) FROM {}",
    }
    for name, query in values.items():

        def spoil(path: Path, query: str = query) -> None:
            spoilt = path.with_suffix(".spoilt")
            duckdb.execute(
                f"COPY ({query.replace('{}', repr(str(path)))}) TO '{spoilt}' (FORMAT parquet)"
            )
            spoilt.rename(path)

        monkeypatch.setattr(reader_archive, "sync", spoil)
        folder = settings.home.path / name
        with pytest.raises(StorageError, match="does not hold what was written"):
            archived_here(settings, folder)
        assert [path.name for path in folder.iterdir()] == ["workshop"]


def test_a_source_that_its_owner_keeps_open(settings: Settings) -> None:
    """It is read live, with what is in its log alone."""
    owner = HOLD_DATABASE.replace(
        "\nwait()",
        "\ncon.execute(\"INSERT INTO executions BY NAME SELECT * REPLACE ('new' AS task_id)"
        " FROM executions WHERE timestamp = '2026-02-01'\")\nwait()",
    )
    with running(owner, settings.source):
        done = archived(settings)
    assert (done.archived.read_as, done.archived.rows) == ("live", len(OLD) + 1)
    assert rows_in(*paths(done)) == old_rows(settings.source)
    assert {path.name for path in done.folder.iterdir()} == set(FILES)


def test_parquet_files_as_a_source(tmp_path: Path) -> None:
    """They are archived like a database, but no statement deletes rows from them."""
    template = make_odd_source(tmp_path / "template.db", [execution(at) for at in OLD])
    folder = tmp_path / "files"
    folder.mkdir()
    with connect() as con:
        con.execute(f"ATTACH '{template}' AS learning (READ_ONLY)")
        con.execute(f"COPY learning.executions TO '{folder}/a.parquet' (FORMAT parquet)")
    made = settings_for(tmp_path)
    done = archive(replace(made, source=folder), BEFORE, tmp_path / "archive")
    assert (done.archived.read_as, done.archived.delete_sql) == ("files", None)
    assert rows_in(*paths(done)) == old_rows(template)


def test_a_source_that_is_not_there(settings: Settings) -> None:
    """It is told as always, and no folder is made."""
    settings.source.unlink()
    with pytest.raises(SourceError, match="does not exist"):
        archived(settings)
    assert not (settings.home.path / "archive").exists()


def test_one_process_archives_into_a_folder(settings: Settings) -> None:
    """What it left behind when it was killed is removed by the next one."""
    folder = settings.home.path / "archive"
    with running(HOLD_FILE, folder / ".archiving.lock"):
        (folder / ".archiving").mkdir()
        (folder / ".archiving" / "executions_2026-02.0").touch()
        with pytest.raises(ArchiveError, match="another process archives into"):
            archived(settings)
        assert (folder / ".archiving" / "executions_2026-02.0").exists()
    archived(settings)
    assert {path.name for path in folder.iterdir()} == set(FILES)


@pytest.mark.parametrize("name", ["repo=x", "a[b]c's", "a*c's", 'é " {x} ; -- '])
def test_a_folder_of_any_name(settings: Settings, name: str) -> None:
    """What is in its name is no column, no pattern for files elsewhere, and no end of a text."""
    [elsewhere] = paths(archived(settings, "abc's", before=date(1971, 1, 1)))
    duckdb.execute("COPY (SELECT 1 AS one) TO $file (FORMAT parquet)", {"file": str(elsewhere)})
    done = archived(settings, name)
    again = archived(settings, name)
    assert [file.is_new for file in again.archived.files] == [False] * 4
    copies = settings.home.path / "copies"
    shutil.copytree(settings.home.path / name, copies)
    assert rows_in(*copies.iterdir()) == old_rows(settings.source)
    assert done.archived.rows == again.archived.rows
