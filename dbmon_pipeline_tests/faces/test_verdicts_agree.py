"""The four founding rules say the same everywhere, at every step of an incident.

What Dagster's asset checks say is the measure. Each step stays published, so that a face can be
asked about it afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.outputs.grafana.export import export
from dbmon_pipeline.outputs.prometheus.export import RULES, rule_files
from dbmon_pipeline.outputs.prometheus.metrics import published_metrics
from dbmon_pipeline_tests.helpers import execution, make_source
from dbmon_pipeline_tests.orchestration.site import HOUR, MINUTE, NOON, Site, open_site
from dbmon_pipeline_tests.outputs.grafana.conftest import Exported
from dbmon_pipeline_tests.outputs.grafana.plugin import needs_engine
from dbmon_pipeline_tests.outputs.grafana.telling import firing
from dbmon_pipeline_tests.outputs.prometheus.real_prometheus import (
    Series,
    needs_promtool,
    parsed,
    promtool,
)

FOUNDING = ("success_rate", "recent_executions", "error_rate", "database_size")
LIMITS = """
keep: {{generations: 20}}
rules:
  recent_executions: {{mode: raw}}
  database_size: {{above: {{warning: {warning}, critical: {critical}}}}}
"""
"""A silence is one at once, and a source of some MB is large."""
HOURS = (9, 7, 4, None, 9)
"""Of ten executions of each hour, how many succeed; none are there in one hour."""
MEGABYTES = (0, 3, 6, 6, 0)
"""By how much the source is larger than it was, at the end of each hour."""


@dataclass(frozen=True)
class Step:
    """One refresh.

    Attributes:
        generation: What it has published; ``site.show(generation)`` has readers see it again.
        verdicts: What the asset checks said, by rule.
        metrics: What Prometheus scraped.
    """

    generation: int
    verdicts: dict[str, str]
    metrics: Series


@dataclass(frozen=True)
class Incident:
    """The home, and what happened in it."""

    site: Site
    settings: Settings
    steps: list[Step]


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory, empty_template: Path) -> Iterator[Incident]:
    """An incident in steps of an hour: well, poor, critical, silent, over."""
    folder = tmp_path_factory.mktemp("verdicts")
    with open_site(folder / "site", empty_template) as site:
        make_source(site.source, rows_of(HOURS))
        size = site.source.stat().st_size
        config = folder / "rules.yaml"
        limits = LIMITS.format(warning=size / 1e6 + 2, critical=size / 1e6 + 4)
        config.write_text(limits, "utf-8")
        site.patch.setenv("DBMON_CONFIG", str(config))
        steps = [step(site, n, size + mb * 10**6) for n, mb in enumerate(MEGABYTES)]
        yield Incident(site, Settings.load(), steps)


def rows_of(hours: tuple[int | None, ...]) -> list[dict[str, object]]:
    """An execution a minute, as it went in each hour."""
    return [
        execution(
            NOON + number * HOUR - minute * MINUTE + timedelta(seconds=30),
            success=minute % 10 < good,
            error_type=None if minute % 10 < good else "timeout",
        )
        for number, good in enumerate(hours)
        if good is not None
        for minute in range(1, 61)
    ]


def step(site: Site, number: int, size: int) -> Step:
    """Refresh at the end of an hour, when the source has a size."""
    site.clock.now = NOON + number * HOUR
    os.truncate(site.source, size)
    run = site.refresh()
    verdicts = {
        name: check.metadata["verdict"].value
        for (asset, name), check in site.checks(run.run_id).items()
        if asset == "check_history" and name in FOUNDING
    }
    return Step(site.generation, verdicts, parsed(published_metrics(Settings.load())))


def test_the_incident_is_one(incident: Incident) -> None:
    """Every rule is well and is not; else to agree would mean nothing."""
    said = [tuple(each.verdicts[rule] for rule in FOUNDING) for each in incident.steps]
    assert said == [
        ("ok", "ok", "ok", "ok"),
        ("warning", "ok", "warning", "warning"),
        ("critical", "ok", "critical", "critical"),
        ("critical", "warning", "critical", "critical"),
        ("ok", "ok", "ok", "ok"),
    ]


MINUTES = 15
"""How long a step lasts for Prometheus: longer than any of the four waits."""
BAD = {"warning": ["warning"], "critical": ["critical", "warning"]}
"""The severities that fire of a verdict; of a rule without such a limit there is no alert."""


@needs_promtool
def test_prometheus_says_the_same(incident: Incident, tmp_path: Path) -> None:
    """What fires there at the end of each step is what the asset check says."""
    rules = rule_files(incident.settings.config.rules)[RULES]
    (tmp_path / RULES).write_text(rules, "utf-8")
    test = tmp_path / "test.yml"
    test.write_text(yaml.safe_dump(promtool_test(incident, incident.steps)), "utf-8")
    done = promtool("test", "rules", test)
    assert done.returncode == 0, done.stdout + done.stderr

    # It would be seen if they did not agree.
    said = [each.verdicts for each in incident.steps]
    wrong = [
        Step(0, said[(number + 1) % len(said)], each.metrics)
        for number, each in enumerate(incident.steps)
    ]
    test.write_text(yaml.safe_dump(promtool_test(incident, wrong)), "utf-8")
    assert promtool("test", "rules", test).returncode == 1


def lasting(value: float | None) -> str:
    """A value for as long as a step lasts."""
    return f"_x{MINUTES}" if value is None else f"{value}+0x{MINUTES - 1}"


def promtool_test(incident: Incident, steps: list[Step]) -> dict[str, Any]:
    """A test of the rules: the metrics of the steps one after another, and what is to fire."""
    series = {
        f'{name}{{job="dbmon",rule="{rule}",scope="all"}}': " ".join(
            lasting(each.metrics.get((name, rule, "all"))) for each in steps
        )
        for name in ("dbmon_rule_state", "dbmon_rule_value")
        for rule in FOUNDING
    }
    firing = "count by (alertname, severity) (ALERTS{alertstate='firing',rule!=''})"
    looks = []
    for number, each in enumerate(steps, 1):
        expected = [
            {"labels": f'{{alertname="{rule}",severity="{severity}"}}', "value": 1}
            for rule in sorted(FOUNDING)
            for severity in beyond(incident, each, rule)
        ]
        look = {"expr": firing, "eval_time": f"{number * MINUTES - 1}m", "exp_samples": expected}
        looks.append(look)
    return {
        "rule_files": [RULES],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": v} for name, v in series.items()],
                "promql_expr_test": looks,
            }
        ],
    }


@needs_engine
def test_grafana_says_the_same(incident: Incident, tmp_path: Path) -> None:
    """What its SQL finds beyond a limit in each generation is what the asset check says."""
    exported = Exported(tmp_path / "exported", incident.settings)
    export(incident.settings.config, exported.folder)
    alerts = [alert for alert in exported.alerts if alert["labels"]["rule"] in FOUNDING]
    for number, each in enumerate(incident.steps):
        incident.site.show(each.generation)
        [told] = firing(exported.init, alerts, NOON + number * HOUR)
        assert told == {(rule, "all"): set(beyond(incident, each, rule)) for rule in FOUNDING}


def beyond(incident: Incident, at: Step, rule: str) -> list[str]:
    """The severities that a verdict means, of those that the rule has a limit for."""
    limits = incident.settings.config.rules[rule].limits
    return [one for one in BAD.get(at.verdicts[rule], []) if getattr(limits, one) is not None]
