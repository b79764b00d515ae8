"""Messages for people: one title and one text for all that one target is told at once.

Whatever comes from the data is somebody else's text: it stays on its line, is cut, and cannot call
anybody in a chat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from dbmon_pipeline.core.common.safe_text import plain
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.incident import Finding, Incident, Kind, Notification

_LONGEST_SUMMARY = 500
_MOST_HEADLINES = 20
_MOST_DETAILED = 10
_MOST_CONTRIBUTORS = 5
_ZERO_WIDTH_SPACE = "\u200b"
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def title(notifications: Sequence[Notification]) -> str:
    """Return a one-line title for a group of notifications."""
    if len(notifications) == 1:
        (notification,) = notifications
        said = f"{notification.kind.upper()}, {_severity(notification)}"
        return f"dbmon: {said}: {_safe(notification.incident.finding.rule)}"
    counts = Counter(notification.kind for notification in notifications)
    said = ", ".join(f"{counts[kind]} {kind}" for kind in Kind if counts[kind])
    severity = worst(notifications)
    return f"dbmon: {said}" + (f"; the worst is {severity}" if severity else "")


def text(notifications: Sequence[Notification]) -> str:
    """Render a group of notifications, the headlines first."""
    headlines = [_headline(notification) for notification in notifications]
    sections = [
        "\n".join((headline, *_lines(notification.incident, notification.kind)))
        for headline, notification in zip(headlines, notifications, strict=True)
    ]
    detailed = _some(sections, _MOST_DETAILED, between="\n\n")
    if len(notifications) == 1:
        return detailed
    return f"{_some([f'- {headline}' for headline in headlines], _MOST_HEADLINES)}\n\n{detailed}"


def summary(incident: Incident) -> str:
    """Summarize, in one sentence, what is wrong."""
    return without_mentions(plain(incident.finding.summary, _LONGEST_SUMMARY))


def details(incident: Incident) -> str:
    """Describe an incident, whatever has just become of it."""
    return "\n".join(_lines(incident, None))


def worst(notifications: Sequence[Notification]) -> Severity | None:
    """Return the worst severity of the notifications that are not over; None if all are."""
    severities = {
        notification.incident.severity
        for notification in notifications
        if notification.kind is not Kind.RESOLVED
    }
    return Severity.CRITICAL if Severity.CRITICAL in severities else min(severities, default=None)


def without_mentions(value: str) -> str:
    """Change a text so that no chat takes it for a mention."""
    for opening in "@<":
        value = value.replace(opening, opening + _ZERO_WIDTH_SPACE)
    return value


def _safe(value: str) -> str:
    return without_mentions(plain(value))


def _some(parts: Sequence[str], most: int, *, between: str = "\n") -> str:
    """Join parts, but not more of them than anybody reads."""
    shown = list(parts[:most])
    if len(parts) > most:
        shown.append(f"... and {len(parts) - most} more")
    return between.join(shown)


def _severity(notification: Notification) -> str:
    incident = notification.incident
    if notification.kind is Kind.RESOLVED:
        return f"was {incident.worst}"
    return f"{'now ' if notification.kind is Kind.ESCALATED else ''}{incident.severity}"


def _headline(notification: Notification) -> str:
    incident = notification.incident
    return (
        f"{notification.kind.upper()} #{incident.number}, {_severity(notification)}:"
        f" {_safe(incident.finding.rule)}, {_safe(incident.finding.scope)}"
    )


def _lines(incident: Incident, kind: Kind | None) -> list[str]:
    finding = incident.finding
    lines = [summary(incident), f"Value: {_value(finding)}"]
    if finding.window_start is not None and finding.window_end is not None:
        lines.append(f"Window: {_span(finding.window_start, finding.window_end)}")
    if incident.resolved_at is not None:
        lasted = _duration(incident.resolved_at - incident.opened_at)
        lines.append(f"Lasted: {lasted} ({_span(incident.opened_at, incident.resolved_at)})")
    else:
        lines.append(f"Since: {incident.opened_at:%Y-%m-%d %H:%M} UTC")
        if incident.acknowledged_by is not None:
            lines.append(f"Taken on by: {_safe(incident.acknowledged_by)}")
        elif kind is Kind.REMINDER:
            lines.append("Nobody has taken it on")
        if finding.contributors:
            shown = [f"- {_safe(line)}" for line in finding.contributors]
            lines += ["What contributes most:", _some(shown, _MOST_CONTRIBUTORS)]
        lines.append(f"What to do: RUNBOOK.md, section {_safe(finding.runbook)}")
    lines.append(f"Owner: {_safe(finding.owner)}")
    return lines


def _value(finding: Finding) -> str:
    value = "none" if finding.value is None else _number(finding.value)
    if finding.limit is not None:
        value += f", must not be {finding.direction} {_number(finding.limit)}"
    return f"{value} ({finding.samples:,} sample{'' if finding.samples == 1 else 's'})"


def _number(value: float) -> str:
    """Format four figures, or all of those before the point."""
    if abs(value) >= 1_000 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _span(start: datetime, end: datetime) -> str:
    until = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M}"
    return f"{start:%Y-%m-%d %H:%M} to {until} UTC"


def _duration(length: timedelta) -> str:
    """Format a length of time in its two largest units."""
    left = max(0, int(length.total_seconds()))
    parts = []
    for unit, seconds in _UNITS:
        count, left = divmod(left, seconds)
        parts.append((count, unit))
    first = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
    shown = parts[first : first + 2]
    return " ".join(f"{count} {unit}" for count, unit in shown if count or first == len(parts) - 1)
