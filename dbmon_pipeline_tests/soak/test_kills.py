"""Twenty kills; ``make soak`` has two hundred."""

from __future__ import annotations

from pathlib import Path

from dbmon_pipeline_tests.soak.kills import ROUND, kill_and_heal


def test_the_next_refresh_heals_and_no_reader_notices(tmp_path: Path) -> None:
    """Each is killed at a random moment of its work; the next one equals brute force."""
    kills, seen = kill_and_heal(tmp_path, ROUND, seed=20)
    assert [problem for each in kills for problem in each.problems] == []
    assert {each.victim: each.killed for each in kills} == ROUND
    assert seen.broken == []
    assert seen.readings > seen.generations > 5
