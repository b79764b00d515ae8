"""Assets: the source, the warehouse's copy, one summary table each, and the publication."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg

from dbmon_pipeline.core.alerting.check_history import check, latest
from dbmon_pipeline.core.alerting.verdicts import Verdict, spoken
from dbmon_pipeline.core.common.errors import ContractError, SourceShrankError
from dbmon_pipeline.core.common.instants import iso, parse_as_of
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.query.open_reader import published_reader
from dbmon_pipeline.core.schema.catalogue import CHECK_HISTORY, PUBLISHED
from dbmon_pipeline.core.schema.executions import COLUMNS
from dbmon_pipeline.core.schema.rollups import ROLLUPS, Rollup
from dbmon_pipeline.core.source.redaction import Redactor
from dbmon_pipeline.core.warehouse.extract import extract, kept_from
from dbmon_pipeline.core.warehouse.extraction import Extraction
from dbmon_pipeline.core.warehouse.layout import table_columns
from dbmon_pipeline.core.warehouse.publish import publish
from dbmon_pipeline.core.warehouse.summaries import roll_up
from dbmon_pipeline.core.warehouse.warehouse import Stage, State
from dbmon_pipeline.orchestration import groups
from dbmon_pipeline.orchestration.health_table import health_table
from dbmon_pipeline.orchestration.markdown import markdown_table
from dbmon_pipeline.orchestration.partitions import days
from dbmon_pipeline.orchestration.resources import WarehouseResource, failures
from dbmon_pipeline.orchestration.textfile import write_textfile

OWNERS = ["team:monitoring"]
SCHEMA_CONTRACT = "schema_contract"
SOURCE_SHRANK = "source_shrank"

_CHECK_OF = {ContractError: SCHEMA_CONTRACT, SourceShrankError: SOURCE_SHRANK}
"""The checks that fail with an error, which tells more."""


class RefreshConfig(dg.Config):
    """What a run speaks for.

    Attributes:
        as_of: An ISO 8601 instant that has passed; the present one if left out.
        accept_shrink: Whether what the source no longer holds may go here, however much it is.
    """

    as_of: str | None = None
    accept_shrink: bool = False


learning_db = dg.AssetSpec(
    "learning_db",
    group_name=groups.SOURCE,
    kinds={"duckdb"},
    owners=OWNERS,
    description="The orchestrator's DuckDB file with its table `executions`. Somebody else"
    " writes it; it is read in moments and never written.",
)


@dg.asset(
    deps=[learning_db],
    partitions_def=days,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name=groups.WAREHOUSE,
    kinds={"duckdb"},
    owners=OWNERS,
    description="The slim copy of the executions: one row per task, without embeddings,"
    " descriptions and metadata. Only hours that differ from the source are copied.",
    metadata={
        "dagster/table_name": "warehouse.executions",
        "dagster/column_schema": dg.TableSchema(
            [dg.TableColumn(column.name, column.type) for column in COLUMNS]
        ),
    },
    check_specs=[
        dg.AssetCheckSpec(
            SCHEMA_CONTRACT,
            asset="executions",
            blocking=True,
            description="The source has the table and the required columns, in usable types.",
        ),
        dg.AssetCheckSpec(
            SOURCE_SHRANK,
            asset="executions",
            blocking=True,
            description="The source still holds most of what was read from it. If not, a person is"
            " asked before it is deleted here, too.",
        ),
    ],
)
def executions(
    context: dg.AssetExecutionContext, config: RefreshConfig, warehouse: WarehouseResource
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Copy the changed hours of the run's days out of the source."""
    settings, source = warehouse.settings, warehouse.source()
    keys = context.partition_key_range
    with failures():
        try:
            result = extract(
                warehouse.warehouse,
                source,
                settings.config,
                Redactor(settings.config.redaction),
                days=(date.fromisoformat(keys.start), date.fromisoformat(keys.end)),
                as_of=parse_as_of(config.as_of),
                accept_shrink=config.accept_shrink,
            )
        except (ContractError, SourceShrankError) as error:
            yield dg.AssetCheckResult(
                check_name=_CHECK_OF[type(error)], passed=False, metadata={"problem": str(error)}
            )
            raise
        identity = source.identity
    context.log_event(
        dg.AssetObservation(
            learning_db.key,
            metadata={
                **{name: value for name, value in identity.items() if isinstance(value, str | int)},
                "future_rows": result.overview.future_rows,
                "rows_before_history": result.overview.too_old_rows,
                "rows_without_timestamp": result.overview.rows_without_timestamp,
            },
        )
    )
    yield dg.MaterializeResult(metadata=_extraction_metadata(result))
    missing = result.overview.missing_columns
    yield dg.AssetCheckResult(
        check_name=SCHEMA_CONTRACT,
        passed=True,
        metadata={"missing_optional_columns": ", ".join(missing) or "none"},
    )
    yield dg.AssetCheckResult(
        check_name=SOURCE_SHRANK,
        passed=True,
        metadata={"rows_gone": result.rows_gone, "is_replaced": result.is_replaced},
    )


