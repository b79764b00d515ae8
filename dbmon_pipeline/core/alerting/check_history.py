"""Check history: the verdicts of every evaluation, one row per rule and scope."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from dbmon_pipeline.core.alerting.verdicts import Alert, Verdict
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.schema.catalogue import CHECK_HISTORY


@dataclass(frozen=True)
class RecordedVerdict:
    """Row of the check history: one verdict on a scope; the columns are the attributes.

    Attributes:
        rule: The rule.
        scope: What was measured, ``all`` for everything.
        evaluated_at: The instant that the evaluation spoke for, naive UTC.
        value: The value; None if nothing could be measured.
        samples: How many executions it was made from.
        warning: The limit of a warning, None if there was none.
        critical: The limit of what is critical, None if there was none.
        verdict: What the rule said.
        direction: On which side of a limit a value is wrong.
        mode: ``confident`` or ``raw``.
        raw_value: The plain value over the window of the rule.
        raw_samples: How many executions that was made from.
        raw_verdict: What a plain comparison said.
        is_recovered: Whether the value was better than the warning limit by the margin of the rule.
        window_start: From when on executions were looked at.
        window_end: Up to when, not included.
        sentence: The verdict in a sentence for people.
    """

    rule: str
    scope: str
    evaluated_at: datetime
    value: float | None
    samples: int
    warning: float | None
    critical: float | None
    verdict: Verdict
    direction: Literal["below", "above"]
    mode: Literal["confident", "raw"]
    raw_value: float | None
    raw_samples: int
    raw_verdict: Verdict
    is_recovered: bool
    window_start: datetime | None
    window_end: datetime | None
    sentence: str


def record(alert: Alert, evaluated_at: datetime) -> RecordedVerdict:
    """Make the row that an alert becomes.

    Args:
        alert: What a rule says.
        evaluated_at: The instant that it was said for.
    """
    measured, raw = alert.measured, alert.raw
    return RecordedVerdict(
        rule=alert.rule,
        scope=alert.scope,
        evaluated_at=evaluated_at,
        value=measured.value,
        samples=measured.samples,
        warning=alert.warning,
        critical=alert.critical,
        verdict=alert.verdict,
        direction=alert.direction,
        mode=alert.mode,
        raw_value=raw.value,
        raw_samples=raw.samples,
        raw_verdict=alert.raw_verdict,
        is_recovered=alert.is_recovered,
        window_start=measured.window_start,
        window_end=measured.window_end,
        sentence=alert.sentence,
    )


def published_since(published: Published, instant: datetime) -> list[RecordedVerdict]:
    """Read the published verdicts of the evaluations after an instant, in their order.

    Raises:
        NotPublishedError: There is no history, or a file of it is damaged or gone.
    """
    select = (
        "SELECT * FROM read_parquet($files) WHERE evaluated_at > $instant"
        " ORDER BY evaluated_at, rule, scope"
    )
    rows = published.fetch(CHECK_HISTORY.name, select, instant=instant)
    return [
        msgspec.convert(dict(zip(rows.columns, row, strict=True)), RecordedVerdict)
        for row in rows.rows
    ]
