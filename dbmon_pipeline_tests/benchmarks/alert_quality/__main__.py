"""The bench of the alerts: what they say of healthy months, and how soon they find an incident.

``make bench-alerts`` prints tables and goals. Traffic is made up in steps of five minutes, and
judged after each of them by the rules as they are shipped; an incident has fired when the
transitions of the product say so. The same options give the same figures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

from dbmon_pipeline.core.common.instants import DAY
from dbmon_pipeline_tests.benchmarks.alert_quality.trials import (
    HALF,
    INCIDENTS,
    LINES,
    Month,
    Trial,
    healthy_month,
    trials,
)

_VOLUMES = (1, 6, 60, 600)
"""Executions an hour."""
_SOON_MINUTES = 30
_GOAL_VOLUME = 60
_GOAL_TRIALS = 40
"""So many times as often the incident of the goal is tried, because a share is hard to tell."""
_TRIALS_A_CREEP = 10
"""For so many trials of another incident there is one that creeps for days."""
_CHUNK = 20
"""So many trials are one task of a process."""

Row = dict[str, str | float | None]


@dataclass(frozen=True)
class _Task:
    """What one process does at a time.

    Attributes:
        kind: ``month``, ``trial`` or ``goal``.
        volume: Executions an hour.
        numbers: Which months, or which trials.
    """

    kind: str
    volume: int
    numbers: range

    def __call__(self, seed: int) -> list[Month | Trial]:
        """Do it."""
        return [
            result
            for number in self.numbers
            for result in self._one((seed, ord(self.kind[0]), self.volume, number), number)
        ]

    def _one(self, seed: tuple[int, ...], number: int) -> Iterator[Month | Trial]:
        if self.kind == "month":
            return healthy_month(seed, self.volume)
        if self.kind == "goal":
            return trials(seed, self.volume, {HALF: ("success_rate",)}, history=DAY)
        creeps = number % _TRIALS_A_CREEP == 0
        tried = {i: lines for i, lines in INCIDENTS.items() if creeps or not i.is_creeping}
        return trials(seed, self.volume, tried)


def _tasks(months: int, tried: int) -> Iterator[_Task]:
    """All that is to be done, the longest first."""
    for number in range(months):
        for volume in reversed(_VOLUMES):
            yield _Task("month", volume, range(number, number + 1))
    for first in range(0, tried, _CHUNK):
        for volume in reversed(_VOLUMES):
            yield _Task("trial", volume, range(first, min(first + _CHUNK, tried)))
    for first in range(0, _GOAL_TRIALS * tried, _GOAL_TRIALS * _CHUNK):
        last = min(first + _GOAL_TRIALS * _CHUNK, _GOAL_TRIALS * tried)
        yield _Task("goal", _GOAL_VOLUME, range(first, last))


def _measure(seed: int, months: int, tried: int) -> list[Month | Trial]:
    results: list[Month | Trial] = []
    tasks = [*_tasks(months, tried)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        done = as_completed([pool.submit(task, seed) for task in tasks])
        for number, future in enumerate(done, 1):
            results += future.result()
            sys.stderr.write(f"\r{number} of {len(tasks)} tasks done ...")
            sys.stderr.flush()
    sys.stderr.write("\n")
    return results


def _month_rows(months: Iterable[Month]) -> Iterator[Row]:
    """The figures of the healthy months, by rule, mode and volume."""
    for (line, mode), volume, group in _grouped(months, lambda month: (month.line, month.mode)):
        episodes = [month.episodes for month in group]
        yield {
            "rule": line,
            "mode": mode,
            "per_hour": volume,
            "months": len(group),
            "episodes_mean": statistics.fmean(episodes),
            "episodes_worst": max(episodes),
            "criticals_mean": statistics.fmean(month.criticals for month in group),
            "criticals_worst": max(month.criticals for month in group),
        }


def _trial_rows(found: Iterable[Trial]) -> Iterator[Row]:
    """The figures of the incidents, by incident, rule, mode and volume."""
    for (incident, line, mode), volume, group in _grouped(
        found, lambda trial: (trial.incident, trial.line, trial.mode)
    ):
        delays = [trial.delay for trial in group if trial.delay is not None]
        yield {
            "incident": incident,
            "rule": line,
            "mode": mode,
            "per_hour": volume,
            "trials": len(group),
            "detected": len(delays) / len(group),
            "delay_minutes": statistics.median(delays) if delays else None,
            "soon": sum(delay <= _SOON_MINUTES for delay in delays) / len(group),
        }


Result = TypeVar("Result", bound=Month | Trial)


def _grouped(
    results: Iterable[Result], names: Callable[[Result], tuple[str, ...]]
) -> Iterable[tuple[tuple[str, ...], int, list[Result]]]:
    """Results by their names and volumes, in the order of the tables."""
    groups: dict[tuple[tuple[str, ...], int], list[Result]] = defaultdict(list)
    for result in results:
        groups[names(result), result.volume].append(result)
    order = [*(incident.name for incident in INCIDENTS), *LINES, "confident", "raw"]
    for key in sorted(groups, key=lambda key: ([*map(order.index, key[0])], key[1])):
        yield *key, groups[key]


def _goals(months: Sequence[Row], found: Sequence[Row]) -> Iterator[tuple[str, bool, str]]:
    """What is hoped for: in words, whether it is so, and the figure."""
    judged = [
        row for row in months if row["mode"] == "confident" and LINES[str(row["rule"])].is_shipped
    ]
    for goal, column, most in (
        ("no false critical in any healthy month", "criticals_worst", 0),
        ("at most 2 false warnings of a rule in any healthy month", "episodes_worst", 2),
    ):
        worst = max(judged, key=lambda row: float(row[column] or 0))
        highest = float(worst[column] or 0)
        where = f", {worst['rule']} at {worst['per_hour']}/h" if highest else ""
        yield goal, highest <= most, f"{highest:g} at the worst{where}"
    asked: Row = {"incident": HALF.name, "rule": "success_rate", "mode": "confident"}
    [half] = [row for row in found if row.items() >= {**asked, "per_hour": _GOAL_VOLUME}.items()]
    soon = float(half["soon"] or 0)
    yield (
        f"{HALF.name}, at {_GOAL_VOLUME}/h found within {_SOON_MINUTES} minutes in at least 95 % of"
        " the trials",
        soon >= 0.95,
        f"{soon:.1%} of {half['trials']:,}",
    )


def _table(rows: Iterable[Row], titles: Sequence[str], cell: Callable[[Row], str]) -> Iterator[str]:
    """A table in Markdown: a column for each volume."""
    lines: dict[tuple[str, ...], dict[int, str]] = defaultdict(dict)
    for row in rows:
        lines[tuple(str(row[title]) for title in titles)][int(row["per_hour"] or 0)] = cell(row)
    header = [*titles, *(f"{volume}/h" for volume in _VOLUMES)]
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(titles)}{' ---: |' * len(_VOLUMES)}"
    for names, cells in lines.items():
        yield f"| {' | '.join((*names, *(cells[volume] for volume in _VOLUMES)))} |"


def _healthy_cell(row: Row) -> str:
    return f"{row['episodes_mean']:.2f} / {row['episodes_worst']} / {row['criticals_worst']}"


def _incident_cell(row: Row) -> str:
    found = f"{row['detected']:.0%}"
    return f"{found}, {_spoken(float(row['delay_minutes']))}" if row["delay_minutes"] else found


def _spoken(minutes: float) -> str:
    return f"{minutes:.0f} min" if minutes < 600 else f"{minutes / 60:.0f} h"


def main() -> None:
    """Measure, print the tables and the goals, and write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="another seed, other traffic")
    parser.add_argument("--months", type=int, default=12, help="healthy ones at each volume")
    parser.add_argument("--trials", type=int, default=100, help="of each incident at each volume")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    arguments = parser.parse_args()
    started = time.perf_counter()
    results = _measure(arguments.seed, arguments.months, arguments.trials)
    seconds = time.perf_counter() - started
    months = [*_month_rows(one for one in results if isinstance(one, Month))]
    found = [*_trial_rows(one for one in results if isinstance(one, Trial))]
    goals = [*_goals(months, found)]
    titles = ("rule", "mode")
    lines = (
        [f"Seed {arguments.seed}, {seconds:.0f} seconds on {os.cpu_count()} cores.", ""],
        [
            f"{arguments.months} healthy months at so many executions an hour, fewer by night and"
            " more by day: false episodes in 30 days / in the worst month / critical ones in the"
            " worst month.",
            "",
        ],
        _table(months, titles, _healthy_cell),
        [
            "",
            f"Incidents at so many executions in each hour, {arguments.trials} trials"
            f" ({_TRIALS_A_CREEP} times fewer of what creeps): share detected, median delay until"
            " the incident fires.",
            "",
        ],
        _table(found, ("incident", *titles), _incident_cell),
        [
            "",
            "Goals, of what is shipped and confident:",
            "",
            *(f"- {'met' if is_met else 'missed'}: {goal}: {said}" for goal, is_met, said in goals),
        ],
    )
    for line in chain.from_iterable(lines):
        sys.stdout.write(f"{line}\n")
    if arguments.json:
        figures = {
            "seed": arguments.seed,
            "seconds": seconds,
            "healthy": months,
            "incidents": found,
            "goals": [
                {"goal": goal, "is_met": is_met, "figure": said} for goal, is_met, said in goals
            ],
        }
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
