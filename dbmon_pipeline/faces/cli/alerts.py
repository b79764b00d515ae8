"""``dbmon alerts``: incidents, who takes them on, what is silent; trials of targets and rules."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from dbmon_pipeline.core.common.errors import IncidentError
from dbmon_pipeline.core.common.instants import iso, utc_now
from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.incidents.incident import Incident, IncidentState
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.faces.cli.lengths import parse_length, parse_since
from dbmon_pipeline.faces.cli.options import FormatOption, HomeOption
from dbmon_pipeline.faces.cli.output import Format, print_info, print_result, print_rows
from dbmon_pipeline.faces.cli.replay import replay_alerts

ByOption = Annotated[str | None, typer.Option(help="Who you are. [your login]")]

alerts = typer.Typer(help="Incidents: what is wrong, who has taken it on, what is silent.")


@alerts.callback(invoke_without_command=True)
def open_alerts(
    context: typer.Context,
    home: HomeOption = None,
    format: FormatOption = Format.TABLE,  # noqa: A002
) -> None:
    """List the open incidents, the worst first."""
    if context.invoked_subcommand:
        return
    with _store(home) as incidents:
        listed = incidents.open_incidents()
        silences = incidents.silences(utc_now())
        undelivered = incidents.undelivered()
    _print_incidents(listed, format)
    for silence in silences:
        matcher = ", ".join(f"{key}={value}" for key, value in silence.matcher.items())
        print_info(
            f"silence {silence.number}: {matcher} until {iso(silence.until)}, by {silence.by}"
        )
    for notification in undelivered:
        if notification.attempts:
            fate = "given up" if notification.is_given_up else "will be tried again"
            tries = f"{notification.attempts} attempt{'' if notification.attempts == 1 else 's'}"
            print_info(
                f"not told: {notification.target}, {notification.kind} of incident"
                f" {notification.incident.number}, after {tries}, {fate}:"
                f" {notification.last_error}"
            )


@alerts.command()
def history(
    since: Annotated[str, typer.Option(help="Not over before: a length (30d) or a time.")] = "30d",
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    home: HomeOption = None,
    format: FormatOption = Format.TABLE,  # noqa: A002
) -> None:
    """List incidents, also those that are over, the newest first."""
    with _store(home) as incidents:
        listed = incidents.history(parse_since(since, end=utc_now()), limit)
    _print_incidents(listed, format)


@alerts.command()
def ack(
    number: Annotated[int, typer.Argument(help="The incident.")],
    by: ByOption = None,
    home: HomeOption = None,
) -> None:
    """Acknowledge an incident; it notifies again only if it escalates."""
    with _store(home) as incidents:
        incident = incidents.acknowledge(number, by or _login(), utc_now())
    print_result(
        f"incident {number} ({incident.finding.fingerprint}): {incident.acknowledged_by} has it"
    )


@alerts.command()
def silence(
    matchers: Annotated[
        list[str], typer.Argument(help="KEY=VALUE: rule, scope, severity, owner, or a label.")
    ],
    duration: Annotated[str, typer.Option("--for", help="For how long, for instance 2h.")],
    by: ByOption = None,
    home: HomeOption = None,
) -> None:
    """Silence notifications for matching incidents. A value may end in * for any ending."""
    pairs = [_pair(text) for text in matchers]
    matcher = dict(pairs)
    if len(matcher) < len(pairs):
        raise typer.BadParameter("a key is given twice, and no incident has two values of it")
    now = utc_now()
    until = now + parse_length(duration)
    with _store(home) as incidents:
        number = incidents.silence(matcher, until, by or _login(), now)
    print_result(f"silence {number} until {iso(until)}")


@alerts.command()
def unsilence(
    number: Annotated[int, typer.Argument(help="The silence.")], home: HomeOption = None
) -> None:
    """End a silence; what still fires is told."""
    with _store(home) as incidents:
        incidents.unsilence(number, utc_now())
    print_result(f"silence {number} has ended")


@alerts.command("test")
def try_(
    target: Annotated[str, typer.Argument(help="One of notifications.targets in the rules file.")],
    home: HomeOption = None,
) -> None:
    """Tell a target of an incident that is none, and of its end."""
    from dbmon_pipeline.outputs.notify.trial import send_trial

    send_trial(target, Settings.load(home=home).config.notifications, os.environ, utc_now())
    print_result(f"{target} was told")


alerts.command("replay")(replay_alerts)


@contextmanager
def _store(home: HomeOption) -> Iterator[Incidents]:
    settings = Settings.load(home=home)
    if not settings.home.path.is_dir():
        raise IncidentError(
            f"there is no home {settings.home.path}", remedy="name another with --home or refresh"
        )
    with Incidents(
        settings.home.incidents, notifications=settings.config.notifications
    ) as incidents:
        yield incidents


def _print_incidents(incidents: list[Incident], form: Format) -> None:
    columns = ("number", "severity", "state", "rule", "scope", "opened_at", "resolved_at", "by")
    rows: list[tuple[object, ...]] = [
        (
            incident.number,
            incident.worst if incident.state is IncidentState.RESOLVED else incident.severity,
            incident.state,
            incident.finding.rule,
            incident.finding.scope,
            incident.opened_at.replace(microsecond=0),
            incident.resolved_at.replace(microsecond=0) if incident.resolved_at else None,
            incident.acknowledged_by,
            incident.finding.summary,
        )
        for incident in incidents
    ]
    if form is Format.TABLE and not rows:
        print_result("no incidents")
    else:
        print_rows(Rows((*columns, "summary"), rows), form)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # as in a container, whose users need not have a name
        return f"user {os.getuid()}"


def _pair(text: str) -> tuple[str, str]:
    key, found, value = text.partition("=")
    if not (key and found and value):
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE, for instance rule=success_rate")
    return key, value
