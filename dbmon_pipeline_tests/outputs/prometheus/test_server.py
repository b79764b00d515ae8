"""``dbmon serve-metrics``: each scrape reads what is published now."""

from __future__ import annotations

import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.common.listen import listening_socket
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.faces.mcp.http import check_address
from dbmon_pipeline.outputs.prometheus.metrics import published_metrics
from dbmon_pipeline_tests.command import dbmon_here
from dbmon_pipeline_tests.helpers import (
    add_rows,
    clean_environ,
    dbmon_command,
    execution,
    make_source,
    refresh_core,
    settings_for,
)
from dbmon_pipeline_tests.outputs.notify.real_alertmanager import free_port
from dbmon_pipeline_tests.outputs.prometheus.real_prometheus import parsed

AS_OF = datetime.fromisoformat("2026-02-10T12:00")
MINUTE = timedelta(minutes=1)


@contextmanager
def serving(
    settings: Settings, port: int, host: str = "127.0.0.1"
) -> Iterator[subprocess.Popen[str]]:
    """The command, which listens; it is killed at the end if it has not ended."""
    process = subprocess.Popen(
        dbmon_command(
            *("serve-metrics", "--port", port, "--host", host, "--home", settings.home.path)
        ),
        env=clean_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr
        line = process.stderr.readline()
        shown = f"[{host}]" if ":" in host else host
        assert line == (
            f"http://{shown}:{port}/metrics of home {settings.home.path}; Ctrl-C ends it\n"
        )
        yield process
    finally:
        process.kill()
        process.communicate()


def got(port: int, path: str = "/metrics", host: str = "127.0.0.1") -> tuple[int, str, str]:
    """The status, the kind and the text of an answer."""
    try:
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=20) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def told(port: int, request: str) -> tuple[list[str], str]:
    """The lines of the head and the body of an answer, as they come."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(f"{request} HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n".encode())
        with client.makefile("rb") as answer:
            head, _, body = answer.read().decode().partition("\r\n\r\n")
    return [line for line in head.splitlines() if not line.startswith("date: ")], body


def test_the_life_of_a_server(tmp_path: Path) -> None:
    """It waits for the first generation, follows, tells of damage and recovers, and is ended."""
    settings, port = settings_for(tmp_path), free_port()
    make_source(settings.source, [execution(AS_OF - MINUTE)])
    with serving(settings, port) as process:
        assert got(port, "/-/healthy")[0] == 200
        nothing = f"nothing is published in {settings.home.published}: run dbmon refresh first"
        status, _, text = got(port)
        assert (status, text.splitlines()[0]) == (200, f"# Reason: {nothing}")
        assert parsed(text) == {("dbmon_up",): 0}
        assert got(port)[2] == text

        refresh_core(settings, AS_OF)
        status, kind, text = got(port, "/metrics?some=thing")
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert text == published_metrics(settings)
        assert parsed(text)["dbmon_executions",] == 1

        add_rows(settings.source, [execution(AS_OF + MINUTE)])
        refresh_core(settings, AS_OF + 2 * MINUTE)
        assert parsed(got(port)[2])["dbmon_executions",] == 2

        [file] = (settings.home.current / "check_history").iterdir()
        whole = file.read_bytes()
        file.chmod(0o644)
        file.write_bytes(b"x")
        status, _, text = got(port)
        assert (status, parsed(text)) == (200, {("dbmon_up",): 0})
        assert "# Reason: " in text
        file.write_bytes(whole)
        assert parsed(got(port)[2])["dbmon_up",] == 1

        for path in ("/", "/metrics/", "/-/ready"):
            assert got(port, path)[0] == 404
        for path in ("/metrics", "/-/healthy"):
            head, body = told(port, f"GET {path}")
            assert f"content-length: {len(body.encode())}" in head
            assert told(port, f"HEAD {path}") == (head, "")
        assert told(port, "GET http://[")[0][0].split()[1] in ("400", "404")
        with socket.create_connection(("127.0.0.1", port)) as rude:
            rude.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert got(port, "/-/healthy")[2] == "healthy\n"

        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=20)
        assert (process.returncode, printed) == (130, "")
        *warnings, last = said.splitlines()
        assert last.startswith("dbmon: interrupted")
        assert [line.startswith("warning: ") for line in warnings] == [True, True]
        assert warnings[0] == f"warning: {nothing}"
    with pytest.raises(URLError):
        got(port)


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """One line, and exit code 3."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            ended = dbmon_here(
                *("serve-metrics", "--port", port, "--host", host, "--home", tmp_path)
            )
            assert (ended.returncode, ended.stdout) == (3, "")
            assert ended.stderr == (
                f"dbmon: {host} port {port} cannot be used (Address already in use):"
                " name another with --host and --port\n"
            )


def test_a_host_that_is_not_ours(tmp_path: Path) -> None:
    """The same."""
    ended = dbmon_here("serve-metrics", "--host", "192.0.2.1", "--home", tmp_path)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith("dbmon: 192.0.2.1 port 9309 cannot be used (")


@pytest.mark.parametrize("host", ["a..b", "a" * 70, "\udcff"])
def test_a_host_that_is_no_name(host: str) -> None:
    """Python refuses it before anybody is asked for it."""
    with pytest.raises(ConfigError, match=r" port 9309 cannot be used \(no host name\): name an"):
        listening_socket(host, 9309)
    with pytest.raises(ConfigError, match=r" port 3001 cannot be used \(no host name\): name an"):
        check_address(host, 3001, "token")


def test_an_address_with_colons(tmp_path: Path) -> None:
    """It is one of IPv6, where there is any."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    settings, port = settings_for(tmp_path), free_port()
    with serving(settings, port, "::1"):
        assert got(port, "/-/healthy", "[::1]")[0] == 200
