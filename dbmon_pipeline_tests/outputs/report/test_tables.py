"""Tables of what there is too much of."""

from __future__ import annotations

from pathlib import Path

from dbmon_pipeline.core.common.instants import HOUR
from dbmon_pipeline_tests.helpers import execution
from dbmon_pipeline_tests.outputs.report.conftest import AS_OF, report_of


def test_countless_tiers_and_pools_are_cut(tmp_path: Path) -> None:
    """Those stay that are used most, or cost most; what is left out is counted."""
    rows = [
        execution(
            AS_OF - HOUR,
            model_tier=f"tier {n:02}",
            pool_type=f"pool {n:02}",
            actual_cost=float(31 - n),
            cost_estimate=1.0,
        )
        for n in range(30)
        for _ in range(n + 1)
    ]
    report = report_of(tmp_path, rows)
    used, dear = range(5, 30), sorted(range(30), key=lambda n: -(n + 1) * (31 - n))[:25]
    for where, column, kept in (
        (("cost", "cost_by_model_tier"), "model_tier", dear),
        (("cost", "cost_efficiency"), "model_tier", dear),
        (("tiers", "model_tiers"), "model_tier", used),
        (("tiers", "pool_utilization"), "pool_type", used),
        (("trouble", "durations"), "model_tier", used),
        (("trouble", "duration_by_pool_type"), "pool_type", used),
    ):
        kind = {"model_tier": "tier", "pool_type": "pool"}[column]
        names = [row[column] for row in report.rows(*where)]
        assert names == [f"{kind} {n:02}" for n in sorted(kept)]
        section, table = where
        assert report.data["sections"][section]["tables"][table]["left_out"] == 5
    [text] = [text for text in report.page.images if text.startswith("A point for each")]
    assert text.count(": quality ") == 10
    assert "; and 15 more. The numbers are in the table: Model tiers" in text
