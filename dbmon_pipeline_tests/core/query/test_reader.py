"""The read layer: what a question says of itself, windows, damage, and readers that are kept."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from itertools import cycle, pairwise
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import NotPublishedError, QuestionError
from dbmon_pipeline.core.common.shipped import sql
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.answers import Answer
from dbmon_pipeline.core.query.database import RemoteDatabase
from dbmon_pipeline.core.query.open_reader import database_reader, published_reader, reading
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.questions import question, questions
from dbmon_pipeline.core.query.ranges import TimeRange, Window
from dbmon_pipeline.core.query.reader import Reader
from dbmon_pipeline.core.source.reader_client import ReaderProcess
from dbmon_pipeline_tests.core.query.brute_force import (
    BRUTE_FORCE,
    Row,
    Span,
    executions_in,
    filtered,
    is_same,
    made_up,
)
from dbmon_pipeline_tests.helpers import execution, make_source, refresh_core, settings_for

AS_OF = datetime.fromisoformat("2026-02-10T13:37:21")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
RECENT = timedelta(hours=48)
RECENT_FROM = datetime.fromisoformat("2026-02-08")
"""From when on executions are published: midnight two days before."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with made-up executions, as of ``AS_OF``."""
    made = settings_for(tmp_path_factory.mktemp("site"), rules={})
    make_source(made.source, made_up(AS_OF, 1000, 5))
    refresh_core(made, AS_OF)
    return made


def test_databases_outlive_the_reader_process(tmp_path: Path) -> None:
    """Each is opened again, and none is taken for another one."""
    first, second = settings_for(tmp_path / "first"), settings_for(tmp_path / "second")
    for made, rows in ((first, 5), (second, 7)):
        made.source.parent.mkdir()
        make_source(made.source, [execution(AS_OF - n * HOUR) for n in range(1, rows + 1)])
    window = Window(AS_OF - DAY, AS_OF, from_rows=True)

    def rows_of(database: RemoteDatabase) -> object:
        return database.ask(
            window, "SELECT CAST(sum(executions) AS BIGINT) FROM hourly_totals", {}
        ).rows

    with ReaderProcess() as process:
        databases = [RemoteDatabase(process, m.source, m.config, AS_OF) for m in (first, second)]
        assert list(map(rows_of, databases)) == [[(5,)], [(7,)]]
        os.kill(process.request("ping")["process"], signal.SIGKILL)
        assert list(map(rows_of, reversed(databases))) == [[(7,)], [(5,)]]


@pytest.fixture(scope="module")
def executions(settings: Settings) -> list[Row]:
    """What is in its source before that instant."""
    return [row for row in executions_in(settings.source) if row["timestamp"] < AS_OF]


@pytest.fixture
def reader(settings: Settings) -> Iterator[Reader]:
    """A reader of what is published, as of the same instant."""
    with published_reader(settings.home, AS_OF) as made:
        yield made


def assert_same_answer(have: Answer, want: Answer) -> None:
    """Compare two answers to a question; their floats to 1e-9."""
    where = f"{want.question} from {want.window_start}"
    assert (have.question, have.columns) == (want.question, want.columns)
    assert (have.window_start, have.window_end) == (want.window_start, want.window_end), where
    assert (have.samples, have.data_through) == (want.samples, want.data_through), where
    assert len(have.rows) == len(want.rows), where
    for a, b in zip(have.rows, want.rows, strict=True):
        assert all(map(is_same, a, b)), f"{where}: {a}, expected {b}"


