"""Every question of the catalogue against brute force, through both readers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline.core.load import load
from dbmon_pipeline.core.queries import Answer, Reader, database_reader, published_reader
from dbmon_pipeline.core.questions import question, questions
from dbmon_pipeline.core.ranges import TimeRange
from dbmon_pipeline_tests.core.brute_force import (
    BRUTE_FORCE,
    Estimate,
    Row,
    Span,
    executions_in,
    filtered,
)
from dbmon_pipeline_tests.helpers import execution, make_source, refresh_core, settings_for

AIDER = Path(__file__).parents[1] / "data" / "executions_aider_leaderboards.parquet"
AS_OF = datetime.fromisoformat("2026-02-10T13:37:21")
MIDNIGHT = datetime.fromisoformat("2026-02-10T00:00:00")
TICK = timedelta(microseconds=1)
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


def _made_up(as_of: datetime, count: int, seed: int) -> list[Row]:
    """Executions of 100 days, half of them in the last two, and on both sides of every edge."""
    chance = random.Random(seed)  # noqa: S311

    def some(values: list[object], *, none: float) -> object:
        return None if chance.random() < none else chance.choice(values)

    busy_hours = [timedelta(hours=chance.randrange(2400)) for _ in range(60)]
    ages = [
        timedelta(seconds=chance.uniform(-7200, 3600 * 48))
        if n % 2
        else chance.choice(busy_hours) + timedelta(seconds=chance.uniform(0, 3600))
        for n in range(count)
    ]
    for length in (*LENGTHS.values(), timedelta(hours=48), timedelta(0)):
        start = as_of - length
        edges = (
            start,
            start.replace(minute=0, second=0),
            start.replace(hour=0, minute=0, second=0),
        )
        ages += [as_of - edge + tick for edge in edges for tick in (TICK, timedelta(0), -TICK)]
    repos: list[object] = ["a", "a", "a", "b", "b", "c", *(f"org/{n}" for n in range(12))]
    return [
        {
            "task_id": f"{chance.getrandbits(64):x}-{n}",
            "timestamp": as_of - age,
            "task_type": some(["fix", "fix", "test", "o'brien \N{SNOWMAN}"], none=0.05),
            "repo": some(repos, none=0.05),
            "model_tier": some(["small", "small", "large", "Large"], none=0.05),
            "pool_type": some(["main", "main", "burst"], none=0.1),
            "file_count": some([0, 1, 2, 17], none=0.3),
            "complexity_score": some([*range(-5, 151)], none=0.3),
            "success": some([True, True, False], none=0.05),
            "duration_seconds": some(
                [0.0, -3.5, math.nan, *(chance.lognormvariate(3, 2) for _ in range(20))], none=0.1
            ),
            "quality_score": some([*range(40, 101)], none=0.3),
            "cost_estimate": some([chance.uniform(0, 2)], none=0.4),
            "actual_cost": some([chance.uniform(0, 2), math.inf, 0.0], none=0.4),
            "error_type": some([f"Error{n * n // 12}" for n in range(13)], none=0.6),
            "error_message": some(["late", "x" * 600, "\N{SNOWMAN}" * 700], none=0.4),
            "user_accepted": some([True, True, False], none=0.5),
            "user_rating": some([1, 2, 3, 4, 5], none=0.5),
            "peak_memory_mb": some([0.0, chance.uniform(1, 9000)], none=0.4),
            "cpu_time_seconds": some([0.0, chance.uniform(0, 99)], none=0.4),
        }
        for n, age in enumerate(ages)
    ]


SOURCES: dict[str, tuple[Callable[[Path], object], datetime]] = {
    "made_up": (lambda path: make_source(path, _made_up(AS_OF, 1500, 1)), AS_OF),
    "made_up_until_midnight": (
        lambda path: make_source(path, _made_up(MIDNIGHT, 300, 2)),
        MIDNIGHT,
    ),
    "real": (lambda path: load(AIDER, path), datetime(2024, 12, 26, 2, 0, 3)),
    "empty": (make_source, AS_OF),
    "single": (
        lambda path: make_source(path, [execution(AS_OF - timedelta(minutes=5), repo="a")]),
        AS_OF,
    ),
}


@dataclass(frozen=True)
class Site:
    """A source, what is in it, and who answers for it."""

    as_of: datetime
    executions: list[Row]
    readers: dict[str, Reader]


@pytest.fixture(scope="module", params=SOURCES)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Each source, refreshed once."""
    make, as_of = SOURCES[request.param]
    settings = settings_for(tmp_path_factory.mktemp(request.param))
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
        )


