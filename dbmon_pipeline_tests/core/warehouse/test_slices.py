"""Slices: a few hours here and there are one hold, and nothing between them is copied."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.source.redaction import Redactor
from dbmon_pipeline.core.source.source import Source
from dbmon_pipeline.core.warehouse.slices import Slices, cut
from dbmon_pipeline_tests.helpers import (
    add_rows,
    execution,
    make_odd_source,
    make_source,
    refresh_core,
    settings_for,
)

HOUR = timedelta(hours=1)
START = datetime(2026, 3, 1)


def at(*hours: int) -> list[datetime]:
    """When hours begin."""
    return [START + hour * HOUR for hour in hours]


class _Idle:
    """A source that is not held, with the same time for each slice."""

    def fit(self) -> float:
        return 1.0

    def pause(self) -> None:
        pass


@pytest.mark.parametrize(
    ("hours", "over_gaps", "runs"),
    [
        ([(0, 5), (1, 5), (4, 5), (9, 5), (10, 5)], False, [[(0, 2), (4, 5), (9, 11)]]),
        ([(0, 5), (1, 5), (4, 5), (9, 5), (10, 5)], True, [[(0, 11)]]),
        ([(0, 50_000), (1, 20_000), (4, 5)], False, [[(0, 1)], [(1, 2), (4, 5)]]),
        ([(0, 90_000), (2, 90_000)], False, [[(0, 1)], [(2, 3)]]),
        (
            [(2 * n, 2_000) for n in range(10)],
            False,
            [[(2 * n, 2 * n + 1) for n in range(8)], [(16, 17), (18, 19)]],
        ),
        ([(2 * n, 1_000) for n in range(10)], False, [[(2 * n, 2 * n + 1) for n in range(10)]]),
        (
            [(6 * n, 1) for n in range(10)],
            False,
            [[(6 * n, 6 * n + 1) for n in range(9)], [(54, 55)]],
        ),
        ([], False, []),
    ],
)
def test_hours_are_cut(
    hours: list[tuple[int, int]], *, over_gaps: bool, runs: list[list[tuple[int, int]]]
) -> None:
    """By how many rows they have, and into not too many runs."""
    sized = [(START + hour * HOUR, rows) for hour, rows in hours]
    found = list(cut(_Idle(), sized, over_gaps=over_gaps))  # type: ignore[arg-type]
    assert found == [[(at(first)[0], at(end)[0]) for first, end in run] for run in runs]


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "VARCHAR"])
def test_nothing_between_windows_is_copied(tmp_path: Path, kind: str) -> None:
    """Nor at their ends, whatever the type of the timestamp."""
    hours = [START + quarter * HOUR / 4 for quarter in range(4 * 12)]
    path = make_odd_source(
        tmp_path / "learning.db", [execution(hour) for hour in hours], timestamp=kind
    )
    config = MonitoringConfig()
    with connect() as con:
        slices = Slices(con, Source(path, config.source, con), Redactor(config.redaction))
        windows = [(at(1)[0], at(2)[0]), (at(4)[0], at(6)[0]), (at(9)[0], at(9)[0] + HOUR / 2)]
        with slices.taking(windows):
            pass
        found = [
            row[0]
            for select in slices.cleaned()
            for row in con.execute(f"SELECT timestamp FROM ({select}) ORDER BY 1").fetchall()
        ]
    assert found == [hour for hour in hours if any(a <= hour < b for a, b in windows)]
    assert slices.rows == len(found) == 4 + 8 + 2


def test_late_rows_here_and_there_are_one_hold(tmp_path: Path) -> None:
    """However many hours they are in, up to a number: an owner's second try finds it free."""
    settings = settings_for(tmp_path)
    noon = START + 36 * HOUR
    make_source(settings.source, [execution(START + n * HOUR) for n in range(36)])
    refresh_core(settings, noon)
    holds = []
    for late in ([3], [1, 4, 8, 12, 17, 22, 30]):
        add_rows(settings.source, [execution(START + hour * HOUR + HOUR / 2) for hour in late])
        [extraction] = refresh_core(settings, noon).extractions
        assert extraction.hours == tuple(at(*late))
        assert extraction.rows == 2 * len(late)
        holds.append(len(extraction.holds_ms))
    assert holds[0] == holds[1]
