"""Trials of reading a live file: an owner writes, a reader reads, every answer is judged.

:func:`trial` takes as long as it is told to, so that a soak can use it too. Owner and reader are
processes of their own.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dbmon_pipeline_tests.core.source.live_reader import Judgement

OLDER_DUCKDB = Path(__file__).resolve().parents[3] / ".cache" / "duckdb-1.5"
"""The oldest DuckDB line that is supported, as in :mod:`dbmon_pipeline_tests.soak.soak`."""
_OWNER = "dbmon_pipeline_tests.core.source.live_owners"
_READER = "dbmon_pipeline_tests.core.source.live_reader"
_LONGEST_LIFE_SECONDS = 0.6


class OwnerProcess:
    """An owner that runs, see :mod:`dbmon_pipeline_tests.core.source.live_owners`."""

    def __init__(self, kind: str, path: Path, *, is_older: bool = False, seed: int = 1) -> None:
        """Start it, and wait until it has the file."""
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", _OWNER),
                *(kind, path, str(seed)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(OLDER_DUCKDB) if is_older else ""},
        )
        self.pid = self._process.pid
        assert self._line() == "ready\n", self._process.wait()

    def order(self, statement: str) -> list[Any]:
        """Have the owner ``orders`` run a statement; its rows."""
        answer = self._answer(statement)
        assert isinstance(answer, list), answer
        return answer

    def order_in_vain(self, statement: str) -> str:
        """Have the owner ``orders`` run a statement that fails; its error."""
        answer = self._answer(statement)
        assert isinstance(answer, str), answer
        return answer

    def end(self) -> int:
        """Have it end; the number of its commits."""
        assert self._process.stdin
        self._process.stdin.close()
        line = self._line()
        assert self._process.wait() == 0
        return int(line or 0)

    def kill(self) -> None:
        """Kill it, if it runs."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()

    def _answer(self, statement: str) -> object:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(statement) + "\n")
        self._process.stdin.flush()
        return json.loads(self._line())

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


@contextmanager
def owner_of(path: Path, *, is_older: bool = False, kind: str = "orders") -> Iterator[OwnerProcess]:
    """Run an owner for as long as the block takes."""
    owner = OwnerProcess(kind, path, is_older=is_older)
    try:
        yield owner
    finally:
        owner.kill()


def trial(
    path: Path,
    kind: str,
    *,
    is_older: bool,
    seconds: float,
    seed: int = 1,
    least_right: int = 0,
    is_killed: bool = False,
    is_guarded: bool = True,
) -> Judgement:
    """Read a file while its owner writes it, and judge all that was read.

    Args:
        path: Where the file shall be.
        kind: One of :data:`dbmon_pipeline_tests.core.source.live_owners.KINDS`.
        is_older: Whether the owner has the oldest DuckDB line that is supported.
        seconds: For how long to read.
        seed: For what the owner writes, when it is killed, and how is read.
        least_right: For how many right answers to go on, within reason.
        is_killed: Whether the owner is killed and started again, over and over.
        is_guarded: Whether readings are thrown away at all.
    """
    luck = random.Random(seed)  # noqa: S311 - a seed, not a secret
    judgement = Judgement()
    with ExitStack() as open_:
        owner = OwnerProcess(kind, path, is_older=is_older, seed=seed)
        open_.callback(lambda: owner.kill())
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            how = {
                "seconds": left,
                "seed": luck.randrange(1 << 30),
                "least_right": least_right,
                "is_guarded": is_guarded,
                "is_strict": kind == "conc" and is_older,
            }
            reader = subprocess.Popen(
                [sys.executable, "-m", _READER, path, json.dumps(how)],
                stdout=subprocess.PIPE,
                text=True,
            )
            open_.callback(reader.kill)
            while is_killed and reader.poll() is None:
                time.sleep(luck.uniform(0.1, _LONGEST_LIFE_SECONDS))
                owner.kill()
                judgement.kills += 1
                owner = OwnerProcess(kind, path, is_older=is_older, seed=luck.randrange(1 << 30))
            told, _ = reader.communicate()
            _add(judgement, told.splitlines(), reader.returncode)
        if not is_killed:
            judgement.commits = owner.end()
    return judgement


def _add(judgement: Judgement, told: list[str], code: int) -> None:
    """Add what a reader told before it ended or died."""
    assert code <= 0, "the reader failed other than by DuckDB"
    last = Judgement(**json.loads(told[-1])) if told else Judgement()
    judgement.right += last.right
    judgement.wrong += last.wrong
    judgement.failed += last.failed
    judgement.given_up += last.given_up
    judgement.thrown_away += last.thrown_away
    judgement.died += last.died + (code < 0)
