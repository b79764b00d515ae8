"""Data that a call of the MCP server gets: the published data, or a database that it may name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mcp.server.mcpserver.exceptions import ToolError

from dbmon_pipeline.core.common.errors import NotPublishedError
from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.open_reader import database_reader, reading
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.reader import Reader

T = TypeVar("T")

_LONGEST_PATH = 4096


class Data:
    """Reader pool: one generation for each call; the newest one stays open between calls.

    Attributes:
        settings: Whose published data it is, and what a caller may name.
        touching: Held while a database is looked into: the rows of one at a time are in memory.
    """

    def __init__(self, settings: Settings) -> None:
        """Open nothing as yet."""
        self.settings = settings
        self.touching = threading.RLock()
        self._opening = threading.Lock()
        self._published: Published | None = None

    def answer(self, db_path: str | None, ask: Callable[[Reader], T]) -> T:
        """Let something be asked, in one generation or of one database.

        Raises:
            DbmonError: It cannot be answered.
            ToolError: The database is not one that the caller may name.
        """
        if db_path is not None:
            path = self.allowed(db_path)
            with (
                self.touching,
                database_reader(path, self.settings.config, utc_now()) as reader,
            ):
                return ask(reader)
        published = self._current()
        while True:
            try:
                with reading(published, utc_now()) as reader:
                    return ask(reader)
            except NotPublishedError:
                newer = self._current()
                if newer is published:
                    raise
                published = newer

    def allowed(self, db_path: str) -> Path:
        """Resolve the database that a caller names, if it is allowed.

        Raises:
            ToolError: It may not.
        """
        named = (self.settings.source, *map(Path, self.settings.config.mcp.databases))
        try:
            path = Path(db_path[:_LONGEST_PATH]).expanduser().resolve()
            if len(db_path) < _LONGEST_PATH and path in {
                allowed.expanduser().resolve() for allowed in named
            }:
                return path
        except (OSError, ValueError, RuntimeError):
            pass
        raise ToolError(
            "that database is not one of those that the settings allow: leave db_path out, or have"
            " it added to mcp.databases in the rules file"
        )

    def _current(self) -> Published:
        with self._opening:
            folder = self.settings.home.generation
            if self._published is None or self._published.folder != folder:
                self._published = Published(self.settings.home, in_memory=True)
            return self._published
