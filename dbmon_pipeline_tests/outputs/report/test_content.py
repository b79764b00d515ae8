"""What a report says: against brute force over the source, and against the catalogue's answers."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from dbmon_pipeline.core.config.monitoring import ReportOutput
from dbmon_pipeline.core.config.rule import Limits
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.open_reader import published_reader
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.faces.cli import main as cli
from dbmon_pipeline.outputs.report.words import heading, shown
from dbmon_pipeline_tests.core.query.brute_force import (
    BRUTE_FORCE,
    Row,
    Span,
    executions_in,
    is_same,
)
from dbmon_pipeline_tests.helpers import execution, published_rows
from dbmon_pipeline_tests.outputs.report.conftest import AS_OF, Made, made, report_of

WEEK = timedelta(days=7)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
START = (AS_OF - WEEK).replace(minute=0, second=0)
AS_THEY_ARE = {
    ("cost", "cost_by_model_tier"): "cost_by_model_tier",
    ("cost", "cost_efficiency"): "cost_efficiency",
    ("tiers", "pool_utilization"): "pool_utilization",
    ("trouble", "durations"): "duration_by_model_tier",
    ("trouble", "duration_by_pool_type"): "duration_by_pool_type",
    ("trouble", "errors"): "top_error_types",
    ("data_quality", "quality_bands"): "quality_distribution",
    ("data_quality", "data_completeness"): "data_completeness",
    ("data_quality", "data_problems"): "data_problems",
}
"""Tables that are the answer to a question as it is."""


@pytest.fixture(scope="module")
def executions(settings: Settings) -> list[Row]:
    """All of the source."""
    return executions_in(settings.source)


@pytest.fixture(scope="module")
def now(executions: list[Row]) -> Span:
    """The executions of the week."""
    return Span(executions, START, AS_OF)


@pytest.fixture(scope="module")
def before(executions: list[Row]) -> Span:
    """Those of the week before."""
    return Span(executions, START - WEEK, START)


@pytest.mark.parametrize("where", AS_THEY_ARE, ids=lambda where: where[1])
def test_tables_equal_brute_force(
    weekly: Made, executions: list[Row], where: tuple[str, str]
) -> None:
    """Row by row and value by value."""
    question = AS_THEY_ARE[where]
    since = AS_OF - 2 * DAY if question == "data_problems" else START
    expected = BRUTE_FORCE[question](Span(executions, since, AS_OF))
    rows = weekly.rows(*where)
    assert len(rows) == len(expected) > 0
    for row, want in zip(rows, expected, strict=True):
        for have, value in zip(row.values(), want, strict=True):
            wanted = value.isoformat() + "Z" if isinstance(value, datetime) else value
            if str(wanted).startswith("401: invalid key "):
                wanted = "401: invalid key [redacted token]"
            assert is_same(have, wanted), (row, want)


def test_what_changed_equals_brute_force(weekly: Made, now: Span, before: Span) -> None:
    """Each figure of both weeks, with its sample."""
    columns = (
        *("executions", "successes", "success_rate", "errors", "error_rate"),
        *("duration", "quality", "total_cost", "cost of an execution"),
    )
    figures = [
        dict(zip(columns, BRUTE_FORCE["key_figures"](span)[0], strict=False))
        for span in (now, before)
    ]
    days = (AS_OF - START) / DAY, 7.0
    for figure, column, divisors, counted in (
        ("success rate", "success_rate", (1, 1), None),
        ("error rate", "error_rate", (1, 1), None),
        ("duration", "duration", (1, 1), "duration_seconds"),
        ("quality", "quality", (1, 1), "quality_score"),
        ("cost of an execution", "cost of an execution", (1, 1), "actual_cost"),
        ("executions a day", "executions", days, None),
        ("cost a day", "total_cost", days, "actual_cost"),
    ):
        found = weekly.change(figure)
        for name, span, values, divisor in zip(
            ("now", "before"), (now, before), figures, divisors, strict=True
        ):
            assert found[name] == pytest.approx(float(str(values[column])) / divisor), figure
            known = [r for r in span.rows if counted is None or r[counted] is not None]
            assert found[f"samples_{name}"] == len(known), figure
        assert found["change"] == pytest.approx(found["now"] - found["before"])


def test_model_tiers_side_by_side(weekly: Made, now: Span) -> None:
    """Joined from five questions, of which each is right by brute force."""
    rows = {row["model_tier"]: row for row in weekly.rows("tiers", "model_tiers")}
    assert rows.keys() == {"small", "medium", "large"}
    for tier, row in rows.items():
        mine = [r for r in now.rows if r["model_tier"] == tier]
        costs = [r["actual_cost"] for r in mine if r["actual_cost"] is not None]
        good = sum(r["success"] is True for r in mine)
        judged = [r["user_accepted"] for r in mine if r["user_accepted"] is not None]
        assert (row["executions"], row["with_cost"], row["judged"]) == (
            *(len(mine), len(costs)),
            len(judged),
        )
        assert row["success_rate"] == pytest.approx(good / len(mine))
        assert row["cost_per_success"] == pytest.approx(math.fsum(costs) / good)
        assert row["acceptance_rate"] == pytest.approx(sum(judged) / len(judged))


def test_repositories_and_task_types_by_cost_and_by_failures(weekly: Made, now: Span) -> None:
    """The dearest first, and those that failed most often."""
    for column, table in (("repo", "cost_by_repository"), ("task_type", "cost_by_task_type")):
        cost: defaultdict[str, float] = defaultdict(float)
        for row in now.rows:
            cost[row[column]] += row["actual_cost"] or 0.0
        dearest = sorted(cost, key=lambda name: -cost[name])
        rows = weekly.rows("cost", table)
        assert [row[column] for row in rows] == dearest
        assert [row["total_cost"] for row in rows] == pytest.approx([cost[n] for n in dearest])
    failures = [row["failures"] for row in weekly.rows("trouble", "failing_repositories")]
    assert failures == sorted(failures, reverse=True)
    assert sum(failures) == sum(row["success"] is not True for row in now.rows)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_days_are_those_of_the_time_zone(
    settings: Settings, now: Span, tmp_path: Path, zone: str
) -> None:
    """Parted at its midnight; all days are there, and the sums are the same."""
    there = settings.config
    config = msgspec.structs.replace(there, report=ReportOutput(time_zone=zone))
    report = made(
        Settings(settings.source, settings.home, config), AS_OF, TimeRange.WEEK, tmp_path / "r.html"
    )
    counts: defaultdict[str, list[Row]] = defaultdict(list)
    for row in now.rows:
        local = row["timestamp"].replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(zone))
        counts[local.date().isoformat()].append(row)
    points = report.rows("activity", "over_time")
    assert {p["time"]: p["executions"] for p in points} == {k: len(v) for k, v in counts.items()}
    for point in points:
        mine = counts[point["time"]]
        good = sum(row["success"] is True for row in mine)
        assert point["success_rate"] == pytest.approx(good / len(mine))
        assert point["lowest_rate"] < point["success_rate"] < point["highest_rate"]
        assert point["total_cost"] == pytest.approx(
            math.fsum(row["actual_cost"] or 0 for row in mine)
        )
    assert f"Times are in {zone}." in report.page.text


def test_days_above_the_budget_are_counted(
    settings: Settings, weekly: Made, tmp_path: Path
) -> None:
    """By the limit of the rules file, which is drawn in the chart, too."""
    costs = [point["total_cost"] for point in weekly.rows("cost", "cost_over_time")]
    limit = sorted(costs)[4]
    rule = msgspec.structs.replace(
        settings.config.rules["cost_budget"], enabled=True, above=Limits(warning=limit)
    )
    config = msgspec.structs.replace(
        settings.config, rules=settings.config.rules | {"cost_budget": rule}
    )
    there = Settings(settings.source, settings.home, config)
    report = made(there, AS_OF, TimeRange.WEEK, tmp_path / "r.html")
    lead = report.data["sections"]["cost"]["lead"]
    assert lead.endswith(f" 3 of 8 days were above the budget of ${limit:.2f}.")
    assert report.path.read_text("utf-8").count('stroke-dasharray="4,3"') == 1


def test_a_daily_report_goes_by_the_hour(daily: Made, executions: list[Row]) -> None:
    """To the second at both ends, and quiet hours are there with 0."""
    span = Span(executions, AS_OF - DAY, AS_OF)
    points = daily.rows("activity", "over_time")
    assert len(points) == 25
    assert points[0]["time"] == "2026-02-09T12:00:00+00:00"
    assert sum(point["executions"] for point in points) == len(span.rows) == daily.data["samples"]
    assert daily.change("executions a day")["now"] == pytest.approx(len(span.rows))


def test_numbers_equal_those_of_dbmon_query(
    weekly: Made,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the command prints of the same instant, bit by bit."""
    for name in ("DBMON_HOME", "DBMON_SOURCE", "DBMON_CONFIG", "DBMON_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    for where, question in AS_THEY_ARE.items():
        words = ["query", question, "--format", "json", "--as-of", AS_OF.isoformat()]
        monkeypatch.setattr("sys.argv", ["dbmon", *words, "--home", str(settings.home.path)])
        with pytest.raises(SystemExit):
            cli.main()
        assert weekly.rows(*where) == json.loads(capsys.readouterr().out)
    with published_reader(settings.home, AS_OF) as reader:
        figures = reader.ask("key_figures").records[0]
    assert weekly.change("quality")["now"] == figures["avg_quality"]


def test_patterns_are_those_that_are_published(weekly: Made, settings: Settings) -> None:
    """Often used and good comes before rarely used and perfect; the worst has failed."""
    published = {
        (row["solution_summary"], row["repo"]): row["usage_count"]
        for row in published_rows(settings, "solution_patterns")
    }
    best = weekly.rows("patterns", "patterns_that_succeed")
    assert len(best) == 10
    for row in best:
        assert published[row["solution_summary"], row["repo"]] == row["usage_count"]


def test_patterns_that_succeed_and_that_fail(tmp_path: Path) -> None:
    """Often used and good comes before rarely used and perfect; what never failed is not bad."""
    uses = {"often": (38, 40), "perfect": (5, 5), "bad": (2, 10), "worse": (1, 40), "rare": (0, 4)}
    rows = [
        execution(AS_OF - HOUR, solution_summary=name, success=n < good)
        for name, (good, count) in uses.items()
        for n in range(count)
    ]
    report = report_of(tmp_path, rows)
    best, worst = (
        [row["solution_summary"] for row in report.rows("patterns", name)]
        for name in ("patterns_that_succeed", "patterns_that_fail")
    )
    assert best == ["often", "perfect", "bad", "worse"]
    assert worst == ["worse", "bad", "often"]


def test_health_is_what_the_rules_said_and_what_is_open(weekly: Made, settings: Settings) -> None:
    """Verdicts of the last evaluation; the incident of the sample, and the sentence about it."""
    history = published_rows(settings, "check_history")
    verdicts = weekly.rows("health", "verdicts")
    assert {(row["rule"], row["scope"]): row["verdict"] for row in verdicts} == {
        (row["rule"], row["scope"]): row["verdict"] for row in history
    }
    assert [row["evaluations"] for row in verdicts] == [1] * len(history)
    bad = [row for row in history if row["verdict"] in ("warning", "critical")]
    assert sum(row["warnings"] + row["criticals"] for row in verdicts) == len(bad)
    names = {(row["rule"], row["scope"]) for row in bad}
    assert {(row["rule"], row["scope"]): row["beyond"] for row in verdicts} == {
        (row["rule"], row["scope"]): f"{int((row['rule'], row['scope']) in names)} of 1 times"
        for row in history
    }
    incidents = {row["scope"]: row for row in weekly.rows("health", "incidents")}
    assert incidents.keys() == {"over", "open"}
    assert incidents["over"]["state"] == "resolved"
    assert incidents["over"]["resolved_at"] == "2026-02-10T08:34:56Z"
    assert (incidents["open"]["state"], incidents["open"]["resolved_at"]) == ("firing", None)
    assert weekly.data["gist"][0] == f"One incident is open: {incidents['open']['summary']}."
    shown_rows = weekly.page.table("Incidents of the period").rows
    assert [row[4:7] for row in shown_rows] == [
        ["open", "2026-02-10 08:34 UTC", "still open"],
        ["over", "2026-02-10 07:34 UTC", "2026-02-10 08:34 UTC"],
    ]


def test_incidents_that_cannot_be_read(settings: Settings, tmp_path: Path) -> None:
    """A damaged store costs the report nothing but them."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "published").symlink_to(settings.home.published)
    (home / "incidents.sqlite").write_text("hello " * 999)
    there = Settings(settings.source, Home(home), settings.config)
    report = made(there, AS_OF, TimeRange.DAY, tmp_path / "r.html")
    assert "The incidents are not known: " in report.data["sections"]["health"]["lead"]
    gist = report.data["gist"][0]
    assert gist.startswith(
        "Which incidents are open is not known (their store cannot be read), and "
    )
    assert report.data["samples"] > 0


def test_the_gist_says_how_it_went(weekly: Made, now: Span, before: Span) -> None:
    """In plain words, with the numbers of both weeks."""
    rates = [
        sum(row["success"] is True for row in span.rows) / len(span.rows) for span in (now, before)
    ]
    sentence = weekly.data["gist"][1]
    assert sentence.startswith(
        f"In the 7 days to 2026-02-10 12:34 UTC {len(now.rows):,} executions ran,"
        f" {rates[0]:.1%} succeeded ({rates[1]:.1%} in the 7 days before, which is "
    )
    assert all(text in weekly.page.text for text in weekly.data["gist"])


def of_days(good: Callable[[int], float], cost: Callable[[int], float]) -> list[Row]:
    """Twenty executions on each of fourteen days, a part of them good."""
    return [
        execution(
            AS_OF - timedelta(days=day, minutes=30 * n + 40),
            success=n < 20 * good(day),
            actual_cost=cost(day),
            duration_seconds=10.0 + (7 * day + n) % 5,
        )
        for day in range(14)
        for n in range(20)
    ]


def test_a_real_change_is_told_from_noise(tmp_path: Path) -> None:
    """Success falls from 95 % to 75 % and cost doubles; the duration stays."""
    rows = of_days(
        lambda day: 0.75 if day < 7 else 0.95,
        lambda day: (0.02 if day < 7 else 0.01) + day / 1e5,
    )
    report = report_of(tmp_path, rows)
    success = report.change("success rate")
    assert (success["now"], success["before"]) == pytest.approx((0.75, 0.95), abs=0.02)
    assert success["is_more_than_noise"] is True
    assert report.change("cost of an execution")["is_more_than_noise"] is True
    assert report.change("duration")["is_more_than_noise"] is False
    assert report.change("executions a day")["is_more_than_noise"] is False
    assert "which is more than noise" in report.data["gist"][1]
    assert "worse, more than noise" in report.page.text


def test_what_varied_as_much_before_is_noise(tmp_path: Path) -> None:
    """The same fall, but days were good and bad already."""
    wild = (1.0, 0.5, 1.0, 1.0, 0.4, 1.0, 1.0)
    report = report_of(tmp_path, of_days(lambda d: 0.75 if d < 7 else wild[d - 7], lambda _: 0.01))
    success = report.change("success rate")
    assert success["before"] - success["now"] > 0.05
    assert success["is_more_than_noise"] is False


def test_a_history_that_has_just_begun(tmp_path: Path) -> None:
    """Rates of a day count the days that were seen; with too few nothing is claimed."""
    rows = [execution(AS_OF - timedelta(hours=6 * n + 1)) for n in range(40)]  # ten days
    report = report_of(tmp_path, rows)
    volume = report.change("executions a day")
    assert volume["now"] == pytest.approx(4, rel=0.05)
    assert volume["before"] == pytest.approx(4, rel=0.1)
    assert volume["is_more_than_noise"] is None
    assert "too few to tell" in volume["because"]


def test_one_single_execution(tmp_path: Path) -> None:
    """Its figures, and nothing is compared."""
    report = report_of(tmp_path, [execution(AS_OF - HOUR, success=False, actual_cost=None)])
    assert report.data["samples"] == 1
    assert report.change("success rate")["now"] == 0
    assert report.change("cost a day")["now"] is None
    assert {c["is_more_than_noise"] for c in report.data["changes"]} == {None}
    assert "1 execution ran, 0.0% succeeded (there is no earlier period" in report.data["gist"][1]
    assert report.data["gist"][1].endswith(", and its cost is not known.")
    assert "1 execution from 2026" in report.page.text
    assert report.page.table("Model tiers").rows[0][:3] == ["small", "1", "0.0%"]


def test_nothing_at_all(tmp_path: Path) -> None:
    """No figure is 0 %: there are no data."""
    report = report_of(tmp_path, [])
    assert report.data["samples"] == 0
    assert {(c["now"], c["change"]) for c in report.data["changes"] if c["unit"] != "count"} == {
        (None, None)
    }
    assert "nothing ran" in report.data["gist"][1]
    assert "no data" in report.page.text
    assert not any("0.0%" in cells for table in report.page.tables for cells in table.rows)
    assert "NaN" not in report.path.read_text("utf-8")
    assert report.page.images == []


def test_a_range_in_which_nothing_ran(settings: Settings, tmp_path: Path) -> None:
    """Long before the first execution."""
    report = made(settings, datetime(2024, 1, 1), TimeRange.MONTH, tmp_path / "r.html")
    assert report.data["samples"] == 0
    assert "No alert rule was judged" in report.data["gist"][0]


def test_the_page_has_every_table_and_number_of_the_json(weekly: Made) -> None:
    """Each row of each table, with the values as they are written for people."""
    compared = 0
    for section in weekly.data["sections"].values():
        for table in section["tables"].values():
            if not table["rows"]:
                continue
            found = weekly.page.table(table["caption"])
            assert len(found.rows) == len(table["rows"])
            for cells, row in zip(found.rows, table["rows"], strict=True):
                by_head = {heading(column): shown(column, v, "UTC") for column, v in row.items()}
                assert cells == [by_head[head] for head in found.heads]
                compared += len(cells)
    assert compared > 400


def test_the_page_can_be_read_aloud(weekly: Made) -> None:
    """Landmarks, headings in order, captions, scopes, and a text for each drawing."""
    page = weekly.page
    names = [name for name, _ in page.tags]
    assert [names.count(n) for n in ("h1", "main", "header", "nav", "footer")] == [1] * 5
    assert page.headings[0] == 1
    steps = zip(page.headings, page.headings[1:], strict=False)
    assert all(after - level <= 1 for level, after in steps)
    assert all(table.caption for table in page.tables)
    assert all(attributes.get("scope") for name, attributes in page.tags if name == "th")
    assert len(page.images) >= 9
    assert len(set(page.images)) == len(page.images)
    captions = [table.caption for table in page.tables]
    for text in page.images:
        assert any(f"in the table: {caption}." in text for caption in captions), text
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)


def test_the_page_asks_for_nothing(weekly: Made) -> None:
    """No script, and no address but places in itself and the JSON beside it."""
    for name, attributes in weekly.page.tags:
        assert name not in ("script", "iframe", "object", "img", "base", "foreignobject")
        assert not any(key.startswith("on") for key in attributes)
        for key in ("href", "src", "xlink:href", "action"):
            target = attributes.get(key)
            assert target is None or target.startswith("#") or target in ("data:,", "report.json")
    style = weekly.path.read_text("utf-8")
    assert "@import" not in style
    assert "@font-face" not in style
