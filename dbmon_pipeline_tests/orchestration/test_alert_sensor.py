"""From an incident in the source to the people who are told of it, whatever fails in between."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import TickStatus

from dbmon_pipeline.core.common.errors import IncidentError
from dbmon_pipeline.core.common.instants import iso, utc_now
from dbmon_pipeline.core.config.notifications import Notifications
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.orchestration.definitions_builder import build_definitions
from dbmon_pipeline.orchestration.instance import open_instance
from dbmon_pipeline_tests.command import dbmon_here
from dbmon_pipeline_tests.orchestration.site import (
    HOUR,
    MINUTE,
    NOON,
    Clock,
    Site,
    open_site,
    sensor_tick,
)
from dbmon_pipeline_tests.outputs.notify.made import Receiver, receiving
from dbmon_pipeline_tests.outputs.notify.real_alertmanager import (
    BINARY,
    Running,
    alertmanager,
    free_port,
    needs_alertmanager,
)

SECRET = "S3CRET-9f2c"  # noqa: S105 - that is what it is for
END = NOON + 2 * HOUR
"""The made-up executions end then: of the large tier, half fail from 08:00 to 12:00."""
AS_OF = [NOON + hours * HOUR for hours in (-4, -3, -2.5, -0.5, 1, 1.5)]
"""Of the large tier the rule says ok, warning, warning, critical, ok, ok: an incident begins with
the second bad verdict in a row, and ends with the second good one. Over all tiers the shipped rule
says ok throughout."""
STORY = [("opened", "warning"), ("escalated", "critical"), ("resolved", "critical")]
RULES = """
keep: {generations: 100, dagster_runs_days: 10000}
rules:
  success_rate: {by: model_tier, for: 2, confidence: 0.99}
  error_rate: {enabled: false}
  source_freshness: {enabled: false}
  flips: {measurement: success_rate, by: repo, mode: raw, for: 1, min_samples: 1,
          below: {warning: 0.95, critical: 0.8}, owner: nobody}
notifications:
  reminder_hours: 100000   # the ticks are months after what they speak for
  targets:
    hook: {kind: webhook, url_env: HOOK_URL, secret_env: HOOK_SECRET, owners: [monitoring]}
"""
ALERTMANAGER = "    prometheus: {kind: alertmanager, url_env: AM_URL, owners: [monitoring]}\n"


def configure(site: Site, rules: str, **environ: str) -> None:
    """Give a home a rules file, and its targets' URLs."""
    file = site.source.with_name("rules.yaml")
    file.write_text(rules)
    more = {"DBMON_CONFIG": str(file), "HOOK_SECRET": f"{SECRET}-2", "no_proxy": "127.0.0.1"}
    for name, value in (environ | more).items():
        site.patch.setenv(name, value)


def tick(site: Site) -> str:
    """What a tick of the sensor says; it asks for no run."""
    data = site.sensor_tick("alert_sensor")
    assert not data.run_requests
    assert data.skip_message
    return data.skip_message


def store_of(site: Site) -> Incidents:
    """The incidents of a home."""
    return Incidents(site.home.incidents, notifications=Notifications())


@dataclass
class People:
    """Whom a home tells: a webhook, and an Alertmanager if there is one on this machine.

    Attributes:
        hook: The webhook.
        running: The Alertmanager.
        said: What the ticks said.
        began: The instant of the first tick.
    """

    hook: Receiver
    running: Running | None
    said: list[str] = field(default_factory=list)
    began: datetime = field(default_factory=lambda: utc_now() - 14 * MINUTE)

    def told_by(self, site: Site, *, are_up: bool = True) -> None:
        """Be whom a home tells, or would tell if they were up."""
        nobody = f"http://127.0.0.1:{free_port()}"
        configure(
            site,
            RULES + (ALERTMANAGER if self.running else ""),
            HOOK_URL=f"{self.hook.url if are_up else nobody}/{SECRET}",
            AM_URL=self.running.url if self.running and are_up else nobody,
        )

    def tick(self, site: Site) -> None:
        """A tick two minutes after the last one; not in the future, where no Alertmanager looks."""
        site.clock.now = self.began + len(self.said) * 2 * MINUTE
        self.said.append(tick(site))

    def passed_on(self) -> list[list[tuple[str, str]]]:
        """What the Alertmanager has told its pager, once that is up to date.

        It may or may not mention the end of what it has never told; that is left out.
        """
        if self.running is None:
            return []
        self.running.pass_on("success_rate")
        known: set[str] = set()
        told = []
        for message in self.running.told("success_rate"):
            known |= {severity for severity, state in message if state == "firing"}
            told.append([one for one in message if one[0] in known])
        return told


