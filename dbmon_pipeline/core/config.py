"""The rules file: every limit, once, read from YAML and validated."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dbmon_pipeline.core.errors import ConfigError

Positive = Annotated[int, Field(ge=1)]
Measurement = Literal[
    "success_rate", "error_rate", "recent_executions", "database_size", "source_freshness"
]
"""What a rule can be about: a file in ``sql/checks``, or a fact about the source."""
Texts = Annotated[tuple[str, ...], Field(strict=False)]
Number = Annotated[float, Field(allow_inf_nan=False, strict=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Keep(_Section):
    """How long things are kept.

    Attributes:
        executions_days: Full days of raw executions in the warehouse.
        generations: Published generations, the current one included.
        dagster_runs_days: Days of runs in the Dagster instance.
    """

    executions_days: Positive = 90
    generations: Positive = 3
    dagster_runs_days: Positive = 30


class SourceLimits(_Section):
    """How the source may be touched.

    Attributes:
        lock_wait_seconds: How long to try while the owner holds the source.
        longest_hold_ms: How long one attach may last; slices are sized by it.
        compare_hours: How far back each refresh looks for late, changed and deleted rows.
    """

    lock_wait_seconds: Seconds = 5
    longest_hold_ms: Positive = 50
    compare_hours: Positive = 48


class HomeLimits(_Section):
    """How the home may be waited for.

    Attributes:
        lock_wait_seconds: How long a refresh waits for another one to end.
    """

    lock_wait_seconds: Seconds = 120


class Redaction(_Section):
    """What free text loses on its way into the warehouse.

    Attributes:
        enabled: Whether anything is removed at all.
        patterns: RE2 expressions by name; a match becomes ``[redacted NAME]``.
    """

    enabled: bool = True
    patterns: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], str] = {}


class Limits(_Section):
    """Where a value begins to be wrong.

    Attributes:
        warning: Beyond it there is a warning.
        critical: Beyond it the verdict is critical.
    """

    warning: Number | None = None
    critical: Number | None = None


class Rule(_Section):
    """An alert rule; its name is that of its measurement.

    Attributes:
        window: How far back it looks, for instance ``1h``.
        below: The limits of a value that must not be lower.
        above: The limits of a value that must not be higher.
        min_samples: With fewer samples the verdict is ``insufficient_data``.
        enabled: Whether it is evaluated at all.
    """

    window: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2}[hd]$")] = "1h"
    below: Limits | None = None
    above: Limits | None = None
    min_samples: Annotated[int, Field(ge=0)] = 1
    enabled: bool = True

    @property
    def limits(self) -> Limits:
        """Those of the one side that it has."""
        return self.below or self.above or Limits()

    @property
    def length(self) -> timedelta:
        """How far back it looks."""
        number, unit = int(self.window[:-1]), self.window[-1]
        return timedelta(hours=number) if unit == "h" else timedelta(days=number)

    @model_validator(mode="after")
    def _has_one_side(self) -> Self:
        if (self.below is None) == (self.above is None):
            raise ValueError("a rule has limits either below or above")
        warning, critical = self.limits.warning, self.limits.critical
        if warning is None and critical is None:
            raise ValueError("a rule has a warning limit, a critical one, or both")
        if warning is not None and critical is not None:
            is_wrong = critical > warning if self.below else critical < warning
            if is_wrong:
                raise ValueError("the critical limit must lie beyond the warning limit")
        return self


class Mcp(_Section):
    """What the MCP server may do.

    Attributes:
        databases: Databases that a caller may name besides the configured source.
        max_rows: Rows of an answer; more are cut, and that is told.
        max_text: Characters of a text from the data.
        allowed_hosts: Names under which the server may be called beyond this machine.
    """

    databases: Texts = ()
    max_rows: Positive = 1000
    max_text: Positive = 500
    allowed_hosts: Texts = ()


class MonitoringConfig(_Section):
    """The whole rules file.

    Attributes:
        history_start: The first day that is monitored; older executions are only counted.
        keep: How long things are kept.
        source: How the source may be touched.
        home: How the home may be waited for.
        redaction: What free text loses on its way into the warehouse.
        mcp: What the MCP server may do.
        rules: The alert rules, by the name of their measurement.
    """

    history_start: date = date(2023, 1, 1)
    keep: Keep = Keep()
    source: SourceLimits = SourceLimits()
    home: HomeLimits = HomeLimits()
    redaction: Redaction = Redaction()
    mcp: Mcp = Mcp()
    rules: dict[Measurement, Rule] = {}


def load_config(*files: Path) -> MonitoringConfig:
    """Read rules files, each over those before it, which supply what it leaves out.

    Args:
        files: The shipped rules file first.

    Raises:
        ConfigError: A file is missing or unreadable, is not YAML, or a value is wrong; the
            message names the file, the line and the key.
    """
    merged: dict[str, object] = {}
    config = MonitoringConfig()
    for path in files:
        text = _read(path)
        merged = _over(merged, _parse(path, text))
        try:
            config = MonitoringConfig.model_validate(merged)
        except ValidationError as error:
            first = error.errors()[0]
            key = [str(part) for part in first["loc"]]
            raise ConfigError(
                f"{path}, line {_line_of(text, key)}, {'.'.join(key)}: {first['msg']}",
                remedy="correct that value",
            ) from None
    return config


def _over(base: dict[str, object], given: dict[str, object]) -> dict[str, object]:
    """The sections of one file over those of another; rules are merged limit by limit."""
    merged = base | {section: values for section, values in given.items() if values is not None}
    for section, values in given.items():
        fallback = base.get(section)
        if isinstance(values, dict) and isinstance(fallback, dict):
            merged[section] = _merged(fallback, values) if section == "rules" else fallback | values
    return merged


def _merged(base: dict[str, object], given: dict[str, object]) -> dict[str, object]:
    """What is given over what it leaves out, at every depth."""
    merged = base | given
    for name, value in given.items():
        fallback = base.get(name)
        if isinstance(value, dict) and isinstance(fallback, dict):
            merged[name] = _merged(fallback, value)
    return merged


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the rules file {path} cannot be read ({error})",
            remedy="name a readable YAML file with --thresholds or in DBMON_CONFIG, or none for the"
            " shipped one",
        ) from None


def _parse(path: Path, text: str) -> dict[str, object]:
    try:
        parsed = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML ({error})", remedy="correct that place") from None
    if not isinstance(parsed, dict | None):
        raise ConfigError(f"{path} holds no mapping", remedy="write it as 'key: value' lines")
    return parsed or {}


def _line_of(text: str, key: list[str]) -> int:
    """The line on which a key of nested mappings stands, or that of its nearest parent."""
    node, line = yaml.compose(text, Loader=yaml.SafeLoader), 1
    for part in key:
        if not isinstance(node, yaml.MappingNode):
            break
        for name, value in node.value:
            if name.value == part:
                node, line = value, name.start_mark.line + 1
                break
    return line
