"""A real Prometheus scrapes the real exporter, and a real Alertmanager tells people."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.outputs.prometheus.export import EXAMPLE, RULES, rule_files
from dbmon_pipeline_tests.helpers import (
    change_source,
    execution,
    make_source,
    refresh_core,
    settings_for,
)
from dbmon_pipeline_tests.outputs.notify import real_alertmanager
from dbmon_pipeline_tests.outputs.notify.made import receiving
from dbmon_pipeline_tests.outputs.notify.real_alertmanager import (
    alertmanager,
    free_port,
    needs_alertmanager,
)
from dbmon_pipeline_tests.outputs.prometheus.real_prometheus import (
    needs_promtool,
    running_prometheus,
)
from dbmon_pipeline_tests.outputs.prometheus.test_server import serving

SECOND = timedelta(seconds=1)
wait_for = partial(real_alertmanager.wait_for, seconds=30)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are on this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def quick(folder: Path, settings: Settings, exporter: int, manager: int) -> str:
    """The example as a configuration that looks every second, with rates that are told at once."""
    files = rule_files(settings.config.rules)
    rules = re.sub(r"^( +for: )5m$", r"\g<1>0s", files[RULES], flags=re.MULTILINE)
    (folder / RULES).write_text(rules, "utf-8")
    config = files[EXAMPLE]
    for usual, here in (
        ("scrape_interval: 30s", "scrape_interval: 1s"),
        ("evaluation_interval: 1m", "evaluation_interval: 500ms"),
        ("127.0.0.1:9309", f"127.0.0.1:{exporter}"),
        ("127.0.0.1:9093", f"127.0.0.1:{manager}"),
    ):
        assert usual in config
        config = config.replace(usual, here)
    return config


@needs_promtool
@needs_alertmanager
def test_an_incident_reaches_people_and_ends(tmp_path: Path) -> None:
    """The success rate falls and recovers; nobody is told of anything else."""
    settings, now = settings_for(tmp_path), utc_now()
    rows = [execution(now - n * 20 * SECOND, success=n % 20 > 0) for n in range(1, 91)]
    make_source(settings.source, rows)
    refresh_core(settings, now)
    exporter, manager = free_port(), free_port()
    config = quick(tmp_path, settings, exporter, manager)
    with (
        receiving() as people,
        alertmanager(tmp_path, people, manager) as told,
        serving(settings, exporter),
        running_prometheus(tmp_path, config) as prometheus,
    ):

        def state() -> float | None:
            found = prometheus.value('dbmon_rule_state{rule="success_rate"}')
            return found[0][1] if found else None

        wait_for(lambda: state() == 0)
        assert prometheus.value("ALERTS{alertstate='firing'}") == []
        wait_for(lambda: prometheus.value('dbmon:rule_state:worst{rule="success_rate"}'))

        change(settings, "success = false, error_type = 'timeout'", now)
        wait_for(lambda: len(told.alerts("success_rate")) == 2)
        worst = next(
            alert
            for alert in told.alerts("success_rate")
            if alert["labels"]["severity"] == "critical"
        )
        assert worst["labels"] == {
            "alertname": "success_rate",
            "severity": "critical",
            "owner": "monitoring",
            "rule": "success_rate",
            "scope": "all",
            "job": "dbmon",
            "instance": f"127.0.0.1:{exporter}",
        }
        assert worst["annotations"]["summary"] == "success rate is 0%"
        wait_for(lambda: told.told("success_rate"))

        change(settings, "success = true, error_type = NULL", now)
        wait_for(lambda: state() == 0)
        wait_for(lambda: told.told("success_rate")[-1] == [
            ("critical", "resolved"), ("warning", "resolved"),
        ])  # fmt: skip
        assert told.told("success_rate")[0][0] == ("critical", "firing")
        messages = [json.loads(request.body)["commonLabels"] for request in people.requests]
        assert {labels["alertname"] for labels in messages} == {"success_rate", "error_rate"}


def change(settings: Settings, what: str, now: datetime) -> None:
    """Have all executions be otherwise, and publish it."""
    change_source(settings.source, f"UPDATE executions SET {what}")
    refresh_core(settings, now + SECOND if "false" in what else now + 2 * SECOND)
