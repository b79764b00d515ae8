"""Health: what the alert rules said, and which incidents there were."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from dbmon_pipeline.core.alerting.verdicts import Verdict, format_value
from dbmon_pipeline.core.common.errors import IncidentError
from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.common.rows import Records, Scalar
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.incidents.incident import Incident, IncidentState
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.schema.catalogue import CHECK_HISTORY
from dbmon_pipeline.outputs.report.content import Section, Table
from dbmon_pipeline.outputs.report.words import cut

_MOST_ROWS = 25
_MOST_INCIDENTS = 1000


@dataclass(frozen=True)
class Health:
    """Health in a period: verdicts of the rules, and incidents.

    Attributes:
        verdicts: The last verdict of each rule and scope in the period, the worst first.
        judged_at: When the rules were judged last; None if they were not.
        incidents: What has fired in the period, the newest first.
        trouble: Why the incidents are not known, if they are not.
    """

    verdicts: Records
    judged_at: str | None
    incidents: list[Incident]
    trouble: str

    @property
    def open_incidents(self) -> list[Incident]:
        """The incidents that are not over, the worst first."""
        still = [
            incident for incident in self.incidents if incident.state is not IncidentState.RESOLVED
        ]
        return sorted(still, key=lambda incident: (-incident.severity.badness, incident.opened_at))

    @property
    def beyond(self) -> Records:
        """The latest verdicts that are beyond a limit, the worst first."""
        return [
            row
            for row in self.verdicts
            if Verdict(str(row["verdict"])).badness > 0 and row["evaluated_at"] == self.judged_at
        ]


def gather(settings: Settings, published: Published, start: datetime, as_of: datetime) -> Health:
    """Collect the known facts about the health of a period.

    Args:
        settings: The home and the rules.
        published: The generation to read.
        start: From when on the rules' verdicts are counted.
        as_of: The end.

    Raises:
        NotPublishedError: A published file is damaged or gone.
    """
    has_history = CHECK_HISTORY.name in published.manifest.tables
    verdicts = published.of_history("verdicts", start, as_of).records if has_history else []
    verdicts.sort(key=lambda row: (-Verdict(str(row["verdict"])).badness, str(row["rule"])))
    judged_at = max((str(row["evaluated_at"]) for row in verdicts), default=None)
    try:
        incidents, trouble = _incidents(settings, start, as_of), ""
    except IncidentError as error:
        incidents, trouble = [], str(error)
    return Health(verdicts, judged_at, incidents, trouble)


def _incidents(settings: Settings, start: datetime, as_of: datetime) -> list[Incident]:
    """List incidents fired in a period or open since before; none if there is no store as yet."""
    path = settings.home.incidents
    if not path.exists():
        return []
    with Incidents(path, notifications=settings.config.notifications) as store:
        return [
            incident
            for incident in store.history(start, _MOST_INCIDENTS)
            if incident.opened_at <= as_of
        ]


def section(health: Health, config: MonitoringConfig) -> Section:
    """Build the section about health and incidents."""
    strayed = sum(bool(row["warnings"] or row["criticals"]) for row in health.verdicts)
    lead = (
        f"Alert rules that were beyond a limit at some time: {strayed} of {len(health.verdicts)}."
    )
    if health.trouble:
        lead += f" The incidents are not known: {health.trouble}."
    incidents = [_incident(incident) for incident in health.incidents]
    verdicts = [_spoken(row, config) for row in health.verdicts]
    listed = Table(
        name="incidents",
        caption="Incidents of the period, the newest first",
        columns=(
            *("number", "severity", "state", "rule", "scope"),
            *("opened_at", "resolved_at", "summary"),
        ),
        rows=incidents[:_MOST_ROWS],
        left_out=len(incidents[_MOST_ROWS:]),
    )
    judged = Table(
        name="verdicts",
        caption="What each alert rule said last in the period, the worst first",
        columns=(
            *("rule", "scope", "verdict", "measured", "samples"),
            *("warning_limit", "critical_limit", "beyond"),
        ),
        rows=verdicts[:_MOST_ROWS],
        left_out=len(verdicts[_MOST_ROWS:]),
        is_shown=bool(health.beyond),
    )
    return Section(
        name="health",
        title="Health and incidents",
        lead=lead,
        tables=(listed, judged),
    )


def _incident(incident: Incident) -> dict[str, Scalar]:
    return {
        "number": incident.number,
        "severity": incident.worst.value,
        "state": incident.state.value,
        "rule": incident.finding.rule,
        "scope": incident.finding.scope,
        "opened_at": iso(incident.opened_at),
        "resolved_at": iso(incident.resolved_at) if incident.resolved_at else None,
        "acknowledged_by": incident.acknowledged_by,
        "summary": incident.finding.summary,
        "runbook": incident.finding.runbook,
    }


def _spoken(row: dict[str, Scalar], config: MonitoringConfig) -> dict[str, Scalar]:
    """Format a verdict's value and limits with their units, and say how often it was bad."""
    name = str(row["rule"])
    rule = config.rules.get(name)
    measurement = rule.judges(name) if rule else name
    limits = {
        f"{level}_limit": None
        if (limit := cast("float | None", row[level])) is None
        else f"{row['direction']} {format_value(measurement, limit)}"
        for level in ("warning", "critical")
    }
    value = cast("float | None", row["value"])
    bad = int(str(row["warnings"])) + int(str(row["criticals"]))
    beyond = {"beyond": f"{bad:,} of {row['evaluations']:,} times"}
    return row | {"measured": format_value(measurement, value)} | limits | beyond


def sentence(health: Health) -> str:
    """Describe the present health in one sentence."""
    said = _of_rules(health)
    if health.trouble:
        return f"Which incidents are open is not known (their store cannot be read), and {said}."
    if health.open_incidents:
        count = len(health.open_incidents)
        worst = cut(health.open_incidents[0].finding.summary, 200)
        head = "One incident is open" if count == 1 else f"{count} incidents are open, the worst"
        return f"{head}: {worst}."
    if health.beyond:
        return f"No incident is open, but {said}."
    if health.judged_at is None:
        return "No alert rule was judged in this period, so nothing is known of its health."
    return f"All is well: no incident is open, and {said}."


def _of_rules(health: Health) -> str:
    """Describe the worst that the alert rules say now."""
    if health.beyond:
        return cut(str(health.beyond[0]["sentence"]), 200)
    if health.judged_at is None:
        return "no alert rule was judged in this period"
    unsure = sum(row["verdict"] == Verdict.INSUFFICIENT_DATA for row in health.verdicts)
    also = f" ({unsure} had too little data to judge)" if unsure else ""
    return f"no alert rule is beyond its limit{also}"
