"""Every query that is exported runs on the plugin's engine, and says what ``dbmon query`` says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from dbmon_pipeline.core.common.rows import plain
from dbmon_pipeline.core.query.open_reader import published_reader
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.questions import questions
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.query.reader import Reader
from dbmon_pipeline.outputs.grafana.boards import boards
from dbmon_pipeline.outputs.grafana.panel_spec import PanelSpec
from dbmon_pipeline_tests.command import dbmon_here
from dbmon_pipeline_tests.helpers import published_rows
from dbmon_pipeline_tests.outputs.grafana.conftest import AS_OF, HOSTILE, ODD, Exported
from dbmon_pipeline_tests.outputs.grafana.plugin import Frame, chosen, expanded, needs_engine, run

pytestmark = needs_engine

WEEK = timedelta(days=7)
READABLE = {"BIGINT", "INTEGER", "DOUBLE", "VARCHAR", "BOOLEAN", "TIMESTAMP", "DATE"}
NUMERIC = {"BIGINT", "INTEGER", "DOUBLE"}
HOSTILE_CHOICE = {"repo": HOSTILE, "model_tier": "small"}


def panels(exported: Exported) -> Iterator[tuple[str, Any]]:
    """Every panel, by its dashboard and title."""
    for name, dashboard in exported.dashboards.items():
        for panel in dashboard["panels"]:
            yield f"{name}: {panel['title']}", panel


def shown_in(exported: Exported) -> dict[str, PanelSpec]:
    """What every panel is made from."""
    return {
        f"{board.name}: {shown.title}": shown
        for board in boards(exported.settings.config)
        for shown in board.shown
    }


def answers(exported: Exported, choice: Mapping[str, str]) -> dict[str, Frame]:
    """What every panel shows over a week, where something is chosen."""
    return run(exported.init, queries(exported, choice))


def queries(exported: Exported, choice: Mapping[str, str]) -> dict[str, str]:
    """What every panel asks over a week, where something is chosen."""
    return {
        title: expanded(chosen(panel["targets"][0]["rawSql"], choice), AS_OF - WEEK, AS_OF)
        for title, panel in panels(exported)
    }


@pytest.fixture(scope="module")
def frames(exported: Exported) -> dict[str, Frame]:
    """What every panel shows over a week."""
    return answers(exported, {})


@pytest.fixture(scope="module")
def reader(exported: Exported) -> Iterator[Reader]:
    """What ``dbmon query`` asks."""
    with published_reader(exported.settings.home, AS_OF) as found:
        yield found


def test_every_panel_shows_something(exported: Exported, frames: dict[str, Frame]) -> None:
    """Nothing that Grafana cannot read, one kind of query each, and no empty panel."""
    for title, panel in panels(exported):
        frame, [target] = frames[title], panel["targets"]
        assert frame.rows, title
        assert {kind for _, kind in frame.columns} <= READABLE, title
        assert len(set(frame.names)) == len(frame.names)
        assert "$__interval" not in target["rawSql"]
        is_drawn = panel["type"] in ("timeseries", "state-timeline")
        assert target["format"] == (0 if is_drawn else 1), title
        if is_drawn:
            assert [name for name, kind in frame.columns if kind == "TIMESTAMP"] == ["time"]
            times = [record["time"] for record in frame.records]
            assert None not in times
            assert times == sorted(times)
            assert [kind for _, kind in frame.columns if kind in NUMERIC]
            labels = [name for name, kind in frame.columns if kind == "VARCHAR"]
            points = [tuple(r[name] for name in ("time", *labels)) for r in frame.records]
            assert len(set(points)) == len(points)


@pytest.mark.parametrize("choice", [{}, HOSTILE_CHOICE], ids=["all", "hostile"])
def test_the_numbers_are_those_of_dbmon_query(
    exported: Exported, reader: Reader, frames: dict[str, Frame], choice: dict[str, str]
) -> None:
    """Over a week, of all or of one repo whose name is no SQL; by column, row by row."""
    seen = set()
    found = answers(exported, choice) if choice else frames
    for title, shown in shown_in(exported).items():
        if shown.question not in questions():
            continue
        filters = {name: value for name, value in choice.items() if name in shown.asked.filters}
        answer = reader.ask(shown.question, TimeRange.WEEK, **filters)
        frame = found[title]
        assert frame.rows or not answer.rows
        told = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
        wanted = [{name: _of(record, name) for name in frame.names} for record in told]
        assert _close(frame.records) == wanted, title
        seen.add(shown.question)
    assert len(seen) > 20


def _of(record: Mapping[str, Any], name: str) -> Any:
    """The value of a column; the time of a chart is a day or an hour in the answer."""
    if name == "time" and "time" not in record:
        [value] = [record[each] for each in ("date", "hour") if each in record]
        return datetime.fromisoformat(str(value)).isoformat()
    value = record[name]
    if name == "complexity":  # The axis of a chart is a text.
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def _close(records: list[dict[str, Any]]) -> Any:
    return [
        {
            name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
            for name, value in record.items()
        }
        for record in records
    ]


def test_the_command_says_the_same_of_a_hostile_name(exported: Exported) -> None:
    """The real command, with the name as an argument."""
    where = ("--home", exported.settings.home.path, "--as-of", AS_OF.isoformat())
    done = dbmon_here(*("query", "top_error_types", "--repo", HOSTILE, "--format", "json"), *where)
    told = json.loads(done.stdout)
    found = answers(exported, {"repo": HOSTILE})["overview: Error analysis"].records
    for record in told:
        record["last_seen"] = record["last_seen"].removesuffix("Z")
    assert found == _close(told)
    assert HOSTILE in {record["error_type"] for record in found}


def test_a_variable_offers_every_name_and_finds_it(exported: Exported) -> None:
    """Whatever is in it: a macro, a quote of either kind, lines, or ten thousand characters."""
    dashboard = exported.dashboards["overview"]
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    assert [*variables] == ["model_tier", "pool_type", "repo", "task_type", "dagster", "runbook"]
    asked = {name: expanded(each["query"], AS_OF - WEEK, AS_OF) for name, each in variables.items()}
    offered = {
        name: [row[0] for row in frame.rows] for name, frame in run(exported.init, asked).items()
    }
    assert offered["dagster"] == ["https://dagster.example"]
    assert offered["runbook"] == [""]
    names = [
        name for name in offered["repo"] if name[:1_000] in {*(n[:1_000] for n in ODD), HOSTILE}
    ]
    assert len(names) == 1 + len(ODD)
    [panel] = [p for t, p in panels(exported) if t == "overview: Success rate"]
    raw = panel["targets"][0]["rawSql"].replace("success_rate\n", "executions, success_rate\n", 1)
    sql = {
        str(n): expanded(chosen(raw, {"repo": name}), AS_OF - WEEK, AS_OF)
        for n, name in enumerate(offered["repo"])
    }
    found = run(exported.init, sql)
    counts = {
        name: found[str(n)].records[0]["executions"] for n, name in enumerate(offered["repo"])
    }
    summary = published_rows(exported.settings, "daily_summary")
    first = (AS_OF - WEEK).date().isoformat()
    for name in names:
        rows = [row for row in summary if row["repo"] == name]
        assert rows
        whole = sum(int(str(r["executions"])) for r in rows if str(r["date"]) > first)
        most = sum(int(str(r["executions"])) for r in rows if str(r["date"]) >= first)
        assert 0 < whole <= counts[name] <= most


def test_every_stretch_of_bad_verdicts_is_an_incident(
    exported: Exported, frames: dict[str, Frame]
) -> None:
    """As counted evaluation by evaluation; and each is a mark in every dashboard."""
    stretches: list[dict[str, Any]] = []
    last: dict[tuple[object, object], dict[str, Any] | None] = {}
    rows = published_rows(exported.settings, "check_history")
    for row in sorted(rows, key=lambda r: str(r["evaluated_at"])):
        key = (row["rule"], row["scope"])
        at = plain_time(row["evaluated_at"])
        if row["verdict"] in ("warning", "critical"):
            if (open_one := last.get(key)) is None:
                open_one = last[key] = {
                    "rule": row["rule"],
                    "scope": row["scope"],
                    "worst": row["verdict"],
                    "started_at": at,
                    "ended_at": None,
                    "first_said": row["sentence"],
                }
                stretches.append(open_one)
            if row["verdict"] == "critical":
                open_one["worst"] = "critical"
        elif row["verdict"] == "ok" and (ended := last.get(key)) is not None:
            ended["ended_at"] = at
            last[key] = None
    assert len(stretches) >= 2
    assert {one["ended_at"] is None for one in stretches} == {True, False}
    found = [
        {name: value for name, value in record.items() if name != "lasted_seconds"}
        for record in frames["monitor: Incidents"].records
    ]
    assert sorted(found, key=str) == sorted(stretches, key=str)
    for record in frames["monitor: Incidents"].records:
        end = datetime.fromisoformat(record["ended_at"]) if record["ended_at"] else AS_OF
        lasted = end - datetime.fromisoformat(record["started_at"])
        assert record["lasted_seconds"] == lasted.total_seconds()
    marks = {
        name: expanded(dashboard["annotations"]["list"][0]["target"]["rawSql"], AS_OF - WEEK, AS_OF)
        for name, dashboard in exported.dashboards.items()
    }
    for frame in run(exported.init, marks).values():
        assert [*frame.columns[:2]] == [("time", "TIMESTAMP"), ("timeEnd", "TIMESTAMP")]
        assert Counter((r["time"], r["timeEnd"], r["tags"]) for r in frame.records) == Counter(
            (s["started_at"], s["ended_at"], f"{s['rule']},{s['worst']}") for s in stretches
        )
        assert not [r for r in frame.records if "<" in r["text"]]


def plain_time(value: object) -> str:
    """An instant as a frame has it."""
    assert isinstance(value, datetime)
    return value.isoformat()


def test_patterns_are_those_that_are_published(
    exported: Exported, frames: dict[str, Frame]
) -> None:
    """The most successful first, and the most failing first."""
    rows = published_rows(exported.settings, "solution_patterns")
    for row in rows:
        row["failures"] = int(str(row["usage_count"])) - int(str(row["success_count"]))
    for title, counted in (
        ("Solutions that succeed", "success_count"),
        ("Solutions that fail", "failures"),
    ):
        wanted = sorted(
            (-int(str(row[counted])), row["solution_summary"], row["repo"])
            for row in rows
            if row[counted]
        )
        assert [
            (-record[counted], record["solution_summary"], record["repo"])
            for record in frames[f"errors-and-patterns: {title}"].records
        ] == wanted[:20]


def test_the_monitor_shows_what_was_said(exported: Exported, frames: dict[str, Frame]) -> None:
    """Ages at the end of the range, the latest verdicts, and every rule over time."""
    rows = published_rows(exported.settings, "check_history")
    [ages] = frames["monitor: Age of the figures"].records
    manifest = Published(exported.settings.home).manifest
    assert manifest.data_through is not None
    assert ages == {
        "since_refresh_seconds": (AS_OF - manifest.as_of).total_seconds(),
        "data_age_seconds": (AS_OF - manifest.data_through).total_seconds(),
    }
    latest = frames["monitor: What the rules say"].records
    assert sorted((r["rule"], r["scope"], r["verdict"]) for r in latest) == sorted(
        (r["rule"], r["scope"], r["verdict"]) for r in rows if r["evaluated_at"] == AS_OF
    )
    instants = sorted({row["evaluated_at"] for row in rows}, key=str)
    refreshes = frames["monitor: Time between refreshes"].records
    assert [r["time"] for r in refreshes] == [plain_time(at) for at in instants]
    refreshed = published_rows(exported.settings, "refresh_history")
    assert [row["as_of"] for row in refreshed] == instants
    for title, columns in (
        ("Readings of the source", ("readings", "readings_thrown_away")),
        ("Bytes read from the source", ("bytes_read",)),
        (
            "Rows read from the source",
            ("rows_read", "late_rows", "rows_gone", "unrepairable_hours"),
        ),
    ):
        assert frames[f"monitor: {title}"].records == [
            {"time": plain_time(row["as_of"]), **{name: row[name] for name in columns}}
            for row in refreshed
        ]
    ways = frames["monitor: How the source was read"].records
    assert [(way["as_of"], way["read_as"]) for way in ways] == [
        (plain_time(at), "live") for at in instants
    ]
    for rule in {str(row["rule"]) for row in rows}:
        told = frames[f"monitor: {rule}"].records
        assert {(r["time"][:13], r["scope"], r["value"]) for r in told} == {
            (plain_time(r["evaluated_at"])[:13], r["scope"], plain(r["value"]))
            for r in rows
            if r["rule"] == rule
        }
