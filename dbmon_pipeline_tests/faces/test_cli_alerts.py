"""``dbmon alerts`` and ``dbmon config validate``, run as a person runs them, and many at once."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dbmon_pipeline.core.common.instants import iso, parse_instant, utc_now
from dbmon_pipeline.core.config.notifications import Notifications, TargetConfig
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents import sqlite_file as incident_file
from dbmon_pipeline.core.incidents.incident import IncidentState
from dbmon_pipeline.core.incidents.sqlite_file import LAYOUT_VERSION
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.faces.cli import main as cli
from dbmon_pipeline_tests.command import dbmon_here
from dbmon_pipeline_tests.helpers import (
    execution,
    make_source,
    refresh_core,
    run_dbmon,
    running,
    settings_for,
)
from dbmon_pipeline_tests.outputs.notify.made import Receiver, made_finding, receiving

SECRET = "S3CRET-9f2c"  # noqa: S105 - that is what it is for
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NOW = utc_now().replace(microsecond=0)
NOBODY = Notifications()
HOOK = Notifications(
    targets={"hook": TargetConfig(kind="webhook", url="http://127.0.0.1:1/", secret_env="KEY")}  # noqa: S106
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a warning, something critical, and an incident that is over."""
    began = NOW - 2 * HOUR
    with Incidents(tmp_path / "home" / "incidents.sqlite", notifications=HOOK) as store:
        critical = {"scope": "large", "severity": Severity.CRITICAL, "summary": "only 40 % succeed"}
        slow = made_finding(rule="slow_executions", scope="all")
        store.observe([made_finding(), made_finding(**critical), slow], began)
        over = made_finding(rule="slow_executions", scope="all", severity=None)
        store.observe([over], began + HOUR, complete=False)
        store.failed([1, 2], began, "the webhook hook answered 500: see what it says")
    return tmp_path / "home"


def store_of(home: Path) -> Incidents:
    """The incidents of a home."""
    return Incidents(home / "incidents.sqlite", notifications=NOBODY)


def dbmon(
    home: Path, *arguments: object, first: str = "", **environ: object
) -> subprocess.CompletedProcess[str]:
    """Run the command in a home, in a process of its own if that has to do something first."""
    where = {"DBMON_HOME": home, "no_proxy": "127.0.0.1"}
    if first:
        return run_dbmon(*arguments, first=first, **where, **environ)
    return dbmon_here(*arguments, **where, **environ)


