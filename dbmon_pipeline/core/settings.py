"""Settings: which source, which home, which rules; and where things lie in a home."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dbmon_pipeline.core.config import MonitoringConfig, load_config
from dbmon_pipeline.core.errors import NotPublishedError
from dbmon_pipeline.core.files import expanded, shipped
from dbmon_pipeline.core.remote import remote_name


@dataclass(frozen=True)
class Home:
    """The working folder, the only place that the pipeline writes to.

    Attributes:
        path: The folder itself, absolute.
    """

    path: Path

    @property
    def lock(self) -> Path:
        """Locked by the one process that works in the home."""
        return self.path / "lock"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file with the slim copy of the executions and the summary tables."""
        return self.path / "warehouse.duckdb"

    @property
    def published(self) -> Path:
        """The folder that readers know."""
        return self.path / "published"

    @property
    def current(self) -> Path:
        """A link to the generation that is published now."""
        return self.published / "current"

    @property
    def generation(self) -> Path:
        """The folder of that generation, whether it is there or not.

        Raises:
            NotPublishedError: The link leads to itself.
        """
        try:
            return self.current.resolve()
        except RuntimeError:
            raise NotPublishedError(
                f"{self.current} is a link that leads to itself",
                remedy="remove it, then run dbmon refresh, which publishes anew",
            ) from None

    @property
    def snapshots(self) -> Path:
        """The folder with the copy of a source that its owner keeps open."""
        return self.path / "snapshots"

    @property
    def live_runs(self) -> Path:
        """One locked file for each Dagster run that is alive."""
        return self.path / "live_runs"

    @property
    def incidents(self) -> Path:
        """The SQLite file of the incidents and what is to be told of them."""
        return self.path / "incidents.sqlite"

    @property
    def reports(self) -> Path:
        """The folder of the reports, with an index of them."""
        return self.path / "reports"

    @property
    def heartbeat(self) -> Path:
        """When all went well last, for a watchdog."""
        return self.path / "heartbeat.json"

    @property
    def dagster(self) -> Path:
        """The Dagster instance."""
        return self.path / "dagster"


@dataclass(frozen=True)
class Settings:
    """What a process works on.

    Attributes:
        source: The learning database, absolute; the name of one that is no file.
        home: The working folder.
        config: Every limit and rule.
    """

    source: Path
    home: Home
    config: MonitoringConfig

    @classmethod
    def load(
        cls,
        source: Path | None = None,
        home: Path | None = None,
        environ: Mapping[str, str] = os.environ,
        *,
        rules: Path | None = None,
    ) -> Settings:
        """Settings from arguments, then ``DBMON_SOURCE/HOME/CONFIG``, then the defaults.

        Args:
            source: The learning database.
            home: The working folder.
            environ: Where the variables are.
            rules: A rules file over all others.

        Raises:
            ConfigError: The rules file is missing or wrong, or a path cannot be understood.
        """
        files = [shipped("config", "monitoring.yaml")]
        if named := environ.get("DBMON_CONFIG"):
            files.append(Path(named))
        if rules:
            files.append(rules)
        config = load_config(*files)
        remote = remote_name(config.source.attach) if config.source.attach else None
        given = environ.get("DBMON_SOURCE")
        chosen = source or (Path(given) if given else remote or Path("data/learning.db"))
        return cls(
            source=chosen if chosen == remote else _absolute(chosen),
            home=Home(_absolute(home or Path(environ.get("DBMON_HOME") or ".dbmon"))),
            config=config,
        )


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(expanded(path)))  # noqa: PTH100 - keeps a symlinked source's name