def assert_answers_span(answer: Answer, rows: list[Row], since: datetime, until: datetime) -> None:
    """Compare an answer with brute force over a window."""
    span = Span(rows, since, until)
    expected = BRUTE_FORCE[answer.question](span)
    assert (answer.window_start, answer.window_end) == (since, until)
    assert answer.samples == len(span.rows) > 0
    assert len(answer.rows) == len(expected)
    for have, want in zip(answer.rows, expected, strict=True):
        assert all(map(is_same, have, want)), f"{have}, expected {want}"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("key_figure", "key_figures"),
        ("toperrors", "top_error_types"),
        ("x" * 300, None),
        ("", None),
    ],
)
def test_an_unknown_question_is_told_with_those_there_are(
    reader: Reader, name: str, meant: str | None
) -> None:
    """And with the one that was probably meant."""
    with pytest.raises(QuestionError) as raised:
        reader.ask(name)
    text = str(raised.value)
    assert text.startswith(f"there is no question {name[:100]!r}: ")
    assert text.endswith(f"the questions are {', '.join(questions())}")
    assert re.findall(r"did you mean (\w+)\?", text) == ([meant] if meant else [])


@pytest.mark.parametrize("column", ["repo", "task_type", "success", "model_tiers"])
def test_a_filter_that_a_question_lacks_is_told_with_those_it_has(
    reader: Reader, column: str
) -> None:
    """Whether another question has it or none."""
    with pytest.raises(QuestionError) as raised:
        reader.ask("duration_by_model_tier", TimeRange.WEEK, **{column: "a"})
    assert str(raised.value) == (
        f"duration_by_model_tier cannot be filtered by {column}:"
        " its filters are model_tier, pool_type"
    )


def test_a_filter_without_a_value_is_none(reader: Reader) -> None:
    """So that a face may pass on all of its options."""
    assert_same_answer(
        reader.ask("duration_by_model_tier", repo=None, pool_type=None),
        reader.ask("duration_by_model_tier"),
    )


@pytest.mark.parametrize("name", questions())
def test_a_question_says_all_about_itself(name: str) -> None:
    """What a row is, its group, its chart, and just those filters that its SELECT uses."""
    asked = question(name)
    assert re.fullmatch(r"[a-z][^$]*\.", asked.row)
    assert not re.search(r"--|One row|(Category|Chart|Filters|Range):", asked.row)
    assert re.fullmatch(r"[A-Z][a-z]+( [a-z]+)*", asked.category)
    assert asked.chart in {"bar chart", "histogram", "pie chart", "stat", "table", "time series"}
    assert len(asked.filters) == len(set(asked.filters)) > 0
    used = set(re.findall(r"\$(\w+)", re.sub(r"--.*", "", asked.select)))
    assert used == {"since", "until", *asked.filters}
    of_rows = "FROM recent_executions" in asked.select
    assert asked.fixed_range == (RECENT if of_rows else None)


def test_questions_stand_in_their_groups() -> None:
    """All of a category are together."""
    categories = [asked.category for asked in questions().values()]
    changes = sum(a != b for a, b in pairwise(categories))
    assert changes + 1 == len(set(categories)) > 5


@pytest.mark.parametrize("before", [timedelta(0), HOUR * 3.3, DAY * 1.5, -HOUR, -HOUR * 20])
@pytest.mark.parametrize("name", ["hourly_overview", "key_figures", "success_rate_over_time"])
def test_short_ranges_are_exact_where_executions_are_published(
    settings: Settings, executions: list[Row], before: timedelta, name: str
) -> None:
    """As long as the window begins within the last two whole days, or after that instant."""
    as_of = AS_OF - before
    with published_reader(settings.home, as_of) as reader:
        assert_answers_span(reader.ask(name, TimeRange.DAY), executions, as_of - DAY, as_of)
        if before < timedelta(0):
            return
        assert_answers_span(reader.ask(name, TimeRange.HOUR), executions, as_of - HOUR, as_of)


@pytest.mark.parametrize("before", [HOUR * 3.3, HOUR * 47.5, DAY * 3.2, DAY * 40])
@pytest.mark.parametrize("name", ["hourly_overview", "key_figures", "duration_by_pool_type"])
def test_long_ranges_of_an_earlier_instant_end_with_a_full_hour(
    settings: Settings, executions: list[Row], before: timedelta, name: str
) -> None:
    """What was published later is not cut within an hour."""
    as_of = AS_OF - before
    end = as_of.replace(minute=0, second=0, microsecond=0)
    with published_reader(settings.home, as_of) as reader:
        for time_range in (TimeRange.WEEK, TimeRange.MONTH, TimeRange.QUARTER):
            start = end - time_range.length
            assert_answers_span(reader.ask(name, time_range), executions, start, end)


