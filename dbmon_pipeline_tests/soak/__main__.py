"""``make soak``: the soak and the kills for as long as they are told, and what came of them."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from dbmon_pipeline_tests.soak.crash import ROUND, Kills, crash
from dbmon_pipeline_tests.soak.machine import Monitored
from dbmon_pipeline_tests.soak.owners import OWNERS
from dbmon_pipeline_tests.soak.reading import Seen
from dbmon_pipeline_tests.soak.soak import Outcome, Trial, lines, soak

_STEPS_TOGETHER = 50
"""The steps in one home; the next ones begin with a new one."""
_COMMANDS_EVERY = {"hold_open": 5, "open_per_write": 1, "big": 5, "idle": 5}
"""Every how many refreshes one is by the real command. All of them where it is counted how often
the owner finds a reader: without Dagster's part, several times as many holds fit into a second."""


def main() -> int:
    """Run, print tables, and tell whether all was as it must be."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="how long the owners write")
    parser.add_argument("--kills", type=int, default=200, help="how many kills there are")
    parser.add_argument("--owners", nargs="*", choices=OWNERS, default=list(OWNERS))
    parser.add_argument("--steps", type=int, default=5000, help="of owner and pipeline, any order")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to write all of it as JSON")
    given = parser.parse_args()
    outcomes: list[Outcome] = []
    crashes: list[tuple[list[Kills], Seen]] = []
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        trials = [
            Trial(owner, is_older, _COMMANDS_EVERY[owner])
            for is_older in lines()
            for owner in given.owners
        ]
        # One at a time: an owner and a refresh that wait for a core hold the source for longer.
        for number, trial in enumerate(trials if given.minutes else []):
            seconds = given.minutes * 60 / len(trials)
            outcomes += soak(Path(folder) / f"soak-{number}", [trial], seconds)
        crashes += [
            crash(Path(folder) / f"crash-{number}", ROUND, given.seed + number)
            for number in range(-(-given.kills // sum(ROUND.values())))
        ]
    for line in (*_soak_table(outcomes), *_crash_table(crashes)):
        sys.stdout.write(line + "\n")
    wrong = _any_order(given.steps)
    problems = [
        *([wrong] if wrong else []),
        *(f"{o.trial.owner}: {problem}" for o in outcomes for problem in o.problems),
        *(problem for kills, _ in crashes for each in kills for problem in each.problems),
        *(f"reader beside the kills: {fault}" for _, seen in crashes for fault in seen.broken),
    ]
    for problem in problems:
        sys.stderr.write(f"problem: {problem}\n")
    if given.json:
        told = {
            "soak": [asdict(outcome) for outcome in outcomes],
            "crash": [
                {"kills": [asdict(each) for each in kills], "seen": asdict(seen)}
                for kills, seen in crashes
            ],
        }
        given.json.write_text(json.dumps(told, indent=1), encoding="utf-8")
    return 1 if problems else 0


def _any_order(steps: int) -> str | None:
    """Let the state machine take so many steps; the first one that goes wrong, if any does."""
    examples = -(-steps // _STEPS_TOGETHER)
    if not examples:
        return None
    how = settings(
        max_examples=examples,
        stateful_step_count=_STEPS_TOGETHER,
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    try:
        run_state_machine_as_test(Monitored, settings=how)
    except AssertionError as error:
        return "".join(traceback.format_exception(error))
    sys.stdout.write(
        f"{examples * _STEPS_TOGETHER:,} steps in any order, all as brute force has it\n"
    )
    return None


def _soak_table(outcomes: list[Outcome]) -> Iterator[str]:
    if not outcomes:
        return
    columns = (
        *("owner", "DuckDB", "writes", "a second", "first tries failed", "failed again"),
        *("refreshes", "by the command", "gave up", "from a copy", "longest hold ms", "held"),
        *("readings", "outlived", "executions"),
    )
    yield f"| {' | '.join(columns)} |"
    yield "| --- | --- |" + " ---: |" * 13
    for o in outcomes:
        tally, record = o.tally, o.record
        held = record.held_ms / 1000 / record.core_seconds if record.core_seconds else 0.0
        cells = (
            *(o.trial.owner, tally.duckdb, f"{tally.writes:,}"),
            f"{tally.writes / max(tally.seconds, 1e-9):.1f}",
            *(f"{tally.failed} ({tally.failed_share:.2%})", tally.lost, record.refreshes),
            *(record.commands, sum(record.refused.values()), record.from_snapshot),
            *(f"{record.longest_hold_ms:.0f}", f"{held:.2%}"),
            *(o.seen.readings, o.seen.outlived, f"{o.rows:,}"),
        )
        yield f"| {' | '.join(map(str, cells))} |"
    yield ""


def _crash_table(crashes: list[tuple[list[Kills], Seen]]) -> Iterator[str]:
    if not crashes:
        return
    yield "| killed | times, each healed by the next refresh | done before | seconds at work |"
    yield "| --- | ---: | ---: | ---: |"
    for victim in ROUND:
        each = [kills for several, _ in crashes for kills in several if kills.victim == victim]
        longest = max(kills.seconds for kills in each)
        killed, finished = sum(k.killed for k in each), sum(k.finished for k in each)
        yield f"| {victim} | {killed} | {finished} | {longest:.2f} |"
    readings = sum(seen.readings for _, seen in crashes)
    broken = sum(len(seen.broken) for _, seen in crashes)
    yield f"{readings:,} readings beside them, {broken} of a broken generation"


if __name__ == "__main__":
    sys.exit(main())
