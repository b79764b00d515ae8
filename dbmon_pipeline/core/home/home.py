"""Layout of a home, the working folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dbmon_pipeline.core.common.errors import NotPublishedError


@dataclass(frozen=True)
class Home:
    """Working folder, the only place that the pipeline writes to.

    Attributes:
        path: The folder itself, absolute.
    """

    path: Path

    @property
    def lock(self) -> Path:
        """The file locked by the one process that works in the home."""
        return self.path / "lock"

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
    def generations(self) -> Path:
        """The folder of all generations that are kept."""
        return self.published / "generations"

    @property
    def live_runs(self) -> Path:
        """The folder with one locked file for each Dagster run that is alive."""
        return self.path / "live_runs"

    @property
    def incidents(self) -> Path:
        """The SQLite file of the incidents and their notifications."""
        return self.path / "incidents.sqlite"

    @property
    def reports(self) -> Path:
        """The folder of the reports, with an index of them."""
        return self.path / "reports"

    @property
    def heartbeat(self) -> Path:
        """The file with the instant when all went well last, for a watchdog."""
        return self.path / "heartbeat.json"

    @property
    def dagster(self) -> Path:
        """The Dagster instance."""
        return self.path / "dagster"