@contextmanager
def people(folder: Path) -> Iterator[People]:
    """Whom a home tells."""
    with receiving() as hook, receiving() as pager, ExitStack() as stack:
        running = alertmanager(folder, pager, free_port()) if BINARY else None
        yield People(hook, stack.enter_context(running) if running else None)


@dataclass(frozen=True)
class Played:
    """What was seen of the incident when nothing failed.

    Attributes:
        folder: The site, with a published generation for each instant.
        statuses: How the runs ended.
        checks: What the check of the rule said in each.
        events: What the webhook was told.
        messages: What the Alertmanager told its pager.
        said: What the ticks said.
    """

    folder: Path
    statuses: list[dg.DagsterRunStatus]
    checks: list[Any]
    events: list[Any]
    messages: list[list[tuple[str, str]]]
    said: list[str]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, empty_template: Path) -> Played:
    """The incident of ``dbmon sample``, refreshed and told of at successive instants."""
    folder = tmp_path_factory.mktemp("played")
    with people(folder) as found, open_site(folder / "site", empty_template) as site:
        made = dbmon_here(
            *("sample", site.source, "--scenario", "incident", "--end", iso(END)),
            *("--rows", 6000, "--days", 3),
        )
        assert made.returncode == 0, made.stderr
        found.told_by(site)
        runs = []
        for at in AS_OF:
            site.clock.now = at
            runs.append(site.refresh())
            found.tick(site)
            found.passed_on()
        found.tick(site)
        time.sleep(1)  # three times as long as the Alertmanager collects what to tell
        return Played(
            folder / "site",
            [run.status for run in runs],
            [site.checks(run.run_id)["check_history", "success_rate"] for run in runs],
            found.hook.events,
            found.passed_on(),
            found.said,
        )


@pytest.fixture
def again(tmp_path: Path, played: Played) -> Iterator[Site]:
    """The same site before anybody was told; ``show`` publishes what was, one by one."""
    with open_site(tmp_path / "site", played.folder) as site:
        forget_all(site)
        yield site


def forget_all(site: Site) -> None:
    """Have no incident store."""
    for file in site.home.path.glob("incidents.sqlite*"):
        file.unlink()


def kinds(events: list[Any]) -> list[tuple[str, str]]:
    """Kind and severity of events that came in once each, all of the one incident."""
    assert {(event["rule"], event["scope"]) for event in events} <= {("success_rate", "large")}
    assert len({event["id"] for event in events}) == len(events)
    return [(event["kind"], event["severity"]) for event in events]


def test_the_check_warns_and_then_fails(played: Played) -> None:
    """And all runs are green."""
    assert set(played.statuses) == {dg.DagsterRunStatus.SUCCESS}
    warn, error = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
    assert [(check.passed, check.severity) for check in played.checks] == [
        *((True, warn), (False, warn), (False, warn)),
        *((False, error), (True, warn), (True, warn)),
    ]
    assert [check.metadata["scope"].value for check in played.checks[1:4]] == ["large"] * 3


def test_the_webhook_is_told_each_thing_once(played: Played) -> None:
    """An opening, an escalation and a resolution, at the ticks after those instants."""
    assert kinds(played.events) == STORY
    (opened_at,) = {event["opened_at"] for event in played.events}
    assert opened_at == iso(AS_OF[1])  # when it was first seen
    opening, _, resolution = played.events
    assert (
        opening["summary"]
        == "success rate is 59.1% of 22 executions in large, below the limit of 85.0%"
    )
    assert resolution["resolved_at"] == iso(AS_OF[5])
    assert [said.split("; ")[1] for said in played.said] == [
        f"{sent * (2 if BINARY else 1)} notifications sent, 0 not" for sent in (0, 0, 1, 1, 0, 1, 0)
    ]


@needs_alertmanager
def test_the_alertmanager_tells_each_thing_once(played: Played) -> None:
    """The escalation is one message: what was a warning is critical."""
    assert played.messages == [
        [("warning", "firing")],
        [("critical", "firing"), ("warning", "resolved")],
        [("critical", "resolved")],
    ]


