"""Opening the warehouse of a home: made, migrated, and restored if it was lost.

What is published is all that is left of history that the source no longer holds. So a warehouse
that was never filled takes the summaries of what is published, with every hour to be read again;
the source then has the last word on whatever it still holds.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from glob import escape
from pathlib import Path

from dbmon_pipeline.core.common.instants import DAY, HOUR, day_start
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.schema.catalogue import PUBLISHED
from dbmon_pipeline.core.schema.manifest import FILE_NAME, Manifest, read_manifest
from dbmon_pipeline.core.warehouse.layout import lay_out
from dbmon_pipeline.core.warehouse.warehouse import State, Warehouse

logger = logging.getLogger(__name__)


@contextmanager
def open_warehouse(home: Home) -> Iterator[Warehouse]:
    """The warehouse of a home, in the layout of this version, for whoever holds the home's lock.

    Raises:
        HomeError: It was made by a newer version of this project.
        HomeBusyError: Another program has the file open.
        NotPublishedError: It is lost, and what is published is damaged.
        StorageError: It cannot be written or read.
    """
    with Warehouse(home.warehouse) as warehouse:
        with warehouse.transaction():
            lay_out(warehouse)
            if warehouse.instant(State.AS_OF) is None and (home.current / FILE_NAME).exists():
                generation = home.generation
                _restore(warehouse, generation, read_manifest(generation))
        yield warehouse


def _restore(warehouse: Warehouse, generation: Path, manifest: Manifest) -> None:
    """Fill the summary tables from a generation, and have every hour of it read again."""
    con = warehouse.con

    def fill(table: str, published: str, where: str = "", **values: datetime) -> None:
        files = manifest.tables.get(published, ())
        paths = {"files": [escape(str(generation / published / file.name)) for file in files]}
        there, ours = (
            [row[0] for row in con.execute(f"DESCRIBE FROM {relation}", given).fetchall()]
            for relation, given in (("read_parquet($files)", paths), (table, {}))
        )
        columns = ", ".join(column for column in ours if column in there)
        con.execute(
            f"INSERT INTO {table} BY NAME SELECT {columns} FROM read_parquet($files) {where}",
            {**paths, **values},
        )

    for name, table in PUBLISHED.items():
        if table.window is None and name in manifest.tables:
            fill(name, name)
    # Of the days that it holds whole.
    since = day_start(manifest.as_of.date()) - DAY
    fill("executions", "recent_executions", "WHERE timestamp >= $since", since=since)
    con.execute("UPDATE executions SET pruned = false")
    con.execute(
        "INSERT INTO hour_ledger BY NAME"
        " SELECT hour, CAST(sum(executions) AS BIGINT) AS executions"
        " FROM hourly_summary GROUP BY hour"
    )
    (first,) = con.execute("SELECT min(hour) FROM hour_ledger").fetchall()[0]
    if first:
        # If the source now begins in a later hour, its owner has pruned it.
        oldest = first + HOUR - timedelta.resolution
        warehouse.set_state(State.OVERVIEW, json.dumps({"oldest": str(oldest)}))
    warehouse.set_state(State.SOURCE, json.dumps(manifest.source))
    warehouse.set_state(State.AS_OF, manifest.as_of.isoformat())
    logger.warning(
        "%s was empty: its summaries are restored from what is published as of %s",
        warehouse.path,
        manifest.as_of,
    )
