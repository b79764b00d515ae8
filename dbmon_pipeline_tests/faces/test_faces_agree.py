"""The command line, the MCP server and the Python API say the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pandas as pd
import pytest
from mcp.client import Client

from dbmon_pipeline.core.common.instants import HOUR, hour_floor, utc_now
from dbmon_pipeline.core.common.rows import Records, plain
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.learning_db.sample import Scenario, make_sample
from dbmon_pipeline.core.query.questions import questions
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.faces.cli import main as cli
from dbmon_pipeline.faces.mcp import data as mcp_data
from dbmon_pipeline.faces.mcp.server import make_server
from dbmon_pipeline.faces.notebook import open_published
from dbmon_pipeline_tests.helpers import refresh_core, settings_for

AS_OF = hour_floor(utc_now()) - HOUR + timedelta(minutes=34, seconds=56)
RANGES = (TimeRange.DAY, TimeRange.MONTH)

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with the made-up executions of forty days."""
    made = settings_for(tmp_path_factory.mktemp("agree"))
    make_sample(
        made.source,
        rows=3000,
        days=40,
        end=AS_OF,
        seed=2,
        scenario=Scenario.DRIFT,
        embeddings=False,
    )
    refresh_core(made, AS_OF)
    limits = msgspec.structs.replace(made.config.mcp, max_rows=10**6, max_text=10**6)
    return settings_for(made.source.parent, mcp=limits)


@pytest.fixture
def run(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """What a command prints in that home as JSON."""

    def run_it(*arguments: object) -> Any:
        words = [*map(str, arguments), "--as-of", AS_OF.isoformat(), "--format", "json"]
        monkeypatch.setattr("sys.argv", ["dbmon", *words, "--home", str(settings.home.path)])
        for name in ("DBMON_HOME", "DBMON_SOURCE", "DBMON_CONFIG", "DBMON_DEBUG"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code in (0, 1, 2)
        return json.loads(capsys.readouterr().out)

    return run_it


def called(settings: Settings, *calls: tuple[str, dict[str, object]]) -> list[Any]:
    """What the tools of the server return."""

    async def work() -> list[Any]:
        async with Client(make_server(settings)) as client:
            results = [await client.call_tool(name, arguments) for name, arguments in calls]
        assert not [result.content for result in results if result.is_error]
        return [result.structured_content for result in results]

    return asyncio.run(work())


def records(frame: pd.DataFrame) -> Records:
    """A frame as JSON has it."""
    instants = frame.select_dtypes("datetime").columns
    return [
        {
            str(name): None
            if pd.isna(value)
            else plain(value.to_pydatetime() if name in instants else value)
            for name, value in row.items()
        }
        for row in frame.to_dict("records")
    ]


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server, which speaks for the present, speak for the instant of the others."""
    monkeypatch.setattr(mcp_data, "utc_now", lambda: AS_OF)


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("time_range", RANGES)
def test_every_question_has_one_answer(settings: Settings, run: Run, time_range: TimeRange) -> None:
    """To the last digit, for all three read the same files by the same SQL."""
    data = open_published(settings.home.path)
    calls = [
        ("ask_question", {"name": name, "time_range": time_range, "limit": 10**6})
        for name in questions()
    ]
    answers = dict(zip(questions(), called(settings, *calls), strict=True))
    for name, told in answers.items():
        rows = run("query", name, "--time-range", time_range)
        assert rows
        assert told["rows"] == close(rows)
        assert not told["is_truncated"]
        frame = data.ask(name, time_range, as_of=AS_OF.isoformat())
        assert frame.attrs == {
            key: told[key] for key in ("window_start", "window_end", "data_through", "samples")
        }
        assert records(frame) == close(rows)


def close(value: Any) -> Any:
    """A document whose sums may have been added up in another order."""
    match value:
        case float():
            return pytest.approx(value, rel=1e-9)
        case dict():
            return {name: close(part) for name, part in value.items()}
        case list():
            return [close(part) for part in value]
    return value


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("time_range", RANGES)
def test_the_reports_are_the_same(settings: Settings, run: Run, time_range: TimeRange) -> None:
    """Those of ``dbmon status`` and those of the server."""
    names = ("execution_statistics", "performance_metrics")
    shown = run("status", "--stats", "--time-range", time_range)
    asked: dict[str, object] = {"time_range": time_range}
    told = called(settings, *((name, asked) for name in names))
    for name, report in zip(names, told, strict=True):
        assert report == close(shown[name])


@pytest.mark.usefixtures("frozen")
def test_the_status_is_the_same(settings: Settings, run: Run) -> None:
    """Verdicts included."""
    (told,) = called(settings, ("database_status", {}))
    assert told == close(run("status", "--alert"))


def test_a_database_says_what_is_published_of_it(settings: Settings, run: Run) -> None:
    """Apart from when that was, nothing tells them apart."""
    published = run("status", "--alert")
    direct = run("status", "--alert", "--db", settings.source)
    assert direct.pop("published_at") is None
    assert published.pop("published_at")
    assert direct == close(published)
