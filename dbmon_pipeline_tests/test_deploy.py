"""What ``deploy/`` ships is well-formed, names what there is, and starts."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stdout, suppress
from functools import cache
from importlib.metadata import entry_points
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml

from dbmon_pipeline.core.doctor.finding import Level
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.definitions import defs
from dbmon_pipeline.orchestration.doctor import examine
from dbmon_pipeline_tests.helpers import clean_environ, make_source

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
BIN = Path(sys.executable).parent
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
ENVIRON = dict(
    line.split("=", 1)
    for line in (DEPLOY / "dbmon.env").read_text("utf-8").splitlines()
    if "=" in line and not line.startswith("#")
)


def unit(path: Path) -> configparser.ConfigParser:
    """A unit file, in which no key may stand twice."""
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text("utf-8"))
    return parser


@cache
def help_of(program: str, *words: str) -> str:
    """What a command says of its options; it must be there."""
    assert (BIN / program).is_file()
    [command] = entry_points(group="console_scripts", name=program)
    said = StringIO()
    with (
        patch.object(sys, "argv", [program, *words, "--help"]),
        patch.dict(os.environ, clean_environ(), clear=True),
        redirect_stdout(said),
        pytest.raises(SystemExit) as ended,
    ):
        command.load()()
    assert not ended.value.code
    return said.getvalue()


def check_command(command: list[str]) -> None:
    """See that a program, its subcommand and each of its options exist, and its workspace file."""
    program, *arguments = command
    first = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    known = help_of(Path(program).name, *arguments[:first])
    for word in arguments[first:]:
        if word.startswith("-"):
            assert re.search(rf"(^|[\s,]){re.escape(word)}\b", known), (command, word)
    if "-w" in arguments:
        assert arguments[arguments.index("-w") + 1] == "/opt/dbmon/workspace.yaml"


def test_the_units() -> None:
    """The daemon, the metrics and the web server."""
    names = [path.name for path in UNITS]
    assert names == [f"dbmon-{name}.service" for name in ("daemon", "metrics", "webserver")]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit(path: Path) -> None:
    """Its commands exist, it may write the home alone, its environment is what is shipped."""
    parsed = unit(path)
    assert parsed.sections() == ["Unit", "Service", "Install"]
    service = parsed["Service"]
    for key in ("ExecStartPre", "ExecStart"):
        command = shlex.split(service[key])
        assert command[0].startswith("/opt/dbmon/bin/")
        check_command(command)
    assert service["EnvironmentFile"] == "/etc/dbmon/dbmon.env"
    home = ENVIRON["DBMON_HOME"]
    assert {service["ReadWritePaths"], service["WorkingDirectory"]} == {home}
    assert f"/var/lib/{service['StateDirectory']}" == home
    hardened = ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "RestrictSUIDSGID")
    assert {service[key] for key in hardened} == {"yes"}
    assert (service["ProtectSystem"], service["ProtectHome"]) == ("strict", "read-only")
    assert (service["User"], service["Restart"]) == ("dbmon", "always")


def test_the_units_differ_in_what_they_start_alone() -> None:
    """And share a /tmp, where the socket is over which runs are cancelled."""
    daemon, metrics, webserver = (dict(unit(path)["Service"]) for path in UNITS)
    del daemon["ExecStart"], metrics["ExecStart"], webserver["ExecStart"]
    assert daemon == metrics == webserver
    assert unit(UNITS[2])["Unit"]["JoinsNamespaceOf"] == UNITS[0].name


def test_the_environment() -> None:
    """Each variable is one that the project reads; Dagster's folder is the home's."""
    assert Path(ENVIRON["DAGSTER_HOME"]) == Home(Path(ENVIRON["DBMON_HOME"])).dagster
    code = "".join(path.read_text("utf-8") for path in (ROOT / "dbmon_pipeline").rglob("*.py"))
    named = re.findall(r"^(?:# )?([A-Z_]+)=", (DEPLOY / "dbmon.env").read_text(), re.MULTILINE)
    assert set(named) > set(ENVIRON)
    assert [name for name in named if f'"{name}"' not in code] == []


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """By its own judgement, with the commands of this environment."""
    for path in UNITS:
        text = path.read_text("utf-8").replace("/opt/dbmon/bin", str(BIN))
        (tmp_path / path.name).write_text(text.replace("file:/opt/dbmon", f"file:{ROOT}"))
    verify = ["systemd-analyze", "verify", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_compose() -> None:
    """Files, commands and volumes that it names exist; the source may be read only."""
    services, volumes = COMPOSE["services"], {*COMPOSE["volumes"]}
    assert {*services} == {"prepare", "daemon", "webserver", "metrics"}
    for service in services.values():
        build = service["build"]
        assert (DEPLOY / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
        assert service["env_file"] == "/etc/dbmon/dbmon.env"
        check_command(service.get("entrypoint") or ["dbmon", *service["command"]])
        mounts = {mount.split(":")[1]: mount.split(":") for mount in service["volumes"]}
        assert mounts[ENVIRON["DBMON_HOME"]] == ["home", ENVIRON["DBMON_HOME"]]
        folder = str(Path(ENVIRON["DBMON_SOURCE"]).parent)
        assert mounts[folder] == [folder, folder, "ro"]
        assert {mount[0] for mount in mounts.values() if "/" not in mount[0]} == volumes
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    told, checked = (services[name]["healthcheck"]["test"] for name in ("daemon", "webserver"))
    assert told == ["CMD-SHELL", "dbmon doctor; test $$? -le 1"]
    check_command(["dbmon", "doctor"])
    compile(checked[-1], "the check of the web server", "exec")


@pytest.mark.parametrize(("code", "healthy"), [(0, True), (1, True), (2, False), (3, False)])
def test_what_warns_is_not_unhealthy(tmp_path: Path, code: int, healthy: bool) -> None:
    """The check of the container passes where ``dbmon doctor`` ends with 0 or 1."""
    _, test = COMPOSE["services"]["daemon"]["healthcheck"]["test"]
    (tmp_path / "dbmon").write_text(f"#!/bin/sh\nexit {code}\n")
    (tmp_path / "dbmon").chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["/bin/sh", "-c", test.replace("$$", "$")], env=environ, check=False)
    assert (done.returncode == 0) is healthy


def _has_compose() -> bool:
    docker = shutil.which("docker")
    version = [docker or "", "compose", "version"]
    return (
        bool(docker) and subprocess.run(version, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not _has_compose(), reason="docker compose is not installed")
def test_compose_by_its_own_judgement(tmp_path: Path) -> None:
    """With an environment file that is there."""
    environ = tmp_path / "dbmon.env"
    shutil.copy(DEPLOY / "dbmon.env", environ)
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    (tmp_path / "compose.yaml").write_text(text.replace("/etc/dbmon/dbmon.env", str(environ)))
    config = ["docker", "compose", "-f", str(tmp_path / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(config, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_image() -> None:
    """It copies what the package is built of, and nothing that is not there; it is not root's."""
    copied = {
        name
        for line in DOCKERFILE
        if line.startswith("COPY ") and "--from" not in line
        for name in line.split()[1:-1]
    }
    let_in = {
        line[1:]
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    assert copied == let_in
    assert [name for name in copied if not (ROOT / name).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {project["project"]["readme"], *wheel["packages"], *wheel["force-include"]}
    assert needed <= copied
    assert "--require-hashes --requirement requirements-run.lock" in "\n".join(DOCKERFILE)
    assert [line for line in DOCKERFILE if line.startswith("USER")] == ["USER dbmon"]
    froms = {line.split()[1] for line in DOCKERFILE if line.startswith("FROM")}
    assert len(froms) == 1
    assert re.fullmatch(r"python:3\.1[1-9]-slim-\w+", froms.pop())


def test_the_manual_names_what_there_is() -> None:
    """Files of the project, and commands of dbmon."""
    manual = (DEPLOY / "README.md").read_text("utf-8")
    for name in re.findall(r"deploy/[\w./-]+", manual):
        assert (ROOT / name.rstrip("./")).exists(), name
    for command in re.findall(r"dbmon (doctor|prepare|dev)\b", manual):
        check_command(["dbmon", command])


@contextmanager
def started(command: list[str], environ: dict[str, str], log: Path) -> Iterator[None]:
    """A service; it ends on SIGTERM and leaves no process of its session behind."""
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env=environ, cwd=log.parent, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield
        assert process.poll() is None, log.read_text("utf-8")
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        deadline = time.monotonic() + 10
        while left := _session(process.pid):
            assert time.monotonic() < deadline, left
            time.sleep(0.1)
    finally:
        for number in _session(process.pid):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        process.wait()


def _session(number: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            if session == str(number) and state != "Z":
                found.append(int(stat.parent.name))
    return found


def _heartbeats(home: Home) -> int:
    file = home.dagster / "history" / "runs.db"
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as c,
    ):
        return int(c.execute("SELECT count(*) FROM daemon_heartbeats").fetchone()[0])
    return 0


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310 - it is ours
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def test_the_units_start(tmp_path: Path) -> None:
    """With their own commands on a home in another place: signs of life, and an answer."""
    home = Home(tmp_path / "home")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    places = {
        "/opt/dbmon/bin": str(BIN),
        "/opt/dbmon/workspace.yaml": str(ROOT / "workspace.yaml"),
        "/var/lib/dbmon": str(home.path),
        ENVIRON["DBMON_SOURCE"]: str(make_source(tmp_path / "learning.db")),
    }

    def placed(text: str) -> str:
        for shipped, here in places.items():
            text = text.replace(shipped, here)
        return text

    environ = clean_environ(**{name: placed(value) for name, value in ENVIRON.items()})
    daemon, _, webserver = (unit(path)["Service"] for path in UNITS)
    before, first, second = (
        shlex.split(placed(text))
        for text in (daemon["ExecStartPre"], daemon["ExecStart"], webserver["ExecStart"])
    )
    second[second.index("-p") + 1] = port
    done = subprocess.run(before, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == f"{environ['DAGSTER_HOME']}\n"
    logs = tmp_path / "daemon.log", tmp_path / "webserver.log"
    with started(first, environ, logs[0]), started(second, environ, logs[1]):
        deadline = time.monotonic() + 90
        while not (_heartbeats(home) and _answers(f"http://127.0.0.1:{port}/server_info")):
            assert time.monotonic() < deadline, [log.read_text("utf-8") for log in logs]
            time.sleep(0.2)
        found = {one.name: one for one in examine(home, lambda: defs)}
    assert {name: one.seen for name, one in found.items() if one.level is not Level.OK} == {}
