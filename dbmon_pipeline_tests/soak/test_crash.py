"""Twenty kills; ``make soak`` has two hundred."""

from __future__ import annotations

from pathlib import Path

from dbmon_pipeline_tests.soak.crash import COMMAND, crash

PLAN = {
    "refresh": 4,
    "publication": 3,
    "retention": 2,
    "snapshot": 2,
    "archive": 2,
    "migration": 2,
    "restore": 2,
    "compaction": 2,
    COMMAND: 1,
}


def test_the_next_refresh_heals_and_no_reader_notices(tmp_path: Path) -> None:
    """Each is killed at a random moment of its work; what comes then equals brute force."""
    kills, seen = crash(tmp_path, PLAN, seed=20)
    assert [problem for each in kills for problem in each.problems] == []
    assert {each.victim: each.killed for each in kills} == PLAN
    assert seen.broken == []
    assert seen.readings > seen.generations > 5