def test_the_incident_is_on_record(played: Played, tmp_path: Path) -> None:
    """One, whose worst is remembered; and nothing is left to tell."""
    with open_site(tmp_path / "site", played.folder) as site, store_of(site) as store:
        assert store.undelivered() == []
        found = [one for one in store.history(None, 99) if one.finding.rule == "success_rate"]
    (incident,) = found
    assert (incident.state, incident.worst) == ("resolved", "critical")
    assert (incident.opened_at, incident.resolved_at) == (AS_OF[1], AS_OF[5])


UNREACHABLE = (
    "could not be reached (Connection refused): see whether the receiver is up, and whether this"
    " machine may reach it"
)
COMPLAINTS = [
    f"hook: the webhook hook {UNREACHABLE}",
    *([f"prometheus: the Alertmanager prometheus {UNREACHABLE}"] if BINARY else []),
]


@pytest.mark.parametrize(
    ("down", "silent", "messages"),
    [
        (
            range(4),
            {2: 1, 3: 2},
            [[("critical", "firing")], [("critical", "resolved")]],
        ),
        (
            range(3, 6),
            {3: 1, 4: 1, 5: 2},
            [[("warning", "firing")], [("warning", "resolved")]],
        ),
    ],
    ids=["down at first", "down later"],
)
def test_targets_that_are_down_for_half_of_it(
    again: Site,
    tmp_path: Path,
    down: range,
    silent: dict[int, int],
    messages: list[list[tuple[str, str]]],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """They are told all of it once they are up, in order; and no secret is in any complaint."""
    caplog.set_level(logging.DEBUG)
    with people(tmp_path) as found:
        for place in range(len(AS_OF) + 2):
            again.show(min(place + 1, len(AS_OF)))
            found.told_by(again, are_up=place not in down)
            found.tick(again)
            if place not in down:
                found.passed_on()
        assert kinds(found.hook.events) == STORY
        if BINARY:
            assert found.passed_on() == messages
    for place, said in enumerate(found.said):
        _, counts, *complaints = said.split("; ")
        if place in silent:
            assert counts == f"0 notifications sent, {silent[place] * len(COMPLAINTS)} not"
            assert complaints == COMPLAINTS
        else:
            assert counts.endswith(" sent, 0 not")
            assert complaints == []
    with store_of(again) as store:
        assert store.undelivered() == []
    out, log = capfd.readouterr()
    assert COMPLAINTS[0] in log
    assert not any(SECRET in text for text in (*found.said, caplog.text, out, log))
    assert not any(
        SECRET.encode() in file.read_bytes()
        for file in again.home.path.rglob("*")
        if file.is_file()
    )


def fork_ticks() -> None:
    """Have each tick done by a process of its own, which has the imports behind it.

    For each line of input, the instant of a tick, its process says its number when it begins; after
    the next line it is waited for, and its status is told.
    """
    clock = Clock()
    clock.install(pytest.MonkeyPatch())
    settings = Settings.load()
    home, definitions = settings.home, build_definitions(settings)
    with open_instance(home):
        pass  # that has imports of its own

    def say(number: int) -> None:
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()

    while line := sys.stdin.readline():
        clock.now = datetime.fromisoformat(line.strip())
        child = os.fork()
        if not child:
            status = 1
            try:
                with open_instance(home) as instance:
                    say(os.getpid())
                    sensor_tick(definitions, instance, "alert_sensor")
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        sys.stdin.readline()
        say(os.waitpid(child, 0)[1])


class Forks:
    """Ticks in processes that can be killed.

    Attributes:
        lasted: How many seconds the last one took that was not killed.
    """

    def __init__(self) -> None:
        """Start the process that they are forked from; it has the environment of this one."""
        self.lasted = 0.0
        code = f"from {__name__} import fork_ticks; fork_ticks()"
        self._parent = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def tick(self, at: datetime, seconds: float | None = None) -> bool:
        """Do a tick, and kill it after some time.

        Returns:
            Whether it had come to its end.
        """
        child = int(self._asked(at.isoformat()))
        began = time.monotonic()
        if seconds is not None:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)  # it may have ended, but is waited for below
        status = int(self._asked(""))
        assert status in (0, signal.SIGKILL)
        if seconds is None:
            self.lasted = time.monotonic() - began
        return status == 0

    def end(self) -> str:
        """End them all, and return what they complained of."""
        return self._parent.communicate(timeout=30)[1]

    def _asked(self, line: str) -> str:
        assert self._parent.stdin
        assert self._parent.stdout
        self._parent.stdin.write(f"{line}\n")
        self._parent.stdin.flush()
        return self._parent.stdout.readline()


