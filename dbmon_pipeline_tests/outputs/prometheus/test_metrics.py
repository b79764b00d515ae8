"""The metrics are what is published: the numbers of the questions, the verdicts of the checks."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dbmon_pipeline.core.common.errors import OutputError
from dbmon_pipeline.core.config.rule import Limits, Rule, Severity
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.query.open_reader import published_reader
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.outputs.prometheus.metrics import MOST, published_metrics
from dbmon_pipeline.outputs.prometheus.textfile import write_world_readable
from dbmon_pipeline_tests.command import dbmon_here
from dbmon_pipeline_tests.helpers import (
    DROP_PRIVILEGES,
    HOLD_DATABASE,
    execution,
    make_source,
    published_rows,
    refresh_core,
    run_dbmon,
    running,
    settings_for,
)
from dbmon_pipeline_tests.outputs.notify.made import made_finding
from dbmon_pipeline_tests.outputs.prometheus.real_prometheus import (
    check_metrics,
    needs_promtool,
    parsed,
)

AS_OF = datetime.fromisoformat("2026-02-10T12:00")
MINUTE = timedelta(minutes=1)
SCRIPT = "<script>alert(1)</script>'; DROP TABLE x;--"
ODD = {
    SCRIPT: 10,
    "quotes \" and ' and \\ and \\n": 9,
    "emoji 🦆": 8,
    "{{ $value }} %s": 7,
    "two\nlines\r\n# HELP dbmon_up 0\ndbmon_up 0": 6,
    "two lines # HELP dbmon_up 0 dbmon_up 0": 5,
    "turned \u202e round": 4,
    "long " + "x" * 10_000: 3,
    "pair " + "x" * 500 + "a": 2,
    "pair " + "x" * 500 + "b": 1,
    "": 0,
}
"""Names of repositories, and how many of ten executions succeed."""
BY_REPO = Rule(
    measurement="success_rate",
    by="repo",
    mode="raw",
    below=Limits(warning=0.85, critical=0.7),
    min_samples=1,
)


def made(folder: Path, rows: list[dict[str, object]], **rules: Rule) -> Settings:
    """A home in which some rows are published."""
    shipped = settings_for(folder)
    settings = settings_for(folder, rules={**shipped.config.rules, **rules})
    make_source(settings.source, rows)
    refresh_core(settings, AS_OF)
    return settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with three tiers and two pools, over ten days."""
    rows = [
        execution(
            AS_OF - (n * n / 40 + 1) * MINUTE,
            model_tier=("small", "medium", "large")[n % 3],
            pool_type=("main", "batch")[n % 2],
            success=n % 5 > 0,
            error_type=None if n % 5 else "timeout",
            duration_seconds=1.0 + n % 17,
            actual_cost=0.01 * (n % 7),
        )
        for n in range(700)
    ]
    return made(tmp_path_factory.mktemp("metrics"), rows)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home of repositories with odd names."""
    rows = [
        execution(AS_OF - (n + 1) * MINUTE, repo=repo, success=n < good, model_tier=repo)
        for repo, good in ODD.items()
        for n in range(10)
    ]
    return made(tmp_path_factory.mktemp("odd"), rows, by_repo=BY_REPO)


def answer(settings: Settings, question: str, time_range: TimeRange) -> list[dict[str, Any]]:
    """The rows that ``dbmon query`` prints."""
    with published_reader(settings.home, AS_OF) as reader:
        return list(reader.ask(question, time_range).records)


@pytest.mark.parametrize("time_range", ["1h", "24h", "7d"])
def test_the_figures_are_those_of_the_questions(settings: Settings, time_range: str) -> None:
    """Over each range."""
    found = parsed(published_metrics(settings))
    [figures] = answer(settings, "key_figures", TimeRange(time_range))
    names = {
        "recent_executions": "executions",
        "success_ratio": "success_rate",
        "average_duration_seconds": "avg_duration_seconds",
        "average_quality": "avg_quality",
        "cost_usd": "total_cost",
        "average_cost_usd": "avg_cost",
    }
    for metric, column in names.items():
        assert found[f"dbmon_{metric}", time_range] == pytest.approx(figures[column], rel=1e-9)
    [durations] = answer(settings, "duration_percentiles", TimeRange(time_range))
    for p in ("50", "95", "99"):
        value = found["dbmon_duration_percentile_seconds", p, time_range]
        assert value == pytest.approx(durations[f"p{p}_seconds"], rel=1e-9)


@pytest.mark.parametrize("dimension", ["model_tier", "pool_type"])
def test_the_figures_by_tier_and_pool(settings: Settings, dimension: str) -> None:
    """Over the last day, each value of the dimension."""
    found = parsed(published_metrics(settings))
    rows = answer(settings, f"success_rate_by_{dimension}", TimeRange.DAY)
    assert len(rows) == {"model_tier": 3, "pool_type": 2}[dimension]
    costs = {"model_tier": "cost_by_model_tier", "pool_type": "pool_utilization"}[dimension]
    total = {row[dimension]: row["total_cost"] for row in answer(settings, costs, TimeRange.DAY)}
    slow = {
        row[dimension]: row["p95_seconds"]
        for row in answer(settings, f"duration_by_{dimension}", TimeRange.DAY)
    }
    for row in rows:
        at = (row[dimension], "24h")
        shown = {
            name: found[f"dbmon_{dimension}_{name}", *at]
            for name in ("recent_executions", "success_ratio", "average_cost_usd", "cost_usd")
        }
        assert shown == pytest.approx(
            {
                "recent_executions": row["executions"],
                "success_ratio": row["success_rate"],
                "average_cost_usd": row["avg_cost"],
                "cost_usd": total[row[dimension]],
            },
            rel=1e-9,
        )
        labels = {dimension: row[dimension], "percentile": "95", "range": "24h"}
        in_order = [text for _, text in sorted(labels.items())]
        p95 = found[f"dbmon_{dimension}_duration_percentile_seconds", *in_order]
        assert p95 == pytest.approx(slow[row[dimension]], rel=1e-9)
    assert found[f"dbmon_{dimension}_left_out",] == 0


def test_the_verdicts_are_those_of_the_checks(settings: Settings) -> None:
    """Each row of the last evaluation, with its limits."""
    found = parsed(published_metrics(settings))
    states = {"ok": 0, "warning": 1, "critical": 2, "insufficient_data": -1}
    rows = published_rows(settings, "check_history")
    assert {row["verdict"] for row in rows} >= {"ok", "warning", "insufficient_data"}
    expected: dict[tuple[str, ...], object] = {}
    for row in rows:
        at = (str(row["rule"]), str(row["scope"]))
        expected["dbmon_rule_state", *at] = states[str(row["verdict"])]
        expected["dbmon_rule_value", *at] = row["value"]
        expected["dbmon_rule_samples", *at] = row["samples"]
        for limit in ("warning", "critical"):
            expected["dbmon_rule_limit", *at, limit] = row[limit]
    about_rules = {key: value for key, value in found.items() if key[0].startswith("dbmon_rule_")}
    left_out = {key: about_rules.pop(key) for key in [*about_rules] if "left_out" in key[0]}
    assert about_rules == {key: value for key, value in expected.items() if value is not None}
    assert set(left_out.values()) == {0}


def test_what_is_published(settings: Settings) -> None:
    """Which generation, from when, of how large a source."""
    found = parsed(published_metrics(settings))
    seconds = datetime.fromisoformat("2026-02-10T12:00Z").timestamp()
    assert found["dbmon_up",] == 1
    assert found["dbmon_generation",] == 1
    assert found["dbmon_executions",] == 700
    assert found["dbmon_as_of_timestamp_seconds",] == seconds
    assert found["dbmon_data_through_timestamp_seconds",] == seconds
    lag = found["dbmon_published_timestamp_seconds",] - seconds
    assert found["dbmon_refresh_lag_seconds",] == pytest.approx(lag)
    assert found["dbmon_database_size_bytes",] == settings.source.stat().st_size
    assert [key for key in found if key[0] == "dbmon_open_incidents"] == []


def test_what_the_latest_refresh_read(settings: Settings) -> None:
    """How much, in how many readings, and how."""
    [row] = published_rows(settings, "refresh_history")
    found = parsed(published_metrics(settings))
    assert row["rows_read"] == 700
    columns = {
        "rows_read": "rows_read",
        "readings": "readings",
        "readings_thrown_away": "readings_thrown_away",
        "read_bytes": "bytes_read",
        "late_rows": "late_rows",
        "unrepairable": "unrepairable_hours",
    }
    for metric, column in columns.items():
        assert found[f"dbmon_refresh_{metric}",] == row[column], metric
    assert found["dbmon_refresh_readings",] > 0
    assert found["dbmon_refresh_read_bytes",] > settings.source.stat().st_size / 10
    assert found["dbmon_refresh_read_as", "live"] == 1


@needs_promtool
def test_the_tool_has_nothing_to_say(settings: Settings, odd: Settings) -> None:
    """Neither of what is published nor of a status."""
    for each in (settings, odd):
        check_metrics(published_metrics(each))
        status = dbmon_here("status", "--format", "prometheus", "--home", each.home.path)
        check_metrics(status.stdout)


def test_the_owner_is_not_disturbed(settings: Settings) -> None:
    """While it holds the source, and when the source is gone, nothing differs."""
    before = published_metrics(settings)
    with running(HOLD_DATABASE, settings.source):
        assert published_metrics(settings) == before
    aside = settings.source.rename(settings.source.with_name("aside"))
    try:
        assert published_metrics(settings) == before
    finally:
        aside.rename(settings.source)


def test_open_incidents_are_counted(settings: Settings) -> None:
    """By severity; pending ones are none. A store that is damaged takes nothing else along."""
    path, at = settings.home.incidents, AS_OF
    before = parsed(published_metrics(settings))
    try:
        with Incidents(path, notifications=settings.config.notifications) as store:
            store.observe(
                [
                    made_finding(scope="a"),
                    made_finding(scope="b", severity=Severity.CRITICAL),
                    made_finding(scope="c", severity=Severity.CRITICAL),
                    made_finding(scope="d", severity=Severity.CRITICAL, evaluations=2),
                ],
                at,
            )
        found = parsed(published_metrics(settings))
        assert found.pop(("dbmon_open_incidents", "warning")) == 1
        assert found.pop(("dbmon_open_incidents", "critical")) == 2
        assert found == before
        path.write_bytes(b"not a database" * 1000)
        assert parsed(published_metrics(settings)) == before
    finally:
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()


def test_odd_names_are_harmless(odd: Settings) -> None:
    """Every repository is one series with its own number, on one line, and short."""
    text = published_metrics(odd)
    found = parsed(text)
    assert found["dbmon_up",] == 1
    values = {
        key[2]: value for key, value in found.items() if key[:2] == ("dbmon_rule_value", "by_repo")
    }
    rates = {
        row["repo"]: row["success_rate"]
        for row in answer(odd, "success_rate_by_repository", TimeRange.HOUR)
    }
    assert sorted(values.values()) == sorted(rates.values())
    assert sorted(values.values()) == [n / 10 for n in range(11)]
    assert max(map(len, values)) <= 120
    assert all(scope.isprintable() for scope in values)
    for repo in [*ODD][:4]:
        assert values[repo] == rates[repo] == ODD[repo] / 10
    for repo, start in (
        ("two\nlines", "two lines # HELP"),
        ("turned", "turned "),
        ("long", "long xxx"),
    ):
        rate = next(good / 10 for name, good in ODD.items() if name.startswith(repo))
        [value] = [v for scope, v in values.items() if scope.startswith(start) and "~" in scope]
        assert value == rate
    tiers = [key for key in found if key[0] == "dbmon_model_tier_success_ratio"]
    assert len(tiers) == len(ODD)
    assert max(map(len, text.splitlines())) < 400


def test_scopes_are_bounded(tmp_path: Path) -> None:
    """The worst are shown; how many are not is told."""
    bad = {f"repo{n:03}" for n in (3, 57, 69)}
    rows = [
        execution(AS_OF - (n + 1) * MINUTE, repo=repo, model_tier=repo, success=repo not in bad)
        for repo in (f"repo{n:03}" for n in range(70))
        for n in range(2 if repo in bad else 1)
    ]
    settings = made(tmp_path, rows, by_repo=BY_REPO)
    found = parsed(published_metrics(settings))
    states = {
        key[2]: value for key, value in found.items() if key[:2] == ("dbmon_rule_state", "by_repo")
    }
    assert len(states) == MOST == 50
    assert {scope for scope, state in states.items() if state == 2} == bad
    assert found["dbmon_rule_scopes_left_out", "by_repo"] == 20
    tiers = {key[1] for key in found if key[0] == "dbmon_model_tier_recent_executions"}
    assert len(tiers) == MOST
    assert bad <= tiers
    assert found["dbmon_model_tier_left_out",] == 20


def test_of_nothing_there_is_no_figure(tmp_path: Path) -> None:
    """An empty source has counts and no rates."""
    settings = made(tmp_path, [])
    found = parsed(published_metrics(settings))
    assert found["dbmon_executions",] == 0
    assert found["dbmon_recent_executions", "24h"] == 0
    assert {key[0] for key in found} & {"dbmon_success_ratio", "dbmon_average_cost_usd"} == set()
    assert found["dbmon_rule_state", "success_rate", "all"] == -1
    assert ("dbmon_rule_value", "success_rate", "all") not in found


# The command


def test_the_command_prints_them(settings: Settings) -> None:
    """On stdout, and nothing else."""
    ended = run_dbmon("prometheus", "--home", settings.home.path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == published_metrics(settings)


def test_a_file_for_the_node_exporter(settings: Settings, tmp_path: Path) -> None:
    """Written whole, for everybody to read, with no draft that ends in .prom."""
    out = tmp_path / "dbmon.prom"
    out.write_text("old")
    seen = "import os\nos.umask(0o077)"
    ended = run_dbmon("prometheus", "--out", out, "--home", settings.home.path, first=seen)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert out.read_text("utf-8") == published_metrics(settings)
    assert stat.S_IMODE(out.stat().st_mode) == 0o644
    assert [*tmp_path.iterdir()] == [out]


def refusal(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a command failed."""
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.count("\n") == 1
    assert not ended.stderr.startswith("dbmon: unexpected")
    return ended.stderr.removeprefix("dbmon: ").rstrip("\n")