def done(ended: subprocess.CompletedProcess[str]) -> str:
    """What a command that has done its work printed."""
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def refusal(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a command failed."""
    assert (ended.returncode, ended.stdout) == (3, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith("dbmon: ")
    assert not line.startswith("dbmon: unexpected")
    return line.removeprefix("dbmon: ")


def listed(home: Path, *arguments: object) -> list[Any]:
    """The incidents that a command lists as JSON."""
    found = json.loads(dbmon(home, "alerts", *arguments, "--format", "json").stdout)
    assert isinstance(found, list)
    return found


def test_what_is_open_is_listed(home: Path) -> None:
    """The worst first; and of what nobody could be told, on stderr."""
    began = iso(NOW - 2 * HOUR)
    ended = dbmon(home, "alerts", "--format", "json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout) == [
        {
            "number": number,
            "severity": severity,
            "state": "firing",
            "rule": "success_rate",
            "scope": scope,
            "opened_at": began,
            "resolved_at": None,
            "by": None,
            "summary": summary,
        }
        for number, severity, scope, summary in (
            (2, "critical", "large", "only 40 % succeed"),
            (1, "warning", "model_tier=small", made_finding().summary),
        )
    ]
    assert ended.stderr.splitlines() == [
        f"not told: hook, opened of incident {number}, after 1 attempt, will be tried again:"
        " the webhook hook answered 500: see what it says"
        for number in (1, 2)
    ]
    heading, *lines = dbmon(home, "alerts").stdout.splitlines()
    assert heading.split() == [
        *("number", "severity", "state", "rule", "scope", "opened_at", "resolved_at", "by"),
        "summary",
    ]
    assert [line.split()[:5] for line in lines] == [
        ["2", "critical", "firing", "success_rate", "large"],
        ["1", "warning", "firing", "success_rate", "model_tier=small"],
    ]


def test_the_history_has_what_is_over(home: Path) -> None:
    """The newest first, as far back and as many as are asked for."""

    def numbers(*arguments: object) -> list[int]:
        return [incident["number"] for incident in listed(home, "history", *arguments)]

    assert numbers() == [3, 2, 1]
    assert numbers("--limit", 2) == [3, 2]
    assert numbers("--since", "30m") == [2, 1]  # the third was over an hour ago
    assert numbers("--since", iso(NOW - 2 * HOUR)) == [3, 2, 1]
    over = listed(home, "history", "--limit", 1)[0]
    assert (over["state"], over["severity"]) == ("resolved", "warning")
    assert over["resolved_at"] == iso(NOW - HOUR)


def test_taking_an_incident_on(home: Path) -> None:
    """It says who has it, and may change hands; what is over cannot be taken on."""
    taken = dbmon(home, "alerts", "ack", 2, "--by", "Ada")
    assert done(taken) == "incident 2 (success_rate/large): Ada has it\n"
    assert [(one["number"], one["state"], one["by"]) for one in listed(home)] == [
        (2, "acknowledged", "Ada"),
        (1, "firing", None),
    ]
    taken = dbmon(home, "alerts", "ack", 2, LOGNAME="bob")
    assert done(taken) == "incident 2 (success_rate/large): bob has it\n"
    assert refusal(dbmon(home, "alerts", "ack", 3)) == "incident 3 is not open: name one of 1, 2"
    assert [(one["number"], one["by"]) for one in listed(home)] == [(2, "bob"), (1, None)]


def test_a_silence_and_its_end(home: Path) -> None:
    """It is listed with the incidents while it lasts."""
    words = ("silence", "rule=success_rate", "scope=la*", "--for", "2h", "--by", "Ada")
    before = utc_now()
    said = done(dbmon(home, "alerts", *words))
    found = re.fullmatch(r"silence 1 until (.*)\n", said)
    assert found
    assert before < parse_instant(found[1]) - 2 * HOUR < utc_now()
    with store_of(home) as store:
        (silence,) = store.silences(utc_now())
    assert silence.matcher == {"rule": "success_rate", "scope": "la*"}
    assert (silence.by, silence.until) == ("Ada", parse_instant(found[1]))
    line = f"silence 1: rule=success_rate, scope=la* until {found[1]}, by Ada"
    assert line in dbmon(home, "alerts").stderr.splitlines()

    assert done(dbmon(home, "alerts", "unsilence", 1)) == "silence 1 has ended\n"
    again = dbmon(home, "alerts", "unsilence", 1)
    assert refusal(again) == "there is no silence 1: there is none at present"
    assert "silence" not in dbmon(home, "alerts").stderr


def test_a_home_without_incidents(tmp_path: Path) -> None:
    """Has none, which is no failure; a home that is none is one."""
    assert done(dbmon(tmp_path, "alerts")) == "no incidents\n"
    assert done(dbmon(tmp_path, "alerts", "history", "--format", "json")) == "[]\n"
    gone = tmp_path / "gone"
    assert refusal(dbmon(gone, "alerts")) == (
        f"there is no home {gone}: name another with --home or refresh"
    )
    assert not gone.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ack 99", "incident 99 is not open: name one of 1, 2"),
        ("ack -- -1", "incident -1 is not open: name one of 1, 2"),
        (f"ack {10**30}", f"incident {10**30} is not open: name one of 1, 2"),
        ("unsilence 7", "there is no silence 7: there is none at present"),
        ("test chat", "there is no target 'chat': the targets are none; name some under"),
        ("ack one", "Invalid value for 'number': .* valid integer, .*: see 'dbmon alerts ack"),
        ("ack", "Missing argument 'number': see 'dbmon alerts ack --help'"),
        ("silence rule --for 2h", "Invalid value: 'rule' is not KEY=VALUE, for instance rule="),
        ("silence rule= --for 2h", "Invalid value: 'rule=' is not KEY=VALUE"),
        ("silence =x --for 2h", "Invalid value: '=x' is not KEY=VALUE"),
        ("silence rule=a rule=b --for 2h", "Invalid value: a key is given twice"),
        ("silence --for 2h", "Missing argument 'matchers'"),
        ("silence rule=a", "Missing option '--for'"),
        ("silence rule=a --for 2", "Invalid value: '2' is not a length such as 30m, 2h or 1d"),
        ("silence rule=a --for 0h", "Invalid value: '0h' is not a length"),
        ("silence rule=a --for -2h", "Invalid value: '-2h' is not a length"),
        ("silence rule=a --for 1000d", "Invalid value: '1000d' is not a length"),
        ("history --since then", "'then' is neither a length nor a time"),
        ("history --limit 0", "Invalid value for '--limit': .* greater than or equal to 1"),
        ("--format xml", "Invalid value for '--format': "),
        ("snooze 1", "No such command 'snooze': see 'dbmon alerts --help'"),
    ],
)
def test_what_is_refused(
    home: Path,
    words: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In one line, with an exit code of 3; nothing is changed."""
    code, printed, line = in_process(home, words.split(), monkeypatch, capsys)
    assert (code, printed) == (3, "")
    assert re.match(f"dbmon: {said}", line), line
    assert line.count("\n") == 1
    with store_of(home) as store:
        assert store.silences(NOW) == []
        assert [one.acknowledged_by for one in store.open_incidents()] == [None, None]


def in_process(
    home: Path,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[int, str, str]:
    """Run ``dbmon alerts`` in this process: its exit code, what it prints, and what it says."""
    monkeypatch.setattr("sys.argv", ["dbmon", "alerts", *words])
    for name in ("DBMON_CONFIG", "DBMON_DEBUG", "DBMON_SOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DBMON_HOME", str(home))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed, said = capsys.readouterr()
    return int(str(int(ended.value.code or 0))), printed, said


def test_a_user_without_a_name(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container: it has a number."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nobody)
    monkeypatch.setattr("os.getuid", lambda: 12345)
    assert in_process(home, ["ack", "1"], monkeypatch, capsys) == (
        *(0, "incident 1 (success_rate/model_tier=small): user 12345 has it\n", ""),
    )


# The file of incidents.


def spoil_text(file: Path) -> str:
    """Write something else over it."""
    file.write_text("not a database " * 100)
    return "is damaged, or no file of incidents (file is not a database): move it away"


def spoil_cut(file: Path) -> str:
    """Cut it short."""
    file.write_bytes(file.read_bytes()[:5000])
    return "is damaged, or no file of incidents (database disk image is malformed): move it away"


def spoil_version(file: Path) -> str:
    """Have a newer version make it."""
    with sqlite3.connect(file) as con:
        con.execute(f"PRAGMA user_version = {LAYOUT_VERSION + 1}")
    con.close()
    return "was made by a newer version of dbmon"


def spoil_folder(file: Path) -> str:
    """Have a folder in its place."""
    file.unlink()
    file.mkdir()
    return "cannot be written or read (unable to open database file): check the disk"


@pytest.mark.parametrize("spoil", [spoil_text, spoil_cut, spoil_version, spoil_folder])
def test_a_file_that_cannot_be_used(home: Path, spoil: Callable[[Path], str]) -> None:
    """It is named, with what to do, and left as it is."""
    file = home / "incidents.sqlite"
    said = spoil(file)
    before = file.read_bytes() if file.is_file() else None
    for words in (["ack", 1], ["history"]):
        assert refusal(dbmon(home, "alerts", *words)).startswith(f"{file} {said}")
    assert (file.read_bytes() if file.is_file() else None) == before


def test_a_full_disk(home: Path) -> None:
    """What cannot be stored is refused, and what was stored stays."""
    full = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    ended = dbmon(home, "alerts", "ack", 1, first=full)
    file = home / "incidents.sqlite"
    assert refusal(ended).startswith(f"{file} cannot be written or read (")
    assert refusal(ended).endswith("nothing that was stored is lost")
    assert [one["by"] for one in listed(home)] == [None, None]
    done(dbmon(home, "alerts", "ack", 1))


HOLD_STORE = """
import sqlite3
con = sqlite3.connect(sys.argv[1], isolation_level=None)
con.execute("BEGIN IMMEDIATE")
wait()
"""


def test_a_file_that_somebody_writes(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Is waited for; it can be read meanwhile."""
    file = home / "incidents.sqlite"
    monkeypatch.setattr(incident_file, "BUSY_SECONDS", 0.2)
    with running(HOLD_STORE, file):
        code, printed, said = in_process(home, ["ack", "1"], monkeypatch, capsys)
        assert (code, printed) == (3, "")
        assert said.startswith(f"dbmon: {file} is locked by another process (")
        code, printed, _ = in_process(home, ["history"], monkeypatch, capsys)
        assert (code, len(printed.splitlines())) == (0, 4)
    assert in_process(home, ["ack", "1", "--by", "Ada"], monkeypatch, capsys)[0] == 0


# Telling, on trial.


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A receiver."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A rules file with a target, and one that is disabled."""
    file = tmp_path / "rules.yaml"
    file.write_text(
        "rules: {error_rate: {enabled: false}}\n"
        "notifications:\n"
        "  targets:\n"
        "    hook: {kind: webhook, url_env: HOOK_URL, secret_env: HOOK_SECRET}\n"
        "    spare: {kind: webhook, url_env: HOOK_URL, secret_env: HOOK_SECRET, enabled: false}\n"
    )
    return file


def test_a_target_on_trial(tmp_path: Path, hook: Receiver, rules: Path) -> None:
    """It is told of an opening and an end; and what is wrong with it is said, and no secret."""
    environ: dict[str, Any] = {
        "DBMON_CONFIG": rules,
        "HOOK_URL": f"{hook.url}/{SECRET}",
        "HOOK_SECRET": SECRET,
    }
    assert done(dbmon(tmp_path, "alerts", "test", "hook", **environ)) == "hook was told\n"
    assert [(event["kind"], event["rule"]) for event in hook.events] == [
        ("opened", "test"),
        ("resolved", "test"),
    ]
    hook.status = 403
    said = refusal(dbmon(tmp_path, "alerts", "test", "hook", **environ))
    assert said.startswith("the webhook hook answered 403 Forbidden: see that its URL and its")
    assert SECRET not in said
    for name, what in (("HOOK_SECRET", "secret"), ("HOOK_URL", "url")):
        unset = {key: value for key, value in environ.items() if key != name}
        assert refusal(dbmon(tmp_path, "alerts", "test", "hook", **unset)) == (
            f"the target hook has no {what}: the environment variable {name} is not set: set it"
            f" to the {what} of the target, or disable the target"
        )
    said = refusal(dbmon(tmp_path, "alerts", "test", "hok", **environ))
    assert said == "there is no target 'hok': the targets are hook, spare"
    assert list(tmp_path.iterdir()) == [rules]


# The rules file.


def test_a_rules_file_that_is_right(tmp_path: Path, rules: Path) -> None:
    """It says what is on; the file that is named counts over the one of the environment."""
    shipped = (
        "8 rules are enabled: success_rate, error_rate, slow_executions, recent_executions,"
        " cost_drift, anomaly, database_size, source_freshness\n"
        "0 targets are told: none\n"
    )
    assert done(dbmon(tmp_path, "config", "validate")) == shipped
    ours = shipped.replace("8", "7").replace(" error_rate,", "").replace("0 t", "1 t")
    ours = ours.replace("none", "hook")
    assert done(dbmon(tmp_path, "config", "validate", rules)) == ours
    assert done(dbmon(tmp_path, "config", "validate", DBMON_CONFIG=rules)) == ours
    more = tmp_path / "more.yaml"
    more.write_text("rules: {error_rate: {enabled: true}}\n")
    both = done(dbmon(tmp_path, "config", "validate", more, DBMON_CONFIG=rules))
    assert both == shipped.replace("0 t", "1 t").replace("none", "hook")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "rules:\n  success_rate:\n    belo: {warning: 0.9}\n",
            "line 3, rules.success_rate.belo: Object contains unknown field `belo`",
        ),
        (
            "\nnotifications:\n  targets:\n    hook:\n      kind: webhook\n      ulr: http://x\n",
            "line 6, notifications.targets.hook.ulr: Object contains unknown field `ulr`",
        ),
        (
            "notifications:\n  targets:\n    hook: {kind: webhook, url: 'http://x'}\n",
            "line 3, notifications.targets.hook: a webhook has a secret_env or a secret_file",
        ),
        (
            "notifications: {attempts: 0}\n",
            "line 1, notifications.attempts: Expected `int` >= 1",
        ),
        (
            "rules:\n  tier: {below: {warning: 1}}\n",
            "line 2, rules.tier: it names no measurement",
        ),
    ],
)
def test_a_rules_file_that_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    """The file, the line and the key are named."""
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    assert refusal(dbmon(tmp_path, "config", "validate", file)).startswith(f"{file}, {said}")


def test_a_rules_file_that_is_none(tmp_path: Path) -> None:
    """It is named with what there may be instead; so it is by a command that needs it."""
    file = tmp_path / "rules.yaml"
    said = refusal(dbmon(tmp_path, "config", "validate", file))
    assert said.startswith(f"the rules file {file} cannot be read (")
    file.write_text("rules: [")
    for words in (["config", "validate"], ["alerts"]):
        said = refusal(dbmon(tmp_path, *words, DBMON_CONFIG=file))
        assert said.startswith(f"{file} is not YAML (")


# Many at once.

TICKS = """
import json, os, threading, time
from pathlib import Path
from dbmon_pipeline.core.config.rule import Severity
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.incidents.observe import observe_published
from dbmon_pipeline.outputs.notify.deliver import deliver
from dbmon_pipeline.outputs.notify.targets import targets
from dbmon_pipeline_tests.outputs.notify.made import made_finding

settings, (_, log, scope) = Settings.load(), sys.argv
config = settings.config.notifications
until = threading.Thread(target=wait)
until.start()
turns = 0
while until.is_alive() or turns % 2:
    at = utc_now()
    with Incidents(settings.home.incidents, notifications=config) as store:
        with Published(settings.home) as published:
            observe_published(store, published, settings.config)
        severity = None if turns % 2 else Severity.CRITICAL
        found = made_finding(rule="_flips", scope=scope, severity=severity)
        (changed,) = store.observe([found], at, complete=False)
        told = deliver(store, targets(config, os.environ), at, utc_now)
        assert told.errors == (), told
    turns += 1
    time.sleep(0.05)
Path(log).write_text(str(turns))
"""
"""Ticks until the end, each of which opens or ends an incident of its own and tells what there is
to tell; how many there were stands in a file."""


def test_nobody_gets_into_another_ones_way(
    tmp_path: Path, hook: Receiver, rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that many processes do at once to one home is there at the end, and told once."""
    settings = settings_for(tmp_path)
    now = utc_now()
    make_source(settings.source, [execution(now - n * MINUTE) for n in range(1, 30)])
    refresh_core(settings, now)
    home = settings.home.path
    people, others, quiet, ending, looks = range(10), range(10, 14), range(8), range(1, 5), range(4)
    with store_of(home) as store:
        for number in (*people, *others):
            store.observe([made_finding(rule=f"_{number}")], now, complete=False)
        for number in ending:
            assert store.silence({"rule": "none"}, now + HOUR, "before", now) == number
        open_at_first = {one.finding.rule: one.number for one in store.open_incidents()}
    environ: dict[str, Any] = {
        "DBMON_HOME": home,
        "no_proxy": "127.0.0.1",
        "DBMON_CONFIG": rules,
        "DBMON_SOURCE": settings.source,
        "HOOK_URL": hook.url,
        "HOOK_SECRET": SECRET,
    }
    commands: list[tuple[object, ...]] = [
        *(("alerts", "ack", open_at_first[f"_{n}"], "--by", f"person {n}") for n in people),
        *(("alerts", "silence", f"rule=none_{n}", "--for", "1h", "--by", f"{n}") for n in quiet),
        *(("alerts", "unsilence", n) for n in ending),
        *(("status", "--format", "json") for _ in looks),
    ]
    random.Random(7).shuffle(commands)  # noqa: S311 - not a secret
    logs = {scope: tmp_path / scope for scope in ("one", "other")}
    for name, value in environ.items():
        monkeypatch.setenv(name, str(value))
    with ExitStack() as stack:
        for scope, log in logs.items():
            stack.enter_context(running(TICKS, log, scope))
        with ThreadPoolExecutor(4) as pool:
            ended = [*pool.map(lambda words: run_dbmon(*words, **environ), commands)]
    for words, one in zip(commands, ended, strict=True):
        assert (one.returncode, one.stderr) == (0, ""), (words, one)
    turns = {scope: int(log.read_text()) for scope, log in logs.items()}
    assert min(turns.values()) > 10

    with Incidents(home / "incidents.sqlite", notifications=HOOK) as store:
        found = store.history(None, 9999)
        silences = store.silences(now)
        waiting = store.undelivered()
    assert {one.number: one.acknowledged_by for one in found if one.acknowledged_by} == {
        open_at_first[f"_{n}"]: f"person {n}" for n in people
    }
    assert Counter(one.state for one in found if one.finding.rule != "_flips") == {
        IncidentState.ACKNOWLEDGED: len(people),
        IncidentState.FIRING: len(others),
    }
    assert {silence.by: dict(silence.matcher) for silence in silences} == {
        f"{n}": {"rule": f"none_{n}"} for n in quiet
    }
    assert len({silence.number for silence in silences}) == len(quiet)
    for scope, count in turns.items():
        mine = [one for one in found if one.finding.scope == scope]
        assert Counter(one.state for one in mine) == {IncidentState.RESOLVED: count // 2}
    assert waiting == []
    events = Counter((event["incident"], event["kind"]) for event in hook.events)
    assert set(events.values()) == {1}
    assert set(events) == {
        (one.number, kind)
        for one in found
        for kind in ("opened", *(["resolved"] if one.resolved_at else []))
    }