def _window_start(name: str, time_range: TimeRange, as_of: datetime) -> datetime:
    if name == "recent_executions":
        return as_of - timedelta(hours=48)
    start = as_of - LENGTHS[time_range]
    is_exact = LENGTHS[time_range] <= timedelta(hours=24)
    return start if is_exact else start.replace(minute=0, second=0, microsecond=0)


def _is_same(have: object, want: object) -> bool:
    if isinstance(want, float):
        precision = 0.01 + 1e-9 if isinstance(want, Estimate) else 1e-9
        return isinstance(have, float) and math.isclose(
            have, want, rel_tol=precision, abs_tol=1e-12
        )
    return type(have) is type(want) and have == want


def _check(answer: Answer, span: Span, where: str) -> None:
    """Compare an answer with brute force, value by value and in its order."""
    expected = BRUTE_FORCE[answer.question](span)
    assert (answer.window_start, answer.window_end) == (span.since, span.until), where
    assert answer.samples == len(span.rows), where
    assert len(answer.rows) == len(expected), where
    for number, (have, want) in enumerate(zip(answer.rows, expected, strict=True)):
        assert len(have) == len(answer.columns) == len(want), where
        for column, a, b in zip(answer.columns, have, want, strict=True):
            assert _is_same(a, b), f"{where}, row {number}, {column}: {a!r}, expected {b!r}"


def test_brute_force_answers_just_these_questions() -> None:
    """None is left out, and none is left over."""
    assert BRUTE_FORCE.keys() == questions().keys()


@pytest.mark.parametrize("name", questions())
def test_answers_equal_brute_force(site: Site, name: str) -> None:
    """Over every range."""
    for time_range in TimeRange:
        _ask_both(site, name, time_range, {})


@pytest.mark.parametrize("site", ["made_up"], indirect=True)
@pytest.mark.parametrize("name", questions())
def test_filtered_answers_equal_brute_force(site: Site, name: str) -> None:
    """With each of the filters that the question has, over a short and a long range."""
    known = set(question(name).filters)
    usable = [filters for filters in FILTERS if filters.keys() <= known]
    assert known == {column for filters in usable for column in filters}
    for filters in usable:
        _ask_both(site, name, TimeRange.DAY, filters)
        _ask_both(site, name, TimeRange.MONTH, filters)


def _ask_both(site: Site, name: str, time_range: TimeRange, filters: dict[str, str]) -> None:
    since = _window_start(name, time_range, site.as_of)
    span = Span(filtered(site.executions, filters), since, site.as_of)
    for kind, reader in site.readers.items():
        answer = reader.ask(name, time_range, **filters)
        _check(answer, span, f"{kind} {time_range} {filters}")


def test_the_data_reach_into_every_window() -> None:
    """Else equal answers would say nothing."""
    rows = _made_up(AS_OF, 1500, 1)
    counts = [len(Span(rows, AS_OF - length, AS_OF).rows) for length in LENGTHS.values()]
    assert counts == sorted(set(counts))
    assert counts[0] > 10
    assert sum(row["timestamp"] < AS_OF - LENGTHS[TimeRange.QUARTER] for row in rows) > 10
    for filters in FILTERS[:-1]:
        assert len(Span(filtered(rows, filters), AS_OF - LENGTHS[TimeRange.DAY], AS_OF).rows) > 2
