"""``dbmon tables`` and ``dbmon show``: what is published arrives whole, in each format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline.faces.cli import main as cli
from dbmon_pipeline.faces.cli.output import Format, print_rows
from dbmon_pipeline_tests.command import dbmon_here
from dbmon_pipeline_tests.helpers import (
    execution,
    make_source,
    refresh_core,
    run_dbmon,
    settings_for,
)

AS_OF = datetime.fromisoformat("2026-02-10T12:00")
AT = datetime.fromisoformat("2026-02-10T09:30")
NASTY = 'a\nb\rc\td\x1b[31mred\x07\u202e"quoted", ; é 漢 \u2028end'

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with 30 executions, the last of which has a nasty error and no cost."""
    made = settings_for(tmp_path_factory.mktemp("shown"))
    rows = [execution(AT + timedelta(seconds=n), task_id=f"task-{n:02}") for n in range(29)]
    rows.append(
        execution(
            AT + timedelta(seconds=29, microseconds=5),
            task_id="task-29",
            success=False,
            error_type="crash",
            error_message=NASTY,
            actual_cost=None,
            duration_seconds=12_345.678,
        )
    )
    make_source(made.source, rows)
    refresh_core(made, AS_OF)
    return made


def dbmon(
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *arguments: str,
) -> tuple[int, str, str]:
    """Run the command in this process: its exit code, what it prints and what it says."""
    monkeypatch.setattr("sys.argv", ["dbmon", *arguments, "--home", str(settings.home.path)])
    for name in ("DBMON_HOME", "DBMON_SOURCE", "DBMON_CONFIG", "DBMON_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed, said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return int(ended.value.code), printed, said


@pytest.fixture
def run(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run the command in that home."""
    return lambda *arguments: dbmon(settings, capsys, monkeypatch, *arguments)


def test_tables_lists_each_table_once(run: Run) -> None:
    """With rows and files as they are, and the time they speak for."""
    code, printed, said = run("tables", "--format", "json")
    assert (code, said) == (0, "")
    listed = {row["table"]: row for row in json.loads(printed)}
    assert set(listed) == TABLES.keys()
    assert listed["recent_executions"] == {
        "table": "recent_executions",
        "rows": 30,
        "files": 1,
        "data_through": "2026-02-10T12:00:00Z",
    }
    assert listed["error_summary"]["rows"] == 1
    assert listed["solution_patterns"] == {
        **listed["recent_executions"],
        "table": "solution_patterns",
        "rows": 0,
    }


def test_tables_are_aligned_for_people(run: Run) -> None:
    """Numbers to the right, under their heads."""
    code, printed, _ = run("tables")
    assert code == 0
    head, *lines = printed.splitlines()
    assert head.split() == ["table", "rows", "files", "data_through"]
    assert len(lines) == len(TABLES)
    end = head.index("rows") + len("rows")
    assert {line[:end].split()[0]: line[:end].split()[-1] for line in lines}[
        "recent_executions"
    ] == "30"
    assert all(line[end - 1].isdigit() and line[end] == " " for line in lines)


def test_json_has_every_value(run: Run) -> None:
    """As it is, down to control characters; NULL is null, an instant has its zone."""
    code, printed, said = run("show", "recent_executions", "--format", "json", "--limit", "1")
    assert (code, said) == (0, "")
    (row,) = json.loads(printed)
    assert row["error_message"] == NASTY
    assert row["actual_cost"] is None
    assert row["timestamp"] == "2026-02-10T09:30:29.000005Z"
    assert row["success"] is False
    assert row["duration_seconds"] == pytest.approx(12_345.678, rel=1e-6)
    assert row["user_rating"] == 4


def test_csv_has_every_value(run: Run) -> None:
    """Quoted where that is needed; NULL is empty."""
    code, printed, said = run("show", "recent_executions", "--format", "csv", "--limit", "2")
    assert (code, said) == (0, "")
    first, last = csv.DictReader(io.StringIO(printed, newline=""))
    assert (first["task_id"], last["task_id"]) == ("task-28", "task-29")
    assert last["error_message"] == NASTY
    assert (last["actual_cost"], first["error_message"]) == ("", "")
    assert last["timestamp"] == "2026-02-10T09:30:29.000005Z"


def test_a_table_is_safe_on_a_terminal(run: Run) -> None:
    """One line a row, no control character, no text that runs backwards, nothing endless."""
    code, printed, said = run("show", "error_summary")
    assert (code, said) == (0, "")
    lines = printed.split("\n")
    assert len(lines) == 3
    assert lines[2] == ""
    assert all(c.isprintable() for c in printed.replace("\n", ""))
    assert 'a b c d [31mred "quoted", ; é 漢' in lines[1]
    assert "2026-02-10 09:00:00" in lines[1]


def test_a_table_shows_null_and_truth_and_size(run: Run) -> None:
    """In a way that a person reads at a glance."""
    _, printed, _ = run("show", "recent_executions", "--limit", "1")
    head, line = printed.splitlines()
    assert "12,345.68" in line
    start = head.index("success")
    assert line[start:].split()[0] == "no"
    end = head.index("actual_cost") + len("actual_cost")
    assert line[:end].split()[-1] == "-"


@pytest.mark.parametrize("limit", [1, 3, 30, 1_000_000])
def test_the_limit_takes_the_last(run: Run, limit: int) -> None:
    """In the order of the key all the same."""
    _, printed, _ = run("show", "recent_executions", "--limit", str(limit), "--format", "json")
    ids = [row["task_id"] for row in json.loads(printed)]
    assert ids == [f"task-{n:02}" for n in range(30)][-limit:]


def test_twenty_rows_are_shown_by_default(run: Run) -> None:
    """Enough to see, little enough to scroll."""
    _, printed, _ = run("show", "recent_executions")
    assert len(printed.splitlines()) == 21


@pytest.mark.parametrize(
    ("form", "printed"),
    [
        ("json", "[]\n"),
        ("csv", "solution_summary,repo,usage_count,success_count,success_rate,avg_quality,"),
        ("table", "solution_summary  repo  usage_count  success_count  success_rate"),
    ],
)
def test_a_table_without_rows_has_its_columns(run: Run, form: str, printed: str) -> None:
    """Nothing is an answer."""
    code, found, said = run("show", "solution_patterns", "--format", form)
    assert (code, said) == (0, "")
    assert found.startswith(printed)
    assert len(found.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "tier_performanc"], "dbmon: no table 'tier_performanc' is published: did you"),
        (["show", "TIER_PERFORMANCE"], "dbmon: no table 'TIER_PERFORMANCE' is published: "),
        (["show", "qqqq"], "dbmon: no table 'qqqq' is published: the tables are check_his"),
        (["show", "../generations"], "dbmon: no table '../generations' is published: the tables"),
        (["show", ""], "dbmon: no table '' is published: the tables are check_history, "),
        (["show"], "dbmon: Missing argument 'table': see 'dbmon show --help'"),
        (["show", "tier_performance", "--limit", "0"], "dbmon: Invalid value for '--limit'"),
        (["show", "tier_performance", "--limit", "x"], "dbmon: Invalid value for '--limit'"),
        (["tables", "--format", "xml"], "dbmon: Invalid value for '--format'"),
        (["tables", "--formt", "csv"], "dbmon: No such option: --formt"),
    ],
)
def test_what_cannot_be_answered_is_one_line(run: Run, arguments: list[str], said: str) -> None:
    """On stderr, with nothing on stdout for a program to take for data."""
    code, printed, found = run(*arguments)
    assert (code, printed) == (3, "")
    assert found.startswith(said)
    assert found.count("\n") == 1


def test_a_near_miss_is_named(run: Run) -> None:
    """And so are all that there are."""
    _, _, said = run("show", "tier_performanc")
    assert "did you mean tier_performance? the tables are " in said
    assert all(name in said for name in TABLES)


@pytest.mark.parametrize("arguments", [["tables"], ["show", "tier_performance"]])
def test_nothing_is_published_yet(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    """The remedy is a refresh, and no folder is made by asking."""
    empty = settings_for(tmp_path)
    code, printed, said = dbmon(empty, capsys, monkeypatch, *arguments)
    assert (code, printed) == (3, "")
    assert said == (
        f"dbmon: nothing is published in {empty.home.published}: run dbmon refresh first\n"
    )
    assert not empty.home.path.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grafana", "export", ""], "dbmon: Invalid value for 'DIR': no folder is named; write ."),
        (["prometheus-rules", ""], "dbmon: Invalid value for 'DIR': no folder is named; write ."),
        (["grafana", "export", "g\udcff"], "dbmon: the argument 'g\\udcff' has bytes that are not"),
        (["prometheus-rules", "g\udcff"], "dbmon: the argument 'g\\udcff' has bytes that are not"),
        (["report", "--home", "p\udcff"], "dbmon: the argument 'p\\udcff' has bytes that are not"),
    ],
)
def test_a_folder_that_cannot_be_meant(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    """A variable that is not set, or bytes that are no text: nothing is written anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["dbmon", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed, found = capsys.readouterr()
    assert (ended.value.code, printed) == (3, "")
    assert found.startswith(said)
    assert found.count("\n") == 1
    assert [*tmp_path.iterdir()] == []


def test_a_working_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    """It can be told all the same."""
    odd = tmp_path / "p\udcff"
    odd.mkdir()
    ended = run_dbmon("tables", first=f"os.chdir({str(odd)!r})")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == (
        f"dbmon: nothing is published in {tmp_path}/p\\udcff/.dbmon/published: run dbmon refresh"
        " first\n"
    )
    ended = dbmon_here("tables", DBMON_HOME="p\udcff")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith("dbmon: DBMON_HOME has bytes that are not UTF-8: give ")


def test_what_is_not_finite_is_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has no word for it."""
    values = (float("nan"), float("inf"), 0.5, datetime(2026, 2, 10).date())
    print_rows(Rows(("a", "b", "c", "d"), [values]), Format.JSON)
    assert json.loads(capsys.readouterr().out) == [
        {"a": None, "b": None, "c": 0.5, "d": "2026-02-10"}
    ]


def test_a_reader_that_ends_early_is_no_error(settings: Settings) -> None:
    """As in ``dbmon show ... | head -1``."""
    read_one_line = "r, w = os.pipe()\nos.dup2(w, 1)\nos.close(r)\nos.close(w)"
    ended = run_dbmon(
        "show", "recent_executions", "--home", settings.home.path, first=read_one_line
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_output_is_utf8_wherever_it_goes(settings: Settings) -> None:
    """In a container without a locale too."""
    ended = run_dbmon(
        *("show", "error_summary", "--format", "csv", "--home", settings.home.path),
        LC_ALL="C",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "é 漢" in ended.stdout


def test_the_same_rows_are_found_by_the_python_reader(settings: Settings) -> None:
    """The command adds nothing to what is published and takes nothing away."""
    found = Published(settings.home).rows("recent_executions")
    assert len(found.rows) == 30
    assert found.rows[-1][found.columns.index("error_message")] == NASTY
