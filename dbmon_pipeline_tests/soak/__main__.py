"""``make soak``: owners, kills, random histories and failing files; everything from one seed."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import traceback
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from dbmon_pipeline_tests.core.source import live_trial
from dbmon_pipeline_tests.core.source.live_owners import KINDS
from dbmon_pipeline_tests.soak.failures import fail_and_heal
from dbmon_pipeline_tests.soak.kills import ROUND, Kills, kill_and_heal
from dbmon_pipeline_tests.soak.machine import take_steps
from dbmon_pipeline_tests.soak.owners import OWNERS
from dbmon_pipeline_tests.soak.soak import Outcome, Trial, soak

_COLUMNS = (
    *("owner", "DuckDB", "writes", "a second", "failed", "over 0.25 s", "longest s"),
    *("refreshes", "longest s", "readings", "thrown away", "answers", "looks", "refused"),
    *("generations read", "executions", "rows compared"),
)


def main() -> int:
    """Run all of it, print the figures, and tell by the exit code whether all is right."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="how long the owners write")
    parser.add_argument("--kills", type=int, default=200, help="how many refreshes are killed")
    parser.add_argument("--owners", nargs="*", choices=OWNERS, default=list(OWNERS))
    parser.add_argument("--steps", type=int, default=5000, help="steps of random histories")
    parser.add_argument(
        "--operations", type=int, help="how many file operations fail; all of them by default"
    )
    parser.add_argument(
        "--trials", type=float, default=5.0, help="seconds of each trial of reading a live file"
    )
    parser.add_argument("--seed", type=int, help="that of a run to replay; a new one by default")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    _print(f"seed {options.seed}")
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        parts = (_read_live_files, _write_beside, _kill, _fail_operations, _take_steps)
        for part in parts:
            problems += part(options, Path(folder))
    for problem in problems:
        sys.stderr.write(f"problem: {problem}\n")
    return 1 if problems else 0


def _read_live_files(options: argparse.Namespace, folder: Path) -> list[str]:
    """Read files while owners of every kind write them, or are killed again and again."""
    if not options.trials:
        return []
    problems, right, thrown_away = [], 0, 0
    for number, (kind, is_older, is_killed) in enumerate(
        product(KINDS, (True, False), (False, True))
    ):
        if kind == "conc" and is_killed:
            continue
        judgement = live_trial.trial(
            folder / f"trial-{number}.db",
            kind,
            is_older=is_older,
            seconds=options.trials,
            seed=options.seed,
            is_killed=is_killed,
        )
        right += judgement.right
        thrown_away += judgement.thrown_away
        if not judgement.is_sound:
            problems.append(f"{kind}, older {is_older}, killed {is_killed}: {judgement}")
    _print(f"{right:,} readings of live files were right, {thrown_away:,} were thrown away")
    return problems


def _write_beside(options: argparse.Namespace, folder: Path) -> list[str]:
    """Have one owner after another write, so that each has the machine to itself."""
    trials = [
        Trial(owner, is_older, options.seed)
        for is_older in (True, False)
        for owner in options.owners
    ]
    if not options.minutes:
        return []
    _print(f"| {' | '.join(_COLUMNS)} |\n| --- | --- |{' ---: |' * (len(_COLUMNS) - 2)}")
    problems = []
    for number, trial in enumerate(trials):
        seconds = options.minutes * 60 / len(trials)
        (outcome,) = soak(folder / f"soak-{number}", [trial], seconds)
        _print(_soak_row(outcome))
        version = outcome.tally.duckdb
        problems += [f"{trial.owner}, DuckDB {version}: {text}" for text in outcome.problems]
        refused = outcome.visits.refused
        _print("".join(f"{count} times: {message}\n" for message, count in refused.items()), end="")
    return problems


def _soak_row(outcome: Outcome) -> str:
    tally, visits, seen = outcome.tally, outcome.visits, outcome.seen
    cells = (
        *(outcome.trial.owner, tally.duckdb, f"{tally.writes:,}"),
        *(f"{tally.writes / max(tally.seconds, 1e-9):.1f}", tally.failed, tally.delayed),
        *(tally.longest_seconds, visits.refreshes, visits.refresh_seconds, visits.readings),
        *(visits.thrown_away, visits.answers, visits.looks, sum(visits.refused.values())),
        *(seen.generations, f"{outcome.rows:,}", f"{outcome.compared:,}"),
    )
    return f"| {' | '.join(map(str, cells))} |"


def _kill(options: argparse.Namespace, folder: Path) -> list[str]:
    """Kill refreshes, twenty in a home."""
    rounds = -(-options.kills // sum(ROUND.values()))
    results = [
        kill_and_heal(folder / f"kills-{number}", ROUND, options.seed + number)
        for number in range(rounds)
    ]
    if not results:
        return []
    _print("".join(_kill_lines([each for kills, _ in results for each in kills])), end="")
    readings = sum(seen.readings for _, seen in results)
    broken = [fault for _, seen in results for fault in seen.broken]
    _print(f"{readings:,} readings beside them, {len(broken)} faults")
    problems = [problem for kills, _ in results for each in kills for problem in each.problems]
    return [*problems, *(f"reader beside the kills: {fault}" for fault in broken)]


def _kill_lines(kills: list[Kills]) -> Iterator[str]:
    yield "| killed | times | had published | done before |\n| --- | ---: | ---: | ---: |\n"
    for victim in ROUND:
        each = [some for some in kills if some.victim == victim]
        killed, published = sum(k.killed for k in each), sum(k.published for k in each)
        yield f"| {victim} | {killed} | {published} | {sum(k.finished for k in each)} |\n"


def _fail_operations(options: argparse.Namespace, folder: Path) -> list[str]:
    """Have file operations fail, one a refresh."""
    if options.operations == 0:
        return []
    figures = fail_and_heal(folder / "failures", options.seed, options.operations)
    _print(
        f"{sum(figures.failed.values()):,} of {sum(figures.operations):,} file operations failed"
        f" ({figures.failed}): {figures.told} refreshes ended with an error, {figures.published}"
        " of them had published"
    )
    return figures.problems


def _take_steps(options: argparse.Namespace, folder: Path) -> list[str]:  # noqa: ARG001
    """Play random histories."""
    if not options.steps:
        return []
    try:
        kills = take_steps(options.steps, options.seed)
    except Exception as error:
        return ["".join(traceback.format_exception(error))]
    _print(f"{options.steps:,} steps of random histories, {kills} kills among them")
    return []


def _print(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
