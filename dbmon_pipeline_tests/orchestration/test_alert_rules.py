"""What the alert rules say shows as asset checks, stays in the history, is asked for in time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline_tests.helpers import change_source, execution, make_source
from dbmon_pipeline_tests.orchestration.site import (
    HOUR,
    MINUTE,
    NOON,
    Site,
    open_site,
)

SECOND = timedelta(seconds=1)
HEALTHY, POOR, CRITICAL = NOON - 2 * HOUR, NOON - HOUR, NOON
"""Instants at which the last hour was so; each is refreshed."""
SUCCESSES = {HEALTHY: (9, 10), POOR: (7, 7), CRITICAL: (4, 4)}
"""Of ten executions in a row, in the first and in the second half of that hour."""
ROWS = [
    execution(
        end - HOUR + minute * MINUTE + 30 * SECOND,
        model_tier="small" if minute % 10 < 7 else "large",
        success=minute % 10 < successes[minute // 30],
        error_type=None if minute % 10 < successes[minute // 30] else "timeout",
    )
    for end, successes in SUCCESSES.items()
    for minute in range(60)
]
ENABLED = {
    name
    for name, rule in yaml.safe_load(shipped("config", "monitoring.yaml").read_text())[
        "rules"
    ].items()
    if rule.get("enabled", True)
}
HOLD = "the last verdicts still hold"
RUNBOOK = Path(__file__).parents[2] / "RUNBOOK.md"


@dataclass(frozen=True)
class Made:
    """A home that was refreshed, and what ``health_check`` asked for in the time after each.

    Attributes:
        folder: Where it is.
        asked: For each refresh what ticks asked for, by minutes after it.
    """

    folder: Path
    asked: dict[datetime, dict[float, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_template: Path) -> Made:
    """What ``judged`` is a copy of."""
    found = Made(tmp_path_factory.mktemp("judged") / "site", {})
    with open_site(found.folder, empty_template) as site:
        make_source(site.source, ROWS)
        for at in SUCCESSES:
            site.clock.now = at
            site.refresh()
            ticks = found.asked[at] = {}
            for minutes in (3.9, 4, 13.9, 14):
                site.clock.now = at + minutes * MINUTE
                ticks[minutes] = asked(site)
    return found


@pytest.fixture
def judged(tmp_path: Path, made: Made) -> Iterator[Site]:
    """A home that was refreshed when all was well, when it was poor, and when it was critical."""
    with open_site(tmp_path / "site", made.folder) as site:
        site.clock.now = CRITICAL
        yield site


def asked(site: Site) -> str:
    """The key of the run that a tick of ``health_check`` asks for, or why it asks for none."""
    data = site.schedule_tick("health_check")
    if data.skip_message:
        return data.skip_message
    (request,) = data.run_requests or ()
    assert request.run_key
    return request.run_key


def runs(site: Site) -> list[dg.DagsterRun]:
    """Its runs, the oldest first."""
    return [*reversed(site.instance.get_runs())]


def evaluations(site: Site, run_id: str) -> dict[str, Any]:
    """What a run said of each rule."""
    found = site.checks(run_id).items()
    return {name: data for (asset, name), data in found if asset == "check_history"}


def figures(evaluation: Any) -> dict[str, object]:
    """The metadata of an evaluation."""
    return {name: entry.value for name, entry in evaluation.metadata.items()}


def history(site: Site) -> list[dict[str, Any]]:
    """The published history of the checks, the oldest first."""
    return sorted(
        site.published_rows("check_history"),
        key=lambda row: (row["evaluated_at"], row["rule"], row["scope"]),
    )


def rate(column: str, value: object, start: datetime, end: datetime) -> tuple[float, int]:
    """Which part of the executions of a window has a value, and how many there are."""
    window = [row for row in ROWS if start <= row["timestamp"] < end]  # type: ignore[operator]
    return sum(row[column] == value for row in window) / len(window), len(window)


def test_a_check_for_each_enabled_rule(judged: Site) -> None:
    """In every run, and none for a rule that is off."""
    assert {"success_rate", "source_freshness"} <= ENABLED
    assert not {"cost_budget", "success_slo"} & ENABLED
    for run in runs(judged):
        found = evaluations(judged, run.run_id)
        assert set(found) == ENABLED
        assert not any(check.blocking for check in found.values())


def test_bad_data_fails_a_check_and_no_run(judged: Site) -> None:
    """A warning is one, and an error another; the rest passes, and all is published."""
    seen = []
    for run in runs(judged):
        assert run.status is dg.DagsterRunStatus.SUCCESS
        found = evaluations(judged, run.run_id)
        seen.append({name: one.severity for name, one in found.items() if not one.passed})
    warn, error = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
    assert seen == [
        {},
        {"success_rate": warn, "error_rate": warn},
        {"success_rate": error, "error_rate": error},
    ]
    assert judged.generation == len(SUCCESSES)


@pytest.mark.parametrize(
    ("place", "rule", "expected", "said"),
    [
        (
            0,
            "success_rate",
            {"verdict": "ok", "value": 1.0, "samples": 30, "raw_value": 0.95},
            "success rate is 100.0% of 30 executions; the limit is 85.0%",
        ),
        (
            1,
            "success_rate",
            {"verdict": "warning", "value": 0.7, "samples": 60, "raw_value": 0.7},
            "success rate is 70.0% of 60 executions, below the limit of 85.0%",
        ),
        (
            2,
            "success_rate",
            {"verdict": "critical", "value": 0.4, "samples": 30, "raw_value": 0.4},
            "success rate is 40.0% of 30 executions, below the limit of 70.0%",
        ),
        (
            2,
            "error_rate",
            {"verdict": "critical", "value": 0.6, "samples": 30, "raw_value": 0.6},
            "error rate is 60.0% of 30 executions, above the limit of 25.0%",
        ),
    ],
)
def test_a_check_has_its_figures(
    judged: Site, place: int, rule: str, expected: dict[str, object], said: str
) -> None:
    """As numbers, which Dagster plots; in the description, a sentence for people."""
    check = evaluations(judged, runs(judged)[place].run_id)[rule]
    limits = {"success_rate": (0.85, 0.70), "error_rate": (0.10, 0.25)}[rule]
    assert figures(check) == pytest.approx(
        {
            "runbook": f"RUNBOOK.md#{rule}",
            "warning": limits[0],
            "critical": limits[1],
            "scope": "all",
            "scopes_beyond_a_limit": int(expected["verdict"] != "ok"),
            **expected,
        }
    )
    for name in ("value", "warning", "critical", "raw_value"):
        assert isinstance(check.metadata[name], dg.FloatMetadataValue)
    assert isinstance(check.metadata["samples"], dg.IntMetadataValue)
    assert check.description == said


def test_each_check_leads_to_a_section_of_the_runbook(judged: Site) -> None:
    """One that exists; the description of the check names it too."""
    sections = set(re.findall("^#+ (.+)$", RUNBOOK.read_text(), flags=re.MULTILINE))
    for name, check in evaluations(judged, judged.last_run().run_id).items():
        file, _, section = str(figures(check)["runbook"]).partition("#")
        assert (file, section) == (RUNBOOK.name, name)
        assert section in sections


def test_every_evaluation_is_kept_and_published(judged: Site) -> None:
    """Each rule at each instant, with figures that are those of the executions themselves."""
    rows = history(judged)
    keys = [(row["evaluated_at"], row["rule"], row["scope"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {key[:2] for key in keys} == {(at, rule) for at in SUCCESSES for rule in ENABLED}
    for row in rows:
        column, value = {
            "success_rate": ("success", True),
            "error_rate": ("error_type", "timeout"),
        }.get(row["rule"], (None, None))
        if column:
            end = row["evaluated_at"]
            measured = rate(column, value, row["window_start"], row["window_end"])
            assert (row["value"], row["samples"]) == pytest.approx(measured)
            raw = rate(column, value, end - HOUR, end)
            assert (row["raw_value"], row["raw_samples"]) == pytest.approx(raw)
            assert row["window_end"] == end


def test_the_asset_counts_its_verdicts(judged: Site) -> None:
    """Those of the last evaluation, with a table of them."""
    last = [row for row in history(judged) if row["evaluated_at"] == CRITICAL]
    metadata = judged.metadata("check_history")
    for verdict in ("ok", "warning", "critical", "insufficient_data"):
        assert metadata[verdict] == sum(row["verdict"] == verdict for row in last)
    assert metadata["critical"] == 2
    lines = metadata["verdicts"].splitlines()
    said = "success rate is 40.0% of 30 executions, below the limit of 70.0%"
    assert f"| success_rate | all | critical | {said} |" in lines
    assert len(lines) == 2 + len(last)


def test_an_instant_has_one_verdict(judged: Site) -> None:
    """To judge it again changes nothing, or what was judged by what is known now."""
    before = history(judged)
    judged.refresh()
    assert judged.generation == len(SUCCESSES) + 1
    assert history(judged) == before

    change_source(judged.source, "UPDATE executions SET success = true")
    judged.refresh()
    after = history(judged)
    assert [row for row in after if row["evaluated_at"] != CRITICAL] == [
        row for row in before if row["evaluated_at"] != CRITICAL
    ]
    last = {(row["rule"], row["scope"]): row for row in after if row["evaluated_at"] == CRITICAL}
    assert len(last) == sum(row["evaluated_at"] == CRITICAL for row in after)
    assert last["success_rate", "all"]["verdict"] == "ok"
    assert last["success_rate", "all"]["value"] == 1
    assert last["error_rate", "all"]["verdict"] == "critical"


def test_a_rule_is_as_bad_as_the_worst_of_its_scopes(judged: Site, tmp_path: Path) -> None:
    """And one that a rules file has switched off has no check."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: {success_rate: {by: model_tier}, error_rate: {enabled: false}}")
    judged.patch.setenv("DBMON_CONFIG", str(rules))
    judged.clock.now += MINUTE
    found = evaluations(judged, judged.refresh().run_id)
    assert found["success_rate"].severity is dg.AssetCheckSeverity.ERROR
    assert not found["success_rate"].passed
    # Of the large tier nothing succeeded, and of the small one 4 of 7: not surely below 70 %.
    assert figures(found["success_rate"]) == pytest.approx(
        {
            "runbook": "RUNBOOK.md#success_rate",
            "value": 0.0,
            "warning": 0.85,
            "critical": 0.70,
            "raw_value": 0.0,
            "samples": 18,
            "verdict": "critical",
            "scope": "large",
            "scopes_beyond_a_limit": 2,
        }
    )
    assert "error_rate" not in found
    now = [row for row in history(judged) if row["evaluated_at"] == judged.clock.now]
    assert [
        (row["scope"], row["verdict"])
        for row in now
        if row["rule"] in ("success_rate", "error_rate")
    ] == [("large", "critical"), ("small", "warning")]


