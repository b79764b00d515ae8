"""``dbmon alerts replay``: two sets of limits over the past, and limits that fit."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline_tests.command import dbmon_here
from dbmon_pipeline_tests.helpers import (
    execution,
    make_source,
    refresh_core,
    run_dbmon,
    settings_for,
)

NOON = datetime.fromisoformat("2026-02-10T12:00")
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten hours in which one of five executions succeeds: that is how it always is."""
    settings = settings_for(tmp_path_factory.mktemp("replay"))
    rows = [
        execution(
            NOON - n * MINUTE,
            success=n % 5 == 0,
            error_type=None if n % 5 == 0 else "Timeout",
        )
        for n in range(1, 600)
    ]
    make_source(settings.source, rows)
    refresh_core(settings, NOON)
    return settings.home.path


def _replay(home: Path, *arguments: object) -> tuple[list[dict[str, object]], str]:
    """The rows of a replay, and what was said about it."""
    done = dbmon_here("alerts", "replay", "--home", home, "--format", "json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_what_fired_and_for_how_long(home: Path) -> None:
    """A row for each rule; how it looked and what may be done is told beside it."""
    rows, said = _replay(home)
    assert [row["rule"] for row in rows] == [
        *("success_rate", "error_rate", "slow_executions", "recent_executions"),
        *("cost_drift", "anomaly"),
    ]
    rate = rows[0]
    assert (rate["limits"], rate["episodes"], rate["critical"]) == ("as they are", 1, 1)
    assert (rate["flaps"], rate["troubled_percent"], rate["usual"]) == (0, 100, 0.2)
    assert rate["longest_hours"] == pytest.approx(9 - 5 / 60, abs=0.2)
    assert "every five minutes from 2026-02-10T03:00:00Z to 2026-02-10T12:00:00Z" in said
    assert "left out, for their past is not known: database_size, source_freshness" in said
    assert "beyond its limits most of the time: success_rate, error_rate" in said
    assert "too little to judge" not in said


def test_limits_that_fit_are_written_and_compared(home: Path, tmp_path: Path) -> None:
    """The file is a rules file that silences what is normal; it is compared side by side."""
    new = tmp_path / "new.yaml"
    rows, said = _replay(home, "--propose", new)
    by_limits = {(row["rule"], row["limits"]): row["episodes"] for row in rows}
    assert by_limits["success_rate", "as they are"] == 1
    assert by_limits["success_rate", str(new)] == 0
    assert by_limits["error_rate", str(new)] == 0
    assert f"{new} has limits for success_rate, error_rate" in said
    again, _ = _replay(home, "--thresholds", new)
    assert again == rows
    alone, _ = _replay(home, "--since", "9h")
    run = run_dbmon(
        *("alerts", "replay", "--home", home, "--format", "json", "--since", "9h"),
        DBMON_CONFIG=new,
    )
    assert [row["episodes"] for row in json.loads(run.stdout)] == [0] * len(alone)
    kept = new.read_text()
    refused = dbmon_here("alerts", "replay", "--home", home, "--propose", new)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert f"{new} exists" in refused.stderr
    assert new.read_text() == kept


def test_every_incident(home: Path, tmp_path: Path) -> None:
    """With --episodes: when, how bad, where, and what would have been told."""
    calm = tmp_path / "calm.yaml"
    calm.write_text("rules: {error_rate: {enabled: false}}\n")
    rows, _ = _replay(home, "--episodes", "--thresholds", calm)
    assert {(row["rule"], row["limits"], row["scope"], row["severity"]) for row in rows} == {
        ("error_rate", "as they are", "all", "critical"),
        ("success_rate", "as they are", "all", "critical"),
        ("success_rate", str(calm), "all", "critical"),
    }
    assert len(rows) == 3
    assert {row["resolved_at"] for row in rows} == {None}
    assert all("executions" in str(row["summary"]) for row in rows)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--since", "soon"), "'soon' is neither a length nor a time"),
        (("--as-of", "2026-03-01"), "nothing is published of the time after 2026-02-10T12:00:00Z"),
        (("--as-of", "2026-02-01"), "executions begin at 2026-02-10T02:00:00Z"),
        (("--thresholds", "absent.yaml"), "absent.yaml"),
        (("--thresholds", "a.yaml", "--propose", "b.yaml"), "either --thresholds or --propose"),
        (("--home", "nowhere"), "nowhere"),
        (
            ("--since", "30m", "--propose", "no/where/x.yaml", "--as-of", "2026-02-10T02:10"),
            "nothing to replay",
        ),
    ],
)
def test_bad_input(home: Path, arguments: tuple[str, ...], words: str) -> None:
    """One line that names the thing; nothing on stdout."""
    done = dbmon_here("alerts", "replay", "--home", home, *arguments)
    assert (done.returncode, done.stdout) == (3, "")
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_nothing_to_propose(tmp_path: Path) -> None:
    """Where the limits fit, no file is written."""
    settings = settings_for(tmp_path)
    make_source(settings.source, [execution(NOON - n * MINUTE) for n in range(1, 300)])
    refresh_core(settings, NOON)
    new = tmp_path / "new.yaml"
    done = dbmon_here("alerts", "replay", "--home", settings.home.path, "--propose", new)
    assert (done.returncode, done.stdout) == (3, "")
    assert "no rule is beyond its limits" in done.stderr
    assert not new.exists()
