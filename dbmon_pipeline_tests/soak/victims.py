"""What is killed, or runs out of disk: pieces of work in processes of their own.

A piece of work gets settings, an instant, and what it calls when the work proper begins. Another
one is an entry in :data:`VICTIMS`.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable
from datetime import date, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

from dbmon_pipeline.core.archive.archive import archive
from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import DbmonError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.warehouse import compaction
from dbmon_pipeline.core.warehouse.compaction import compact
from dbmon_pipeline.core.warehouse.extract import kept_from
from dbmon_pipeline.core.warehouse.opening import open_warehouse
from dbmon_pipeline.core.warehouse.plan import Scope
from dbmon_pipeline.core.warehouse.publish import publish, remove_old_generations
from dbmon_pipeline.core.warehouse.warehouse import Warehouse
from dbmon_pipeline_tests import helpers

Begun = Callable[[], None]
Victim = Callable[[Settings, datetime, Begun], None]

FEWEST_GENERATIONS = 3
"""How many generations a retention leaves, which are fewer than a refresh does."""

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])
_PATIENCE_SECONDS = 120.0


def refreshing(settings: Settings, as_of: datetime, begun: Begun) -> None:
    """A whole refresh."""
    begun()
    helpers.refresh_core(settings, as_of, Scope.FULL)


def publication(settings: Settings, as_of: datetime, begun: Begun) -> None:
    """The publication at the end of a refresh."""

    def publishing(*arguments: object, **named: object) -> object:
        begun()
        return publish(*arguments, **named)  # type: ignore[arg-type]

    with mock.patch.object(helpers, "publish", publishing):
        helpers.refresh_core(settings, as_of, Scope.FULL)


def retention(settings: Settings, as_of: datetime, begun: Begun) -> None:
    """Raw rows that are kept no longer, and generations that were kept longer before."""
    with mock.patch.object(Warehouse, "forget_executions_before"):
        helpers.refresh_core(settings, as_of, Scope.FULL)
    begun()
    with Warehouse(settings.home.warehouse) as warehouse:
        warehouse.forget_executions_before(kept_from(settings.config, as_of))
    remove_old_generations(settings.home, keep=FEWEST_GENERATIONS)


def archiving(settings: Settings, as_of: datetime, begun: Begun) -> None:
    """The archive of all but the last month."""
    begun()
    archive(settings, archived_before(as_of), archive_folder(settings, as_of))


def archived_before(as_of: datetime) -> date:
    """The first day that is not archived."""
    return (as_of - timedelta(days=30)).date()


def archive_folder(settings: Settings, as_of: datetime) -> Path:
    """Where the archive of an instant lies."""
    return settings.source.with_name(f"archive-{as_of:%Y%m%dT%H%M%S}")


def migration(settings: Settings, as_of: datetime, begun: Begun) -> None:
    """The first refresh of a home that was made by an older version."""
    with connect(settings.home.warehouse) as con:
        con.execute("ALTER TABLE check_history DROP COLUMN sentence")
        con.execute("ALTER TABLE tier_performance ADD COLUMN formerly INTEGER")
        con.execute("UPDATE state SET value = 'another' WHERE name = 'select:tier_performance'")
    refreshing(settings, as_of, begun)


def restoring(settings: Settings, as_of: datetime, begun: Begun) -> None:
    """The first refresh after the warehouse was lost."""
    settings.home.warehouse.unlink()
    settings.home.warehouse.with_name(f"{settings.home.warehouse.name}.wal").unlink(missing_ok=True)
    refreshing(settings, as_of, begun)


def compacting(settings: Settings, as_of: datetime, begun: Begun) -> None:  # noqa: ARG001
    """A warehouse that once held much more, written anew."""
    with open_warehouse(settings.home) as warehouse:
        con = warehouse.con
        con.execute("CREATE OR REPLACE TABLE once AS SELECT range AS n FROM range(2_000_000)")
        con.execute("CHECKPOINT opened")
        con.execute("DELETE FROM once WHERE n % 100 > 0")
        with mock.patch.object(compaction, "_LEAST_BYTES", 0):
            begun()
            compact(warehouse)


VICTIMS: dict[str, Victim] = {
    "refresh": refreshing,
    "snapshot": refreshing,
    "publication": publication,
    "retention": retention,
    "archive": archiving,
    "migration": migration,
    "restore": restoring,
    "compaction": compacting,
}
HELD = frozenset({"snapshot"})
"""Those that find the source held open by its owner."""


class Work:
    """A victim at work, in a process that has everything imported.

    Attributes:
        began: When its work began.
        error: What it ended with, if it did and that was an error.
    """

    def __init__(
        self,
        victim: Victim,
        settings: Settings,
        as_of: datetime,
        first: Callable[[], None] | None = None,
    ) -> None:
        """Start it, and wait until its work begins.

        Args:
            victim: What is done.
            settings: Where.
            as_of: As of when.
            first: What that process does when its work begins.

        Raises:
            AssertionError: It ended before.
        """
        self._told, telling = _FORKS.Pipe(duplex=False)
        self._process = _FORKS.Process(target=_work, args=(victim, settings, as_of, first, telling))
        self._process.start()
        telling.close()
        assert self._told.poll(_PATIENCE_SECONDS)
        first = self._told.recv()
        assert first == "begun", first
        self.began = time.monotonic()
        self.error = ""

    def kill_after(self, seconds: float) -> float | None:
        """Kill it after a time.

        Returns:
            None if it was still at work; else how long that had taken.
        """
        self._told.poll(seconds)
        lasted = time.monotonic() - self.began
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        try:
            self.error = self._told.recv()
        except EOFError:
            return None
        finally:
            self._told.close()
        return lasted

    def end(self) -> tuple[float, str]:
        """Let it end; how long it took, and the error that it ended with, if any."""
        assert self._told.poll(_PATIENCE_SECONDS)
        self.error = self._told.recv()
        seconds = time.monotonic() - self.began
        self._process.join()
        self._told.close()
        return seconds, self.error


def _work(
    victim: Victim,
    settings: Settings,
    as_of: datetime,
    first: Callable[[], None] | None,
    telling: Connection,
) -> None:
    def begun() -> None:
        if first:
            first()
        telling.send("begun")

    try:
        victim(settings, as_of, begun)
    except DbmonError as error:
        telling.send(str(error))
    except Exception:
        telling.send(traceback.format_exc())
    else:
        telling.send("")
