"""The files for Prometheus, as they are committed under ``deploy/prometheus``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from dbmon_pipeline.core.common.errors import OutputError
from dbmon_pipeline.core.config.rule import Rule
from dbmon_pipeline.outputs.prometheus.rules import (
    JOB,
    alert_rules,
    metrics_gone_alert,
    never_read_alert,
    recording_rules,
)
from dbmon_pipeline.outputs.prometheus.textfile import write_world_readable

RULES, EXAMPLE = "dbmon-rules.yml", "prometheus.example.yml"

_MADE = "# Made by dbmon prometheus-rules of the rules file: change that, and make it again.\n"
_EXAMPLE_TEXT = f"""\
# Prometheus for one home: dbmon serve-metrics listens at port 9309. In place of it, the node
# exporter can read the file that dbmon prometheus --out or the setting prometheus.textfile writes.
global:
  scrape_interval: 30s
  evaluation_interval: 1m

rule_files: [{RULES}]

scrape_configs:
  - job_name: {JOB}
    static_configs:
      - targets: ['127.0.0.1:9309']

# What is critical is a warning, too. In alertmanager.yml this tells it once:
#   inhibit_rules:
#     - source_matchers: ['severity = critical']
#       target_matchers: ['severity = warning']
#       equal: [alertname, rule, scope, instance]
alerting:
  alertmanagers:
    - static_configs:
        - targets: ['127.0.0.1:9093']
"""


def rule_files(rules: Mapping[str, Rule]) -> dict[str, str]:
    """Render the files by name.

    Raises:
        ConfigError: Prometheus cannot express a rule.
    """
    alerts = [*alert_rules(rules), metrics_gone_alert(), never_read_alert()]
    groups = [{"name": "dbmon", "rules": [*recording_rules(), *alerts]}]
    return {
        RULES: _MADE + _yaml({"groups": groups}),
        EXAMPLE: _EXAMPLE_TEXT,
    }


def write_rule_files(rules: Mapping[str, Rule], folder: Path) -> list[Path]:
    """Write the files into a folder, which is made if there is none.

    Returns:
        The files.

    Raises:
        ConfigError: Prometheus cannot express a rule.
        OutputError: The folder cannot be written.
    """
    files = rule_files(rules)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} is no folder to write into ({error.strerror})",
            remedy="name a folder that you may write",
        ) from None
    for name, text in files.items():
        write_world_readable(folder / name, text)
    return [folder / name for name in files]


def _yaml(document: object) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000)
