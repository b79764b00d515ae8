"""The pipeline's own health, as findings: runs that failed, ticks that failed, data that is old.

Nothing else would tell of them: a schedule that cannot run judges no rule.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import dagster as dg
import msgspec

from dbmon_pipeline.core.alerting.check_history import record
from dbmon_pipeline.core.alerting.evaluate import evaluate
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import Finding
from dbmon_pipeline.core.incidents.observe import finding
from dbmon_pipeline.core.query.open_reader import reading
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.orchestration.namespace import JOBS, SCHEDULES, SENSORS, Namespace

RUNBOOK = "The pipeline itself"
OWNER = "monitoring"
_FAILED, _UNDER_WAY = "FAILURE", "STARTED"
_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
_FRESHNESS = "source_freshness"
_LATEST_TICKS = 5
"""Number of ticks that are searched for one that has ended."""


def findings(instance: dg.DagsterInstance, namespace: Namespace) -> Iterator[Finding]:
    """Report how the last runs and ticks of our jobs, schedules and sensors ended."""
    for job in map(namespace.of, JOBS):
        runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=_FINISHED), limit=1)
        if runs:
            has_failed = runs[0].status is dg.DagsterRunStatus.FAILURE
            said = f"run {runs[0].run_id[:8]} of {job} {'failed' if has_failed else 'succeeded'}"
            yield _finding("_runs", job, said, is_bad=has_failed)
    ours = namespace.all_of((*SCHEDULES, *SENSORS))
    for state in instance.all_instigator_state():
        if state.name in ours:
            ticks = instance.get_ticks(
                state.instigator_origin_id, state.selector_id, limit=_LATEST_TICKS
            )
            statuses = [tick.status.value for tick in ticks if tick.status.value != _UNDER_WAY]
            if statuses:
                has_failed = statuses[0] == _FAILED
                said = f"the last tick of {state.name} {'failed' if has_failed else 'went well'}"
                yield _finding("_ticks", state.name, said, is_bad=has_failed)


def freshness(published: Published, config: MonitoringConfig, at: datetime) -> Iterator[Finding]:
    """Judge the age of the data at an instant: inside of a refresh it is never old.

    Raises:
        NotPublishedError: A published file is damaged or gone.
    """
    rule = config.rules.get(_FRESHNESS)
    if rule is None or not rule.enabled:
        return
    alone = msgspec.structs.replace(config, rules={_FRESHNESS: rule})
    with reading(published, at) as reader:
        [alert] = evaluate(reader, alone)
    yield replace(finding(record(alert, at), rule), evaluations=1)


def _finding(rule: str, scope: str, summary: str, *, is_bad: bool) -> Finding:
    return Finding(
        rule=rule,
        scope=scope,
        severity=Severity.WARNING if is_bad else None,
        summary=summary,
        value=None,
        samples=0,
        limit=None,
        direction="above",
        window_start=None,
        window_end=None,
        runbook=RUNBOOK,
        owner=OWNER,
    )
