"""``dbmon status``: exit codes for cron, shapes for programs, words for people."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.faces.cli import main as cli
from dbmon_pipeline.faces.cli.status import Metric
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    clean_environ,
    dbmon_command,
    execution,
    make_source,
    refresh_core,
    run_dbmon,
    running,
    settings_for,
)

AS_OF = datetime.fromisoformat("2026-02-10T12:00")
HOUR = timedelta(hours=1)
HEALTHY, POOR, CRITICAL = AS_OF, AS_OF - HOUR, AS_OF - 2 * HOUR
"""Instants at which the last hour was so."""


@dataclass(frozen=True)
class Ended:
    """What became of a command that ran in this process."""

    code: int
    printed: str
    said: str

    @property
    def json(self) -> Any:
        """All that it printed."""
        return json.loads(self.printed)

    @property
    def refusal(self) -> str:
        """The one line that says why there is no answer."""
        assert (self.code, self.printed) == (3, "")
        assert self.said.count("\n") == 1
        assert not self.said.startswith("dbmon: unexpected")
        return self.said.removeprefix("dbmon: ").rstrip("\n")


Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home whose last hour was healthy, the one before poor, and the one before that critical."""
    made = settings_for(tmp_path_factory.mktemp("status"))
    rows = [
        execution(end - timedelta(minutes=2 * n + 1), task_id=f"{end:%H}-{n:02}", success=n < good)
        for end, good in ((HEALTHY, 20), (POOR, 16), (CRITICAL, 10))
        for n in range(20)
    ]
    rows += [execution(AS_OF - timedelta(days=days)) for days in (2, 3, 20)]
    make_source(made.source, rows)
    refresh_core(made, AS_OF)
    return made


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home of a source without executions."""
    made = settings_for(tmp_path_factory.mktemp("empty"))
    make_source(made.source)
    refresh_core(made, AS_OF)
    return made


@pytest.fixture(scope="module")
def plain_rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rules file with which rates are compared plainly."""
    rules = tmp_path_factory.mktemp("rules") / "plain.yaml"
    rules.write_text("rules: {success_rate: {mode: raw}, error_rate: {mode: raw}}\n")
    return rules


