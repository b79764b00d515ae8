"""Request for a refresh."""

from __future__ import annotations

from datetime import date, datetime

import msgspec

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.common.instants import parse_as_of


class RefreshRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Request for a refresh.

    Attributes:
        as_of: Rows at or after it are not read, naive UTC.
        since: The first day to read again whether or not it differs.
        until: The last such day; today if only ``since`` is given.
        compare_days: How many days are compared closely; None for the usual hours.
        full: Whether all of the history is compared closely.
        accept_shrink: Whether what the source no longer holds may go, however much it is.
    """

    as_of: datetime
    since: date | None = None
    until: date | None = None
    compare_days: int | None = None
    full: bool = False
    accept_shrink: bool = False


def parse_request(
    *,
    as_of: str | None = None,
    since: str | None = None,
    until: str | None = None,
    full: bool = False,
    compare_days: int | None = None,
    accept_shrink: bool = False,
) -> RefreshRequest:
    """Read a request from the texts that a person gave.

    Args:
        as_of: An ISO 8601 instant that has passed; the present one if left out.
        since: The first day to read again, as ``YYYY-MM-DD``.
        until: The last such day.
        full: Whether all of the history is compared closely.
        compare_days: How many days are compared closely.
        accept_shrink: Whether what the source no longer holds may go.

    Raises:
        ConfigError: A text cannot be understood, or two of them contradict each other.
    """
    instant = parse_as_of(as_of)
    first, last = _parse_day("since", since), _parse_day("until", until)
    if last and not first:
        raise ConfigError(
            "until is given without since", remedy="give the first day to read again, too"
        )
    end = last or instant.date()
    if first and first > end:
        raise ConfigError(
            f"since {first} lies after {'until' if last else 'today,'} {end}",
            remedy="give an earlier day",
        )
    if compare_days is not None and compare_days < 1:
        raise ConfigError(f"compare_days is {compare_days}", remedy="give 1 or more")
    return RefreshRequest(
        as_of=instant,
        since=first,
        until=last,
        full=full,
        compare_days=compare_days,
        accept_shrink=accept_shrink,
    )


def _parse_day(name: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"{name} {text[:40]!r} is not a day", remedy="write it as YYYY-MM-DD"
        ) from None
