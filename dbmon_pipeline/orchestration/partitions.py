"""Partitions: days, of the executions alone.

Every event of a partition costs milliseconds, so the summary tables are unpartitioned and
incremental: their metadata says which days were redone.
"""

from datetime import date

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from dbmon_pipeline.core.config.settings import Settings

days = dg.DailyPartitionsDefinition(
    start_date=Settings.load().config.history_start.isoformat(),
    timezone="UTC",
    end_offset=1,
)


def range_tags(stretch: tuple[date, date]) -> dict[str, str]:
    """The tags of a run over a stretch of days, both ends included."""
    return {
        ASSET_PARTITION_RANGE_START_TAG: stretch[0].isoformat(),
        ASSET_PARTITION_RANGE_END_TAG: stretch[1].isoformat(),
    }
