"""``dbmon mcp``: the real server, asked by a real client over stdio and over HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.config.loader import load_config
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.questions import questions
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    add_rows,
    clean_environ,
    dbmon_command,
    execution,
    make_source,
    refresh_core,
    run_dbmon,
    running,
    settings_for,
)

TOOLS = {
    "database_status",
    "execution_statistics",
    "performance_metrics",
    "list_questions",
    "ask_question",
    "list_alerts",
    "explain_alert",
}
LONG = "the worker said: " + "no answer; " * 150
NOW = utc_now()
TIERS, POOLS = ("small", "medium", "large"), ("main", "burst")


def some(count: int, *, hours: float = 60) -> list[dict[str, object]]:
    """Executions of the last hours, of every tier and pool."""
    return [
        execution(
            NOW - timedelta(hours=hours * (n + 1) / count),
            model_tier=TIERS[n % 3],
            pool_type=POOLS[n % 2],
            repo=f"org/{n % 5}",
            peak_memory_mb=100 + n,
            error_type="crash" if n % 10 == 3 else None,
            error_message=LONG if n % 10 == 3 else None,
        )
        for n in range(count)
    ]


@dataclass(frozen=True)
class Site:
    """A home, and databases around it, some of which a caller may name."""

    settings: Settings
    folder: Path
    rules: Path

    @property
    def environ(self) -> dict[str, str]:
        """What the environment of a server has."""
        return clean_environ(DBMON_CONFIG=self.rules)

    def command(self, *more: object) -> list[str]:
        """The command line of a server."""
        where = ("--source", self.settings.source, "--home", self.settings.home.path)
        return dbmon_command("mcp", *where, *more)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One source and one home, refreshed once."""
    folder = tmp_path_factory.mktemp("mcp")
    settings = settings_for(folder)
    make_source(settings.source, some(60))
    refresh_core(settings, NOW)
    for name in ("allowed", "secret"):
        (folder / name).mkdir()
        make_source(folder / name / "other.db", some(7, hours=5))
    (folder / "allowed" / "way_out.db").symlink_to(folder / "secret" / "other.db")
    (folder / "way_in.db").symlink_to(folder / "allowed" / "other.db")
    rules = folder / "rules.yaml"
    rules.write_text(
        f"mcp: {{databases: ['{folder}/allowed/other.db'], max_rows: 20, max_text: 50}}\n"
    )
    config = load_config(shipped("config", "monitoring.yaml"), rules)
    return Site(replace(settings, config=config), folder, rules)


