"""Jobs: a refresh, the reports, and the retention that lets old things go."""

from datetime import timedelta

import dagster as dg

from dbmon_pipeline.core.common.instants import iso, utc_now
from dbmon_pipeline.core.warehouse.compaction import compact
from dbmon_pipeline.core.warehouse.extract import kept_from
from dbmon_pipeline.core.warehouse.publish import remove_old_generations
from dbmon_pipeline.core.warehouse.warehouse import State
from dbmon_pipeline.orchestration.groups import REPORTS
from dbmon_pipeline.orchestration.history import remove_old_runs
from dbmon_pipeline.orchestration.partitions import days
from dbmon_pipeline.orchestration.resources import WarehouseResource, failures

refresh = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.all() - dg.AssetSelection.groups(REPORTS),
    description="Extract what changed, roll it up, check it, publish it.",
)

daily_reporting = dg.define_asset_job(
    "daily_reporting",
    selection=["daily_report"],
    description="Write the report of the last 24 hours.",
)

weekly_reporting = dg.define_asset_job(
    "weekly_reporting",
    selection=["weekly_report"],
    description="Write the report of the last 7 days.",
)


@dg.op(
    description="Old raw rows, old generations, old runs with their events, and free room in the"
    " warehouse."
)
def remove_what_is_old(context: dg.OpExecutionContext, warehouse: WarehouseResource) -> None:
    """Remove what is kept no longer; summaries and fingerprints stay for ever."""
    keep, home = warehouse.settings.config.keep, warehouse.settings.home
    as_of = warehouse.warehouse.instant(State.AS_OF)
    with failures():
        rows = (
            warehouse.warehouse.forget_executions_before(
                kept_from(warehouse.settings.config, as_of)
            )
            if as_of
            else 0
        )
        generations = remove_old_generations(home, keep=keep.generations)
        freed = compact(warehouse.warehouse)
    limit = utc_now() - timedelta(days=keep.dagster_runs_days)
    runs = remove_old_runs(context.instance, limit, days)
    context.log.info(f"before {iso(limit)}: {runs} runs removed")
    context.add_output_metadata(
        {
            "raw_rows_removed": rows,
            "generations_removed": generations,
            "runs_removed": runs,
            "warehouse_bytes_freed": freed,
        }
    )


@dg.job(name="retention", description="Let go what is kept no longer.")
def retention() -> None:
    """One step: everything that is kept for a time."""
    remove_what_is_old()
