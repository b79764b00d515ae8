"""Taking turns with an owner that opens its database for each write.

It finds the database held if it comes while we look. One that wrote a moment ago will soon write
again, so its next write is awaited: right after it there is most time until the one after. Nobody
can tell that time but from those before; if one was too short for a look, the owner writes several
times in a row, and the end of that is awaited. If it does not come, a look would disturb the owner.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from time import monotonic, sleep, time

from dbmon_pipeline.core.source.file_lock import writing_process

_RECENT_SECONDS = 0.15
"""An owner that wrote longer ago may come at any time, or not at all."""
_QUIET_SECONDS = 0.12
"""An owner that has not come for so long will not come soon, nor go if it is there: it keeps the
file open, or writes for longer than it rests."""
_PATIENCE_SECONDS = 0.25
"""If there was no time for a look all that while, there will be none soon."""
_GLANCE_SECONDS = 0.0005
_GAPS = 3
"""So many times between writes tell of the next one."""
_MARGIN = 1.5
"""How many times as long as a look the shortest of them must be."""


class Turns:
    """When to look into one database."""

    def __init__(self, path: Path) -> None:
        """Nothing is known of the owner.

        Args:
            path: The database, which this process must not have open.
        """
        self._path = path
        self._gaps: deque[float] = deque(maxlen=_GAPS)

    def await_turn(self, look_seconds: float) -> bool:
        """Wait until its owner has just written, if it is one that writes all the time.

        Args:
            look_seconds: How long the database will be held.

        Returns:
            Whether that disturbs nobody, as far as one can tell.
        """
        with suppress(OSError):  # what is wrong with the file is told by whoever attaches it
            seen = self._path.stat()
            if S_ISREG(seen.st_mode) and time() - seen.st_mtime < _RECENT_SECONDS:
                return self._watch(look_seconds * _MARGIN)
        return True

    def _watch(self, time_needed: float) -> bool:
        begun = changed = monotonic()
        was_held = has_been_held = knows_more = False
        with self._path.open("rb") as file:
            while True:
                now = monotonic()
                is_held = writing_process(file) is not None
                if is_held != was_held:
                    if not is_held:
                        is_long = knows_more and min(self._gaps) >= time_needed
                        if is_long or now - begun > _PATIENCE_SECONDS:
                            return is_long
                        has_been_held = True
                    elif has_been_held:
                        self._gaps.append(now - changed)
                        knows_more = True
                    changed, was_held = now, is_held
                elif now - changed > _QUIET_SECONDS:
                    return not is_held
                sleep(_GLANCE_SECONDS)
