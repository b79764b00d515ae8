"""Lengths of time, as they are typed: ``30m``, ``2h`` or ``1d``."""

import re
from datetime import timedelta

import typer

from dbmon_pipeline.core.rule_config import length_of


def is_length(text: str) -> bool:
    """Whether a text is a length."""
    return re.fullmatch("[1-9][0-9]{0,2}[mhd]", text) is not None


def length(text: str) -> timedelta:
    """The length that a text is.

    Raises:
        BadParameter: It is none.
    """
    if not is_length(text):
        raise typer.BadParameter(f"{text!r} is not a length such as 30m, 2h or 1d")
    return length_of(text)
