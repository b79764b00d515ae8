"""Instants: the one place that asks the clock, and the one that reads a time from text.

Throughout the core a ``datetime`` is naive and means UTC, as DuckDB's TIMESTAMP does.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dbmon_pipeline.core.common.errors import ConfigError

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EARLIEST = datetime.fromisoformat("1970-01-01")
"""The first instant that may be spoken for; every window that ends there can be reckoned."""


def utc_now() -> datetime:
    """Return the present instant, naive UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 instant; one without an offset is UTC.

    Args:
        text: For instance ``2026-02-10T03:40:00Z``, ``2026-02-10 03:40`` or ``2026-02-10``.

    Returns:
        The instant, naive UTC.

    Raises:
        ConfigError: The text is not an ISO 8601 instant.
    """
    try:
        instant = datetime.fromisoformat(text.strip())
        return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{text!r} is not an instant",
            remedy="write it in ISO 8601, for instance 2026-02-10T03:40:00Z",
        ) from None


def parse_as_of(text: str | None) -> datetime:
    """Return the instant a run speaks for: the one given, or the present one.

    Raises:
        ConfigError: The text cannot be read, or names an instant in the future or before 1970.
    """
    now = utc_now()
    if text is None:
        return now
    as_of = parse_instant(text)
    if as_of > now:
        raise ConfigError(
            f"as-of {iso(as_of)} lies in the future (it is {iso(now)})",
            remedy="give an instant that has passed, or leave it out for the present one",
        )
    if as_of < EARLIEST:
        raise ConfigError(
            f"as-of {iso(as_of)} lies before {iso(EARLIEST)}",
            remedy="give a later instant, or leave it out for the present one",
        )
    return as_of


def iso(instant: datetime) -> str:
    """Format an instant in ISO 8601 with a ``Z``, for people and for files."""
    return instant.isoformat() + "Z"


def is_time_zone(name: str) -> bool:
    """Tell whether a name is the IANA name of a time zone."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # a name that climbs out, a folder, an unknown one
        return False
    return True


def local(instant: datetime, zone: str) -> datetime:
    """Convert an instant to the local time of a time zone, with its offset.

    Args:
        instant: Naive UTC.
        zone: An IANA name.
    """
    return instant.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))


def hour_floor(instant: datetime) -> datetime:
    """Return the full hour at or before an instant."""
    return instant.replace(minute=0, second=0, microsecond=0)


def day_start(day: date) -> datetime:
    """Return the midnight at which a day begins."""
    return datetime.combine(day, time.min)
