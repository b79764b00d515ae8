"""Numbers with their units, and times of a zone."""

from __future__ import annotations

from datetime import datetime

import pytest

from dbmon_pipeline.core.common.rows import Scalar
from dbmon_pipeline.outputs.report.words import cut, heading, moment, shown, usd


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("success_rate", 0.925, "92.5%"),
        ("success_rate", 0.0, "0.0%"),
        ("success_rate", None, "no data"),
        ("share", 1.0, "100.0%"),
        ("share_of_cost", 0.25, "25.0%"),
        ("executions", 12345, "12,345"),
        ("with_cost", 7, "7"),
        ("with_both_costs", 0, "0"),
        ("total_cost", 1234.5, "$1,234.50"),
        ("total_cost", 0.0, "$0.00"),
        ("cost_per_success", 0.0123, "$0.0123"),
        ("cost_per_estimated_dollar", 1.013, "$1.01"),
        ("avg_savings", -0.00004, "-$0.000040"),
        ("total_cost", 1e-300, "$0.00"),
        ("avg_savings", -1e-300, "$0.00"),
        ("avg_seconds", 44.84, "44.8 s"),
        ("p95_seconds", 600.0, "10.0 min"),
        ("busy_seconds", 36_000.0, "10.0 h"),
        ("avg_memory_mb", 1234.5, "1,234 MB"),
        ("avg_quality", 78.66, "78.7"),
        ("avg_concurrency", 0.0491, "0.0491"),
        ("resolved_at", None, "still open"),
        ("critical_limit", None, "none"),
        ("opened_at", "2026-02-10T23:34:56Z", "2026-02-11 00:34 CET"),
        ("last_seen", "2026-07-10T23:34:56.5Z", "2026-07-11 01:34 CEST"),
        ("time", "2026-02-10", "2026-02-10"),
        ("time", "2026-02-10T14:00:00+01:00", "2026-02-10 14:00"),
        ("verdict", "insufficient_data", "insufficient data"),
        ("repo", "my_repo", "my_repo"),
    ],
)
def test_values_are_shown_with_their_units(column: str, value: Scalar, text: str) -> None:
    """The name of a column tells the unit."""
    assert shown(column, value, "Europe/Berlin") == text


def test_small_sums_can_be_told_apart() -> None:
    """Down to a millionth of a dollar."""
    assert [usd(value) for value in (0.5, 0.001, 0.00099, -3.0)] == [
        *("$0.5000", "$0.0010", "$0.000990", "-$3.00"),
    ]


def test_an_instant_names_its_zone() -> None:
    """Also where that has no letters."""
    assert moment(datetime(2026, 2, 10, 20), "Asia/Kathmandu") == "2026-02-11 01:45 +0545"


def test_headings_and_long_texts() -> None:
    """A column is called by its name, but for some; a text is cut at its length."""
    assert (heading("cost_per_success"), heading("avg_cost")) == ("Cost per success", "Cost each")
    assert cut("word " * 50) == f"{'word ' * 17}word…"
