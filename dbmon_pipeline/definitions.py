"""Assembles Dagster, and does nothing else."""

from __future__ import annotations

import dagster as dg

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.orchestration import assets, checks, jobs, reports, schedules, sensors
from dbmon_pipeline.orchestration.resources import WarehouseResource

defs = dg.Definitions(
    assets=[
        assets.learning_db,
        *dg.with_source_code_references(
            [
                *(assets.executions, assets.summary_tables, assets.check_history),
                *(assets.publication, reports.daily_report, reports.weekly_report),
            ]
        ),
    ],
    asset_checks=[
        checks.equals_source,
        checks.equals_executions,
        checks.data_quality,
        checks.alert_rules,
    ],
    jobs=[jobs.refresh, jobs.retention, jobs.daily_reporting, jobs.weekly_reporting],
    schedules=[
        schedules.health_check,
        schedules.hourly_refresh,
        schedules.daily_refresh,
        schedules.nightly_retention,
        schedules.daily_report,
        schedules.weekly_report,
    ],
    sensors=[sensors.source_changes_sensor, sensors.alert_sensor],
    resources={"warehouse": WarehouseResource(database=str(Settings.load().home.warehouse))},
    executor=dg.in_process_executor,
)
