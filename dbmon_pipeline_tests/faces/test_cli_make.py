"""The commands that make a learning database, run as a person runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

AIDER = Path(__file__).parents[1] / "data" / "executions_aider_leaderboards.parquet"
MAIN = "from dbmon_pipeline.faces.cli.main import main; main()"


def dbmon(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusal(*arguments: object) -> str:
    """The one line that a failing command says."""
    done = dbmon(*arguments)
    assert (done.returncode, done.stdout) == (3, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("dbmon: ")
    return line


def read(path: Path, query: str) -> list[tuple[object, ...]]:
    """Ask a learning database."""
    with duckdb.connect(str(path), read_only=True) as con:
        return con.execute(query).fetchall()


def test_init_makes_an_empty_database_once(tmp_path: Path) -> None:
    """The second time it is somebody's database."""
    path = tmp_path / "learning.db"
    done = dbmon("init", path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"made {path}, an empty learning database of schema version 1\n"
    assert read(path, "SELECT count(*), any_value(value) FROM executions, metadata") == [(0, None)]
    assert "already exists" in refusal("init", path)


def test_sample_does_as_its_options_say(tmp_path: Path) -> None:
    """Each option shows in the rows, the end in another zone than UTC too."""
    path = tmp_path / "learning.db"
    options = ["--rows", 2000, "--days", 2, "--seed", 5, "--scenario", "drift", "--embeddings"]
    done = dbmon("sample", path, *options, "--end", "2026-02-10T05:40:00+02:00")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"made {path} with 2000 made-up executions (drift) over 2 days\n"
    assert read(
        path,
        "SELECT count(*), count(embedding), min(timestamp) >= TIMESTAMP '2026-02-08 03:40:00',"
        " max(timestamp) < TIMESTAMP '2026-02-10 03:40:00',"
        " max(timestamp) > TIMESTAMP '2026-02-10 02:40:00',"
        " sum(actual_cost) > 1.1 * sum(cost_estimate) FROM executions",
    ) == [(2000, 2000, True, True, True, True)]


def test_sample_ends_now_by_default(tmp_path: Path) -> None:
    """A first look at the dashboards wants figures of the last hour."""
    path = tmp_path / "learning.db"
    assert dbmon("sample", path, "--rows", "1000", "--days", "1").returncode == 0
    [(behind, rows, embeddings)] = read(
        path,
        "SELECT epoch(CAST(now() AT TIME ZONE 'UTC' AS TIMESTAMP) - max(timestamp)), count(*),"
        " count(embedding) FROM executions",
    )
    assert isinstance(behind, float)
    assert 0 < behind < 3600
    assert (rows, embeddings) == (1000, 0)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--rows", "0", "0 rows"),
        ("--days", "0", "0 days"),
        ("--end", "yesterday", "'yesterday' is not an instant"),
        ("--end", "", "'' is not an instant"),
        ("--scenario", "calm", "'calm' is not one of"),
    ],
)
def test_sample_refuses_what_it_cannot_make(
    tmp_path: Path, option: str, value: str, message: str
) -> None:
    """A wrong option costs one line and leaves no file."""
    assert message in refusal("sample", tmp_path / "learning.db", option, value)
    assert list(tmp_path.iterdir()) == []


def test_load_says_how_many_it_loaded(tmp_path: Path) -> None:
    """The person knows how many there should be."""
    path = tmp_path / "learning.db"
    done = dbmon("load", AIDER, path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"made {path} with 181 executions from {AIDER}\n"
    assert read(path, "SELECT count(*) FROM executions") == [(181,)]


def test_load_warns_of_columns_that_it_leaves_out(tmp_path: Path) -> None:
    """Nothing but this line tells that a column's name is misspelt."""
    file = tmp_path / "in.csv"
    file.write_text(
        "task_id,timestamp,task_type,repo,model_tier,pool_type,success,duration_seconds,cost\n"
        "run-1,2026-01-01,bug_fix,tools,small,local,true,1.5,0.1\n"
    )
    done = dbmon("load", file, tmp_path / "learning.db")
    assert (done.returncode, done.stdout) == (0, "")
    assert "left out what the schema does not have: cost\n" in done.stderr


def test_load_refuses_a_missing_file(tmp_path: Path) -> None:
    """The remedy stands on the same line."""
    line = refusal("load", tmp_path / "none.csv", tmp_path / "learning.db")
    assert line.endswith("none.csv does not exist: name an existing file")


def test_the_module_loads_neither_the_orchestrator_nor_data_frames() -> None:
    """Each of them would cost a second before the first word."""
    code = (
        "import sys, dbmon_pipeline.faces.cli.make;"
        "print(sorted({'dagster', 'pandas', 'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