def expected(site: Site) -> dict[str, list[str]]:
    """By rule and scope, what people are to be told of all that is published."""
    badness = ["ok", "warning", "critical"].index
    stories = {"success_rate/large": ["opened warning", "escalated critical", "resolved"]}
    told: dict[str, str] = {}
    for row in sorted(site.published_rows("check_history"), key=lambda row: row["evaluated_at"]):
        name, verdict = f"flips/{row['scope']}", row["verdict"]
        if row["rule"] == "flips" and verdict == "ok" and told.pop(name, ""):
            stories[name].append("resolved")
        elif row["rule"] == "flips" and badness(verdict) > badness(told.get(name, "ok")):
            kind = "escalated" if name in told else "opened"
            stories.setdefault(name, []).append(f"{kind} {verdict}")
            told[name] = verdict
    return stories


def arrived(events: list[Any]) -> dict[str, list[str]]:
    """By rule and scope, what people were told, without repetitions, in the order of arrival."""
    first: dict[str, Any] = {}
    stories: dict[str, list[str]] = {}
    for event in events:
        if first.setdefault(event["id"], event) is event:
            bad = "" if event["kind"] == "resolved" else f" {event['severity']}"
            story = stories.setdefault(f"{event['rule']}/{event['scope']}", [])
            story.append(f"{event['kind']}{bad}")
        assert first[event["id"]] == event
    return stories


class Ended(BaseException):
    """The end of a process."""