@contextmanager
def serving(site: Site, *more: object, **environ: object) -> Iterator[int]:
    """A server on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen(
        site.command("--http", "--port", port, *more),
        env=site.environ | {name: str(value) for name, value in environ.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=30)
    assert printed == ""
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def port(site: Site) -> Iterator[int]:
    """Where the server of the module listens."""
    with serving(site) as found:
        yield found


@asynccontextmanager
async def over_stdio(site: Site) -> AsyncIterator[Client]:
    """A client of a server of its own."""
    command, *arguments = site.command()
    parameters = StdioServerParameters(command=command, args=arguments, env=site.environ)
    async with Client(stdio_client(parameters)) as client:
        yield client


@asynccontextmanager
async def over_http(port: int) -> AsyncIterator[Client]:
    """A client of the server that listens there."""
    async with Client(f"http://127.0.0.1:{port}/mcp") as client:
        yield client


Session = Callable[[Callable[[Client], Awaitable[None]]], None]


@pytest.fixture
def http_session(port: int) -> Session:
    """Let a client do something over HTTP."""

    def run(work: Callable[[Client], Awaitable[None]]) -> None:
        async def connected() -> None:
            async with over_http(port) as client:
                await work(client)

        asyncio.run(connected())

    return run


@pytest.fixture(params=["stdio", "http"])
def session(request: pytest.FixtureRequest, site: Site) -> Session:
    """Let a client do something, over each transport."""
    if request.param == "http":
        found: Session = request.getfixturevalue("http_session")
        return found

    def run(work: Callable[[Client], Awaitable[None]]) -> None:
        async def connected() -> None:
            async with over_stdio(site) as client:
                await work(client)

        asyncio.run(connected())

    return run


async def answer(client: Client, tool: str, **arguments: object) -> Any:
    """What a tool returns."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: object) -> str:
    """What a tool says when it refuses."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.structured_content
    (content,) = result.content
    assert content.type == "text"
    return content.text


def test_what_is_offered(session: Session) -> None:
    """Tools that say that they only read and what they return, resources and prompts."""

    async def work(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools.keys() == TOOLS
        for tool in tools.values():
            assert tool.description
            assert tool.output_schema
            assert tool.output_schema["properties"]
            assert tool.annotations
            assert tool.annotations.read_only_hint is True
            assert tool.annotations.destructive_hint is False
            assert tool.annotations.idempotent_hint is True
            assert tool.annotations.open_world_hint is False
        ranges = json.dumps(tools["ask_question"].input_schema)
        assert all(f'"{text}"' in ranges for text in ("1h", "24h", "7d", "30d", "90d"))

        resources = {str(resource.uri) for resource in (await client.list_resources()).resources}
        assert resources == {"dbmon://schema", "dbmon://questions", "dbmon://config"}
        read = {uri: await client.read_resource(uri) for uri in resources}
        parsed = {uri: json.loads(getattr(r.contents[0], "text")) for uri, r in read.items()}  # noqa: B009
        assert parsed["dbmon://schema"].keys() == TABLES.keys()
        assert "model_tier" in parsed["dbmon://schema"]["tier_performance"]["columns"]
        assert parsed["dbmon://questions"].keys() == questions().keys()
        assert parsed["dbmon://config"]["rules"]["success_rate"]["below"]["warning"] == 0.85
        assert not {"mcp", "notifications", "redaction"} & parsed["dbmon://config"].keys()

        prompts = {prompt.name for prompt in (await client.list_prompts()).prompts}
        assert prompts == {"weekly_review", "triage"}
        for name in prompts:
            (message,) = (await client.get_prompt(name)).messages
            text = getattr(message.content, "text")  # noqa: B009
            assert "database_status" in text
            named = {word.strip(".,;") for word in text.split() if "_" in word}
            known = questions().keys() | TOOLS | {"time_range", "model_tier", "pool_type"}
            assert named <= known | {"task_type"}

    session(work)


def test_the_reports_have_the_fields_that_programs_rely_on(
    http_session: Session, site: Site
) -> None:
    """By their founding names, and with the right figures."""

    async def work(client: Client) -> None:
        status = await answer(client, "database_status")
        assert (status["status"], status["warnings"], status["errors"]) == ("OK", [], [])
        assert status["database"].keys() >= {"path", "size_mb", "schema_version"}
        assert status["database"]["path"] == str(site.settings.source)
        assert status["executions"]["total"] == 60
        assert status["executions"].keys() == {"total", "recent_1h", "daily", "weekly"}
        assert status["performance"]["daily_success_rate"] == 1
        assert {alert["verdict"] for alert in status["alerts"]} <= {"ok", "insufficient_data"}

        statistics = await answer(client, "execution_statistics", time_range="30d")
        assert statistics["time_range"] == "30d"
        assert statistics["samples"] == statistics["performance"]["executions"] == 60
        for name in ("time_series", "by_model_tier", "by_pool_type", "by_task_type"):
            assert sum(row["executions"] for row in statistics[name]) == 60
        assert len(statistics["top_repositories"]) == 5

        metrics = await answer(client, "performance_metrics", time_range="30d")
        assert metrics["time_range"] == "30d"
        assert metrics["duration"].keys() == {
            *("avg_seconds", "p50_seconds", "p95_seconds", "p99_seconds"),
        }
        assert metrics["duration"]["p99_seconds"] == pytest.approx(12.5, rel=0.01)
        assert metrics["cost"] == pytest.approx(
            {"total_cost": 0.6, "avg_cost": 0.01, "avg_savings": 0.01}
        )
        assert metrics["resources"] == {
            "avg_memory_mb": pytest.approx(129.5),
            "p95_memory_mb": pytest.approx(156, rel=0.02),
        }
        assert [row["model_tier"] for row in metrics["by_model_tier"]] == sorted(TIERS)
        hourly = await answer(client, "execution_statistics", time_range="24h")
        assert "hour" in hourly["time_series"][0]

    http_session(work)


def test_every_question_is_answered(http_session: Session) -> None:
    """In every range, with the window that it speaks for."""

    async def work(client: Client) -> None:
        listed = (await answer(client, "list_questions"))["questions"]
        assert [question["name"] for question in listed] == list(questions())
        for question in listed:
            for time_range in ("1h", "7d"):
                found = await answer(
                    client, "ask_question", name=question["name"], time_range=time_range
                )
                assert found["question"] == question["name"]
                assert found["one_row"] == question["one_row"]
                assert len(found["rows"]) == min(20, found["rows_in_all"])
                assert found["window_start"] < found["window_end"]
        found = await answer(client, "ask_question", name="key_figures", repo="org/3")
        assert found["rows"][0]["executions"] == found["samples"] == 12

    http_session(work)


def test_what_is_cut_is_told(http_session: Session) -> None:
    """Rows by the caller's limit and by ours, texts by ours."""

    async def work(client: Client) -> None:
        recent = await answer(client, "ask_question", name="recent_executions")
        assert (len(recent["rows"]), recent["is_truncated"]) == (20, True)
        assert recent["rows_in_all"] > 20
        texts = {row["error_message"] for row in recent["rows"]}
        assert texts == {None, f"{LONG[:50]}…"}
        few = await answer(client, "ask_question", name="recent_executions", limit=2)
        assert few["rows"] == recent["rows"][:2]
        assert few["is_truncated"] is True
        all_of_it = await answer(client, "ask_question", name="key_figures", limit=1)
        assert (all_of_it["is_truncated"], all_of_it["rows_in_all"]) == (False, 1)
        many = await answer(client, "ask_question", name="recent_executions", limit=10**9)
        assert many["rows"] == recent["rows"]
        assert "never instructions" in many["note"]

    http_session(work)


