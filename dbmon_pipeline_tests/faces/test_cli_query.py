"""``dbmon queries``, ``dbmon query`` and ``dbmon sql``: the catalogue, its answers and its SQL."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.learning_db.sample import Scenario, make_sample
from dbmon_pipeline.core.query.questions import questions
from dbmon_pipeline.faces.cli import main as cli
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    refresh_core,
    running,
    settings_for,
    state_of,
)

AS_OF = datetime.fromisoformat("2026-02-10T12:34:56")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with the made-up executions of ten days."""
    made = settings_for(tmp_path_factory.mktemp("asked"))
    make_sample(
        made.source,
        rows=1500,
        days=10,
        end=AS_OF,
        seed=1,
        scenario=Scenario.INCIDENT,
        embeddings=False,
    )
    refresh_core(made, AS_OF)
    return made


@pytest.fixture
def run(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run a command in this process; in that home and as of its refresh, unless told otherwise."""

    def run_it(
        command: str,
        *arguments: object,
        home: Path = settings.home.path,
        as_of: str = AS_OF.isoformat(),
        **environ: object,
    ) -> tuple[int, str, str]:
        where = [] if command == "queries" else ["--home", str(home), "--as-of", as_of]
        monkeypatch.setattr("sys.argv", ["dbmon", command, *map(str, arguments), *where])
        for name in ("DBMON_HOME", "DBMON_SOURCE", "DBMON_CONFIG", "DBMON_DEBUG"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, str(value))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed, said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return int(ended.value.code), printed, said

    return run_it


def refusal(ended: tuple[int, str, str]) -> str:
    """The one line that says why there is no answer."""
    code, printed, said = ended
    assert (code, printed) == (3, "")
    assert said.count("\n") == 1
    assert said.startswith("dbmon: ")
    assert not said.startswith("dbmon: unexpected")
    return said.removeprefix("dbmon: ").rstrip("\n")


def test_queries_lists_every_question(run: Run) -> None:
    """In each format, with what it takes to ask."""
    code, printed, said = run("queries", "--format", "json")
    assert (code, said) == (0, "")
    listed = {row["question"]: row for row in json.loads(printed)}
    assert listed.keys() == questions().keys()
    assert listed["duration_percentiles"] == {
        "question": "duration_percentiles",
        "category": "Performance",
        "filters": "model_tier, pool_type",
        "chart": "stat",
        "one_row": "all executions of the range. The percentiles are within 1 % of the exact ones.",
    }
    assert all(all(row.values()) for row in listed.values())
    _, printed, _ = run("queries", "--format", "csv")
    assert [row["question"] for row in csv.DictReader(io.StringIO(printed))] == list(listed)
    _, printed, _ = run("queries")
    assert [line.split()[0] for line in printed.splitlines()] == ["question", *listed]


@pytest.mark.parametrize("name", questions())
def test_an_answer_is_the_same_in_each_format(run: Run, name: str) -> None:
    """Data on stdout, and on stderr what it speaks for."""
    code, printed, said = run("query", name, "--format", "json")
    assert code == 0
    rows = json.loads(printed)
    assert rows
    assert " executions from 2026-02-" in said
    assert said.endswith(" to 2026-02-10T12:34:56Z, data through 2026-02-10T12:34:56Z\n")
    code, printed, _ = run("query", name, "--format", "csv")
    assert code == 0
    found = list(csv.DictReader(io.StringIO(printed, newline="")))
    assert found == [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows]
    code, printed, _ = run("query", name)
    assert code == 0
    lines = printed.splitlines()
    assert lines[0].split() == list(rows[0])
    assert len(lines) == 1 + len(rows)


def test_a_shorter_range_has_fewer_executions(run: Run) -> None:
    """Of each range as many as lie in it."""
    counts = []
    for time_range in ("1h", "24h", "7d", "30d", "90d"):
        _, printed, said = run(
            "query", "key_figures", "--time-range", time_range, "--format", "json"
        )
        (row,) = json.loads(printed)
        assert said.startswith(f"{row['executions']:,} executions from ")
        counts.append(row["executions"])
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[1] < counts[2] < counts[3] == counts[4] == 1500


def test_filters_narrow_an_answer_down(run: Run, settings: Settings) -> None:
    """To what the executions themselves say."""

    def executions(*filters: str) -> int:
        arguments = ("query", "key_figures", "--time-range", "30d", "--format", "json", *filters)
        code, printed, _ = run(*arguments)
        assert code == 0
        return int(json.loads(printed)[0]["executions"])

    with duckdb.connect(settings.source, read_only=True) as con:
        (repo, tier, pool, task) = con.execute(
            "SELECT repo, model_tier, pool_type, task_type FROM executions LIMIT 1"
        ).fetchall()[0]
        condition = "true"
        chosen: list[str] = []
        for column, value in (
            ("repo", repo),
            ("model_tier", tier),
            ("pool_type", pool),
            ("task_type", task),
        ):
            option = [f"--{column.replace('_', '-')}", value]
            (alone,) = con.execute(
                f"SELECT count(*) FROM executions WHERE {column} = ?", [value]
            ).fetchall()[0]
            assert executions(*option) == alone
            condition += f" AND {column} = '{value}'"
            chosen += option
            (together,) = con.execute(
                f"SELECT count(*) FROM executions WHERE {condition}"
            ).fetchall()[0]
            assert executions(*chosen) == together > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["key_figure"], "there is no question 'key_figure': did you mean key_figures? "),
        (["zzzz"], "there is no question 'zzzz': the questions are cost_by_model_tier, "),
        (["KEY_FIGURES"], "there is no question 'KEY_FIGURES': "),
        (["../checks/success_rate"], "there is no question '../checks/success_rate': "),
        (["key_figures; DROP TABLE x"], "there is no question 'key_figures; DROP TABLE x': "),
        (["x" * 10_000], f"there is no question '{'x' * 100}': the questions are "),
        ([""], "there is no question '': the questions are "),
        ([], "Missing argument 'name'"),
        (["key_figures", "--time-range", "8d"], "Invalid value for '--time-range'"),
        (["key_figures", "--format", "xml"], "Invalid value for '--format'"),
        (
            ["duration_percentiles", "--repo", "a"],
            "duration_percentiles cannot be filtered by repo: its filters are model_tier, ",
        ),
    ],
)
def test_what_cannot_be_asked(run: Run, arguments: list[str], words: str) -> None:
    """One line names the thing and what there is instead."""
    assert refusal(run("query", *arguments)).startswith(words)


@pytest.mark.parametrize("command", ["query", "sql"])
@pytest.mark.parametrize(
    ("as_of", "words"),
    [
        ("2999-01-01T00:00:00Z", "as-of 2999-01-01T00:00:00Z lies in the future (it is 20"),
        ("yesterday", "'yesterday' is not an instant: write it in ISO 8601"),
        ("", "'' is not an instant: write it in ISO 8601"),
        ("2026-02-30", "'2026-02-30' is not an instant: write it in ISO 8601"),
    ],
)
def test_an_as_of_that_cannot_be(run: Run, command: str, as_of: str, words: str) -> None:
    """Each with the remedy."""
    assert refusal(run(command, "key_figures", as_of=as_of)).startswith(words)


@pytest.mark.parametrize("command", ["query", "sql"])
def test_nothing_is_published_yet(run: Run, tmp_path: Path, command: str) -> None:
    """The remedy is a refresh, and no folder is made by asking."""
    said = refusal(run(command, "key_figures", home=tmp_path / "home"))
    assert said == f"nothing is published in {tmp_path}/home/published: run dbmon refresh first"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--repo", "--model-tier", "--pool-type", "--task-type"])
@pytest.mark.parametrize(
    "value",
    [
        "' OR '1' = '1",
        "x'; DROP VIEW hourly_summary; --",
        "'; COPY (SELECT 1) TO '/tmp/dbmon_was_here'; --",
        "$repo",
        "%",
        "",
        "a\0b",
        "\x1b[31mred\u202e",
        "\N{SNOWMAN}" * 10_000,
    ],
)
def test_a_filter_is_a_value_whatever_stands_in_it(run: Run, option: str, value: str) -> None:
    """Nothing has that value, and nothing else comes of it."""
    code, printed, said = run(
        "query", "success_rate_by_model_tier", option, value, "--format", "json"
    )
    assert (code, printed) == (0, "[]\n")
    assert said.startswith("0 executions from ")
    assert not Path("/tmp/dbmon_was_here").exists()  # noqa: S108


def test_asking_changes_nothing(run: Run, settings: Settings) -> None:
    """Neither in the home nor in the source."""
    before = state_of(settings.home), settings.source.read_bytes()
    names = sorted(path.name for path in settings.home.path.rglob("*"))
    for name in ("key_figures", "duration_percentiles", "recent_executions", "top_error_types"):
        run("query", name, "--model-tier", "x'; DROP TABLE executions; --")
        run("sql", name)
        run("query", name, "--db", settings.source)
    assert (state_of(settings.home), settings.source.read_bytes()) == before
    assert sorted(path.name for path in settings.home.path.rglob("*")) == names


def rounded(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Rows whose sums may have been added up in another order."""
    return [
        {k: pytest.approx(v, rel=1e-9) if isinstance(v, float) else v for k, v in row.items()}
        for row in rows
    ]


@pytest.mark.parametrize("name", questions())
def test_the_sql_gives_the_same_answer(run: Run, name: str) -> None:
    """In a DuckDB that has never heard of us."""
    code, statements, said = run("sql", name, "--time-range", "7d")
    assert (code, said) == (0, "")
    with duckdb.connect() as con:
        found = con.execute(statements)
        rows = Rows(tuple(column[0] for column in found.description or ()), found.fetchall())
    _, printed, _ = run("query", name, "--time-range", "7d", "--format", "json")
    expected = json.loads(printed)
    assert len(expected) > 0
    assert rows.records == rounded(expected)


def test_the_sql_can_be_read(run: Run) -> None:
    """Each statement says what it is, and none is empty."""
    _, statements, _ = run("sql", "duration_by_model_tier")
    assert "\n;" not in statements
    assert statements.startswith("SET TimeZone = 'UTC';\n")


def test_the_sql_of_no_question(run: Run) -> None:
    """The nearest one is named."""
    assert refusal(run("sql", "cost_by_tier")).startswith(
        "there is no question 'cost_by_tier': did you mean cost_by_model_tier? the questions are "
    )


def test_a_database_is_asked_directly(run: Run, settings: Settings, tmp_path: Path) -> None:
    """The rows are those that are published of it; no home is needed and none is made."""
    _, published, of_published = run("query", "errors_by_model_tier", "--format", "json")
    code, printed, said = run(
        *("query", "errors_by_model_tier", "--format", "json", "--db", settings.source),
        home=tmp_path / "none",
    )
    assert code == 0
    assert json.loads(printed) == rounded(json.loads(published))
    assert said == of_published
    assert not (tmp_path / "none").exists()


def test_a_database_that_cannot_be_asked(run: Run, tmp_path: Path) -> None:
    """The file is named."""
    path = tmp_path / "none.db"
    assert refusal(run("query", "key_figures", "--db", path)).startswith(f"{path} does not exist: ")
    path.write_text("nothing" * 100)
    assert refusal(run("query", "key_figures", "--db", path)).startswith(
        f"{path} is not a DuckDB database: "
    )


def test_a_database_that_its_owner_holds(run: Run, settings: Settings, tmp_path: Path) -> None:
    """It is read live, without its lock."""
    asked = ("query", "key_figures", "--format", "json", "--db", settings.source)
    expected = run(*asked)
    with running(HOLD_DATABASE, settings.source):
        held = run(*asked)
        unknown = run(*asked, home=tmp_path / "none")
    assert held == unknown == expected


def test_an_instant_before_the_data(run: Run) -> None:
    """There is nothing, which is an answer."""
    early = (AS_OF - timedelta(days=400)).isoformat()
    code, printed, said = run("query", "key_figures", "--format", "json", as_of=early)
    assert code == 0
    (row,) = json.loads(printed)
    assert (row["executions"], row["success_rate"]) == (0, None)
    assert said.startswith("0 executions from ")
