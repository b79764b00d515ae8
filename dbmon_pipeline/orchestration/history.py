"""The history of runs: old ones go, but never the last that materialized something.

Deleting a run deletes its events, and with them the mark that its partitions are materialized.
"""

from datetime import UTC, datetime

import dagster as dg

_BATCH = 100


def remove_old_runs(
    instance: dg.DagsterInstance, limit: datetime, partitions: dg.PartitionsDefinition[str]
) -> int:
    """Delete finished runs created before a limit whose results later runs have replaced.

    Args:
        instance: The Dagster instance.
        limit: Naive UTC; younger runs stay.
        partitions: The partitions of ``executions``.

    Returns:
        How many runs were deleted.
    """
    needed = _runs_that_are_latest(instance, partitions)
    old = dg.RunsFilter(
        created_before=limit.replace(tzinfo=UTC),
        statuses=[
            dg.DagsterRunStatus.SUCCESS,
            dg.DagsterRunStatus.FAILURE,
            dg.DagsterRunStatus.CANCELED,
        ],
    )
    removed = 0
    for run in instance.get_runs(old):
        if run.run_id not in needed:
            instance.delete_run(run.run_id)
            removed += 1
    return removed


def _runs_that_are_latest(
    instance: dg.DagsterInstance, partitions: dg.PartitionsDefinition[str]
) -> set[str]:
    """The runs that hold the latest materialization of an asset, or of a day of it."""
    latest = set()
    for key in instance.all_asset_keys():
        event = instance.get_latest_materialization_event(key)
        if event:
            latest.add(event.run_id)
    executions = dg.AssetKey("executions")
    by_partition = instance.event_log_storage.get_latest_storage_id_by_partition(
        executions,
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        set(partitions.get_partition_keys()),
    )
    ids = sorted(by_partition.values())
    for first in range(0, len(ids), _BATCH):
        batch = dg.AssetRecordsFilter(executions, storage_ids=ids[first : first + _BATCH])
        found = instance.fetch_materializations(batch, limit=_BATCH)
        latest |= {record.run_id for record in found.records}
    return latest
