"""The Python API: frames with the right columns and types, and errors that say what to do."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from dbmon_pipeline import open_published
from dbmon_pipeline.core.common.errors import (
    ConfigError,
    DbmonError,
    NotPublishedError,
    QuestionError,
)
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.questions import questions
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline.faces.notebook import PublishedData
from dbmon_pipeline_tests.helpers import (
    add_rows,
    clean_environ,
    execution,
    make_source,
    refresh_core,
    settings_for,
)

AS_OF = datetime.fromisoformat("2026-02-10T12:00")
AT = AS_OF - timedelta(minutes=30)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with twelve executions of two tiers."""
    made = settings_for(tmp_path_factory.mktemp("notebook"))
    rows = [
        execution(
            AT - timedelta(hours=7 * n),
            model_tier=("small", "large")[n % 2],
            success=n != 0,
            repo=f"org/{n % 3}",
        )
        for n in range(12)
    ]
    make_source(made.source, rows)
    refresh_core(made, AS_OF)
    return made


@pytest.fixture(scope="module")
def data(settings: Settings) -> PublishedData:
    """What is published there."""
    return open_published(settings.home.path)


def test_tables(data: PublishedData) -> None:
    """All that are published, with how many rows they have."""
    tables = data.tables()
    assert list(tables.columns) == ["table", "rows"]
    assert set(tables["table"]) == TABLES.keys()
    rows = tables.set_index("table")["rows"]
    assert rows["recent_executions"] == 9
    assert rows["solution_patterns"] == 0


@pytest.mark.parametrize("name", TABLES)
def test_a_table(data: PublishedData, name: str) -> None:
    """In the order of its key, with its columns even when it has no row."""
    key = TABLES[name].key
    frame = data.table(name)
    assert len(frame) == data.tables().set_index("table")["rows"][name]
    assert set(key) <= set(frame.columns)
    assert frame.equals(frame.sort_values(list(key)).reset_index(drop=True))


def test_the_types_of_a_table(data: PublishedData) -> None:
    """As a notebook wants them: no objects where there are numbers or instants."""
    frame = data.table("recent_executions")
    assert pd.api.types.is_datetime64_dtype(frame["timestamp"])
    assert frame["success"].dtype == bool
    assert pd.api.types.is_float_dtype(frame["duration_seconds"])


def test_the_list_of_questions(data: PublishedData) -> None:
    """With what is needed to choose one."""
    frame = data.questions()
    assert list(frame.columns) == ["question", "category", "one_row", "filters", "chart"]
    assert list(frame["question"]) == list(questions())
    assert frame.notna().all(axis=None)


def test_an_answer(data: PublishedData) -> None:
    """With the window and the samples beside it."""
    frame = data.ask("success_rate_by_model_tier", "30d", as_of="2026-02-10T12:00Z")
    assert list(frame["model_tier"]) == ["large", "small"]
    assert list(frame["executions"]) == [6, 6]
    assert frame["success_rate"].tolist() == pytest.approx([1, 5 / 6])
    assert frame.attrs == {
        "window_start": "2026-01-11T12:00:00Z",
        "window_end": "2026-02-10T12:00:00Z",
        "data_through": "2026-02-10T12:00:00Z",
        "samples": 12,
    }
    assert pd.api.types.is_integer_dtype(frame["executions"])
    assert pd.api.types.is_float_dtype(frame["success_rate"])
    assert pd.api.types.is_string_dtype(frame["model_tier"])


def test_the_default_is_a_week_until_now(data: PublishedData) -> None:
    """Of which these executions are no part."""
    frame = data.ask("key_figures")
    end = datetime.fromisoformat(frame.attrs["window_end"])
    start = datetime.fromisoformat(frame.attrs["window_start"])
    assert timedelta(days=7) <= end - start < timedelta(days=7, hours=1)
    assert frame.attrs["samples"] == frame["executions"].item() == 0


def test_filters(data: PublishedData) -> None:
    """Each narrows it down; all together do so too."""

    def executions(**filters: str) -> int:
        found = data.ask("key_figures", "30d", as_of="2026-02-10T12:00Z", **filters)
        return int(found["executions"].item())

    assert executions() == 12
    assert executions(model_tier="small") == 6
    assert executions(repo="org/1") == 4
    assert executions(model_tier="small", repo="org/0") == 2
    assert executions(pool_type="main", task_type="bug_fix") == 12
    assert executions(repo="'; DROP TABLE x; --") == 0


