"""Seven kills; ``make soak`` has two hundred."""

from __future__ import annotations

from pathlib import Path

from dbmon_pipeline_tests.soak.kills import COMMAND, kill_and_heal
from dbmon_pipeline_tests.soak.work import Victim

PLAN = {Victim.TREE: 2, Victim.PARENT: 2, Victim.READER: 2, COMMAND: 1}


def test_the_next_refresh_heals_and_no_reader_notices(tmp_path: Path) -> None:
    """Each is killed at a random moment of its work; the next one equals brute force."""
    kills, seen = kill_and_heal(tmp_path, PLAN, seed=20)
    assert [problem for each in kills for problem in each.problems] == []
    assert {each.victim: each.killed for each in kills} == PLAN
    assert seen.broken == []
    assert seen.readings > seen.generations > 3