def test_an_end_before_any_step_loses_nothing(again: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tick ends before the same one of its transactions, one after the other for all."""
    transaction = Incidents._transaction
    to_go = 0

    def until_the_end(store: Incidents) -> Any:
        nonlocal to_go
        to_go -= 1
        if not to_go:
            raise Ended
        return transaction(store)

    monkeypatch.setattr(Incidents, "_transaction", until_the_end)
    with receiving() as hook:
        configure(again, RULES.replace(", owners: [monitoring]", ""), HOOK_URL=hook.url)
        ends = len(AS_OF)
        step = 0
        while ends:
            step, ends = step + 1, 0
            forget_all(again)
            hook.requests.clear()
            for place, at in enumerate(AS_OF, start=1):
                again.show(place)
                again.clock.now = at
                if place > 1:
                    to_go = step
                try:
                    tick(again)
                except Ended:
                    ends += 1
            for hours in (1, 2):
                again.clock.now = AS_OF[-1] + hours * HOUR
                to_go = 0
                tick(again)
            assert arrived(hook.events) == expected(again), step
    assert step > 6  # so many transactions has a tick at least


def test_a_process_that_is_killed_at_any_moment_loses_nothing(again: Site) -> None:
    """Fifty times: each thing arrives, in order, and again only with the id that it had."""
    chance = random.Random(20250611)  # noqa: S311 - not a secret
    interrupted = left = repeated = 0
    with receiving() as hook:
        hook.pause = 0.1
        configure(again, RULES.replace(", owners: [monitoring]", ""), HOOK_URL=hook.url)
        forks = Forks()
        for _ in range(5):
            forget_all(again)
            hook.requests.clear()
            again.show(1)
            assert forks.tick(AS_OF[0])
            length = forks.lasted
            for place in range(1, len(AS_OF)):
                again.show(place + 1)
                for turn in range(2):
                    at = AS_OF[place] + turn * 15 * MINUTE
                    interrupted += not forks.tick(at, chance.uniform(0, length))
                    with store_of(again) as store:
                        left += bool(store.undelivered())
            for hours in (1, 2):
                assert forks.tick(AS_OF[-1] + hours * HOUR)
            assert arrived(hook.events) == expected(again)
            repeated += len(hook.events) - sum(map(len, expected(again).values()))
            with store_of(again) as store:
                assert store.undelivered() == []
        complaints = forks.end()
    assert complaints == ""
    # The kills did fall into the work, and between storing and sending.
    assert interrupted > 10
    assert left > 3
    assert repeated > 0


# What the sensor tells of the pipeline itself.


@pytest.fixture
def watched(again: Site) -> Iterator[tuple[Site, Receiver]]:
    """A site that has read all, nothing of which is wrong any more, and whom it tells."""
    again.show(len(AS_OF))
    again.clock.now = AS_OF[-1]
    with receiving() as hook:
        configure(again, RULES, HOOK_URL=hook.url)
        assert tick(again).endswith("; 0 notifications sent, 0 not")
        yield again, hook


def told(watched: tuple[Site, Receiver]) -> list[tuple[str, str, str]]:
    """Kind, rule and scope of what a tick a minute later tells."""
    site, hook = watched
    site.clock.now += MINUTE
    hook.requests.clear()
    tick(site)
    return [(event["kind"], event["rule"], event["scope"]) for event in hook.events]


def test_a_run_that_fails_is_told(watched: tuple[Site, Receiver]) -> None:
    """Until one goes well; one that is under way changes nothing."""
    site, _ = watched
    site.instance.report_run_failed(site.make_run(dg.DagsterRunStatus.STARTED))
    assert told(watched) == [("opened", "_runs", "refresh")]
    site.make_run(dg.DagsterRunStatus.STARTED)
    assert told(watched) == []
    site.make_run(dg.DagsterRunStatus.SUCCESS)
    assert told(watched) == [("resolved", "_runs", "refresh")]


def test_a_tick_that_fails_is_told(watched: tuple[Site, Receiver]) -> None:
    """Until one goes well; one that is under way changes nothing."""
    site, _ = watched
    name = "source_changes_sensor"
    site.make_tick(name, TickStatus.SKIPPED)
    assert told(watched) == []
    site.make_tick(name, TickStatus.FAILURE)
    assert told(watched) == [("opened", "_ticks", name)]
    site.make_tick(name, TickStatus.STARTED)
    assert told(watched) == []
    site.make_tick(name, TickStatus.SKIPPED)
    assert told(watched) == [("resolved", "_ticks", name)]


def test_data_that_grows_old_is_told(watched: tuple[Site, Receiver]) -> None:
    """No refresh would notice that there is none."""
    site, hook = watched
    rules = RULES.replace("source_freshness: {enabled: false}", "source_freshness: {}")
    configure(site, rules, HOOK_URL=hook.url)
    site.show(len(AS_OF) - 1)
    site.clock.now = AS_OF[-2] + 3 * HOUR - MINUTE
    assert told(watched) == []  # three hours, and no more
    assert told(watched) == [("opened", "source_freshness", "all")]
    (event,) = hook.events
    assert (event["severity"], event["value"]) == ("warning", 10860)
    site.show(len(AS_OF))
    assert told(watched) == [("resolved", "source_freshness", "all")]


def test_a_home_that_never_published(site: Site) -> None:
    """Its failed runs are told all the same."""
    with receiving() as hook:
        configure(site, RULES, HOOK_URL=hook.url)
        assert tick(site) == (
            f"0 incidents changed; nothing is published in {site.home.published}: run dbmon"
            " refresh first; 0 notifications sent, 0 not"
        )
        site.instance.report_run_failed(site.make_run(dg.DagsterRunStatus.STARTED))
        assert told((site, hook)) == [("opened", "_runs", "refresh")]


def test_a_sign_of_life_for_each_generation(watched: tuple[Site, Receiver]) -> None:
    """In a file and at a URL, which is called again if it failed."""
    site, _ = watched
    with receiving() as watchdog:
        url = f"{watchdog.url}/{SECRET}"
        rules = RULES + f"  heartbeat_url: {url}\n"
        configure(site, rules, HOOK_URL="")

        def seen() -> tuple[str, list[str]]:
            watchdog.requests.clear()
            said = tick(site)
            assert SECRET not in said
            return said, [f"{request.method} {request.path}" for request in watchdog.requests]

        assert seen()[1] == []  # this generation had its sign
        site.refresh()
        watchdog.status = 503
        said, calls = seen()
        assert "; the watchdog at notifications.heartbeat_url answered 503 Service" in said
        assert calls == [f"GET /{SECRET}"]
        with site.published() as published:
            at = iso(published.manifest.published_at)
        assert json.loads(site.home.heartbeat.read_text()) == {"at": at}
        watchdog.status = 200
        assert seen()[1] == [f"GET /{SECRET}"]
        assert seen()[1] == []


def test_a_damaged_store_fails_the_tick(watched: tuple[Site, Receiver]) -> None:
    """And stays as it is."""
    site, _ = watched
    forget_all(site)
    site.home.incidents.write_text("not a database " * 100)
    before = site.home.incidents.read_bytes()
    with pytest.raises(IncidentError, match=r"incidents\.sqlite is damaged, or .*: move it away"):
        tick(site)
    assert site.home.incidents.read_bytes() == before
