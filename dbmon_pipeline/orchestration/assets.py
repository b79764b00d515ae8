"""Assets: the source, the hour ledger, one summary table each, the verdicts and the publication.

All of ours are made in one step. What the step does stands in ``refresh_step.py``, what its events
say in ``refresh_events.py``.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.schema.catalogue import (
    CHECK_HISTORY,
    HOUR_LEDGER,
    REFRESH_HISTORY,
    ROLLED_UP,
    TABLES,
)
from dbmon_pipeline.core.schema.columns import table_columns
from dbmon_pipeline.core.schema.executions import COLUMNS
from dbmon_pipeline.core.schema.table import Table
from dbmon_pipeline.orchestration import groups
from dbmon_pipeline.orchestration.checks import check_specs
from dbmon_pipeline.orchestration.namespace import REFRESH_OP, Namespace, Project
from dbmon_pipeline.orchestration.refresh_step import RefreshConfig, refresh_step

OWNERS = ["team:monitoring"]
SOURCE = "executions"
PUBLICATION = "publication"

_FRESH = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=3), warn_window=timedelta(hours=1)
)
"""Health checks publish every quarter of an hour."""
_DESCRIPTIONS = {
    HOUR_LEDGER.name: "What was read of each hour: counts, control sums and a fingerprint. The next"
    " refresh compares the source with it.",
    CHECK_HISTORY.name: "What every alert rule said of each refresh, one row per rule and scope.",
    REFRESH_HISTORY.name: "What each refresh read and how, one row per instant.",
}


def source_spec(project: Project) -> dg.AssetSpec:
    """Describe the table of the orchestrator, which is external to Dagster."""
    return dg.AssetSpec(
        project.namespace.key(SOURCE),
        group_name=groups.SOURCE,
        kinds={"duckdb"},
        owners=OWNERS,
        description="The table `executions` of the orchestrator's `learning.db`. Somebody else"
        " writes it; it is read live, without a lock or a copy, and never written.",
        metadata={
            "dagster/table_name": SOURCE,
            "dagster/column_schema": dg.TableSchema(
                [dg.TableColumn(column.name, column.type) for column in COLUMNS]
            ),
        },
    )


def refresh_assets(project: Project) -> dg.AssetsDefinition:
    """Define the refresh: all tables, the checks and the publication, in one step."""
    namespace, columns = project.namespace, table_columns()

    @dg.multi_asset(
        name=namespace.of(REFRESH_OP),
        specs=[
            *(_table_spec(table, columns[table.name], namespace) for table in TABLES.values()),
            _publication(namespace),
        ],
        check_specs=check_specs(project),
        can_subset=False,
    )
    def refresh_tables(
        context: dg.AssetExecutionContext, config: RefreshConfig
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        """Find what changed, roll it up, check it and publish it."""
        yield from refresh_step(context, config, project)

    return refresh_tables


def _table_spec(table: Table, columns: list[tuple[str, str]], namespace: Namespace) -> dg.AssetSpec:
    metadata: dict[str, Any] = {
        "dagster/table_name": table.name,
        "dagster/column_schema": dg.TableSchema([dg.TableColumn(*column) for column in columns]),
    }
    kinds = {"parquet"}
    description = _DESCRIPTIONS.get(table.name, "")
    if table.source:
        file = shipped("sql", "rollups", f"{table.name}.sql")
        reference = dg.LocalFileCodeReference(file_path=str(file), line_number=1, label="SELECT")
        metadata["dagster/code_references"] = dg.CodeReferencesMetadataValue(
            code_references=[reference]
        )
        kinds = {"parquet", "sql"}
        description += f"\n\n```sql\n{table.select}\n```"
    return dg.AssetSpec(
        namespace.key(table.name),
        deps=[namespace.key(name) for name in _made_from(table)],
        group_name=_group(table),
        kinds=kinds,
        owners=OWNERS,
        description=f"One row: {table.grain}. {description}".strip(),
        skippable=True,
        metadata=metadata,
    )


def _made_from(table: Table) -> list[str]:
    """List the assets that a table is made from."""
    if table == CHECK_HISTORY:
        return [rolled_up.name for rolled_up in ROLLED_UP]
    if table == REFRESH_HISTORY:
        return [HOUR_LEDGER.name]
    return [table.source or SOURCE]


def _group(table: Table) -> str:
    if table in (HOUR_LEDGER, REFRESH_HISTORY):
        return groups.LEDGER
    return groups.CHECKS if table == CHECK_HISTORY else groups.SUMMARIES


def _publication(namespace: Namespace) -> dg.AssetSpec:
    return dg.AssetSpec(
        namespace.key(PUBLICATION),
        deps=[namespace.key(name) for name in TABLES],
        group_name=groups.PUBLISHED,
        kinds={"parquet"},
        owners=OWNERS,
        description="One consistent generation of all tables as Parquet files, swapped in at once"
        " under `published/current`. Readers open nothing else.",
        skippable=True,
        freshness_policy=_FRESH,
    )