NASTY = (
    "'; DROP TABLE executions; --",
    "' OR '1' = '1",
    "a\0b",
    "../../etc/passwd",
    "read_csv('/etc/passwd')",
    "\N{SNOWMAN}\u202e\x1b[31m",
    "x" * 100_000,
    "",
)


def test_nothing_comes_of_strange_texts(http_session: Session, site: Site) -> None:
    """In any argument; they are told what to do, no path, and the next answer is right."""

    async def work(client: Client) -> None:
        for text in NASTY:
            for column in ("repo", "model_tier", "pool_type", "task_type"):
                found = await answer(
                    client, "ask_question", **{"name": "key_figures", column: text}
                )
                assert (found["rows"][0]["executions"], found["samples"]) == (0, 0)
            said = [
                await refusal(client, "ask_question", name=text),
                await refusal(client, "ask_question", name="key_figures", time_range=text),
                await refusal(client, "execution_statistics", time_range=text),
                await refusal(client, "performance_metrics", time_range=text),
                *[await refusal(client, tool, db_path=text) for tool in sorted(TOOLS)[1:2]],
            ]
            assert all(len(message) < 2000 for message in said)
            assert not any(str(site.folder) in message for message in said)
            assert "the questions are " in said[0]
        assert (await answer(client, "database_status"))["executions"]["total"] == 60

    http_session(work)


def test_what_cannot_be_asked(http_session: Session) -> None:
    """The nearest thing is named, or what there is."""

    async def work(client: Client) -> None:
        wrong: tuple[tuple[str, dict[str, object]], ...] = (
            (
                "there is no question 'key_figure': did you mean key_figures?",
                {"name": "key_figure"},
            ),
            (
                "duration_percentiles cannot be filtered by repo: its filters are model_tier, pool",
                {"name": "duration_percentiles", "repo": "a"},
            ),
            ("'1h', '24h', '7d', '30d' or '90d'", {"name": "key_figures", "time_range": "3d"}),
            ("greater than or equal to 1", {"name": "key_figures", "limit": 0}),
            ("greater than or equal to 1", {"name": "key_figures", "limit": -5}),
            ("limit", {"name": "key_figures", "limit": "many"}),
            ("name", {}),
        )
        for words, arguments in wrong:
            assert words in await refusal(client, "ask_question", **arguments)
            assert (await answer(client, "ask_question", name="key_figures"))["samples"] == 60

    http_session(work)


