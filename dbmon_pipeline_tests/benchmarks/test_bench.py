"""The bench measures what it says, compares what is equal, and judges its goals."""

from __future__ import annotations

import json
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
from dbmon_pipeline_tests.benchmarks.refresh import contest, measure
from dbmon_pipeline_tests.benchmarks.refresh import questions as asked
from dbmon_pipeline_tests.benchmarks.refresh.equal import equal_rows
from dbmon_pipeline_tests.benchmarks.refresh.histories import END
from dbmon_pipeline_tests.benchmarks.refresh.measure import Options
from dbmon_pipeline_tests.benchmarks.refresh.processes import BenchError, run
from dbmon_pipeline_tests.benchmarks.refresh.rivals import RIVALS, TABLES, Rival
from dbmon_pipeline_tests.benchmarks.refresh.rows import questions as question_rows
from dbmon_pipeline_tests.benchmarks.refresh.table import GOALS, Goal, Row, lines, short, shown

LOCKS = sorted(Path(contest.__file__).parents[1].glob("rivals/*/requirements.lock"))
AS_OF = END + timedelta(hours=1)
ROWS = 4_000


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
    assert [name for name in rows if not name.startswith(("dbt", "pandas"))] == [
        *(f"refresh from nothing, {size}" for size in both),
        "next hour after 4 k",
        "full rebuild by dbmon, 4 k",
        *(
            f"{what}, {refresh}{size}"
            for what in ("longest hold of the source", "peak memory")
            for size in both
            for refresh in ("refresh from nothing, ", "next hour after ")
        ),
        "publishing the next hour after 4 k",
        *(
            f"bytes per execution, {place}, {size}"
            for size in both
            for place in ("warehouse", "published")
        ),
    ]
    assert all(row.ratio for name, row in rows.items() if name != "dbt")
    hour, rebuild = rows["next hour after 4 k"], rows["full rebuild by dbmon, 4 k"]
    assert (rebuild.against, rebuild.base) == ("next hour after 4 k", hour.value)
    assert rebuild.value == rows["refresh from nothing, 4 k"].value


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
        assert rows["next hour after 4 k"].note == f"{new} rows"
        files = folder / str(size) / "home/published/current/hourly_summary/*.parquet"
        counted = f"SELECT sum(executions) FROM read_parquet('{files}')"
        assert duckdb.execute(counted).fetchall() == [(size + new,)]
    assert latest[400] == latest[ROWS]


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
    rebuild = rows["pandas: full rebuild after 4 k"]
    assert rebuild.base == rows["next hour after 4 k"].value


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
    figures = asked.measure(Home(measured[0] / f"{ROWS}/home"), AS_OF)
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
    judged = {goal.goal for goal in GOALS}
    assert judged - {row.goal for row in measured[1].values()} == {"whole"}
    tiny = [goal.judged(measured[1].values())[0] for goal in GOALS]
    assert [goal.goal for goal, met in zip(GOALS, tiny, strict=True) if met is not None] == [
        *("hold", "memory", "equal")
    ]


def test_the_table_and_the_goals_are_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Markdown, and as JSON with the ratios."""
    made = [
        Row("backfill", 9.0, "s", "bare", 1.0, goal="backfill", history=10_000_000),
        Row("hold", 60.0, "ms", "what is allowed", 50.0, "in all 90 ms", goal="hold"),
    ]
    monkeypatch.setattr(bench, "measure", lambda _folder, _options: iter(made))
    monkeypatch.setattr(sys, "argv", ["bench", "--json", str(tmp_path / "bench.json")])
    bench.main()
    said = capsys.readouterr().out
    assert "| backfill | 9.00 s | bare | 1.00 s | 9.00 x |  |\n" in said
    assert "| hold | 60.0 ms | what is allowed | 50.0 ms | 1.20 x | in all 90 ms |\n" in said
    assert re.search(r"- met: a backfill .*: 9.00 x \(backfill: 9.00 s\)\n", said)
    assert re.search(r"- missed: no refresh holds .*: 1.20 x \(hold: 60.0 ms\)\n", said)
    assert re.search(r"- not judged: a whole dbmon refresh .*: this run does not measure it", said)
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
