"""All provisioning files, and how they are written."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import yaml

from dbmon_pipeline.core.common.atomic_files import write_together
from dbmon_pipeline.core.common.errors import ExportError
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.outputs.grafana.alert_rules import alert_rules
from dbmon_pipeline.outputs.grafana.boards import boards
from dbmon_pipeline.outputs.grafana.datasource import dashboard_provider, datasource
from dbmon_pipeline.outputs.grafana.readme import CONTACT_POINTS, README

with warnings.catch_warnings():
    # The library would have us write a newer model, which older versions cannot read from files.
    warnings.simplefilter("ignore", DeprecationWarning)
    from dbmon_pipeline.outputs.grafana.dashboard import dashboard_json

_HEADER = "# Made by dbmon grafana export.\n"


def provisioning(config: MonitoringConfig) -> dict[str, str]:
    """Render the text of every file by its path.

    Args:
        config: The rules.

    Raises:
        ExportError: Grafana cannot express a rule.
    """
    made = boards(config)
    monitor = made[-1]
    return {
        "README.md": README,
        "datasources/dbmon.yaml": _yaml(datasource()),
        "dashboards/dbmon.yaml": _yaml(dashboard_provider()),
        **{f"dashboards/{board.name}.json": dashboard_json(board, config) for board in made},
        "alerting/rules.yaml": _yaml(alert_rules(config, monitor)),
        "alerting/contact-points.example.yaml": CONTACT_POINTS,
    }


def export(config: MonitoringConfig, folder: Path) -> list[Path]:
    """Write every file; none, if one cannot be made, or would replace another's.

    Args:
        config: The rules.
        folder: Where to.

    Returns:
        The files.

    Raises:
        ExportError: Grafana cannot express a rule, the folder cannot be written, or a file of
            somebody else stands there.
    """
    files = {folder / path: text for path, text in provisioning(config).items()}
    try:
        for path, text in files.items():
            if not _is_ours(path, text):
                raise ExportError(
                    f"{path} is there already, and was not made by dbmon grafana export",
                    remedy="name another folder, or move it away",
                )
        write_together(files)
    except OSError as error:
        raise ExportError(
            f"{folder} cannot be written ({error.strerror})",
            remedy="name a folder that you may write",
        ) from None
    return list(files)


def _is_ours(path: Path, text: str) -> bool:
    """Tell whether a text may be written to a path: none is there, or an earlier text of ours."""
    if not path.exists():
        return True
    if not path.is_file():
        return False
    try:
        there = path.read_text("utf-8")
        return _mark(path, there) == _mark(path, text)
    except ValueError:  # no UTF-8, or no JSON
        return False


def _mark(path: Path, text: str) -> object:
    """Return the constant part of a file's versions: a dashboard's uid, else the first line.

    Raises:
        ValueError: A dashboard is no JSON.
    """
    if path.suffix == ".json":
        dashboard = json.loads(text)
        return dashboard.get("uid") if isinstance(dashboard, dict) else None
    return text.partition("\n")[0]


class _Dumper(yaml.SafeDumper):
    """YAML dumper that writes a text of several lines as lines."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _yaml(document: Mapping[str, object]) -> str:
    return _HEADER + yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000
    )