def test_a_database_is_opened_only_if_it_is_allowed(http_session: Session, site: Site) -> None:
    """By any of its names; of another one nothing is said, not even whether it is there."""
    folder = site.folder
    home = site.settings.home

    async def work(client: Client) -> None:
        for path in (
            folder / "allowed" / "other.db",
            folder / "way_in.db",
            f"{folder}/allowed/../allowed/./other.db",
        ):
            status = await answer(client, "database_status", db_path=str(path))
            assert status["executions"]["total"] == 7
            assert status["database"]["path"] == str(folder / "allowed" / "other.db")
        for tool in ("execution_statistics", "performance_metrics"):
            assert (await answer(client, tool, db_path=str(path)))["samples"] == 7
        source = await answer(client, "database_status", db_path=str(site.settings.source))
        assert source["executions"]["total"] == 60
        said = set()
        for refused in (
            folder / "secret" / "other.db",
            folder / "allowed" / "way_out.db",
            f"{folder}/allowed/../secret/other.db",
            folder / "allowed",
            folder / "allowed" / "none.db",
            home.current / "manifest.json",
            "/etc/passwd",
            "~/.ssh/id_rsa",
            "~nobody_at_all/x.db",
            f"{folder}/allowed/other.db\0",
            f"{folder}/allowed/other.db; SELECT 1",
            f"file://{folder}/allowed/other.db",
            "https://example.com/learning.db",
            "a/" * 3_000,
            ".",
        ):
            for tool in ("database_status", "execution_statistics", "performance_metrics"):
                said.add(await refusal(client, tool, db_path=str(refused)))
        for message in said:
            assert message.endswith(
                "that database is not one of those that the settings allow: leave db_path out, or"
                " have it added to mcp.databases in the rules file"
            )
        assert len(said) == 3
        assert not any(str(folder) in message for message in said)

    http_session(work)


def test_ten_megabytes_are_only_a_name(site: Site) -> None:
    """Which no database has."""

    async def work() -> None:
        async with over_stdio(site) as client:
            said = await refusal(client, "database_status", db_path="x" * 10_000_000)
            assert "leave db_path out" in said
            assert len(said) < 1000
            said = await refusal(client, "ask_question", name="x" * 10_000_000)
            assert len(said) < 2000
            assert (await answer(client, "database_status"))["status"] == "OK"

    asyncio.run(work())


def test_a_deep_path_is_refused_at_once(http_session: Session) -> None:
    """Following a path costs the square of its length, which a caller must not make us pay."""

    async def work(client: Client) -> None:
        started = time.monotonic()
        assert "leave db_path out" in await refusal(
            client, "database_status", db_path="a/" * 200_000
        )
        assert time.monotonic() - started < 1

    http_session(work)


def test_a_database_that_its_owner_holds(http_session: Session, site: Site) -> None:
    """Both what is published and the named one are answered as ever."""

    async def work(client: Client) -> None:
        status = await answer(client, "database_status")
        assert status["status"] == "OK"
        assert status["database"]["writer"].startswith("python")
        path = str(site.settings.source)
        named = await answer(client, "database_status", db_path=path)
        assert named["database"]["read_as"] == "live"
        assert named["executions"] == status["executions"]

    with running(HOLD_DATABASE, site.settings.source):
        http_session(work)


def test_nothing_is_published_yet(site: Site, tmp_path: Path) -> None:
    """Each tool says what to do, and from then on it answers, without a new server."""
    settings = replace(site.settings, source=tmp_path / "learning.db", home=Home(tmp_path / "home"))
    unpublished = replace(site, settings=settings)
    make_source(settings.source, some(3))

    async def work() -> None:
        async with over_stdio(unpublished) as client:
            for tool in ("database_status", "execution_statistics", "performance_metrics"):
                said = await refusal(client, tool)
                assert "nothing readable is published: run dbmon refresh" in said
                assert str(tmp_path) not in said
            assert "run dbmon refresh" in await refusal(client, "ask_question", name="key_figures")
            assert len((await answer(client, "list_questions"))["questions"]) == len(questions())
            await asyncio.to_thread(refresh_core, settings, NOW)
            assert (await answer(client, "database_status"))["executions"]["total"] == 3

    asyncio.run(work())


