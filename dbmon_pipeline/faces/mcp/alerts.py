"""The tools of the MCP server about alerts: what is wrong, and why. They only read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

from dbmon_pipeline.core.alerting.evaluate import evaluate
from dbmon_pipeline.core.alerting.explain import explain
from dbmon_pipeline.core.alerting.runbook import link
from dbmon_pipeline.core.alerting.verdicts import Verdict
from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.common.rows import Records
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.incidents.incident import Incident
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.query.reader import Reader

Cut = Callable[[Any], Any]
_LONGEST_NAME = 200


class OpenIncident(BaseModel):
    """An incident that is not over; instants are ISO 8601 in UTC."""

    number: int
    state: str
    severity: str
    rule: str
    scope: str
    summary: str
    since: str
    acknowledged_by: str | None
    contributors: list[str]
    runbook: str


class OpenIncidents(BaseModel):
    """Incidents that are not over, the worst first."""

    incidents: list[OpenIncident]
    note: str


class ExplainedAlert(BaseModel):
    """Verdict of a rule, and why. Rates are 0 to 1; a cost is USD per execution.

    ``change_by_mix`` is how much of the change since the seven days before comes from another mix
    of work, ``change_by_rate`` how much from the same work going worse.
    """

    rule: str
    scope: str
    verdict: Verdict
    summary: str
    window_start: str
    window_end: str
    bad_share: float | None
    usual_bad_share: float | None
    change_by_mix: float | None
    change_by_rate: float | None
    contributions: Records
    failures: Records
    runbook: str
    note: str


def open_incidents(settings: Settings, cut: Cut, note: str) -> OpenIncidents:
    """List the open incidents in the incident store; none if there is no store as yet."""
    if not settings.home.incidents.exists():
        return OpenIncidents(incidents=[], note="no incident was opened so far. " + note)
    store = Incidents(settings.home.incidents, notifications=settings.config.notifications)
    with store as incidents:
        listed = incidents.open_incidents()
    return OpenIncidents(incidents=[_shown(incident, cut) for incident in listed], note=note)


def explained_alert(
    reader: Reader, config: MonitoringConfig, name: str, scope: str, cut_rows: Cut, note: str
) -> ExplainedAlert:
    """Judge a scope by a rule, and explain the verdict.

    Raises:
        ToolError: There is no such rule or scope, or nothing to explain it by.
        NotPublishedError: A published file is damaged or gone.
    """
    rule = config.rules.get(name)
    if rule is None or not rule.enabled:
        known = ", ".join(n for n, one in config.rules.items() if one.enabled)
        raise ToolError(f"there is no enabled rule {name[:_LONGEST_NAME]!r}: they are {known}")
    alone = msgspec.structs.replace(config, rules={name: rule})
    alerts = {alert.scope: alert for alert in evaluate(reader, alone)}
    if scope not in alerts:
        known = ", ".join(sorted(alerts)[:20])
        raise ToolError(f"{name} has no scope {scope[:_LONGEST_NAME]!r}: some are {known}")
    alert = alerts[scope]
    start, end = alert.measured.window_start, alert.measured.window_end
    if start is None or end is None:
        raise ToolError(f"{name} is about the source, not about executions: {alert.sentence}")
    filters: dict[str, str] = {rule.by: scope} if rule.by else {}
    explanation = explain(reader, alert.measurement, (start, end), filters)
    return ExplainedAlert(
        rule=alert.rule,
        scope=alert.scope,
        verdict=alert.verdict,
        summary=alert.sentence,
        window_start=iso(start),
        window_end=iso(end),
        bad_share=explanation.value,
        usual_bad_share=explanation.usual,
        change_by_mix=explanation.change_by_mix,
        change_by_rate=explanation.change_by_rate,
        contributions=cut_rows(explanation.contributions),
        failures=cut_rows(explanation.failures),
        runbook=link(rule.section(name)),
        note=note,
    )


def _shown(incident: Incident, cut: Cut) -> OpenIncident:
    finding = incident.finding
    return OpenIncident(
        number=incident.number,
        state=incident.state,
        severity=incident.severity,
        rule=finding.rule,
        scope=cut(finding.scope),
        summary=cut(finding.summary),
        since=iso(incident.opened_at),
        acknowledged_by=incident.acknowledged_by,
        contributors=[cut(line) for line in finding.contributors],
        runbook=link(finding.runbook),
    )
