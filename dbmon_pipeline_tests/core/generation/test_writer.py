"""The writer of a draft: periods that lose all of their rows leave no file, and no old one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.generation.generation import Generation
from dbmon_pipeline.core.generation.writer import DraftWriter
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline.core.schema.columns import create_empty_tables

AS_OF = date(2026, 3, 2)
TABLE = TABLES["hourly_summary"]
FEBRUARY = [date(2026, 2, 3), date(2026, 2, 4)]
MARCH = [date(2026, 3, 1), date(2026, 3, 2)]


class Drafts:
    """Drafts of one table, each of which becomes the generation before the next one."""

    def __init__(self, con: duckdb.DuckDBPyConnection, folder: Path) -> None:
        """Nothing is published yet."""
        self._con = con
        self._folder = folder
        self._number = 0
        self._before: Generation | None = None

    def begin(self, as_of: date = AS_OF, **values: Any) -> DraftWriter:
        """Begin the next draft; the writer's attributes may be given."""
        self._number += 1
        draft = self._folder / str(self._number)
        draft.mkdir()
        writer = DraftWriter(self._con, draft, self._before, as_of)
        for name, value in values.items():
            setattr(writer, name, value)
        return writer

    def roll_up(self, days: Collection[date]) -> None:
        """Put one row of each day into memory."""
        for day in days:
            hour = datetime(day.year, day.month, day.day, 9)
            self._con.execute(
                f"INSERT INTO {TABLE.name} (hour, executions) VALUES ($hour, 1)", {"hour": hour}
            )

    def end(self, writer: DraftWriter) -> dict[str, list[date]]:
        """Publish the draft; get the days of each of its files, which must be those listed."""
        folder = self._folder / str(self._number)
        manifest: Any = SimpleNamespace(tables={n: tuple(f) for n, f in writer.files.items()})
        self._before = Generation(folder, manifest)
        listed = {file.name: file.rows for file in writer.files[TABLE.name]}
        paths = sorted((folder / TABLE.name).iterdir())
        assert {path.name for path in paths} == listed.keys()
        days = {}
        for path in paths:
            query = f"SELECT CAST(hour AS DATE) FROM '{path}' ORDER BY hour"
            days[path.stem] = [day for (day,) in self._con.execute(query).fetchall()]
            assert len(days[path.stem]) == listed[path.name]
        assert writer.linked + writer.written.get(TABLE.name, 0) == len(paths)
        return days


@pytest.fixture
def drafts(tmp_path: Path) -> Iterator[Drafts]:
    """A generation with a closed month of two days and two days of the open one."""
    with connect() as con:
        create_empty_tables(con)
        made = Drafts(con, tmp_path)
        writer = made.begin()
        made.roll_up([*FEBRUARY, *MARCH])
        writer.finish(TABLE, {*FEBRUARY, *MARCH})
        files = made.end(writer)
        assert files == {"2026-02": FEBRUARY, **{day.isoformat(): [day] for day in MARCH}}
        yield made


@pytest.mark.parametrize("until", [None, date(2026, 2, 5), date(2026, 3, 1), date.max])
@pytest.mark.parametrize("anew", [False, True])
def test_a_period_whose_rows_all_went(
    drafts: Drafts, until: date | None, *, anew: bool
) -> None:
    """Its file goes, whether it is written in between or at the end; the others stay."""
    writer = drafts.begin()
    touched = {*FEBRUARY, MARCH[0]}
    if until:
        writer.write_periods(TABLE, touched, until)
        assert TABLE.name not in writer.files
    writer.finish(TABLE, touched, anew=anew)
    assert drafts.end(writer) == {"2026-03-02": [MARCH[1]]}
    assert writer.written == ({TABLE.name: 1} if anew else {})


def test_a_day_that_went_from_a_month(drafts: Drafts) -> None:
    """The month is written without it, and the next refresh links what is left."""
    writer = drafts.begin()
    writer.finish(TABLE, {FEBRUARY[0]})
    march = {day.isoformat(): [day] for day in MARCH}
    assert drafts.end(writer) == {"2026-02": FEBRUARY[1:], **march}
    writer = drafts.begin()
    writer.finish(TABLE, ())
    assert drafts.end(writer) == {"2026-02": FEBRUARY[1:], **march}
    assert writer.written == {}


def test_a_table_that_loses_all_of_its_rows(drafts: Drafts) -> None:
    """It has one file with its columns, which is linked as long as there is nothing else."""
    writer = drafts.begin()
    writer.finish(TABLE, {*FEBRUARY, *MARCH})
    assert drafts.end(writer) == {"empty": []}
    writer = drafts.begin()
    writer.finish(TABLE, {FEBRUARY[0]})
    assert drafts.end(writer) == {"empty": []}
    assert (writer.linked, writer.written) == (1, {})
    writer = drafts.begin()
    drafts.roll_up([FEBRUARY[0]])
    writer.finish(TABLE, {FEBRUARY[0]})
    assert drafts.end(writer) == {"2026-02": FEBRUARY[:1]}


def test_a_day_that_is_replaced_by_nothing(drafts: Drafts) -> None:
    """Its file is taken back, linked or written; a table without any other file is empty."""
    writer = drafts.begin()
    writer.finish(TABLE, {*FEBRUARY, MARCH[0]})
    writer.replace_day(TABLE, MARCH[1])
    assert drafts.end(writer) == {"empty": []}
    assert (writer.linked, writer.written) == (0, {TABLE.name: 1})
    writer = drafts.begin()
    writer.finish(TABLE, ())
    drafts.roll_up([MARCH[1]])
    writer.replace_day(TABLE, MARCH[1])
    assert drafts.end(writer) == {"2026-03-02": [MARCH[1]]}
    assert writer.linked == 0


def test_months_without_rows_of_a_year_that_grew(drafts: Drafts) -> None:
    """A year that is cut into months leaves files of those alone that have rows."""
    later = date(2027, 1, 1)
    writer = drafts.begin(later, small_years={2026})
    writer.finish(TABLE, ())
    assert drafts.end(writer) == {"2026": [*FEBRUARY, *MARCH]}
    writer = drafts.begin(later)
    writer.write_periods(TABLE, set(FEBRUARY), date(2026, 3, 1))
    writer.finish(TABLE, set(FEBRUARY))
    assert drafts.end(writer) == {"2026-03": MARCH}


def test_days_that_are_not_kept_any_more(drafts: Drafts) -> None:
    """The rows before the first day that is kept go, and so does a file that has no other."""
    writer = drafts.begin()
    writer.keep_from(TABLE.name, FEBRUARY[1], has_moved=True)
    writer.finish(TABLE, ())
    march = {day.isoformat(): [day] for day in MARCH}
    assert drafts.end(writer) == {"2026-02": FEBRUARY[1:], **march}
    writer = drafts.begin()
    writer.keep_from(TABLE.name, MARCH[1], has_moved=True)
    writer.finish(TABLE, ())
    assert drafts.end(writer) == {"2026-03-02": [MARCH[1]]}