def _extraction_metadata(result: Extraction) -> dict[str, dg.MetadataValue | int | float | str]:
    return {
        "rows_extracted": result.rows,
        "hours_touched": len(result.hours),
        "days_touched": len(result.days),
        "days": ", ".join(day.isoformat() for day in result.days[-40:]) or "none",
        "late_rows_repaired": result.late_rows,
        "rows_gone": result.rows_gone,
        "hours_left": result.hours_left,
        "unrepairable_hours": result.unrepairable_hours,
        "source_attaches": len(result.holds_ms),
        "longest_lock_ms": round(max(result.holds_ms, default=0), 1),
        "total_lock_ms": round(sum(result.holds_ms), 1),
        "read_from": "a guarded snapshot" if result.snapshot else "the source",
        "snapshot_mb": round(result.snapshot.size_bytes / 1e6, 2) if result.snapshot else 0,
        "snapshot_seconds": result.snapshot.seconds if result.snapshot else 0,
        "data_through": iso(result.data_through) if result.data_through else "not yet",
    }


def _summary_specs() -> list[dg.AssetSpec]:
    """An asset for each summary table, with the columns that DuckDB derives from its SELECT."""
    columns = table_columns()
    return [
        _summary_spec(
            rollup, dg.TableSchema([dg.TableColumn(*column) for column in columns[rollup.name]])
        )
        for rollup in ROLLUPS
    ]


def _summary_spec(rollup: Rollup, columns: dg.TableSchema) -> dg.AssetSpec:
    sql = shipped("sql", "rollups", f"{rollup.name}.sql")
    return dg.AssetSpec(
        rollup.name,
        deps=["executions"],
        group_name=groups.SUMMARIES,
        kinds={"duckdb", "sql"},
        owners=OWNERS,
        description=f"One row: {rollup.grain}.\n\n```sql\n{rollup.select}\n```",
        skippable=True,
        metadata={
            "dagster/table_name": f"warehouse.{rollup.name}",
            "dagster/column_schema": columns,
            "dagster/code_references": dg.CodeReferencesMetadataValue(
                code_references=[
                    dg.LocalFileCodeReference(file_path=str(sql), line_number=1, label="SELECT")
                ]
            ),
        },
    )


@dg.multi_asset(specs=_summary_specs(), can_subset=True)
def summary_tables(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """Roll up the days that the extraction touched, table by table."""
    opened = warehouse.warehouse
    as_of = opened.instant(State.AS_OF)
    for rollup in ROLLUPS:
        if as_of is None or dg.AssetKey(rollup.name) not in context.selected_asset_keys:
            continue
        waiting = sorted(opened.pending(rollup.name, Stage.ROLL_UP))
        with failures():
            result = roll_up(opened, rollup, as_of)
        yield dg.MaterializeResult(
            asset_key=rollup.name,
            metadata={
                "dagster/row_count": result.rows,
                "rows_written": result.rows_written,
                "days_rolled_up": result.days,
                "days": ", ".join(day.isoformat() for day in waiting[-40:]) or "none",
            },
        )


@dg.asset(
    deps=[rollup.name for rollup in ROLLUPS],
    group_name=groups.CHECKS,
    kinds={"duckdb"},
    owners=OWNERS,
    description="What every alert rule says of what was rolled up, one row per rule and scope;"
    " appended by each refresh.",
    metadata={
        "dagster/table_name": "warehouse.check_history",
        "dagster/column_schema": dg.TableSchema(
            [dg.TableColumn(*column) for column in table_columns()[CHECK_HISTORY.name]]
        ),
    },
)
def check_history(warehouse: WarehouseResource) -> dg.MaterializeResult[Any]:
    """Judge what was rolled up."""
    with failures():
        alerts = check(warehouse.warehouse, warehouse.settings.config)
    rows = (
        (
            alert.rule,
            alert.scope,
            alert.verdict,
            spoken(alert.measurement, alert.measured.value),
            alert.measured.samples,
        )
        for alert in alerts
    )
    return dg.MaterializeResult(
        metadata={
            **{verdict.value: sum(a.verdict is verdict for a in alerts) for verdict in Verdict},
            "verdicts": dg.MetadataValue.md(
                markdown_table("rule scope verdict value: samples:", rows)
            ),
        }
    )


@dg.asset(
    deps=[*(rollup.name for rollup in ROLLUPS), CHECK_HISTORY.name],
    group_name=groups.PUBLISHED,
    kinds={"parquet"},
    owners=OWNERS,
    description="One consistent generation of all summary tables as Parquet files, swapped in at"
    " once under `published/current`. Readers open nothing else.",
)
def publication(warehouse: WarehouseResource) -> dg.MaterializeResult[Any]:
    """Publish what was rolled up, then let raw rows go that are older than the kept window."""
    settings, opened = warehouse.settings, warehouse.warehouse
    with failures():
        result = publish(opened, settings.home, keep=settings.config.keep.generations)
        manifest = result.manifest
        opened.forget_executions_before(kept_from(settings.config, manifest.as_of))
        with published_reader(settings.home, manifest.as_of) as reader:
            health = health_table(reader, latest(opened))
    write_textfile(settings)
    tables = ((name, PUBLISHED[name].grain, manifest.rows(name)) for name in manifest.tables)
    return dg.MaterializeResult(
        metadata={
            "health": dg.MetadataValue.md(health),
            "generation": manifest.generation,
            "files_written": result.files_written,
            "files_carried_over": result.files_carried,
            "bytes_written": result.bytes_written,
            "as_of": iso(manifest.as_of),
            "data_through": iso(manifest.data_through) if manifest.data_through else "not yet",
            "folder": dg.MetadataValue.path(settings.home.current),
            "tables": dg.MetadataValue.md(markdown_table("table one_row rows:", tables)),
        }
    )