@pytest.mark.parametrize("name", questions())
def test_an_empty_answer_keeps_its_columns(data: PublishedData, name: str) -> None:
    """A notebook that plots a column goes on when there is nothing to plot."""
    full = data.ask(name, "7d", as_of="2026-02-10T12:00Z")
    empty = data.ask(name, "7d", as_of="2020-01-01")
    assert list(empty.columns) == list(full.columns)
    assert empty.attrs["samples"] == 0
    assert all(isinstance(name, str) for name in empty.columns)


@pytest.mark.parametrize(
    ("question", "more", "error", "words"),
    [
        ("key_figure", {}, QuestionError, "there is no question 'key_figure': did you mean key_f"),
        ("key_figures", {"time_range": "3d"}, QuestionError, "there is no range '3d': the ranges"),
        ("key_figures", {"time_range": ""}, QuestionError, "there is no range '': the ranges are "),
        (
            "duration_percentiles",
            {"repo": "a"},
            QuestionError,
            "duration_percentiles cannot be filtered by repo: its filters are model_tier, pool_typ",
        ),
        ("key_figures", {"as_of": "noon"}, ConfigError, "'noon' is not an instant: "),
        ("key_figures", {"as_of": "2999-01-01"}, ConfigError, "as-of 2999-01-01T00:00:00Z lies in"),
    ],
)
def test_what_cannot_be_asked(
    data: PublishedData, question: str, more: dict[str, str], error: type[DbmonError], words: str
) -> None:
    """By errors of ours, which all are one family."""
    with pytest.raises(error) as raised:
        data.ask(question, **more)
    assert str(raised.value).startswith(words)


def test_a_table_that_there_is_not(data: PublishedData) -> None:
    """The nearest one is named."""
    with pytest.raises(NotPublishedError, match="did you mean tier_performance"):
        data.table("tier_performanc")


def test_nothing_is_published_yet(tmp_path: Path) -> None:
    """The remedy is a refresh, and no folder is made by asking."""
    with pytest.raises(NotPublishedError, match="run dbmon refresh first"):
        open_published(tmp_path / "home")
    assert list(tmp_path.iterdir()) == []


def test_the_home_of_the_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the command; a text will do for a path."""
    monkeypatch.setenv("DBMON_HOME", str(settings.home.path))
    assert len(open_published().tables()) == len(TABLES)
    monkeypatch.setenv("DBMON_HOME", "/nowhere")
    assert len(open_published(str(settings.home.path)).tables()) == len(TABLES)


def test_a_generation_stays_as_it_is(tmp_path: Path) -> None:
    """All cells of a notebook speak for the same figures; a newer generation is opened anew."""
    settings = settings_for(tmp_path)
    make_source(settings.source, [execution(AT)])
    refresh_core(settings, AS_OF)
    older = open_published(settings.home.path)
    add_rows(settings.source, [execution(AT + timedelta(minutes=1))])
    refresh_core(settings, AS_OF + timedelta(minutes=1))
    newer = open_published(settings.home.path)
    counts = [
        len(data.table("recent_executions")) + data.ask("key_figures", as_of=str(AS_OF)).attrs[key]
        for data, key in ((older, "samples"), (newer, "samples"))
    ]
    assert counts == [2, 4]


def loaded(code: str, *arguments: object) -> str:
    """Which heavy packages a new process has loaded after some statements."""
    heavy = "{'dagster', 'pandas', 'numpy', 'pyarrow', 'duckdb', 'mcp', 'typer'}"
    show = f"import sys; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}", *map(str, arguments)],
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_nothing_is_loaded_before_it_is_needed(settings: Settings) -> None:
    """No command pays for the frames of notebooks."""
    assert loaded("import dbmon_pipeline") == ""
    of_opening = loaded(
        "import sys\nfrom dbmon_pipeline import open_published\nopen_published(sys.argv[1])",
        settings.home.path,
    )
    assert of_opening == "duckdb"


def test_the_package_offers_nothing_else() -> None:
    """A misspelt name is told as ever."""
    with pytest.raises(ImportError, match="open_publishd"):
        exec("from dbmon_pipeline import open_publishd")  # noqa: S102
