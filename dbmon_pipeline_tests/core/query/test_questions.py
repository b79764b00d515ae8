"""Every question of the catalogue against brute force, through both readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline.core.learning_db.load import load
from dbmon_pipeline.core.query.answers import Answer
from dbmon_pipeline.core.query.open_reader import database_reader, published_reader
from dbmon_pipeline.core.query.questions import question, questions
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.query.reader import Reader
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

AIDER = Path(__file__).parents[2] / "data" / "executions_aider_leaderboards.parquet"
AS_OF = datetime.fromisoformat("2026-02-10T13:37:21")
MIDNIGHT = datetime.fromisoformat("2026-02-10T00:00:00")
LENGTHS = {
    TimeRange.HOUR: timedelta(hours=1),
    TimeRange.DAY: timedelta(hours=24),
    TimeRange.WEEK: timedelta(days=7),
    TimeRange.MONTH: timedelta(days=30),
    TimeRange.QUARTER: timedelta(days=90),
}
FILTERS: tuple[dict[str, str], ...] = (
    {"model_tier": "large"},
    {"pool_type": "unknown"},
    {"repo": "a"},
    {"task_type": "o'brien \N{SNOWMAN}"},
    {"model_tier": "small", "pool_type": "main", "repo": "b", "task_type": "fix"},
    {"model_tier": "Large", "pool_type": "burst"},
    {"model_tier": "nobody's"},
)
"""The last one matches nothing."""


SOURCES: dict[str, tuple[Callable[[Path], object], datetime]] = {
    "made_up": (lambda path: make_source(path, made_up(AS_OF, 1500, 1)), AS_OF),
    "made_up_until_midnight": (
        lambda path: make_source(path, made_up(MIDNIGHT, 300, 2)),
        MIDNIGHT,
    ),
    "real": (lambda path: load(AIDER, path), datetime(2024, 12, 26, 1, 40, 3)),
    "empty": (make_source, AS_OF),
    "single": (
        lambda path: make_source(path, [execution(AS_OF - timedelta(minutes=5), repo="a")]),
        AS_OF,
    ),
}


RANGES_OF_LITTLE = (TimeRange.DAY, TimeRange.MONTH)
"""One that is exact to the second, and one of full hours; of little, others say the same."""


@dataclass(frozen=True)
class Site:
    """A source, what is in it, and who answers for it."""

    as_of: datetime
    executions: list[Row]
    readers: dict[str, Reader]
    ranges: tuple[TimeRange, ...]


@pytest.fixture(scope="module", params=SOURCES)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Each source, refreshed once."""
    make, as_of = SOURCES[request.param]
    settings = settings_for(tmp_path_factory.mktemp(request.param), rules={})
    make(settings.source)
    refresh_core(settings, as_of)
    with ExitStack() as stack:
        readers = (
            published_reader(settings.home, as_of),
            database_reader(settings.source, settings.config, as_of),
        )
        published, database = (stack.enter_context(reader) for reader in readers)
        yield Site(
            as_of,
            executions_in(settings.source),
            {"published": published, "database": database},
            RANGES_OF_LITTLE if request.param in ("empty", "single") else tuple(TimeRange),
        )


def _window_start(name: str, time_range: TimeRange, as_of: datetime) -> datetime:
    if name in ("recent_executions", "data_problems"):
        return as_of - timedelta(hours=48)
    start = as_of - LENGTHS[time_range]
    is_exact = LENGTHS[time_range] <= timedelta(hours=24)
    return start if is_exact else start.replace(minute=0, second=0, microsecond=0)


def _check(answer: Answer, span: Span, where: str) -> None:
    """Compare an answer with brute force, value by value and in its order."""
    expected = BRUTE_FORCE[answer.question](span)
    assert (answer.window_start, answer.window_end) == (span.since, span.until), where
    assert answer.samples == len(span.rows), where
    assert len(answer.rows) == len(expected), where
    for number, (have, want) in enumerate(zip(answer.rows, expected, strict=True)):
        assert len(have) == len(answer.columns) == len(want), where
        for column, a, b in zip(answer.columns, have, want, strict=True):
            assert is_same(a, b), f"{where}, row {number}, {column}: {a!r}, expected {b!r}"


def test_brute_force_answers_just_these_questions() -> None:
    """None is left out, and none is left over."""
    assert BRUTE_FORCE.keys() == questions().keys()


@pytest.mark.parametrize("name", questions())
def test_answers_equal_brute_force(site: Site, name: str) -> None:
    """Over every range, where they differ."""
    for time_range in site.ranges:
        _ask_both(site, name, time_range, {})


@pytest.mark.parametrize("site", ["made_up"], indirect=True)
@pytest.mark.parametrize("name", questions())
def test_filtered_answers_equal_brute_force(site: Site, name: str) -> None:
    """With each of the filters that the question has, one by one and together."""
    known = set(question(name).filters)
    usable = [filters for filters in FILTERS if filters.keys() <= known]
    assert known == {column for filters in usable for column in filters}
    for filters in usable:
        found = _ask_both(site, name, TimeRange.MONTH, filters)
        assert bool(found) == (filters != FILTERS[-1])
    assert _ask_both(site, name, TimeRange.DAY, usable[-2]) > 0


def _ask_both(site: Site, name: str, time_range: TimeRange, filters: dict[str, str]) -> int:
    """Ask both readers, and tell how many executions there were to find."""
    since = _window_start(name, time_range, site.as_of)
    span = Span(filtered(site.executions, filters), since, site.as_of)
    for kind, reader in site.readers.items():
        answer = reader.ask(name, time_range, **filters)
        _check(answer, span, f"{kind} {time_range} {filters}")
    return len(span.rows)


def test_the_data_reach_into_every_window() -> None:
    """Else equal answers would say nothing."""
    rows = made_up(AS_OF, 1500, 1)
    counts = [len(Span(rows, AS_OF - length, AS_OF).rows) for length in LENGTHS.values()]
    assert counts == sorted(set(counts))
    assert counts[0] > 10
    assert sum(row["timestamp"] < AS_OF - LENGTHS[TimeRange.QUARTER] for row in rows) > 10
