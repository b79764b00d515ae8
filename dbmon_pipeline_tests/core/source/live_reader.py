"""A process that reads a live file in all ways and judges every answer.

``python -m dbmon_pipeline_tests.core.source.live_reader PATH HOW`` tells its judgement as a line of
JSON after each reading, since it may die in the next one: DuckDB decodes whatever a block holds.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.errors import SourceChangingError
from dbmon_pipeline.core.source.block_pins import HEADER_BYTES
from dbmon_pipeline.core.source.live_file import LiveFile
from dbmon_pipeline.core.source.live_view import LiveView, ReadingThrownAwayError
from dbmon_pipeline.core.source.reader_protocol import EngineBrokenError
from dbmon_pipeline_tests.core.source.live_owners import BROKEN_PROMISES, tell

_MOST_TOLD = 5
_PATIENCE_SECONDS = 20.0


@dataclass
class Judgement:
    """What became of the readings of a trial.

    Attributes:
        right: Answers that counted and were right.
        wrong: Answers that counted and were wrong, in words.
        failed: Errors that counted, in words.
        given_up: Readings that found no state that held.
        thrown_away: Attempts that did not count.
        died: Reader processes that crashed or had a broken engine.
        kills: How often the owner was killed.
        commits: How many transactions the owner committed, if it was not killed.
    """

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    given_up: int = 0
    thrown_away: int = 0
    died: int = 0
    kills: int = 0
    commits: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether nothing counted that was not right."""
        return not self.wrong and not self.failed


def main(path: str, how: str) -> None:
    """Read in all ways, with readings of any length, and tell of them."""
    arguments = json.loads(how)
    luck = random.Random(arguments["seed"])  # noqa: S311 - a seed, not a secret
    if not arguments["is_guarded"]:
        setattr(LiveView, "check", lambda _: None)  # noqa: B010 - mypy knows it as a method
    pause = _slow_down()
    con = duckdb.connect(config={"threads": 2})
    file = LiveFile(con, Path(path))
    judgement = Judgement()
    is_strict = bool(arguments["is_strict"])
    deadline = time.monotonic() + arguments["seconds"]
    patience = deadline + _PATIENCE_SECONDS
    while not judgement.died and time.monotonic() < (
        deadline if judgement.right >= arguments["least_right"] else patience
    ):
        pause[0] = luck.choice([0, 0, 0.001, 0.005])
        try:
            if is_strict or luck.random() < 0.6:
                rows = file._attempt(_ask, is_strict or luck.random() < 0.5, None)
            else:
                rows = file.read(_ask, seconds=luck.choice([0.05, 0.4]))
        except (ReadingThrownAwayError, SourceChangingError):
            judgement.given_up += 1
        except EngineBrokenError:
            judgement.died = 1
        except Exception as error:
            judgement.failed = [*judgement.failed, f"{type(error).__name__}: {error}"][:_MOST_TOLD]
        else:
            if rows[:2] == (0, 0):
                judgement.right += 1
            else:
                judgement.wrong = [*judgement.wrong, str(rows)][:_MOST_TOLD]
        judgement.thrown_away = file.stats.thrown_away
        tell(json.dumps(asdict(judgement)))
    tell(json.dumps(asdict(judgement)))
    con.close()


def _ask(con: duckdb.DuckDBPyConnection) -> tuple[int, int, int]:
    """Judge the attached state."""
    broken_rows, broken_parts, rows = con.execute(BROKEN_PROMISES).fetchall()[0]
    return int(broken_rows), int(broken_parts), int(rows)


def _slow_down() -> list[float]:
    """Have a pause before each read of a block; its seconds can be set."""
    pause = [0.0]
    read = LiveView.read

    def read_slowly(view: LiveView, position: int, size: int) -> bytes:
        if pause[0] and position >= HEADER_BYTES:
            time.sleep(pause[0])
        return read(view, position, size)

    setattr(LiveView, "read", read_slowly)  # noqa: B010 - mypy knows it as a method
    return pause


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # without a word about what nanobind still holds
