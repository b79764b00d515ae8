"""Observation of the rules: published evaluations become findings of incidents.

Evaluations, and not runs, open incidents: a run whose checks fail is green.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import groupby

from dbmon_pipeline.core.alerting.check_history import RecordedVerdict, published_since
from dbmon_pipeline.core.alerting.explain import contributors
from dbmon_pipeline.core.alerting.verdicts import Verdict
from dbmon_pipeline.core.common.instants import iso, parse_instant
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.rule import Rule, Severity
from dbmon_pipeline.core.incidents.incident import Finding, Incident
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.query.open_reader import reading
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.reader import Reader

_OBSERVED = "evaluations observed through"
_FIRST_LOOK = timedelta(hours=1)
"""The reach of the first look of a new incident store: incidents long over are not notified."""

_SEVERITIES = {Verdict.WARNING: Severity.WARNING, Verdict.CRITICAL: Severity.CRITICAL}


def observe_published(
    incidents: Incidents, published: Published, config: MonitoringConfig
) -> list[Incident]:
    """Take in every published evaluation that was not taken in yet, in order.

    Killed at any moment, the next call goes on where this one was.

    Returns:
        The incidents that changed.

    Raises:
        IncidentError: The incident store cannot be used.
        NotPublishedError: A published file is damaged or gone.
    """
    as_of = published.manifest.as_of
    known = incidents.remembered(_OBSERVED)
    since = parse_instant(known) if known else as_of - _FIRST_LOOK
    judged = published_since(published, since)
    changed = []
    with reading(published, as_of) as reader:
        for instant, round_ in groupby(judged, key=lambda one: one.evaluated_at):
            findings = _findings(reader, round_, config, explained=instant == as_of)
            changed += incidents.observe(findings, instant)
            incidents.remember(_OBSERVED, iso(instant))
    return changed


def finding(judged: RecordedVerdict, rule: Rule, lines: tuple[str, ...] = ()) -> Finding:
    """Convert a verdict of a rule to a finding for incidents.

    Args:
        judged: What it said.
        rule: The rule.
        lines: What contributes most.
    """
    severity = _SEVERITIES.get(judged.verdict)
    is_critical = severity is Severity.CRITICAL or judged.warning is None
    return Finding(
        rule=judged.rule,
        scope=judged.scope,
        severity=severity,
        is_known=judged.verdict is not Verdict.INSUFFICIENT_DATA,
        is_recovered=judged.is_recovered,
        evaluations=rule.evaluations,
        summary=judged.sentence,
        value=judged.value,
        samples=judged.samples,
        limit=judged.critical if is_critical else judged.warning,
        direction=judged.direction,
        window_start=judged.window_start,
        window_end=judged.window_end,
        contributors=lines,
        runbook=rule.section(judged.rule),
        owner=rule.owner,
        labels=rule.labels,
    )


def _findings(
    reader: Reader, judged: Iterable[RecordedVerdict], config: MonitoringConfig, *, explained: bool
) -> list[Finding]:
    """List the findings of one evaluation; rules that no longer exist have none."""
    findings = []
    for verdict in judged:
        rule = config.rules.get(verdict.rule)
        if rule is None or not rule.enabled:
            continue
        lines: tuple[str, ...] = ()
        if (
            explained
            and verdict.verdict in _SEVERITIES
            and verdict.window_start
            and verdict.window_end
        ):
            filters: dict[str, str] = {rule.by: verdict.scope} if rule.by else {}
            window = verdict.window_start, verdict.window_end
            lines = contributors(reader, rule.measurement or verdict.rule, window, filters)
        findings.append(finding(verdict, rule, lines))
    return findings
