"""The bench measures what it says, compares what is equal, and judges its goals."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.questions import questions
from dbmon_pipeline_tests.benchmarks.refresh import __main__ as bench
from dbmon_pipeline_tests.benchmarks.refresh import contest, measure, owner, rows
from dbmon_pipeline_tests.benchmarks.refresh import questions as asked
from dbmon_pipeline_tests.benchmarks.refresh.beside import OwnerFigures, measure_owners
from dbmon_pipeline_tests.benchmarks.refresh.commands import Commands
from dbmon_pipeline_tests.benchmarks.refresh.dev import DevFigures
from dbmon_pipeline_tests.benchmarks.refresh.equal import equal_rows
from dbmon_pipeline_tests.benchmarks.refresh.histories import History, with_texts
from dbmon_pipeline_tests.benchmarks.refresh.measure import Options
from dbmon_pipeline_tests.benchmarks.refresh.proc import PeakMemory, cpu_seconds, process_tree
from dbmon_pipeline_tests.benchmarks.refresh.processes import BenchError, Ran, run
from dbmon_pipeline_tests.benchmarks.refresh.rivals import RIVALS, TABLES, Rival
from dbmon_pipeline_tests.benchmarks.refresh.rows import questions as question_rows
from dbmon_pipeline_tests.benchmarks.refresh.sources import END
from dbmon_pipeline_tests.benchmarks.refresh.table import GOALS, Goal, Row, lines, short, shown
from dbmon_pipeline_tests.helpers import HOLD_DATABASE, running

LOCKS = sorted(Path(contest.__file__).parents[1].glob("rivals/*/requirements.lock"))
AS_OF = END + timedelta(hours=1)
ROWS = 4_000
FIGURES = dict.fromkeys(
    (
        *("seconds", "cpu_seconds", "rows", "executions", "published_bytes", "home_bytes"),
        *("source_bytes", "peak_mb", "files_written"),
    ),
    1.0,
)
OWNER = dict.fromkeys(("writes", "failed", "delayed", "p99_ms"), 1.0)
GROWN = "the same after 4 k, as it grows"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Row]]:
    """A tiny run with pandas from our own environment, and with a rival that is not to be had."""

    def installed(rival: Rival) -> Path:
        if rival.name == "dbt":
            raise BenchError("dbt cannot be installed: no network\nand much more")
        return Path(sys.executable).parent

    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contest, "installed", installed)
        options = Options(ROWS, long=0, per_day=500, hours=1, parts=("dbt", "pandas"))
        return folder, {row.what: row for row in measure.measure(folder, options)}


def test_every_ratio_is_there(measured: tuple[Path, dict[str, Row]]) -> None:
    """What is measured without whole processes, each against something of its own."""
    _, rows = measured
    both = ("400", "4 k")
    assert [name for name in rows if not re.search("dbt|pandas", name)] == [
        *(f"first refresh, {size}" for size in both),
        *(f"next hour after {size}" for size in both),
        "the same after 4 k, as it grows",
        *(
            f"peak memory, {refresh} {size}"
            for size in both
            for refresh in ("first refresh,", "next hour after")
        ),
        *(
            what
            for size in both
            for what in (
                f"published bytes per execution, {size}",
                f"the home without dagster/, {size}",
            )
        ),
    ]
    assert all(row.ratio for name, row in rows.items() if name != "dbt")


def test_every_phase_of_a_refresh_is_told(measured: tuple[Path, dict[str, Row]]) -> None:
    """The seconds of the phases are most of the refresh, and none is told that takes nothing."""
    row = measured[1]["first refresh, 4 k"]
    assert row.value
    seconds = [float(text) for text in re.findall(r"[a-z] (\d+\.\d+)", row.note)]
    assert len(seconds) == 6
    assert 0.5 * row.value < sum(seconds) <= row.value + 0.05


def test_the_histories_differ_in_length_alone(measured: tuple[Path, dict[str, Row]]) -> None:
    """The shorter one is the end of the longer one, to the row, and so is what is published."""
    folder, rows = measured
    latest = {}
    for size in (400, ROWS):
        with duckdb.connect(str(folder / str(size) / "learning.db"), read_only=True) as con:
            counts = "count(*), count(*) FILTER (WHERE timestamp >= $end)"
            [(total, new)] = con.execute(
                f"SELECT {counts} FROM executions", {"end": END}
            ).fetchall()
            latest[size] = con.execute(
                "SELECT task_id, timestamp, repo, actual_cost FROM executions"
                " WHERE timestamp < $end ORDER BY timestamp DESC LIMIT 400",
                {"end": END},
            ).fetchall()
        assert (total, new > 0) == (size + new, True)
        files = folder / str(size) / "home/published/current/hourly_summary/*.parquet"
        counted = f"SELECT sum(executions) FROM read_parquet('{files}')"
        assert duckdb.execute(counted).fetchall() == [(size + new,)]
    assert latest[400] == latest[ROWS]
    today = "SELECT count(*) FROM read_parquet('{}') WHERE hour >= '{:%Y-%m-%d}'"
    [(hours,)] = duckdb.execute(today.format(files, END)).fetchall()
    [(read, _)] = re.findall(r"([\d,]+) rows read, (\d+) files", rows[GROWN].note)
    assert new < int(read) <= 500
    assert hours <= int(read)


def test_bytes_are_those_of_the_files(measured: tuple[Path, dict[str, Row]]) -> None:
    """Of the current generation, and of all that the home holds; a linked file counts once."""
    folder, rows = measured
    home = folder / f"{ROWS}/home"
    current = sum(file.stat().st_size for file in (home / "published/current/").rglob("*.*"))
    row = rows["the home without dagster/, 4 k"]
    assert row.base == current / 1e6
    files = {f.stat().st_ino: f.stat().st_size for f in home.rglob("*") if f.is_file()}
    assert row.value == sum(files.values()) / 1e6
    published = rows["published bytes per execution, 4 k"].value
    assert published
    assert published * ROWS < current < published * (ROWS + 500)


def test_pandas_makes_the_same_tables(measured: tuple[Path, dict[str, Row]]) -> None:
    """Else it would be no yardstick; and it is one for the next hour."""
    folder, rows = measured
    same = rows["pandas: rows equal to ours"]
    expected = 0
    for table in TABLES:
        files = folder / f"{ROWS}/home/published/current/{table}/*.parquet"
        counted = duckdb.execute(f"SELECT count(*) FROM read_parquet('{files}')")
        expected += counted.fetchall()[0][0]
    assert (same.value, same.base, same.note) == (expected, expected, "in 5 tables")
    assert rows["next hour beside pandas, 4 k"].value == rows["next hour after 4 k"].value


def test_a_rival_that_cannot_be_installed_is_told(measured: tuple[Path, dict[str, Row]]) -> None:
    """In its row; the others go on."""
    row = measured[1]["dbt"]
    assert (row.value, row.ratio) == (None, None)
    [line] = [line for line in lines(measured[1].values()) if line.startswith("| dbt ")]
    assert line == "| dbt | - |  | - | - | dbt cannot be installed: no network |"


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("INSERT INTO daily_summary FROM daily_summary LIMIT 1", "daily_summary"),
        ("DELETE FROM error_summary WHERE rowid = 0", "error_summary"),
        ("UPDATE error_summary SET example_message = 'x' WHERE rowid = 0", "error_summary"),
        ("UPDATE pool_performance SET avg_cost = avg_cost * 1.0000001 WHERE rowid = 0", ""),
        ("UPDATE tier_performance SET avg_quality = NULL WHERE avg_quality IS NOT NULL", ""),
    ],
)
def test_a_difference_is_found(
    measured: tuple[Path, dict[str, Row]], tmp_path: Path, statement: str, table: str
) -> None:
    """A row too many, one too few, one that differs."""
    folder = measured[0] / str(ROWS)
    tables = tmp_path / "tables.duckdb"
    shutil.copy(folder / "pandas/tables.duckdb", tables)
    with duckdb.connect(str(tables)) as con:
        con.execute(statement)
    found = equal_rows(Home(folder / "home"), tables)
    wrong = [name for name, (same, total) in found.items() if same < total]
    assert wrong == [table or statement.split()[1]]


def test_every_question_has_a_raw_form(
    measured: tuple[Path, dict[str, Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And both are asked."""
    monkeypatch.setattr(asked, "_ASKED", 1)
    monkeypatch.setattr(asked, "_ASKED_RAW", 1)
    folder = measured[0] / str(ROWS)
    figures = asked.measure(Home(folder / "home"), folder / "learning.db", AS_OF)
    assert figures.keys() == questions().keys()
    rows = [*question_rows(figures)]
    assert len(rows) == 1 + len(figures)
    assert all(row.ratio for row in rows)