@pytest.mark.parametrize("before", [DAY + HOUR * 0.1 * n for n in (137, 200, 235, 3000)])
def test_a_short_range_beyond_the_published_executions_has_full_hours(
    settings: Settings, executions: list[Row], before: timedelta
) -> None:
    """A day that begins before the executions that are published."""
    as_of = AS_OF - before
    end = as_of.replace(minute=0, second=0, microsecond=0)
    is_exact = as_of - DAY >= RECENT_FROM
    until = as_of if is_exact else end
    with published_reader(settings.home, as_of) as reader:
        answer = reader.ask("key_figures", TimeRange.DAY)
    assert not is_exact
    if Span(executions, until - DAY, until).rows:
        assert_answers_span(answer, executions, until - DAY, until)
    else:
        assert (answer.window_start, answer.window_end) == (until - DAY, until)
        assert answer.samples == 0


def test_a_window_after_what_is_published_ends_as_of_its_reader(
    settings: Settings, executions: list[Row]
) -> None:
    """A long range begins with a full hour even then."""
    as_of = AS_OF + HOUR * 5.5
    with published_reader(settings.home, as_of) as reader:
        answer = reader.ask("hourly_overview", TimeRange.WEEK)
    start = (as_of - TimeRange.WEEK.length).replace(minute=0, second=0, microsecond=0)
    assert_answers_span(answer, executions, start, as_of)
    assert answer.data_through == AS_OF


def _macros() -> duckdb.DuckDBPyConnection:
    con = connect()
    con.execute(sql("macros", "scalars"))
    return con


SCALARS = _macros()
instants = st.datetimes(datetime(2023, 1, 1), datetime(2030, 1, 1))
round_instants = st.builds(
    lambda instant, unit: instant.replace(
        minute=0, second=0, microsecond=0, hour=0 if unit == "day" else instant.hour
    ),
    instants,
    st.sampled_from(["day", "hour"]),
)
lengths = st.timedeltas(timedelta(0), timedelta(days=95)) | st.sampled_from(
    [HOUR, RECENT - timedelta.resolution, RECENT, RECENT + timedelta.resolution, DAY * 3]
)


@hypothesis_settings(max_examples=300, deadline=None)
@given(
    end=instants | round_instants,
    length=lengths,
    place=st.floats(-0.1, 1.1),
    nearby=st.integers(-30, 30),
)
def test_windows_have_the_whole_days_that_the_macros_have(
    end: datetime, length: timedelta, place: float, nearby: int
) -> None:
    """And their edges are the hours that the macros read."""
    window = Window(end - length, end)
    bounds = {"since": window.start, "until": window.end}
    (found,) = SCALARS.execute(
        "SELECT whole_days_from($since, $until), whole_days_until($since, $until)", bounds
    ).fetchall()
    assert window.whole_days == found
    side = found[nearby % 2] + nearby * HOUR if nearby else window.start + place * length
    hour = side.replace(minute=0, second=0, microsecond=0)
    ((is_read,),) = SCALARS.execute(
        "SELECT $hour >= date_trunc('hour', $since) AND $hour < $until AND ("
        "$hour < whole_days_from($since, $until) OR $hour >= whole_days_until($since, $until))",
        bounds | {"hour": hour},
    ).fetchall()
    assert any(first <= hour < last for first, last in window.edges) == is_read


def _gone(path: Path) -> None:
    path.unlink()


