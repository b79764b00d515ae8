"""What is said of health when the incidents are not known."""

from __future__ import annotations

import pytest

from dbmon_pipeline.core.common.rows import Scalar
from dbmon_pipeline.outputs.report.health import Health, sentence


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("critical", "the success rate is bad"),
        ("ok", "no alert rule is beyond its limit"),
        (None, "no alert rule was judged in this period"),
    ],
)
def test_what_the_rules_say_is_said_without_the_incidents(verdict: str | None, said: str) -> None:
    """And never that all is well."""
    row: dict[str, Scalar] = {
        "verdict": verdict,
        "evaluated_at": "2026-02-10T12:00:00Z",
        "sentence": said,
    }
    health = Health(
        verdicts=[row] if verdict else [],
        judged_at=str(row["evaluated_at"]) if verdict else None,
        incidents=[],
        trouble="the store is a folder: move it away",
    )
    start = "Which incidents are open is not known (their store cannot be read), and "
    assert sentence(health) == f"{start}{said}."
