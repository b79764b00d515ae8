"""Checks fail when they should, block when they must, and what they found wrong heals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import pytest

from dbmon_pipeline.core.common.errors import RefreshError
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.refresh.refresh import Refresh
from dbmon_pipeline.core.rollup.result import RolledUp
from dbmon_pipeline.core.schema.manifest import Difference
from dbmon_pipeline.orchestration.checks import Checks, check_specs
from dbmon_pipeline.orchestration.namespace import Project
from dbmon_pipeline_tests.helpers import (
    add_rows,
    change_source,
    execution,
    make_odd_source,
    make_source,
    refresh_core,
    settings_for,
)
from dbmon_pipeline_tests.orchestration.site import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    Site,
    open_site,
    refreshed_template,
)

ID = "00000000-0000-4000-8000-000000000001"
AGO = NOON - HOUR
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
LIMITS = [
    execution(AGO, success=False, error_type="timeout"),
    execution(AGO, quality_score=100, user_rating=5, duration_seconds=0, actual_cost=0),
    execution(AGO, quality_score=0, user_rating=1, cost_estimate=0),
    execution(AGO, quality_score=None, user_rating=None, duration_seconds=None, actual_cost=None),
    execution(NOON + 4 * MINUTE),
    execution(datetime.fromisoformat("2023-01-01")),
]
"""Rows at the limits of what is good."""
BAD = [
    execution(AGO, task_id=ID),
    execution(AGO - HOUR, task_id=ID, error_type="timeout"),
    execution(AGO, task_id=None),
    execution(AGO, task_id=None, success=False),
    execution(AGO, quality_score=101),
    execution(AGO, quality_score=-1),
    execution(AGO, user_rating=0),
    execution(AGO, user_rating=6),
    execution(AGO, user_rating="good"),
    execution(AGO, duration_seconds=-0.5),
    execution(AGO, actual_cost=-0.5),
    execution(AGO, cost_estimate=-0.5),
    execution(AGO, duration_seconds=float("nan")),
    execution(AGO, actual_cost=float("inf")),
    execution(AGO, success=None),
    execution(NOON + 6 * MINUTE),
    execution(datetime.fromisoformat("2022-12-31T23:59:59")),
    {**execution(AGO), "timestamp": None},
]
"""One row or two for each thing that can be wrong."""
COUNTS = {
    "not_in_future": {"far_future_rows": 1},
    "within_history": {"too_old_rows": 1, "rows_without_timestamp": 1},
    "unique_task_id": {"duplicate_task_ids": 1, "missing_task_ids": 2},
    "values_in_range": {
        "quality_out_of_range": 2,
        "rating_out_of_range": 2,
        "negative_durations": 1,
        "negative_costs": 2,
        "not_finite_values": 2,
        "unknown_success": 1,
    },
    "errors_match_success": {"successes_with_error_type": 1, "failures_without_error_type": 1},
    "readable_values": {"unreadable_values": 1},
    "history_complete": {"files_lost": 0},
}
BLOCKING = {"schema_contract", "source_shrank", "equals_source", "tables_equal_ledger"}


def results(rolled_up: RolledUp, settings: Settings) -> dict[str, dg.AssetCheckResult]:
    """The checks of what was read, by name."""
    checks = Checks(Project(settings))
    found = (
        *checks.of_source(rolled_up),
        checks.of_tables(rolled_up),
        *checks.of_quality(rolled_up),
    )
    assert {one.asset_key for one in found} == {dg.AssetKey("hour_ledger")}
    return {one.check_name: one for one in found if one.check_name}


def metadata(check: Any) -> dict[str, Any]:
    """The values of its metadata."""
    return {name: getattr(entry, "value", entry) for name, entry in check.metadata.items()}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> tuple[RolledUp, Settings]:
    """What a refresh of bad rows told; the column of ratings is a text."""
    settings = settings_for(tmp_path_factory.mktemp("bad"))
    make_odd_source(settings.source, [*LIMITS, *BAD], user_rating="VARCHAR")
    return refresh_core(settings, NOON).rolled_up, settings


def test_good_rows_pass(tmp_path: Path) -> None:
    """Those at the limits, too; and every check has a result."""
    settings = settings_for(tmp_path)
    make_source(settings.source, LIMITS)
    found = results(refresh_core(settings, NOON).rolled_up, settings)
    assert {*found} == BLOCKING | {*COUNTS}
    assert [name for name, one in found.items() if not one.passed] == []
    assert metadata(found["values_in_range"])["executions"] == 5
    assert metadata(found["schema_contract"]) == {"missing_optional_columns": "none"}


@pytest.mark.parametrize("name", COUNTS)
def test_bad_rows_are_counted(bad: tuple[RolledUp, Settings], name: str) -> None:
    """Each kind by the check whose promise it breaks."""
    check = results(*bad)[name]
    assert check.passed is not any(COUNTS[name].values())
    assert check.severity is WARN
    found = metadata(check)
    assert {count: found[count] for count in COUNTS[name]} == COUNTS[name]


def test_bad_rows_are_named(bad: tuple[RolledUp, Settings]) -> None:
    """An example helps to find them."""
    found = results(*bad)
    assert metadata(found["unique_task_id"])["example"] == ID
    assert "| user_rating | good | " in metadata(found["readable_values"])["examples"]
    lost = msgspec.structs.replace(bad[0], lost=("hourly_summary from 2025-01-01 to 2025-01-31",))
    check = results(lost, bad[1])["history_complete"]
    assert not check.passed
    assert metadata(check)["lost"] == "hourly_summary from 2025-01-01 to 2025-01-31"


def test_which_checks_block(bad: tuple[RolledUp, Settings]) -> None:
    """Severities are set always: only a check that blocks is an error."""
    assert {spec.name for spec in check_specs(Project(bad[1])) if spec.blocking} == BLOCKING
    found = results(*bad)
    assert {name for name, one in found.items() if one.severity is ERROR} == BLOCKING
    assert all(found[name].passed for name in BLOCKING)


def test_rules_that_are_off_have_no_check(tmp_path: Path) -> None:
    """The specs are those of the rules file that is given, whatever the environment says."""
    settings = settings_for(tmp_path)
    rules = settings.config.rules
    only = {"success_rate": rules["success_rate"]}
    alone = replace(settings, config=msgspec.structs.replace(settings.config, rules=only))
    specs = check_specs(Project(alone))
    on_history = [spec.name for spec in specs if spec.asset_key == dg.AssetKey("check_history")]
    assert on_history == ["success_rate"]
    assert all(spec.description for spec in specs)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, empty_template: Path) -> Path:
    """What ``good`` is a copy of."""
    rows = [execution(AGO - n * HOUR / 20) for n in range(200)]
    return refreshed_template(tmp_path_factory.mktemp("good") / "site", empty_template, rows)


@pytest.fixture
def good(tmp_path: Path, template: Path) -> Iterator[Site]:
    """A home that has read 200 good rows of ten hours."""
    with open_site(tmp_path / "site", template) as made:
        yield made


@pytest.mark.parametrize("name", ["equals_source", "tables_equal_ledger"])
def test_what_does_not_agree_is_not_published_and_heals(good: Site, name: str) -> None:
    """The check names the figure; no table materializes, and the next refresh is right."""
    add_rows(good.source, [execution(AGO)])
    kind = {"equals_source": "source_differences"}.get(name, "ledger_differences")
    read = Refresh.read

    def wrong(refresh: Refresh, *arguments: Any) -> RolledUp:
        rolled_up = read(refresh, *arguments)
        difference = (Difference("executions of pool_performance", 201, 200),)
        refresh.rolled_up = msgspec.structs.replace(rolled_up, **{kind: difference})
        return refresh.rolled_up

    with good.patch.context() as patch:
        patch.setattr(Refresh, "read", wrong)
        with pytest.raises(RefreshError, match=f"the check {name} of hour_ledger failed"):
            good.refresh()
    run = good.last_run()
    assert run.status is dg.DagsterRunStatus.FAILURE
    failed = good.failed_checks(run.run_id)
    assert {*failed} == {f"hour_ledger:{name}"}
    check = failed[f"hour_ledger:{name}"]
    assert (check.severity, check.blocking) == (ERROR, True)
    assert "| executions of pool_performance | 201 | 200 |" in metadata(check)["differences"]
    assert good.materialized(run.run_id) == []
    assert good.generation == 1

    assert good.refresh().is_success
    assert good.generation == 2
    assert good.published().manifest.executions == 201


def test_a_source_that_shrank_waits_for_a_person(good: Site) -> None:
    """Who answers with ``accept_shrink``."""
    change_source(good.source, "DELETE FROM executions WHERE timestamp > $at", at=AGO - 6 * HOUR)
    with pytest.raises(RefreshError, match="accept"):
        good.refresh()
    run = good.last_run()
    check = good.failed_checks(run.run_id)["hour_ledger:source_shrank"]
    assert (check.severity, check.blocking) == (ERROR, True)
    assert str(good.source) in metadata(check)["problem"]
    assert good.materialized(run.run_id) == []
    assert good.published().manifest.executions == 200

    passed = good.checks(good.refresh(accept_shrink=True).run_id)["hour_ledger", "source_shrank"]
    assert passed.passed
    assert metadata(passed)["rows_gone"] == 120
    assert good.published().manifest.executions == 80


def test_a_broken_contract_publishes_nothing(good: Site, tmp_path: Path) -> None:
    """The check says which column; one that is optional is named and no failure."""
    good.source.unlink()
    make_odd_source(good.source, [execution(AGO)], cpu_time_seconds=None, model_tier=None)
    with pytest.raises(RefreshError, match="has no column 'model_tier'"):
        good.refresh(accept_shrink=True)
    run = good.last_run()
    failed = good.failed_checks(run.run_id)
    assert {*failed} == {"hour_ledger:schema_contract"}
    assert "'model_tier'" in metadata(failed["hour_ledger:schema_contract"])["problem"]
    assert good.materialized(run.run_id) == []
    assert good.generation == 1

    optional = settings_for(tmp_path)
    make_odd_source(optional.source, [execution(AGO - DAY)], cpu_time_seconds=None)
    check = results(refresh_core(optional, NOON).rolled_up, optional)["schema_contract"]
    assert check.passed
    assert metadata(check) == {"missing_optional_columns": "cpu_time_seconds"}