def _replaced(content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        whole = path.read_bytes()
        path.unlink()  # It is linked from older generations, and may not be written.
        path.write_bytes(content(whole))

    return damage


DAMAGE: dict[str, Callable[[Path], None]] = {
    "gone": _gone,
    "empty": _replaced(lambda _: b""),
    "garbage": _replaced(lambda _: b"garbage" * 100),
    "cut short": _replaced(lambda whole: whole[: len(whole) // 2]),
    "garbage inside": _replaced(
        lambda whole: whole[:4] + b"\xff" * (len(whole) - 700) + whole[-696:]
    ),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with a few executions, to make copies of."""
    made = settings_for(tmp_path_factory.mktemp("small"), rules={})
    make_source(made.source, [execution(AS_OF - n * HOUR * 7.3) for n in range(1, 20)])
    refresh_core(made, AS_OF)
    return made


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize("time_range", [TimeRange.HOUR, TimeRange.MONTH])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_told(
    small: Settings, tmp_path: Path, damage: str, time_range: TimeRange, in_memory: bool
) -> None:
    """By the folder of the generation, and with what to do."""
    site = settings_for(tmp_path)
    shutil.copytree(small.home.path, site.home.path, symlinks=True)
    table = "recent_executions" if time_range is TimeRange.HOUR else "daily_summary"
    published = Published(site.home, in_memory=in_memory)
    for path in published.files(table):
        DAMAGE[damage](path)
    with (
        reading(published, AS_OF) as reader,
        pytest.raises(NotPublishedError, match=r"cannot be read .*run dbmon refresh") as raised,
    ):
        reader.ask("key_figures", time_range)
    assert str(raised.value).startswith(f"{published.folder} cannot be read (")


@pytest.mark.parametrize(
    ("before", "ranges"),
    [
        (timedelta(0), list(TimeRange)),
        (HOUR * 5.5, [TimeRange.WEEK, TimeRange.HOUR]),
        (DAY * 60, [TimeRange.MONTH, TimeRange.QUARTER]),
    ],
)
def test_tables_in_memory_answer_as_files_do(
    settings: Settings, before: timedelta, ranges: list[TimeRange]
) -> None:
    """Every question over every range, for instants whose windows they hold, or not."""
    as_of = AS_OF - before
    kept, plain = Published(settings.home, in_memory=True), Published(settings.home)
    with reading(kept, as_of) as fast, reading(plain, as_of) as slow:
        for time_range in ranges:
            for name in questions():
                assert_same_answer(fast.ask(name, time_range), slow.ask(name, time_range))
            repo = {"repo": "a"}
            for name in ("hourly_overview", "complexity_distribution", "top_error_types"):
                assert_same_answer(
                    fast.ask(name, time_range, **repo), slow.ask(name, time_range, **repo)
                )
    kept.close()
    plain.close()


def test_two_readers_of_one_generation_keep_out_of_each_other(settings: Settings) -> None:
    """They share tables in memory, not their windows."""
    published = Published(settings.home, in_memory=True)
    with reading(published, AS_OF) as one, reading(published, AS_OF - DAY * 70) as other:
        first, _ = one.ask("key_figures"), other.ask("key_figures", TimeRange.QUARTER)
        with reading(published, AS_OF) as third:
            assert_same_answer(third.ask("key_figures"), first)
        assert_same_answer(one.ask("key_figures"), first)
        hour = one.ask("key_figures", TimeRange.HOUR)
        assert one.ask("key_figures", TimeRange.QUARTER).samples > first.samples > hour.samples
    published.close()


def test_a_reader_that_outlives_its_windows_answers_all_the_same(settings: Settings) -> None:
    """Only so many windows are kept; an hour later there is a new one."""
    kept, plain = Published(settings.home, in_memory=True), Published(settings.home)
    for hours in range(30):
        as_of = AS_OF + HOUR * hours
        with reading(kept, as_of) as fast, reading(plain, as_of) as slow:
            for name in ("key_figures", "duration_percentiles"):
                assert_same_answer(fast.ask(name, TimeRange.MONTH), slow.ask(name, TimeRange.MONTH))
    kept.close()
    plain.close()


@pytest.mark.parametrize("ranges", [1, pytest.param(len(TimeRange), marks=pytest.mark.whole)])
def test_many_threads_ask_one_generation(settings: Settings, ranges: int) -> None:
    """While its windows are read for the first time, too."""
    published = Published(settings.home, in_memory=True)
    asked = [*zip([*questions()] * ranges, cycle(TimeRange), strict=False)]

    def ask(number: int) -> Answer:
        name, time_range = asked[number % len(asked)]
        with reading(published, AS_OF) as reader:
            return reader.ask(name, time_range)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(2 * len(asked))))
    for first, second in zip(answers[: len(asked)], answers[len(asked) :], strict=True):
        assert_same_answer(first, second)
    published.close()


KINDS = ("files", "memory", "database")
Opening = Callable[[], AbstractContextManager[Reader]]


def _opening(settings: Settings, kind: str) -> Opening:
    if kind == "database":
        return lambda: database_reader(settings.source, settings.config, AS_OF)
    published = Published(settings.home, in_memory=kind == "memory")
    return lambda: reading(published, AS_OF)


@pytest.mark.parametrize("kind", KINDS)
def test_hours_with_a_filter_after_days_without(
    settings: Settings, executions: list[Row], kind: str
) -> None:
    """Days needed the hours at the edges alone, and these need all of them."""
    start = (AS_OF - DAY * 30).replace(minute=0, second=0)
    in_repo = filtered(executions, {"repo": "a"})
    with _opening(settings, kind)() as reader:
        for _ in range(2):
            days = reader.ask("executions_per_day", TimeRange.MONTH)
            assert_answers_span(days, executions, start, AS_OF)
            hours = reader.ask("hourly_overview", TimeRange.MONTH, repo="a")
            assert_answers_span(hours, in_repo, start, AS_OF)
            hours = reader.ask("executions_per_hour", TimeRange.MONTH)
            assert_answers_span(hours, executions, start, AS_OF)


@pytest.mark.parametrize("most", [45, pytest.param(1_000, marks=pytest.mark.whole)])
@pytest.mark.parametrize("kind", KINDS)
def test_questions_may_be_asked_in_any_order(settings: Settings, kind: str, most: int) -> None:
    """What was asked before, over whatever range, changes no answer."""
    chance = random.Random(KINDS.index(kind))  # noqa: S311
    asked: list[tuple[str, TimeRange, dict[str, str]]] = [
        (name, chance.choice(list(TimeRange)), filters)
        for name in questions()
        for filters in ({}, {"repo": "a"}, {"model_tier": "large"})
        if filters.keys() <= set(question(name).filters)
    ]
    opened = _opening(settings, kind)
    with opened() as one, opened() as other:
        asked = chance.sample(asked, min(most, len(asked)))
        answers = [one.ask(name, time_range, **filters) for name, time_range, filters in asked]
        order = list(range(len(asked)))
        chance.shuffle(order)
        for n in order:
            name, time_range, filters = asked[n]
            assert_same_answer(other.ask(name, time_range, **filters), answers[n])


def test_recent_executions_of_an_earlier_instant_reach_as_far_as_they_are_published(
    tmp_path: Path,
) -> None:
    """Up to that instant to the second, and no further back than the executions go."""
    made = settings_for(tmp_path, rules={})
    ages = (1, 19, 20.5, 47, 61, 62)
    rows = [execution(AS_OF - timedelta(hours=age), task_id=str(age)) for age in ages]
    make_source(made.source, rows)
    refresh_core(made, AS_OF)
    earlier = AS_OF - timedelta(hours=20)
    with published_reader(made.home, earlier) as earlier_reader:
        answer = earlier_reader.ask("recent_executions")
    assert [record["task_id"] for record in answer.records] == ["20.5", "47", "61"]
    assert (answer.window_start, answer.window_end) == (RECENT_FROM, earlier)
    assert answer.samples == 3