def test_goals_are_judged_at_their_size_by_the_worst() -> None:
    """Of several rows the worst counts; what is too short does not, nor what is far longer."""
    row = Row("this", 12, "s", "that", 10, goal="flat", history=10)
    goal = Goal("flat", "flat", most=1.2, history=10)
    assert goal.judged([row]) == (True, "1.20 x (this: 12.0 s)")
    assert goal.judged([row, replace(row, value=13)])[0] is False
    assert goal.judged([replace(row, history=9)])[0] is None
    assert goal.judged([row, replace(row, value=99, history=50)])[0] is True
    assert goal.judged([replace(row, value=None), replace(row, goal="other")])[0] is None
    least = Goal("faster", "flat", least=1.2)
    assert least.judged([row, replace(row, value=99)])[0] is True
    assert least.judged([row, replace(row, value=11)])[0] is False


def test_each_goal_has_its_rows(measured: tuple[Path, dict[str, Row]]) -> None:
    """A goal without rows would never be missed."""
    history = History(ROWS, Path("4000-unique"), "unique", [1.0, 1.0], FIGURES, [FIGURES])
    ran = Ran(1.0, 1.0, 1.0)
    commands = Commands(Path("source"), Path("home"), ran, [ran], [ran])
    owner = OwnerFigures("holds", OWNER, OWNER, OWNER, {**OWNER, "refreshes": 1, "thrown_away": 0})
    others = [
        *rows.footprint([history]),
        *rows.commands(history, commands),
        *rows.owners([owner]),
        *rows.sparse([(ran, ran)]),
        *rows.starts([(1.0, 1.0, 1.0)]),
        *rows.dev(DevFigures(1.0, 2.0, 16, 3.0, 400.0), 600.0),
    ]
    judged = {goal.goal for goal in GOALS}
    by_rival = {"first beside dbt", "hour beside dbt"}
    assert judged - {row.goal for row in (*measured[1].values(), *others)} == by_rival
    tiny = [goal.judged(measured[1].values())[0] for goal in GOALS]
    assert [goal.goal for goal, met in zip(GOALS, tiny, strict=True) if met is not None] == [
        *("memory", "equal")
    ]


