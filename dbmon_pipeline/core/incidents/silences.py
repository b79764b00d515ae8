"""Silences: people suspend the notifications of some incidents for a while."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from dbmon_pipeline.core.common.errors import IncidentError
from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.incidents.incident import Silence
from dbmon_pipeline.core.incidents.sqlite_file import IncidentFile, one_of, text


class Silences(IncidentFile):
    """Silences part of the file of incidents; :class:`Incidents` is the whole of it."""

    def silence(self, matcher: Mapping[str, str], until: datetime, by: str, at: datetime) -> int:
        """Silence notifications for matching incidents; their resolution is still notified.

        Args:
            matcher: What an incident must have, see :class:`Silence`.
            until: When it ends.
            by: Who wants it.
            at: The present instant.

        Returns:
            The number of the silence.

        Raises:
            IncidentError: It would cover everything or has ended, or the file cannot be written.
        """
        if not matcher:
            raise IncidentError(
                "a silence of everything is refused",
                remedy="say what is to be silent, for instance rule=success_rate",
            )
        if until <= at:
            raise IncidentError(
                f"a silence until {iso(until)} has ended (it is {iso(at)})",
                remedy="name an instant that is to come",
            )
        with self._transaction() as con:
            self._drop_ended_silences(at)
            (number,) = con.execute(
                "INSERT INTO silences (matcher, until, by, created_at) VALUES (?, ?, ?, ?)"
                " RETURNING number",
                (msgspec.json.encode(dict(matcher)).decode(), text(until), by, text(at)),
            ).fetchone()
        return int(number)

    def unsilence(self, number: int, at: datetime) -> None:
        """End a silence; incidents that still fire are notified at the next round.

        Raises:
            IncidentError: There is no such silence now, or the file cannot be written.
        """
        with self._transaction() as con:
            self._drop_ended_silences(at)
            numbers = [silence.number for silence in self.silences(at)]
            if number not in numbers:
                raise IncidentError(f"there is no silence {number}", remedy=one_of(numbers))
            con.execute("DELETE FROM silences WHERE number = ?", (number,))

    def silences(self, at: datetime) -> list[Silence]:
        """List the silences that have not ended, by number.

        Raises:
            IncidentError: The file cannot be read.
        """
        with self._errors():
            return [
                Silence(
                    number=number,
                    matcher=msgspec.json.decode(matcher, type=dict[str, str]),
                    until=datetime.fromisoformat(until),
                    by=by,
                    created_at=datetime.fromisoformat(created_at),
                )
                for number, matcher, until, by, created_at in self._rows(
                    "SELECT number, matcher, until, by, created_at FROM silences WHERE until > ?"
                    " ORDER BY number",
                    text(at),
                )
            ]

    def _drop_ended_silences(self, at: datetime) -> None:
        self._con.execute("DELETE FROM silences WHERE until <= ?", (text(at),))