@pytest.fixture
def run(
    settings: Settings,
    plain_rules: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run ``dbmon status`` in this process, by default in the home and as of its refresh."""

    def run_it(
        *arguments: object,
        home: Path = settings.home.path,
        at: datetime | None = AS_OF,
        **environ: object,
    ) -> Ended:
        as_of = ["--as-of", at.isoformat()] if at else []
        words = ["dbmon", "status", "--home", str(home), *as_of, *map(str, arguments)]
        monkeypatch.setattr("sys.argv", words)
        for name in ("DBMON_HOME", "DBMON_SOURCE", "DBMON_CONFIG", "DBMON_DEBUG"):
            monkeypatch.delenv(name, raising=False)
        for name, value in ({"DBMON_CONFIG": plain_rules} | environ).items():
            monkeypatch.setenv(name, str(value))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed, said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(int(ended.value.code), printed, said)

    return run_it


@pytest.mark.parametrize(
    ("at", "code", "level", "words"),
    [
        (HEALTHY, 0, "OK", None),
        (POOR, 1, "WARNING", "success rate is 80.0% of 20 executions, below the limit of 85.0%"),
        (CRITICAL, 2, "CRITICAL", "success rate is 50.0% of 20 executions, below the limit of"),
        (AS_OF + 5 * HOUR, 1, "WARNING", "source freshness is 5.0 hours, above the limit of 3.0"),
    ],
)
def test_the_exit_code_is_the_level(
    run: Run, at: datetime, code: int, level: str, words: str | None
) -> None:
    """Cron and monitoring plugins read nothing else."""
    for form in ("json", "text", "nagios", "prometheus"):
        ended = run("--format", form, at=at)
        assert (ended.code, ended.said) == (code, "")
        if form == "json":
            status = ended.json
            sentences = [*status["warnings"], *status["errors"]]
            assert status["status"] == level
            assert [words in sentence for sentence in sentences if words] == [True] * bool(words)
            assert bool(status["errors"]) == (code == 2)
        elif words and form in ("text", "nagios"):
            assert words in ended.printed


def test_old_figures_name_the_remedy(run: Run) -> None:
    """Whoever reads that they are old wants new ones."""
    (warning,) = run("--format", "json", at=AS_OF + 5 * HOUR).json["warnings"]
    assert warning.endswith("; run dbmon refresh")


def missing(path: Path) -> str:
    """There is nothing."""
    return f"{path} does not exist"


def text_file(path: Path) -> str:
    """Something else is there."""
    path.write_text("not a database\n" * 1000)
    return f"{path} is not a DuckDB database"


def folder(path: Path) -> str:
    """A folder is there."""
    path.mkdir()
    return f"{path} is a folder"


def empty_file(path: Path) -> str:
    """A file without a byte is there."""
    path.touch()
    return f"{path} is an empty file"


@pytest.mark.parametrize("make", [missing, text_file, folder, empty_file])
@pytest.mark.parametrize("is_named", [True, False])
def test_a_database_that_cannot_be_read(
    run: Run, tmp_path: Path, make: Callable[[Path], str], *, is_named: bool
) -> None:
    """It is an error and no unknown, whether it is named or nothing of it is published."""
    path = tmp_path / "learning.db"
    words = make(path)
    where: tuple[object, ...] = ("--db", path) if is_named else ()
    ended = run(*where, "--format", "json", home=tmp_path / "home", DBMON_SOURCE=path)
    assert (ended.code, ended.said) == (2, "")
    status = ended.json
    assert status["status"] == "ERROR"
    assert status["database"]["path"] == str(path)
    assert (status["executions"], status["performance"]) == (None, None)
    (error,) = status["errors"]
    assert error.startswith(words)
    for form in ("text", "nagios", "prometheus"):
        ended = run(*where, "--format", form, home=tmp_path / "home", DBMON_SOURCE=path)
        assert ended.code == 2
        assert "ERROR" in ended.printed
    assert not (tmp_path / "home").exists()


def test_a_published_source_that_is_gone(run: Run, settings: Settings, tmp_path: Path) -> None:
    """The last figures stay, beside the error."""
    source = make_source(tmp_path / "learning.db", [execution(AS_OF - timedelta(minutes=1))])
    other = replace(settings, source=source, home=Home(tmp_path / "home"))
    refresh_core(other, AS_OF)
    source.unlink()
    ended = run("--format", "json", home=other.home.path)
    assert ended.code == 2
    assert ended.json["executions"]["total"] == 1
    assert ended.json["errors"][0].startswith(f"{source} does not exist")


def test_nothing_is_published_yet(run: Run, settings: Settings, tmp_path: Path) -> None:
    """The source is well, so nothing can be said; asking makes no folder."""
    home = tmp_path / "home"
    said = run(home=home, DBMON_SOURCE=settings.source).refusal
    assert said == f"nothing is published in {home}/published: run dbmon refresh first"
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--metric", "latency"], "Invalid value for '--metric'"),
        (["--time-range", "3d"], "Invalid value for '--time-range'"),
        (["--format", "xml"], "Invalid value for '--format'"),
        (["--stats", "--metric", "cost"], "Invalid value: give either --stats or --metric"),
        (["--stats", "--format", "nagios"], "Invalid value: --format nagios has the status only"),
        (["--metric", "cost", "--format", "prometheus"], "Invalid value: --format prometheus"),
        (["--watch", "--interval", "0"], "Invalid value for '--interval'"),
        (["--timeout", "0"], "Invalid value for '--timeout'"),
        (["--as-of", "2999-01-01"], "as-of 2999-01-01T00:00:00Z lies in the future"),
        (["--as-of", "noon"], "'noon' is not an instant"),
        (["now"], "Got unexpected extra argument"),
    ],
)
def test_what_cannot_be_asked(run: Run, arguments: list[str], words: str) -> None:
    """A wrong word is never taken for a level."""
    assert run(*arguments, at=None).refusal.startswith(words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "thresholds.yaml cannot be read ("),
        ("rules: [1\n", "thresholds.yaml is not YAML ("),
        (
            "rules:\n  success_rate:\n    below:\n      warning: high\n",
            "thresholds.yaml, line 4, rules.success_rate.below.warning: Expected `float",
        ),
        (
            "rules:\n  error_rate:\n    above: {warning: 0.5, critical: 0.4}\n",
            "thresholds.yaml, line 2, rules.error_rate: the critical limit must lie",
        ),
        (
            "\nrules:\n  sucess_rate: {below: {warning: 1}}\n",
            "thresholds.yaml, line 3, rules.sucess_rate",
        ),
    ],
)
def test_thresholds_that_cannot_be_read(
    run: Run, tmp_path: Path, text: str | None, words: str
) -> None:
    """The file, the line and the key are named."""
    thresholds = tmp_path / "thresholds.yaml"
    if text is not None:
        thresholds.write_text(text)
    assert words in run("--thresholds", thresholds).refusal


def test_other_thresholds(run: Run, tmp_path: Path) -> None:
    """They change the level, and what they leave out stays."""
    thresholds = tmp_path / "thresholds.yaml"
    thresholds.write_text("rules: {success_rate: {below: {warning: 0.5, critical: 0.4}}}\n")
    assert run("--thresholds", thresholds, at=POOR).code == 0
    ended = run("--thresholds", thresholds, "--alert", "--format", "json", at=POOR)
    limits = {
        alert["rule"]: (alert["warning"], alert["critical"]) for alert in ended.json["alerts"]
    }
    assert limits["success_rate"] == (0.5, 0.4)
    assert limits["error_rate"] == (0.1, 0.25)


def test_json_has_the_fields_that_programs_rely_on(run: Run, settings: Settings) -> None:
    """By their founding names and with the right figures; more may stand beside them."""
    ended = run("--format", "json")
    assert (ended.code, ended.said) == (0, "")
    status = ended.json
    assert {"status", "timestamp", "database", "executions", "performance"} <= status.keys()
    assert status["status"] == "OK"
    assert status["timestamp"] == "2026-02-10T12:00:00Z"
    assert status["database"] == {
        "path": str(settings.source),
        "size_mb": round(settings.source.stat().st_size / 1e6, 2),
        "schema_version": 1,
        "writer": None,
        "read_as": "live",
    }
    assert status["executions"] == {"total": 63, "recent_1h": 20, "daily": 60, "weekly": 62}
    assert status["performance"] == {
        "daily_success_rate": pytest.approx(46 / 60),
        "avg_duration_seconds": 12.5,
        "avg_quality_score": 80,
    }
    assert (status["warnings"], status["errors"]) == ([], [])
    assert status["data_through"] == "2026-02-10T12:00:00Z"
    assert "alerts" not in status


def test_alert_shows_every_rule(run: Run) -> None:
    """With what it measured, from how much, and its limits."""
    ended = run("--alert", "--format", "json", at=POOR)
    assert ended.code == 1
    alerts = {alert["rule"]: alert for alert in ended.json["alerts"]}
    assert list(alerts) == [
        *("success_rate", "error_rate", "slow_executions", "recent_executions", "cost_drift"),
        *("anomaly", "database_size", "source_freshness"),
    ]
    assert alerts["success_rate"] == {
        "rule": "success_rate",
        "measurement": "success_rate",
        "scope": "all",
        "verdict": "warning",
        "value": 0.8,
        "samples": 20,
        "warning": 0.85,
        "critical": 0.7,
        "direction": "below",
        "mode": "raw",
        "raw_verdict": "warning",
        "raw_value": 0.8,
        "raw_samples": 20,
        "window_start": iso(POOR - HOUR),
        "window_end": iso(POOR),
        "note": "",
    }
    shown = run("--alert", at=POOR)
    assert shown.code == 1
    assert re.search(r"^  rule +scope +verdict +value +samples", shown.printed, re.MULTILINE)
    assert re.search(
        r"^  success_rate +all +warning +80\.0% +20  80\.0% warning +85\.0% +70\.0%$",
        shown.printed,
        re.MULTILINE,
    )


def test_a_confident_verdict_knows_its_sample(run: Run) -> None:
    """16 of 20 may be chance at the limit of 85 %, 10 of 20 is not; both values are shown."""
    shipped_rules = shipped("config", "monitoring.yaml")
    for at, verdict, raw in ((POOR, "ok", "warning"), (CRITICAL, "warning", "critical")):
        ended = run("--alert", "--format", "json", at=at, DBMON_CONFIG=shipped_rules)
        assert ended.code == (verdict == "warning")
        [alert] = [one for one in ended.json["alerts"] if one["rule"] == "success_rate"]
        assert (alert["mode"], alert["verdict"], alert["raw_verdict"]) == (
            *("confident", verdict),
            raw,
        )
        assert alert["raw_samples"] == 20


@pytest.mark.parametrize("is_named", [True, False])
def test_an_empty_database(run: Run, empty: Settings, *, is_named: bool) -> None:
    """It is a warning; of nothing there is no rate, rather than one of 0."""
    where: tuple[object, ...] = ("--db", empty.source) if is_named else ()
    ended = run(*where, "--alert", "--format", "json", home=empty.home.path)
    assert ended.code == 1
    status = ended.json
    assert (status["status"], status["warnings"]) == ("WARNING", ["No execution records found"])
    assert set(status["executions"].values()) == {0}
    assert set(status["performance"].values()) == {None}
    verdicts = {alert["rule"]: alert["verdict"] for alert in status["alerts"]}
    assert verdicts["success_rate"] == verdicts["error_rate"] == "insufficient_data"
    assert run(*where, "--stats", "--format", "json", home=empty.home.path).code == 0
    for form in ("text", "nagios", "prometheus"):
        shown = run(*where, "--format", form, home=empty.home.path)
        assert shown.code == 1
        assert "nan" not in shown.printed.lower()


@pytest.mark.parametrize(("at", "code"), [(HEALTHY, 0), (POOR, 1), (CRITICAL, 2)])
def test_a_writer_is_normal(run: Run, settings: Settings, at: datetime, code: int) -> None:
    """The figures are the published ones; who writes is said, and is no warning."""
    before = run("--format", "json", at=at).json
    with running(HOLD_DATABASE, settings.source):
        ended = run("--format", "json", at=at)
        shown = run(at=at)
    assert (ended.code, ended.said) == (code, "")
    writer = ended.json["database"]["writer"]
    assert re.fullmatch(r"python\S* \(process \d+\)", writer)
    before["database"]["writer"] = writer
    assert ended.json == before
    assert re.search(r"^Writer: python\S* \(process \d+\), which is normal", shown.printed, re.M)
    assert run("--format", "json", at=at).json["database"]["writer"] is None


def test_a_named_database_that_its_owner_holds(
    run: Run, settings: Settings, tmp_path: Path
) -> None:
    """It is read live, without its lock, whether or not anything is published."""
    where = ("--db", settings.source, "--format", "json")
    before = run(*where)
    with running(HOLD_DATABASE, settings.source):
        held = run(*where)
        unpublished = run(*where, home=tmp_path / "none")
    assert before.code == 0
    assert held == unpublished == before
    assert before.json["database"]["read_as"] == "live"
    assert before.json["executions"] == run("--format", "json").json["executions"]
    assert before.json["published_at"] is None


def test_stats_are_json_for_programs(run: Run) -> None:
    """Both reports in one document, with the same samples."""
    ended = run("--stats")
    assert (ended.code, ended.said) == (0, "")
    statistics = ended.json["execution_statistics"]
    metrics = ended.json["performance_metrics"]
    assert {statistics["time_range"], metrics["time_range"]} == {"7d"}
    assert statistics["samples"] == metrics["samples"] == 62
    assert sum(day["executions"] for day in statistics["time_series"]) == 62
    assert metrics["duration"]["p95_seconds"] == pytest.approx(12.5, rel=0.01)
    assert run("--stats", "--time-range", "90d").json["execution_statistics"]["samples"] == 63


def test_stats_are_tables_for_people(run: Run) -> None:
    """Under one line that says what they speak for."""
    ended = run("--stats", "--format", "text")
    first, *lines = ended.printed.splitlines()
    assert first == (
        "62 executions from 2026-02-03T12:00:00Z to 2026-02-10T12:00:00Z,"
        " data through 2026-02-10T12:00:00Z"
    )
    assert {"Duration", "Cost", "By model tier", "Top repositories"} <= set(lines)


@pytest.mark.parametrize("metric", Metric)
def test_metrics_in_both_forms(run: Run, empty: Settings, metric: Metric) -> None:
    """Each has its questions, of an empty home too."""
    ended = run("--metric", metric, "--format", "json")
    assert (ended.code, ended.said) == (0, "")
    report = ended.json
    assert (report["metric"], report["time_range"], report["samples"]) == (metric, "7d", 62)
    shown = run("--metric", metric)
    assert (shown.code, shown.said) == (0, "")
    assert shown.printed.startswith("62 executions from 2026-02-03T12:00:00Z to ")
    for name in report["questions"]:
        assert f"\n{name.replace('_', ' ').capitalize()}\n" in shown.printed
    of_nothing = run("--metric", metric, "--format", "json", home=empty.home.path)
    assert (of_nothing.code, of_nothing.json["samples"]) == (0, 0)
    assert of_nothing.json["questions"].keys() == report["questions"].keys()


FIGURE = r"\w+=-?[0-9.]+(s|MB)?(;[0-9.:]*;[0-9.:]*)?"


@pytest.mark.parametrize("at", [HEALTHY, POOR, CRITICAL])
def test_nagios_is_one_line(run: Run, at: datetime) -> None:
    """A text, one bar, and figures that a monitoring plugin can parse."""
    line = run("--format", "nagios", at=at).printed
    assert line.count("\n") == 1
    text, figures = line.split("|")
    assert re.match(r"DBMON (OK|WARNING|CRITICAL) - ", text)
    assert all(re.fullmatch(FIGURE, figure) for figure in figures.split())
    assert re.search(r" success_rate=[0-9.]+;0.85:;0.7: ", figures)
    assert re.search(r" error_rate=0;0.1;0.25 ", figures)


def test_a_large_figure_is_written_out_for_nagios(run: Run) -> None:
    """The plugin guidelines know no exponents."""
    _, figures = run("--format", "nagios", at=AS_OF + timedelta(days=20)).printed.split("|")
    assert "source_freshness=1728000s;10800;" in figures


def test_prometheus_can_parse_it(run: Run, settings: Settings, empty: Settings) -> None:
    """And finds the figures, of which those of nothing are left out."""

    def scraped(text: str) -> dict[tuple[str, ...], float]:
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    found = scraped(run("--format", "prometheus", at=POOR).printed)
    assert found["dbmon_status", "WARNING"] == 1
    assert found["dbmon_status", "OK"] == 0
    assert found["dbmon_executions",] == 63
    assert found["dbmon_recent_executions", "1h"] == 20
    assert found["dbmon_rule_state", "success_rate", "all"] == 1
    assert found["dbmon_rule_value", "success_rate", "all"] == 0.8
    size = settings.source.stat().st_size
    assert found["dbmon_database_size_bytes",] == pytest.approx(size, rel=0.01)
    of_nothing = scraped(run("--format", "prometheus", home=empty.home.path).printed)
    assert ("dbmon_success_ratio", "24h") not in of_nothing
    assert of_nothing["dbmon_executions",] == 0


def test_watching_off_a_terminal(settings: Settings) -> None:
    """One JSON line for each look, and an interrupt is how it ends."""
    process = subprocess.Popen(
        dbmon_command(
            *("status", "--watch", "--interval", "1", "--home", settings.home.path),
            *("--as-of", AS_OF.isoformat()),
        ),
        env=clean_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    lines = [process.stdout.readline() for _ in range(2)]
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=30)
    assert (process.returncode, rest, said) == (0, "", "")
    assert [json.loads(line)["status"] for line in lines] == ["OK", "OK"]


SLOW = """
import os, signal, sys, threading
import duckdb
from dbmon_pipeline.faces.cli import main, status

def slow(reader, config):
    if "--watch" in sys.argv:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        while True:
            duckdb.execute("SELECT sum(hash(range)) FROM range(100000000)")
    duckdb.execute("SELECT sum(hash(range)) FROM range(1000000000000)")

status.database_status = slow
main.main()
"""


@pytest.mark.parametrize(
    ("option", "code", "words"),
    [
        (["--timeout", "0.5"], 3, "dbmon: there is no answer after 0.5 seconds: give more with"),
        (["--watch"], 0, ""),
    ],
)
def test_a_query_is_interrupted(
    settings: Settings, option: list[str], code: int, words: str
) -> None:
    """DuckDB tells an interrupt in its own words; ours are the same wherever it comes."""
    ended = subprocess.run(
        [sys.executable, "-c", SLOW, "status", "--home", str(settings.home.path), *option],
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr.startswith(words)
    assert ended.stderr.count("\n") == (1 if words else 0)


def test_a_time_limit(run: Run, settings: Settings) -> None:
    """It ends the wait for the reader process, too."""
    started = time.monotonic()
    ended = run_dbmon(
        *("status", "--home", settings.home.path, "--db", settings.source, "--timeout", "0.1"),
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        *(3, ""),
        "dbmon: there is no answer after 0.1 seconds: give more with --timeout, or look at dbmon"
        " tables\n",
    )
    assert time.monotonic() - started < 10
    assert run("--timeout", "30").code == 0


def on_a_terminal(*arguments: object, columns: int = 80, **environ: object) -> str:
    """What the real command prints on a terminal of so many columns."""
    near, far = os.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    cleaned = {
        name: value
        for name, value in clean_environ(TERM="xterm").items()
        if name not in ("COLUMNS", "LINES", "NO_COLOR")
    }
    process = subprocess.Popen(
        dbmon_command(*arguments),
        env=cleaned | {name: str(value) for name, value in environ.items()},
        stdin=far,
        stdout=far,
        stderr=subprocess.PIPE,
    )
    os.close(far)
    printed = b""
    with suppress(OSError):  # how a terminal says that nobody writes any more
        while block := os.read(near, 65536):
            printed += block
    os.close(near)
    process.communicate(timeout=30)
    return printed.decode().replace("\r\n", "\n")


def test_a_table_fits_the_terminal(settings: Settings) -> None:
    """Its texts are cut until it does, and nothing is cut off a terminal."""
    where = ("--home", settings.home.path, "--as-of", AS_OF.isoformat())
    asked = ("query", "recent_executions", *where)
    cut = on_a_terminal(*asked, columns=120).splitlines()
    whole = run_dbmon(*asked).stdout.splitlines()
    assert len(whole) == 62
    assert len(cut) == 63  # Its headings are broken in two.
    assert max(map(len, cut)) <= 120 < max(map(len, whole))
    assert "…" in "".join(cut)
    assert "…" not in "".join(whole)
    assert max(map(len, on_a_terminal("queries").splitlines())) <= 80


def test_colours_are_for_terminals(settings: Settings) -> None:
    """And not for those who do not want them."""
    asked = ("status", "--home", settings.home.path, "--as-of", AS_OF.isoformat())
    assert on_a_terminal(*asked).startswith("Status: \x1b[32mOK\x1b[0m\n")
    assert on_a_terminal(*asked, NO_COLOR=1).startswith("Status: OK\n")
    assert on_a_terminal(*asked, TERM="dumb").startswith("Status: OK\n")
    assert run_dbmon(*asked).stdout.startswith("Status: OK\n")


def test_stats_on_a_terminal_are_tables(settings: Settings) -> None:
    """JSON is for those who cannot read tables."""
    asked = ("status", "--stats", "--home", settings.home.path, "--as-of", AS_OF.isoformat())
    assert on_a_terminal(*asked).startswith("62 executions from ")


def test_it_starts_without_dagster_and_pandas(settings: Settings) -> None:
    """Each of them would cost a second of each look."""
    code = (
        "import sys\n"
        "from dbmon_pipeline.faces.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'dagster', 'pandas', 'pyarrow', 'mcp'} & set(sys.modules)))\n"
    )
    arguments = ("status", "--format", "nagios", "--home", str(settings.home.path))
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    line, loaded = done.stdout.splitlines()
    assert line.startswith("DBMON ")
    # DuckDB 1.5 imports pandas itself when an instant is bound.
    assert loaded == "[]" or (duckdb.__version__ < "2" and loaded == "['pandas']")


def test_a_reader_that_ends_early_is_no_error(settings: Settings) -> None:
    """As in ``dbmon status | head -1``."""
    nobody_reads = "r, w = os.pipe()\nos.dup2(w, 1)\nos.close(r)\nos.close(w)"
    for more in ((), ("--stats",), ("--format", "prometheus")):
        ended = run_dbmon(
            *("status", "--home", settings.home.path, "--as-of", AS_OF.isoformat(), *more),
            first=nobody_reads,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
