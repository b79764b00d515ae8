"""A refresh in Dagster: which events it writes, in which order, and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from dbmon_pipeline.core.common.errors import ConfigError, RefreshError
from dbmon_pipeline.core.refresh.refresh import Publication, Refresh
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline.orchestration.instance import RefreshRun
from dbmon_pipeline.orchestration.refresh_step import RefreshConfig
from dbmon_pipeline_tests.helpers import add_rows, change_source, execution, make_source
from dbmon_pipeline_tests.orchestration.site import DAY, HOUR, MINUTE, NOON, Site

LATE = NOON - 2 * DAY - 3 * HOUR
EMPTY = {"error_summary", "daily_error_summary"}
"""The tables that have no row here."""


@dataclass(frozen=True)
class Refreshes:
    """Three refreshes of one home: the first, one of a late row, and one of nothing.

    Attributes:
        runs: Their ids.
        told: What they told.
        events: How many events each wrote.
    """

    runs: tuple[str, ...]
    told: tuple[RefreshRun, ...]
    events: tuple[int, ...]


@pytest.fixture(scope="module")
def refreshes(shared_site: Site) -> Refreshes:
    """Of four days with 30 executions and one that lies ahead; half an hour lies between them."""
    rows = [
        execution(
            NOON - 3 * DAY + number * 2.4 * HOUR,
            success=number % 5 != 0,
            complexity_score=number % 7,
            solution_summary="Guard against NULL",
        )
        for number in range(30)
    ]
    make_source(shared_site.source, [*rows, execution(NOON + MINUTE)])
    runs, told, events = [], [], []
    for number in range(3):
        if number == 1:
            new = [execution(NOON + n * MINUTE, complexity_score=5) for n in (2, 3)]
            add_rows(shared_site.source, [execution(LATE, complexity_score=5), *new])
        told.append(shared_site.refresh_run())
        run = shared_site.last_run()
        runs.append(run.run_id)
        events.append(len(shared_site.instance.all_logs(run.run_id)))
        shared_site.clock.now += timedelta(minutes=30)
    return Refreshes(tuple(runs), tuple(told), tuple(events))


def test_the_command_is_told_what_was_done(refreshes: Refreshes, shared_site: Site) -> None:
    """The generation, the rows, how far the source was read, and no warning but of bad rows."""
    warning = "errors_match_success of hour_ledger: failures_without_error_type 6"
    first, second, third = refreshes.told
    assert first == RefreshRun(1, 30, NOON, (warning,))
    assert (second.generation, second.data_through) == (2, NOON + 30 * MINUTE)
    assert (third.generation, third.rows_read, third.data_through) == (3, 0, NOON + HOUR)
    run = shared_site.instance.get_run_by_id(refreshes.runs[0])
    assert run
    assert run.tags[".dagster/repository"] == "__repository__@dbmon_pipeline"
    assert run.job_name == "refresh"


def test_only_tables_that_changed_materialize(refreshes: Refreshes, shared_site: Site) -> None:
    """And the histories and the publication, which each refresh adds to."""
    first, second, third = map(shared_site.materialized, refreshes.runs)
    histories = ["refresh_history", "check_history"]
    assert {*first} == {*TABLES, "publication"}
    assert len({*first}) == len(first)
    assert {*second} == {*TABLES, "publication"} - EMPTY
    assert third == [*histories, "publication"]


def test_an_unchanged_refresh_writes_few_events(refreshes: Refreshes) -> None:
    """An event costs 7 to 11 ms, and a check three of them."""
    assert refreshes.events[2] <= 100


def test_no_event_says_more_than_is_published(refreshes: Refreshes, shared_site: Site) -> None:
    """All checks come first, then the swap, then the materializations."""
    order = []
    for entry in shared_site.instance.all_logs(refreshes.runs[0]):
        if entry.dagster_event is None:
            if entry.user_message.startswith(("read ", "judged ", "published ")):
                order.append(entry.user_message.split()[0])
        elif entry.dagster_event.event_type_value in (
            "ASSET_CHECK_EVALUATION",
            "ASSET_MATERIALIZATION",
            "ASSET_OBSERVATION",
        ):
            order.append(entry.dagster_event.event_type_value)
    shortened = [
        kind for kind, before in zip(order, [None, *order], strict=False) if kind != before
    ]
    assert shortened == [
        *("read", "ASSET_OBSERVATION", "ASSET_CHECK_EVALUATION", "judged"),
        *("ASSET_CHECK_EVALUATION", "published", "ASSET_MATERIALIZATION"),
    ]


def test_phases_are_told_with_their_seconds(refreshes: Refreshes, shared_site: Site) -> None:
    """As log lines of the run."""
    lines = [
        entry.user_message
        for entry in shared_site.instance.all_logs(refreshes.runs[0])
        if entry.dagster_event is None
    ]
    (read,) = (line for line in lines if line.startswith("read 30 rows of the source: "))
    for phase in ("compare", "read", "roll up", "write"):
        assert f"{phase} " in read


def test_the_source_is_observed(refreshes: Refreshes, shared_site: Site) -> None:
    """What the source is, how it was read, and what lies outside of the monitored time."""
    (record,) = shared_site.instance.fetch_observations(
        dg.AssetKey("executions"), limit=1, ascending=True
    ).records
    assert record.run_id == refreshes.runs[0]
    assert record.asset_observation
    found: dict[str, Any] = {
        name: entry.value for name, entry in record.asset_observation.metadata.items()
    }
    assert found["path"] == str(shared_site.source)
    assert found["inode"] == shared_site.source.stat().st_ino
    assert (found["read_as"], found["readings_thrown_away"]) == ("live", 0)
    assert found["bytes_read"] > 0
    assert (found["rows"], found["future_rows"]) == (30, 1)
    assert found["oldest"] == "2025-06-08T12:00:00Z"
    assert (found["rows_before_history"], found["rows_without_timestamp"]) == (0, 0)


def test_the_ledger_says_what_was_read(refreshes: Refreshes, shared_site: Site) -> None:
    """Of the second refresh: two hours, one of whose rows is late."""
    assert len(refreshes.runs) == 3
    found = shared_site.metadata("hour_ledger")
    touched = (LATE.replace(minute=0), NOON)
    ((rows,),) = shared_site.in_source(
        "SELECT count(*) FROM executions WHERE date_trunc('hour', timestamp) IN ($late, $noon)",
        late=touched[0],
        noon=touched[1],
    )
    assert found["hours_changed"] == 2
    assert found["late_rows"] == 1
    assert (found["rows_gone"], found["unrepairable_hours"]) == (0, 0)
    assert "2025-06-09" in found["days"]
    assert rows <= found["rows_read"] <= 34


@pytest.mark.parametrize("table", TABLES)
def test_row_counts_are_those_of_the_manifest(
    refreshes: Refreshes, shared_site: Site, table: str
) -> None:
    """Of what is published now."""
    assert len(refreshes.runs) == 3
    found = shared_site.metadata(table)
    assert found["dagster/row_count"] == shared_site.published().manifest.rows(table)
    assert bool(found["dagster/row_count"]) is (table not in EMPTY)


def test_publication_has_figures_to_plot(refreshes: Refreshes, shared_site: Site) -> None:
    """Computed from the source in another way; the table of health comes first."""
    assert len(refreshes.runs) == 3
    found = shared_site.metadata("publication")
    manifest = shared_site.published().manifest
    ((executions, rate, cost),) = shared_site.in_source(
        "SELECT count(*), avg(CAST(success AS INT)), sum(actual_cost) FROM executions"
        " WHERE timestamp >= $end - INTERVAL 24 HOUR AND timestamp < $end",
        end=manifest.as_of,
    )
    assert next(iter(found)) == "health"
    assert found["executions_24h"] == executions > 0
    assert found["success_rate_24h"] == pytest.approx(rate)
    assert found["cost_24h"] == pytest.approx(cost)
    assert found["executions"] == 34
    assert found["data_lag_seconds"] == 0  # the clock stands still
    assert (found["generation"], found["data_through"]) == (3, "2025-06-11T13:00:00Z")
    assert found["files_written"] == 2
    assert found["files_written"] + found["files_linked"] == sum(map(len, manifest.tables.values()))
    assert found["bytes_written"] == sum(
        file.bytes
        for name in ("refresh_history", "check_history")
        for file in _today(manifest, name)
    )
    assert f"| executions | {executions:,} |" in found["health"].splitlines()
    assert f"| success rate | {rate:.1%} |" in found["health"].splitlines()
    kinds = {type(entry) for entry in shared_site.materialization("publication").metadata.values()}
    assert {dg.IntMetadataValue, dg.FloatMetadataValue} <= kinds


def _today(manifest: Any, table: str) -> list[Any]:
    return [file for file in manifest.tables[table] if file.period == NOON.date().isoformat()]


def test_a_day_is_read_again_when_a_person_asks(site: Site) -> None:
    """By ``since`` and ``until`` in the run config of a launch; without config, what changed."""
    make_source(site.source, [execution(NOON - n * DAY - HOUR) for n in range(6)])
    assert site.run().success
    assert site.published().manifest.executions == 6
    site.clock.now += MINUTE
    config = {"since": "2025-06-07", "until": "2025-06-09"}
    result = site.run(dg.RunRequest(run_config={"ops": {"refresh_tables": {"config": config}}}))
    assert result.success
    assert site.metadata("daily_summary")["days"] == "2025-06-07, 2025-06-08, 2025-06-09"
    assert site.metadata("publication")["rows_read"] == 3
    assert "hour_ledger" not in site.materialized(result.run_id), "no hour had changed"
    assert site.published().manifest.executions == 6


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"as_of": "soon"}, "'soon' is not an instant: write it in ISO 8601"),
        ({"as_of": "2025-06-11T12:00:01"}, "lies in the future"),
        ({"since": "June"}, "since 'June' is not a day: write it as YYYY-MM-DD"),
        ({"until": "2025-06-01"}, "until is given without since"),
        ({"since": "2025-06-03", "until": "2025-06-01"}, "since 2025-06-03 lies after until"),
        ({"since": "2025-06-12"}, "since 2025-06-12 lies after today, 2025-06-11"),
        ({"compare_days": 0}, "compare_days is 0: give 1 or more"),
    ],
)
def test_values_that_make_no_sense_are_refused(
    shared_site: Site, config: dict[str, object], message: str
) -> None:
    """In words, before anything is read."""
    now = shared_site.clock.now
    shared_site.clock.now = NOON
    try:
        with pytest.raises(ConfigError) as caught:
            RefreshConfig(**config).request()  # type: ignore[arg-type]
    finally:
        shared_site.clock.now = now
    assert message in str(caught.value)


def test_a_swap_that_fails_materializes_nothing(site: Site) -> None:
    """What the core has no words for is told, too; and the next refresh is right."""
    make_source(site.source, [execution(NOON - HOUR)])

    def broken(_: Refresh) -> Publication:
        raise ZeroDivisionError("nothing is known of this")

    with site.patch.context() as patch:
        patch.setattr(Refresh, "publish", broken)
        with pytest.raises(RefreshError, match="nothing is known of this: see run "):
            site.refresh()
    run = site.last_run()
    assert site.materialized(run.run_id) == []
    assert not site.home.current.exists()
    assert site.refresh().is_success

    change_source(site.source, "DELETE FROM executions")
    site.clock.now -= HOUR
    with pytest.raises(RefreshError, match=r"as-of 2025-06-11T11:00:00Z lies before 2025-06-11T12"):
        site.refresh()
    assert site.generation == 1
