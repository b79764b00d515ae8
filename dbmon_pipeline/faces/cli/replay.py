"""``dbmon alerts replay``: what rules would have said of the past."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
import yaml

from dbmon_pipeline.core.common.atomic_files import write_whole
from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.common.instants import HOUR, iso, parse_instant
from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.rule import OF_ROWS, RATES, Severity
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.replay.proposed_limits import propose_limits
from dbmon_pipeline.core.replay.replay import Replay, replay
from dbmon_pipeline.faces.cli.lengths import parse_since
from dbmon_pipeline.faces.cli.options import FormatOption, HomeOption
from dbmon_pipeline.faces.cli.output import Format, print_info, print_rows, progress

_PRESENT = "as they are"
_MOST = 0.9


def replay_alerts(
    since: Annotated[
        str, typer.Option(help="Where to begin: a length before the end (60d), or a time.")
    ] = "30d",
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Where to end. [what was refreshed last]")
    ] = None,
    thresholds: Annotated[
        Path | None,
        typer.Option(readable=False, help="Another rules file to compare with."),
    ] = None,
    propose: Annotated[
        Path | None,
        typer.Option(
            help="Write limits here for rules whose normal state lies beyond theirs, and compare."
        ),
    ] = None,
    episodes: Annotated[bool, typer.Option("--episodes", help="List every incident.")] = False,
    home: HomeOption = None,
    format: FormatOption = Format.TABLE,  # noqa: A002
) -> None:
    """Show which incidents the rules would have opened in the past, with one set of rules or two.

    It looks every five minutes while the executions themselves are published (today and two days),
    and every hour before.
    """
    if thresholds and propose:
        raise typer.BadParameter("give either --thresholds or --propose")
    if propose and propose.exists():
        raise ConfigError(f"{propose} exists", remedy="name a file that does not")
    settings = Settings.load(home=home)
    configs = {_PRESENT: settings.config}
    if thresholds:
        configs[str(thresholds)] = Settings.load(home=home, rules=thresholds).config
    replays: dict[str, Replay] = {}
    with Published(settings.home) as published, progress():
        until = _until(as_of, published.manifest.as_of)
        start = parse_since(since, end=until)
        for name, config in configs.items():
            replays[name] = replay(published, config, start, until)
        if propose:
            with_limits = _with_limits(propose, replays[_PRESENT], settings)
            replays[str(propose)] = replay(published, with_limits, start, until)
    print_rows((_episodes if episodes else _summary)(replays), format)
    _print_reach(replays[_PRESENT], settings.config, propose)


def _until(as_of: str | None, published: datetime) -> datetime:
    if as_of is None:
        return published
    until = parse_instant(as_of)
    if until > published:
        raise ConfigError(
            f"nothing is published of the time after {iso(published)}",
            remedy="give an earlier --as-of, or run dbmon refresh first",
        )
    return until


def _with_limits(path: Path, past: Replay, settings: Settings) -> MonitoringConfig:
    """Write the proposal; the rules with its limits.

    Raises:
        ConfigError: No rule is beyond its limits for most of the time.
    """
    limits = propose_limits(past.rules, settings.config.rules)
    if not limits:
        raise ConfigError(
            "no rule is beyond its limits for most of the time, or none that a limit would help",
            remedy="leave --propose out to see what they say",
        )
    heading = (
        f"# Limits that fit what was usual from {iso(past.start)} to {iso(past.end)}.\n"
        "# Name this file as DBMON_CONFIG, or copy its rules into the one that is named there.\n"
    )
    write_whole(path, heading + yaml.safe_dump({"rules": limits}, sort_keys=False))
    return Settings.load(home=settings.home.path, rules=path).config


def _summary(replays: Mapping[str, Replay]) -> Rows:
    """Build a row for each rule and rules file, those of a rule together."""
    names = dict.fromkeys(rule_past.rule for past in replays.values() for rule_past in past.rules)
    rows: list[tuple[object, ...]] = []
    for name in names:
        for file, past in replays.items():
            for rule_past in past.rules:
                if rule_past.rule == name:
                    hours = [lasted / HOUR for lasted in rule_past.durations(past.end)]
                    rows.append(
                        (
                            name,
                            file,
                            len(rule_past.episodes),
                            sum(e.severity is Severity.CRITICAL for e in rule_past.episodes),
                            rule_past.flaps,
                            round(median(hours), 2) if hours else None,
                            round(max(hours), 2) if hours else None,
                            _percent(rule_past.share_beyond_limit),
                            _percent(rule_past.unknown),
                            rule_past.usual,
                        )
                    )
    columns = ("rule", "limits", "episodes", "critical", "flaps", "median_hours", "longest_hours")
    return Rows((*columns, "troubled_percent", "unknown_percent", "usual"), rows)


def _episodes(replays: Mapping[str, Replay]) -> Rows:
    rows: list[tuple[object, ...]] = [
        (
            episode.fired_at,
            episode.resolved_at,
            episode.severity,
            episode.rule,
            episode.scope,
            file,
            episode.summary,
        )
        for file, past in replays.items()
        for rule in past.rules
        for episode in rule.episodes
    ]
    columns = ("fired_at", "resolved_at", "severity", "rule", "scope", "limits", "summary")
    return Rows(columns, sorted(rows, key=lambda row: str(row[0])))


def _print_reach(past: Replay, config: MonitoringConfig, propose: Path | None) -> None:
    """Print how the replay looked, and what may be done about it."""
    looks = f"every hour from {iso(past.start)}, every five minutes from {iso(past.fine_from)}"
    if past.fine_from <= past.start:
        looks = f"every five minutes from {iso(past.start)}"
    elif past.fine_from >= past.end:
        looks = f"every hour from {iso(past.start)}"
    print_info(f"looked {looks} to {iso(past.end)}")
    if past.left_out:
        print_info(f"left out, for their past is not known: {', '.join(sorted(past.left_out))}")
    unknown = [
        rule.rule
        for rule in past.rules
        if rule.unknown > _MOST
        and (config.rules[rule.rule].measurement or rule.rule) in RATES - OF_ROWS
    ]
    if unknown:
        print_info(
            f"too little to judge nearly always: {', '.join(unknown)}; longer windows or a lower"
            " min_samples would tell more"
        )
    unfit = propose_limits(past.rules, config.rules)
    if propose:
        print_info(
            f"{propose} has limits for {', '.join(unfit)}; name it as DBMON_CONFIG to use them"
        )
    elif unfit:
        print_info(
            f"beyond its limits most of the time: {', '.join(unfit)}; if that is its normal state,"
            " --propose FILE writes limits that fit"
        )


def _percent(part: float) -> float:
    return round(100 * part, 1)
