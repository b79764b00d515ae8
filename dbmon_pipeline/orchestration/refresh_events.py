"""Events of a refresh: the source as it was found, and what was published of each table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from dbmon_pipeline.core.alerting.check_history import RecordedVerdict
from dbmon_pipeline.core.alerting.verdicts import Verdict
from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.query.answers import Answer
from dbmon_pipeline.core.query.open_reader import published_reader
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.refresh.refresh import Publication, Refresh
from dbmon_pipeline.core.rollup.result import RolledUp
from dbmon_pipeline.core.schema.catalogue import CHECK_HISTORY, HOUR_LEDGER, REFRESH_HISTORY, TABLES
from dbmon_pipeline.orchestration.markdown import markdown_table
from dbmon_pipeline.orchestration.namespace import Project

_SHOWN_DAYS = 40
_FIGURES = {
    "success_rate": "{:.1%}",
    "error_rate": "{:.1%}",
    "avg_duration_seconds": "{:,.1f} s",
    "avg_quality": "{:.1f}",
    "total_cost": "{:,.2f} USD",
}
_SHOWN_VERDICTS = 20


def observation(project: Project, rolled_up: RolledUp) -> dg.AssetObservation:
    """Report the source as it was found."""
    profile, reading = rolled_up.profile, rolled_up.reading
    return dg.AssetObservation(
        project.namespace.key("executions"),
        metadata={
            "path": profile.path,
            "inode": profile.inode,
            "size_bytes": profile.size_bytes,
            "read_as": profile.read_as,
            "readings": reading.readings,
            "readings_thrown_away": reading.thrown_away,
            "bytes_read": reading.bytes_read,
            "rows": profile.rows,
            "oldest": iso(profile.oldest) if profile.oldest else "no rows",
            "future_rows": profile.future_rows,
            "rows_before_history": profile.too_old_rows,
            "rows_without_timestamp": profile.rows_without_timestamp,
        },
    )


def published_results(
    project: Project, refresh: Refresh, publication: Publication
) -> Iterator[dg.MaterializeResult[Any]]:
    """Yield a materialization for each table that changed, and for the publication.

    Raises:
        NotPublishedError: A published file is damaged or gone.
    """
    changes, manifest = refresh.rolled_up.changes, publication.manifest
    own: dict[str, dict[str, Any]] = {
        HOUR_LEDGER.name: {
            "rows_read": changes.rows_read,
            "hours_changed": changes.hours_changed,
            "days_read": len(changes.days),
            "late_rows": changes.late_rows,
            "rows_gone": changes.rows_gone,
            "unrepairable_hours": changes.unrepairable_hours,
        },
        CHECK_HISTORY.name: _verdicts(refresh.verdicts),
    }
    days = ", ".join(day.isoformat() for day in changes.days[-_SHOWN_DAYS:]) or "none"
    for name in TABLES:
        written = refresh.rolled_up.changed.get(name, 0)
        if written or name in (CHECK_HISTORY.name, REFRESH_HISTORY.name):
            yield dg.MaterializeResult(
                asset_key=project.namespace.key(name),
                metadata={
                    "dagster/row_count": manifest.rows(name),
                    "files_written": max(written, 1),
                    "days": days,
                    **own.get(name, {}),
                },
            )
    yield _publication(project, refresh, publication)


def _verdicts(verdicts: Sequence[RecordedVerdict]) -> dict[str, Any]:
    rows = (
        (judged.rule, judged.scope, judged.verdict.value, judged.sentence) for judged in verdicts
    )
    return {
        **{kind.value: sum(judged.verdict is kind for judged in verdicts) for kind in Verdict},
        "verdicts": dg.MetadataValue.md(markdown_table("rule scope verdict sentence", rows)),
    }


def _publication(
    project: Project, refresh: Refresh, publication: Publication
) -> dg.MaterializeResult[Any]:
    manifest, home = publication.manifest, project.settings.home
    with published_reader(home, manifest.as_of) as reader:
        last_day = reader.ask("key_figures", TimeRange.DAY)
    tables = ((name, TABLES[name].grain, manifest.rows(name)) for name in manifest.tables)
    reading = refresh.rolled_up.reading
    return dg.MaterializeResult(
        asset_key=project.namespace.key("publication"),
        metadata={
            "health": dg.MetadataValue.md(_health(last_day, refresh.verdicts)),
            **_plotted_figures(last_day),
            "executions": manifest.executions,
            "data_lag_seconds": (manifest.published_at - manifest.data_through).total_seconds(),
            "rows_read": refresh.rolled_up.changes.rows_read,
            "generation": manifest.generation,
            "files_written": publication.files_written,
            "files_linked": publication.files_linked,
            "bytes_written": publication.bytes_written,
            "readings": reading.readings,
            "readings_thrown_away": reading.thrown_away,
            "read_as": reading.read_as,
            "as_of": iso(manifest.as_of),
            "data_through": iso(manifest.data_through),
            "folder": dg.MetadataValue.path(home.current),
            "tables": dg.MetadataValue.md(markdown_table("table one_row rows:", tables)),
        },
    )


def _health(last_day: Answer, verdicts: Sequence[RecordedVerdict]) -> str:
    """Render what is beyond a limit, worst first, and the figures of the last 24 hours."""
    figures = last_day.records[0]
    rows = [("executions", f"{last_day.samples:,}")]
    for name, form in _FIGURES.items():
        value = figures[name]
        rows.append((name.replace("_", " "), "no data" if value is None else form.format(value)))
    through = iso(last_day.data_through) if last_day.data_through else "not yet"
    by_badness = sorted(verdicts, key=lambda judged: -judged.verdict.badness)
    beyond = [judged for judged in by_badness if judged.verdict.badness > 0]
    parts = [f"**{len(beyond)} of {len(verdicts)} beyond a limit**; data through {through}"]
    if beyond:
        shown = ((judged.verdict, judged.sentence) for judged in beyond[:_SHOWN_VERDICTS])
        parts.append(markdown_table("verdict what", shown))
    return "\n\n".join([*parts, markdown_table("last_24_hours figure:", rows)])


def _plotted_figures(last_day: Answer) -> dict[str, float | int]:
    """Select figures of the last 24 hours to plot; a missing one leaves a gap."""
    figures = last_day.records[0]
    named = {
        "executions_24h": last_day.samples,
        "success_rate_24h": figures["success_rate"],
        "cost_24h": figures["total_cost"],
    }
    return {name: value for name, value in named.items() if isinstance(value, int | float)}
