"""Lengths of time, as they are typed: ``30m``, ``2h`` or ``1d``."""

import re
from datetime import datetime, timedelta

import typer

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.common.instants import parse_instant
from dbmon_pipeline.core.config.rule import length_of


def parse_length(text: str) -> timedelta:
    """Parse a length of time.

    Raises:
        BadParameter: It is none.
    """
    if not _is_length(text):
        raise typer.BadParameter(f"{text!r} is not a length such as 30m, 2h or 1d")
    return length_of(text)


def parse_since(text: str, *, end: datetime) -> datetime:
    """Parse an instant, or a length before the end.

    Raises:
        ConfigError: It is neither.
    """
    if _is_length(text):
        return end - length_of(text)
    try:
        return parse_instant(text)
    except ConfigError:
        raise ConfigError(
            f"{text!r} is neither a length nor a time",
            remedy="write for instance 30d, or 2026-02-10T03:40:00Z",
        ) from None


def _is_length(text: str) -> bool:
    return re.fullmatch("[1-9][0-9]{0,2}[mhd]", text) is not None
