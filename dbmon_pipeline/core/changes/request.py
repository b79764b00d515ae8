"""What a refresh is asked for."""

from __future__ import annotations

from datetime import date, datetime

import msgspec


class RefreshRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a refresh is asked for.

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
