"""Loader of the rules file: YAML read, merged over the shipped one, and validated."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.common.instants import is_time_zone
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.notifications import TargetConfig
from dbmon_pipeline.core.config.rule import Rule, check_rule

_DEEPEST = 10
_REPLACED = {
    ("source", "snapshot"): (
        "gone, since the source is read live, without a lock and without a copy",
        "remove that key",
    ),
    ("source", "longest_hold_ms"): (
        "gone, since reading the source holds no lock",
        "remove that key",
    ),
    ("source", "lock_wait_seconds"): (
        "replaced by source.attach_wait_seconds, which counts on network file systems alone",
        "rename that key",
    ),
    ("keep", "executions_days"): (
        "gone, since no executions are kept but those in recent_executions: today and two days"
        " before",
        "remove that key; dbmon archive keeps older ones",
    ),
}
"""Keys of earlier versions: what became of each, and what to do about it."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader in C, five times as fast, where it is installed."""


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
        parsed = _parse(path, text)
        try:
            _check(parsed)
            _refuse_replaced(parsed)
            merged = _over(merged, parsed)
            config = _convert(merged)
        except _WrongValueError as wrong:
            raise ConfigError(
                f"{path}, line {_line_of(text, wrong.key)}, {'.'.join(wrong.key)}: {wrong}",
                remedy=wrong.remedy,
            ) from None
    return config


class _WrongValueError(Exception):
    """Error of a value that is not allowed, with the place of that value."""

    def __init__(
        self, key: tuple[str, ...], message: str, remedy: str = "correct that value"
    ) -> None:
        self.key = key
        self.remedy = remedy
        super().__init__(message)


def _check(value: object, key: tuple[str, ...] = ()) -> None:
    """Check that keys are names, and that numbers are numbers."""
    if len(key) > _DEEPEST:
        raise _WrongValueError(key[:2], "nested too deeply")
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise _WrongValueError((*key, str(name)), "the key is not a name")
            _check(inner, (*key, name))
    elif isinstance(value, float) and not math.isfinite(value):
        raise _WrongValueError(key, "not a finite number")


def _refuse_replaced(parsed: Mapping[str, object]) -> None:
    """Refuse a key of an earlier version, which would otherwise be merely unknown."""
    for key, (became, remedy) in _REPLACED.items():
        section = parsed.get(key[0])
        if isinstance(section, Mapping) and key[1] in section:
            raise _WrongValueError(key, became, remedy)


def _convert(merged: Mapping[str, object]) -> MonitoringConfig:
    """Convert nested mappings to the configuration.

    Rules, patterns and targets are converted one by one, to name the one that is wrong.

    Raises:
        _WrongValueError: A value cannot be.
    """
    rules = {}
    for name, given in _named(merged, "rules"):
        rule = rules[name] = _converted(given, Rule, ("rules", name))
        try:
            check_rule(name, rule)
        except ValueError as error:
            raise _WrongValueError(("rules", name), str(error)) from None
    for name, pattern in _named(merged, "redaction", "patterns"):
        key = ("redaction", "patterns", name)
        if not re.fullmatch("[a-z0-9_]+", name):
            raise _WrongValueError(key, "the name has other characters than a-z, 0-9 and _")
        _converted(pattern, str, key)
    for name, target in _named(merged, "notifications", "targets"):
        _converted(target, TargetConfig, ("notifications", "targets", name))
    config = _converted({**merged, "rules": {}}, MonitoringConfig, ())
    if not is_time_zone(config.report.time_zone):
        raise _WrongValueError(
            ("report", "time_zone"),
            f"there is no time zone {config.report.time_zone[:100]!r}; an IANA name is meant, such"
            " as UTC or Europe/Berlin",
        )
    return msgspec.structs.replace(config, rules=rules)


def _named(merged: Mapping[str, object], *key: str) -> Iterable[tuple[str, object]]:
    """List the items of a mapping whose names the user chooses."""
    section: object = merged
    for part in key:
        section = section.get(part) or {} if isinstance(section, Mapping) else {}
    if not isinstance(section, Mapping):
        raise _WrongValueError(key, "Expected a mapping by name")
    return section.items()


T = TypeVar("T")


def _converted(value: object, wanted: type[T], key: tuple[str, ...]) -> T:
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        said, _, at = str(error).partition(" - at `$")
        field = re.search("unknown field `(.*)`", said)
        inner = (*at.strip("`").split(".")[1:], *(field.groups() if field else ()))
        raise _WrongValueError((*key, *inner), said) from None


def _over(base: dict[str, object], given: dict[str, object]) -> dict[str, object]:
    """Merge the sections of one file over those of another; rules are merged limit by limit."""
    return base | {
        section: _merged(base.get(section), values, _DEEPEST if section == "rules" else 1)
        for section, values in given.items()
        if values is not None
    }


def _merged(base: object, given: object, levels: int) -> object:
    """Merge a mapping over another one, down to a level; what else is given replaces the base."""
    if not levels or not isinstance(base, dict) or not isinstance(given, dict):
        return given
    return base | {
        name: _merged(base.get(name), value, levels - 1) for name, value in given.items()
    }


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
        parsed = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe one
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML ({error})", remedy="correct that place") from None
    if not isinstance(parsed, dict | None):
        raise ConfigError(f"{path} holds no mapping", remedy="write it as 'key: value' lines")
    return parsed or {}


def _line_of(text: str, key: tuple[str, ...]) -> int:
    """Find the line on which a key of nested mappings stands, or that of its nearest parent."""
    node, line = yaml.compose(text, Loader=_LOADER), 1
    for part in key:
        if not isinstance(node, yaml.MappingNode):
            break
        for name, value in node.value:
            if name.value == part:
                node, line = value, name.start_mark.line + 1
                break
    return line