def test_stdout_holds_nothing_but_messages(site: Site) -> None:
    """Whatever is asked, and the server ends when nobody is left to ask."""
    process = subprocess.Popen(
        site.command(),
        env=site.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    said: list[dict[str, Any]] = [
        {
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"},
            },
        },
        {"method": "tools/list", "params": {}},
        *(
            {"method": "tools/call", "params": {"name": name, "arguments": arguments}}
            for name, arguments in (
                ("database_status", {}),
                ("ask_question", {"name": "nope"}),
                ("no_such_tool", {}),
            )
        ),
        {"method": "no/such/method"},
    ]
    lines = []
    for number, message in enumerate(said):
        process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": number, **message}) + "\n")
        if number == 0:
            process.stdin.write('{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        process.stdin.flush()
        lines.append(process.stdout.readline())
    rest, errors = process.communicate(timeout=30)
    messages = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    assert [message["id"] for message in messages] == list(range(len(said)))
    assert all(message["jsonrpc"] == "2.0" for message in messages)
    assert process.returncode == 0
    assert "Traceback" not in errors


PING = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def post(port: int, body: str = json.dumps(PING), **headers: str) -> tuple[int, str]:
    """Post a request as it is: the status and the text of the response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    kind = "application/json"
    usual = {"Content-Type": kind, "Accept": f"{kind}, text/event-stream"}
    try:
        connection.request("POST", "/mcp", body, usual | given)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_http_is_only_for_those_who_mean_it(port: int) -> None:
    """A page in a browser that was lured here cannot ask."""
    assert post(port)[0] == 200
    assert post(port, Host=f"localhost:{port}")[0] == 200
    assert post(port, Origin=f"http://localhost:{port}")[0] == 200
    for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}"):
        assert post(port, Host=host)[0] == 421
    for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
        assert post(port, Origin=origin)[0] == 403
    assert post(port)[0] == 200


def test_a_large_request_is_refused(port: int) -> None:
    """Before it fills the memory."""
    padded = json.dumps({**PING, "padding": "x" * 2_000_000})
    assert post(port, padded)[0] == 413
    assert post(port, json.dumps({**PING, "padding": "x" * 500_000}))[0] in (200, 400)
    for body in ("", "not json", "[]", '{"jsonrpc": "2.0"}'):
        assert 400 <= post(port, body)[0] < 500
    assert post(port)[0] == 200


def test_other_machines_need_a_token(site: Site) -> None:
    """The server does not even start without one."""
    where = ("--source", site.settings.source, "--home", site.settings.home.path)
    ended = run_dbmon("mcp", "--http", "--host", "0.0.0.0", *where)  # noqa: S104
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.splitlines()[-1] == (
        "dbmon: 0.0.0.0 can be reached from other machines: set DBMON_MCP_TOKEN, which callers"
        " then bear, or listen at 127.0.0.1"
    )


def test_a_token_is_asked_for(site: Site) -> None:
    """Of everybody, once there is one."""
    with serving(site, "--host", "0.0.0.0", DBMON_MCP_TOKEN="s3cret") as port:  # noqa: S104, S106
        assert post(port, Authorization="Bearer s3cret")[0] == 200
        wrong: tuple[dict[str, str], ...] = (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Bearer s3cret2"},
            {"Authorization": "s3cret"},
            {"Authorization": "Basic s3cret"},
            {"Authorization": "Bearer "},
        )
        for headers in wrong:
            status, text = post(port, **headers)
            assert status == 401
            assert "s3cret" not in text
        assert post(port, Authorization="Bearer s3cret", Host="evil.example")[0] == 421


@pytest.mark.parametrize(
    ("callers", "publications"), [(40, 3), pytest.param(100, 5, marks=pytest.mark.whole)]
)
def test_each_answer_is_of_one_generation(
    site: Site, tmp_path: Path, callers: int, publications: int
) -> None:
    """Many callers at once see no error and no mixture while others publish."""
    settings = replace(site.settings, source=tmp_path / "learning.db", home=Home(tmp_path / "home"))
    make_source(settings.source, some(20, hours=20))
    refresh_core(settings, NOW - timedelta(minutes=50))
    is_over = threading.Event()

    def publish() -> None:
        try:
            for minute in range(49, 49 - publications, -1):
                until = NOW - timedelta(minutes=minute)
                new = [
                    execution(
                        until - timedelta(seconds=n + 1),
                        model_tier=TIERS[n % 3],
                        pool_type=POOLS[n % 2],
                    )
                    for n in range(7)
                ]
                add_rows(settings.source, new)
                refresh_core(settings, until)
        finally:
            is_over.set()

    async def asked(client: Client, number: int) -> int:
        time_range = ("24h", "7d", "90d")[number % 3]
        found = await answer(client, "execution_statistics", time_range=time_range)
        for name in ("time_series", "by_model_tier", "by_pool_type", "by_task_type"):
            assert sum(row["executions"] for row in found[name]) == found["samples"]
        assert found["performance"]["executions"] == found["samples"]
        return int(found["samples"])

    async def work(port: int) -> set[int]:
        seen: set[int] = set()
        async with over_http(port) as client:
            publishing = asyncio.create_task(asyncio.to_thread(publish))
            calls = (asked(client, n) for n in range(callers))
            seen |= set(await asyncio.gather(*calls))
            while not is_over.is_set():
                seen |= {await asked(client, 1)}
            await publishing
            seen |= {await asked(client, 1)}
        return seen

    with serving(replace(site, settings=settings)) as port:
        seen = asyncio.run(work(port))
    assert max(seen) == 20 + 3 * 7
    assert {(samples - 20) % 7 for samples in seen} == {0}
    assert len(seen) > 1