def test_too_little_data_is_neither_good_nor_bad(site: Site) -> None:
    """Nothing to judge fails no check, and no value is made up."""
    make_source(site.source)
    run = site.refresh()
    assert run.status is dg.DagsterRunStatus.SUCCESS
    found = evaluations(site, run.run_id)
    assert [name for name, check in found.items() if not check.passed] == []
    check = figures(found["success_rate"])
    assert (check["verdict"], check["samples"]) == ("insufficient_data", 0)
    assert "value" not in check


def test_what_is_wrong_is_judged_again_soon(made: Made) -> None:
    """Every five minutes while something is, else every quarter of an hour."""
    for at, ticks in made.asked.items():
        runs_from = 14 if at == HEALTHY else 4
        assert ticks == {
            minutes: HOLD if minutes < runs_from else (at + minutes * MINUTE).isoformat()
            for minutes in (3.9, 4, 13.9, 14)
        }


def test_a_silence_is_noticed(judged: Site) -> None:
    """The run that is asked for judges a source in which nothing has changed."""
    judged.clock.now = CRITICAL + 90 * MINUTE
    (request,) = judged.schedule_tick("health_check").run_requests or ()
    result = judged.run(request)
    assert result.success
    check = evaluations(judged, result.run_id)["recent_executions"]
    assert figures(check)["raw_value"] == 0
    assert figures(check)["verdict"] == "insufficient_data"  # three hours are no habit as yet
    assert history(judged)[-1]["evaluated_at"] == judged.clock.now
    assert asked(judged) == HOLD


def test_a_home_that_has_published_nothing(site: Site) -> None:
    """Is refreshed at once."""
    assert asked(site) == NOON.isoformat()