def test_each_text_is_unique(measured: tuple[Path, dict[str, Row]]) -> None:
    """In rows that are the same otherwise; long ones have 500 characters, and are not redacted."""
    plain = measured[0] / "400/learning.db"
    for kind in ("unique", "long"):
        history = with_texts(History(400, measured[0] / "400"), kind)
        with duckdb.connect(str(history.source), read_only=True) as con:
            con.execute(f"ATTACH '{plain}' AS plain (READ_ONLY)")
            [(summaries, errors, unique, shortest, longest)] = con.execute(
                "SELECT count(solution_summary), count(error_message),"
                " count(DISTINCT solution_summary) + count(DISTINCT error_message),"
                " min(length(solution_summary)), max(length(error_message)) FROM executions"
            ).fetchall()
            [(same,)] = con.execute(
                "SELECT count(*) FROM executions AS a JOIN plain.executions AS b USING (task_id)"
                " WHERE a.timestamp = b.timestamp AND (a.error_message IS NULL) ="
                " (b.error_message IS NULL) AND contains(a.solution_summary, b.solution_summary)"
            ).fetchall()
        assert errors > 0
        assert unique == summaries + errors
        assert same == summaries
        assert (shortest == longest == 500) == (kind == "long")


def test_an_owner_beside_refreshes(
    measured: tuple[Path, dict[str, Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writes are counted and timed, and those that fail are told as such."""
    monkeypatch.setattr(owner, "WAYS", (owner.HOLDS,))
    folder = measured[0]
    [figures] = measure_owners(History(400, folder / "400"), 0.3)
    assert figures.beside_refreshes["writes"] == figures.alone["writes"] == 30
    assert figures.beside_refreshes["failed"] == 0
    assert figures.refreshes["refreshes"] > 0
    [failed, _, slowest] = rows.owners([figures])
    assert (failed.ratio, slowest.base) == (0, figures.beside_work["p99_ms"])
    with duckdb.connect(str(folder / "400-owner-holds/learning.db"), read_only=True) as con:
        count = con.execute("SELECT count(*) FROM executions WHERE timestamp >= $end", {"end": END})
        [(written,)] = count.fetchall()
        assert written >= 90
    with running(HOLD_DATABASE, folder / "400-owner-holds/learning.db"):
        refused = owner.write(folder / "400-owner-holds/learning.db", owner.OPENS, 0.1)
    assert (refused["writes"], refused["failed"]) == (3, 3)


def test_memory_and_processor_time_of_a_process_and_its_children() -> None:
    """Together; a child that has ended still counts."""
    code = """
import subprocess, sys
burn = "import time\\nwhile time.process_time() < 0.3: pass"
subprocess.run([sys.executable, "-c", burn])
hold = "import sys; x = bytearray(80_000_000); print(1, flush=True); sys.stdin.read()"
child = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE)
child.stdout.readline()
wait()
child.terminate()
"""
    with running(code):
        [number] = [child for child in process_tree(os.getpid()) if _is_python_with(child, "burn")]
        memory = PeakMemory()
        memory.sample(number)
        assert 80 < memory.mb < 160
        assert 0.3 <= cpu_seconds(number) < 3
    assert len(process_tree(number)) == 1


def _is_python_with(process: int, word: str) -> bool:
    return word in Path(f"/proc/{process}/cmdline").read_text("utf-8")


def test_the_table_and_the_goals_are_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Markdown, and as JSON with the ratios."""
    made = [
        Row("all rows", 9.0, "s", "bare", 1.0, goal="first", history=10_000_000),
        Row("peak", 1_200.0, "MB", "what is allowed", 1_000.0, "in all", goal="memory"),
    ]
    monkeypatch.setattr(bench, "measure", lambda _folder, _options: iter(made))
    monkeypatch.setattr(sys, "argv", ["bench", "--json", str(tmp_path / "bench.json")])
    bench.main()
    output = capsys.readouterr().out
    assert "| all rows | 9.00 s | bare | 1.00 s | 9.00 x |  |\n" in output
    assert "| peak | 1,200 MB | what is allowed | 1,000 MB | 1.20 x | in all |\n" in output
    assert re.search(r"- met: the first refresh .*: 9.00 x \(all rows: 9.00 s\)\n", output)
    assert re.search(r"- missed: all processes .*: 1.20 x \(peak: 1,200 MB\)\n", output)
    assert re.search(r"- not judged: a whole dbmon .*: this run does not measure it", output)
    written = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert [row["ratio"] for row in written["table"]] == [9, 1.2]
    assert [goal["is_met"] for goal in written["goals"]].count(None) == len(GOALS) - 2


def test_figures_are_for_people() -> None:
    """Short, with a unit."""
    assert [short(rows) for rows in (400, 4_000, 2_500_000)] == ["400", "4 k", "2.5 M"]
    assert [shown(*figure) for figure in ((0.0123, "s"), (1234.5, "MB"), (None, "s"))] == [
        *("12.3 ms", "1,234 MB", "-")
    ]


def test_a_process_that_fails_says_why() -> None:
    """With the end of what it printed."""
    with pytest.raises(BenchError, match="failed with 3:\nno such thing"):
        run(sys.executable, "-c", "import sys; print('no such thing'); sys.exit(3)")


def test_rivals_are_pinned_and_no_registry_is_named() -> None:
    """Each lock file has hashes and no address."""
    assert {path.parent.name for path in LOCKS} == RIVALS.keys()
    for path in LOCKS:
        text = path.read_text("utf-8")
        assert "--hash=sha256:" in text
        assert not re.search(r"https?://|--index-url|--find-links|file:", text)
