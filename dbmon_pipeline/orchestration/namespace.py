"""Names: two sets of our definitions, and a host's own, live in one Dagster instance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg

from dbmon_pipeline.core.config.settings import Settings

DEFAULT_NAME = "dbmon"
REFRESH = "refresh"
RETENTION = "retention"
DAILY_REPORTING = "daily_reporting"
WEEKLY_REPORTING = "weekly_reporting"
JOBS = (REFRESH, RETENTION, DAILY_REPORTING, WEEKLY_REPORTING)
HOURLY_REFRESH = "hourly_refresh"
DAILY_REFRESH = "daily_refresh"
HEALTH_CHECK = "health_check"
SCHEDULES = (
    *(HOURLY_REFRESH, DAILY_REFRESH, HEALTH_CHECK, RETENTION),
    *("daily_report", "weekly_report"),
)
SOURCE_SENSOR = "source_changes_sensor"
ALERT_SENSOR = "alert_sensor"
SENSORS = (SOURCE_SENSOR, ALERT_SENSOR)
REFRESH_OP = "refresh_tables"
"""The step of a refresh; run config names it."""


@dataclass(frozen=True)
class Namespace:
    """The names that one set of definitions has in a Dagster instance.

    Attributes:
        name: Carried by the names of jobs, ops, schedules, sensors and resources, unless it is the
            default one.
        key_prefix: Precedes the key of each asset.
    """

    name: str = DEFAULT_NAME
    key_prefix: tuple[str, ...] = ()

    def of(self, base: str) -> str:
        """Qualify the name of a job, an op, a schedule or a sensor."""
        return base if self.name == DEFAULT_NAME else f"{self.name}_{base}"

    def all_of(self, bases: Iterable[str]) -> frozenset[str]:
        """Qualify several such names."""
        return frozenset(self.of(base) for base in bases)

    def key(self, asset: str) -> dg.AssetKey:
        """Qualify the key of an asset."""
        return dg.AssetKey([*self.key_prefix, asset])

    @property
    def resource(self) -> str:
        """The key of the resource that reads what is published."""
        return f"{self.name}_tables"


@dataclass(frozen=True)
class Project:
    """Monitored source in a Dagster instance.

    Attributes:
        settings: The source, the home and the rules.
        namespace: The names of its definitions.
    """

    settings: Settings
    namespace: Namespace = Namespace()