def no_folder(path: Path) -> Path:
    """A file in a folder that is not there."""
    return path / "missing" / "dbmon.prom"


def a_folder(path: Path) -> Path:
    """A folder."""
    (path / "dbmon.prom").mkdir()
    return path / "dbmon.prom"


def test_a_file_that_has_no_name_or_is_a_pipe(tmp_path: Path) -> None:
    """Each is told as what cannot be written, and a pipe stays one."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("", "/", tmp_path / "pipe"):
        with pytest.raises(OutputError, match=r"(Is a directory|no regular file)\): name a file"):
            write_world_readable(Path(name), "")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("make", [no_folder, a_folder])
def test_a_file_that_cannot_be_written(
    settings: Settings, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    """It is named, and nothing is left behind."""
    out = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    ended = dbmon_here("prometheus", "--out", out, "--home", settings.home.path)
    assert refusal(ended).startswith(f"{out} cannot be written (")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_may_not_be_written(settings: Settings, tmp_path: Path) -> None:
    """It is named."""
    tmp_path.chmod(0o500)
    where = ("--out", tmp_path / "a.prom", "--home", settings.home.path)
    ended = run_dbmon("prometheus", *where, first=DROP_PRIVILEGES)
    assert "Permission denied" in refusal(ended)


def test_nothing_is_published(tmp_path: Path) -> None:
    """The remedy is named; the file stays as it was."""
    out = tmp_path / "dbmon.prom"
    for more in ((), ("--out", out)):
        ended = dbmon_here("prometheus", "--home", tmp_path / "home", *more)
        assert refusal(ended).endswith(": run dbmon refresh first")
    assert not out.exists()
