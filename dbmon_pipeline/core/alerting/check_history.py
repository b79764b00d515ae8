"""The history of the checks: what every evaluation said, one row per rule and scope."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal

from dbmon_pipeline.core.alerting.evaluate import evaluate
from dbmon_pipeline.core.alerting.verdicts import Alert, Verdict
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.schema.catalogue import CHECK_HISTORY
from dbmon_pipeline.core.warehouse.unpublished import unpublished_reader
from dbmon_pipeline.core.warehouse.warehouse import Stage, State, Warehouse


@dataclass(frozen=True)
class Judged:
    """One row: what one evaluation of a rule said of a scope; the columns are the attributes.

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
        sentence: What a person is told of it.
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


def judged(alert: Alert, evaluated_at: datetime) -> Judged:
    """The row that an alert becomes.

    Args:
        alert: What a rule says.
        evaluated_at: The instant that it was said for.
    """
    measured, raw = alert.measured, alert.raw
    return Judged(
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


def check(warehouse: Warehouse, config: MonitoringConfig) -> list[Alert]:
    """Judge what is rolled up, and append that to the history.

    To do it again for the same instant changes nothing.

    Returns:
        What the rules say; nothing before the first extraction.

    Raises:
        StorageError: The warehouse cannot be written.
    """
    as_of = warehouse.instant(State.AS_OF)
    if as_of is None:
        return []
    with unpublished_reader(warehouse, as_of) as reader:
        alerts = evaluate(reader, config)
    found = [judged(alert, as_of) for alert in alerts]
    if set(found) == set(latest(warehouse)):
        return alerts
    with warehouse.transaction() as con:
        con.execute("DELETE FROM check_history WHERE evaluated_at = $at", {"at": as_of})
        if found:
            places = ", ".join("?" * len(fields(Judged)))
            rows = [astuple(one) for one in found]
            con.executemany(f"INSERT INTO check_history VALUES ({places})", rows)
        waiting = warehouse.pending(CHECK_HISTORY.name, Stage.PUBLISH)
        warehouse.add_pending([CHECK_HISTORY.name], {as_of.date()} - waiting, Stage.PUBLISH)
    return alerts


def latest(warehouse: Warehouse) -> list[Judged]:
    """What the latest evaluation said."""
    found = warehouse.con.execute(
        "SELECT * FROM check_history WHERE evaluated_at = $at",
        {"at": warehouse.instant(State.AS_OF)},
    )
    return [_from_row(row) for row in found.fetchall()]


def published_since(published: Published, instant: datetime) -> list[Judged]:
    """What is published of the evaluations after an instant, in their order.

    Raises:
        NotPublishedError: There is no history, or a file of it is damaged or gone.
    """
    files = published.patterns(CHECK_HISTORY.name)
    with published.told(CHECK_HISTORY.name):
        found = published.con.cursor().execute(
            "SELECT * FROM read_parquet($files) WHERE evaluated_at > $instant"
            " ORDER BY evaluated_at, rule, scope",
            {"files": files, "instant": instant},
        )
        return [_from_row(row) for row in found.fetchall()]


def _from_row(row: tuple[Any, ...]) -> Judged:
    judged = Judged(*row)
    return replace(judged, verdict=Verdict(judged.verdict), raw_verdict=Verdict(judged.raw_verdict))
