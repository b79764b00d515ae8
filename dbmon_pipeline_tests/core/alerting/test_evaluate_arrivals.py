"""However the rows arrived, the rules say the same of them in the end."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dbmon_pipeline.core.config.rule import Limits, Rule
from dbmon_pipeline_tests.core.alerting.judging import (
    AS_OF,
    HOUR,
    MINUTE,
    WEEK,
    Row,
    World,
    assert_as_expected,
    evaluated,
    put,
    site,
)
from dbmon_pipeline_tests.helpers import change_source, execution, refresh_core

RULES = {
    "success_rate": Rule(below=Limits(warning=0.9, critical=0.6), by="repo"),
    "error_rate": Rule(above=Limits(warning=0.1, critical=0.4)),
    "slow_executions": Rule(above=Limits(warning=0.1, critical=0.4), by="model_tier"),
    "cost_budget": Rule(above=Limits(warning=5, critical=30)),
    "cost_drift": Rule(above=Limits(warning=1.5, critical=3), window="24h", by="repo"),
    "recent_executions": Rule(below=Limits(warning=20)),
    "success_slo": Rule(target=0.95),
    "anomaly": Rule(above=Limits(warning=2), min_samples=5),
    "source_freshness": Rule(above=Limits(warning=10)),
}
"""All but for the size of the file, which is another one; a plain comparison is told with each."""

USUAL: list[Row] = [
    execution(AS_OF - weeks * WEEK + shift * HOUR - n * MINUTE, actual_cost=0.5, cost_estimate=0.5)
    for weeks in range(1, 5)
    for shift in (-2, -1, 0, 1)
    for n in range(8)
]
"""What the last hours are compared with; the oldest of them is never deleted."""

ages = st.integers(0, 40 * 60).map(MINUTE.__mul__) | st.sampled_from([WEEK, WEEK + HOUR, 3 * WEEK])


@dataclass(frozen=True)
class Arrivals:
    """Executions on their way, all of them alike, so that there are samples to judge."""

    count: int
    age: timedelta
    fate: Literal["stay", "are late", "change", "move", "are deleted"]
    repo: str | None
    success: bool | None
    seconds: float | None
    cost: float | None

    def rows(self) -> list[Row]:
        """What they are in the end, unless they are deleted."""
        return [
            execution(
                AS_OF - self.age - n * MINUTE / 8,
                task_id=f"{id(self)} {n}",
                repo=self.repo,
                model_tier="large" if n % 3 else None,
                success=self.success,
                error_type=None if self.success else "Timeout",
                duration_seconds=self.seconds,
                actual_cost=self.cost,
                cost_estimate=0.5,
            )
            for n in range(self.count)
        ]

    def rows_before(self) -> list[Row]:
        """What they are at the first refresh."""
        match self.fate:
            case "are late":
                return []
            case "change":
                other = {"success": not self.success, "actual_cost": 8.0, "repo": "before"}
                return [row | other for row in self.rows()]
            case "move":
                earlier = 90 * MINUTE
                return [row | {"timestamp": row["timestamp"] - earlier} for row in self.rows()]
        return self.rows()


arrivals = st.builds(
    Arrivals,
    count=st.integers(1, 40),
    age=ages,
    repo=st.sampled_from([None, "a", "b"]),
    success=st.sampled_from([True, True, False, None]),
    seconds=st.sampled_from([1.0, 599.0, 601.0, None]),
    cost=st.sampled_from([0.25, 0.5, 2.0, None]),
)


some = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # To shrink would take minutes.
)


@settings(some, max_examples=3)
@given(groups=st.lists(arrivals, min_size=4, max_size=12), seed=st.integers(0, 99))
def test_verdicts_do_not_depend_on_how_rows_arrived(groups: list[Arrivals], seed: int) -> None:
    """In any order, late, changed, moved or deleted: as if the final source had been read once."""
    assert_independent_of_arrival(groups, seed)


@pytest.mark.whole
@settings(some, max_examples=60)
@given(groups=st.lists(arrivals, min_size=1, max_size=12), seed=st.integers(0, 99))
def test_verdicts_do_not_depend_on_how_many_rows_arrived(groups: list[Arrivals], seed: int) -> None:
    """The same for many more histories."""
    assert_independent_of_arrival(groups, seed)


def assert_independent_of_arrival(groups: list[Arrivals], seed: int) -> None:
    """See that rows that arrived in some order are judged as if they had been read at once."""
    shuffled = random.Random(seed)  # noqa: S311

    def mixed(*several: list[Row]) -> list[Row]:
        rows = [row for one in several for row in one]
        return shuffled.sample(rows, len(rows))

    final = mixed(USUAL, *(group.rows() for group in groups if group.fate != "are deleted"))
    altered = [group for group in groups if group.fate != "stay"]
    with TemporaryDirectory() as folder:
        first = mixed(USUAL, *(group.rows_before() for group in groups))
        home = site(Path(folder), first, RULES, AS_OF - 40 * MINUTE)
        change_source(
            home.source,
            "DELETE FROM executions WHERE task_id IN (SELECT unnest($ids))",
            ids=[row["task_id"] for group in altered for row in group.rows()],
        )
        come = [group.rows() for group in altered if group.fate != "are deleted"]
        put(home.source, mixed(*come))
        refresh_core(home, AS_OF, full=True)

        (Path(folder) / "once").mkdir()
        at_once = site(Path(folder) / "once", final, RULES)
        told = evaluated("published", at_once, AS_OF)
        assert evaluated("published", home, AS_OF) == told
        assert evaluated("database", home, AS_OF) == told
    assert_as_expected(told, RULES, World([row for row in final if row["timestamp"] < AS_OF]))
