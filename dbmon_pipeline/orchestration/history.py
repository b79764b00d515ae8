"""The history of runs: old ones of ours go, but never the latest that materialized an asset.

Deleting a run deletes its events, and with them the mark that an asset is materialized.
"""

from collections.abc import Collection
from datetime import UTC, datetime

import dagster as dg

_FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]


def remove_old_runs(
    instance: dg.DagsterInstance,
    limit: datetime,
    *,
    jobs: Collection[str],
    assets: Collection[dg.AssetKey],
) -> int:
    """Delete finished runs created before a limit that hold no latest materialization.

    Args:
        instance: The Dagster instance.
        limit: Naive UTC; younger runs stay.
        jobs: The jobs whose runs may go.
        assets: Runs of these assets alone, whatever their job, may go, too.

    Returns:
        How many runs were deleted.
    """
    needed = {
        event.run_id
        for key in instance.all_asset_keys()
        if (event := instance.get_latest_materialization_event(key))
    }
    old = dg.RunsFilter(created_before=limit.replace(tzinfo=UTC), statuses=_FINISHED)
    removed = [
        run.run_id
        for run in instance.get_runs(old)
        if run.run_id not in needed
        and (run.job_name in jobs or frozenset() < (run.asset_selection or set()) <= set(assets))
    ]
    for run_id in removed:
        instance.delete_run(run_id)
    return len(removed)
