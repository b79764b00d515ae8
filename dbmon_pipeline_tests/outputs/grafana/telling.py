"""What Grafana tells of alert rules, as it judges what their queries give."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from dbmon_pipeline_tests.outputs.grafana.plugin import Frame, expanded, run

Told = dict[tuple[str, str], set[str]]
"""Severities by rule and scope; none where all is well."""


def firing(init: str, alerts: Sequence[dict[str, Any]], *instants: datetime) -> list[Told]:
    """What Grafana tells at each instant.

    Args:
        init: What a connection begins with.
        alerts: The alert rules.
        instants: When they are evaluated.
    """
    frames = run(init, {f"{a['title']} {at}": _sql(a, at) for a in alerts for at in instants})
    told: list[Told] = []
    for at in instants:
        found: Told = {}
        for alert in alerts:
            for scope, badness in _numbers(frames[f"{alert['title']} {at}"]).items():
                severities = found.setdefault((alert["labels"]["rule"], scope), set())
                [condition] = alert["data"][1]["model"]["conditions"]
                assert condition["evaluator"]["type"] == "gt"
                [limit] = condition["evaluator"]["params"]
                if badness > limit:
                    severities.add(alert["labels"]["severity"])
        told.append(found)
    return told


def _sql(alert: dict[str, Any], at: datetime) -> str:
    """What an alert rule asks; there is no dashboard to fill in variables."""
    [asked, _] = alert["data"]
    span = asked["relativeTimeRange"]
    since, until = (at - timedelta(seconds=span[name]) for name in ("from", "to"))
    return expanded(asked["model"]["rawSql"], since, until)


def _numbers(frame: Frame) -> dict[str, float]:
    """One number for each set of labels, which is what Grafana can judge."""
    assert frame.columns == [("scope", "VARCHAR"), ("badness", "BIGINT")]
    assert len({row[0] for row in frame.rows}) == len(frame.rows)
    return {row[0]: row[1] for row in frame.rows}
