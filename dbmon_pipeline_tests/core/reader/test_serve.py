"""The loop of the reader process: it keeps to the protocol, and never outlives its parent."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from dbmon_pipeline.core.reader.handlers import HANDLERS
from dbmon_pipeline.core.source.reader_client import ReaderProcess
from dbmon_pipeline_tests.core.reader.trial import MODULE

PARENT = """
import sys
from dbmon_pipeline.core.source.reader_client import ReaderProcess
module, how, descriptor = sys.argv[1:]
with ReaderProcess(module=module, inherit=[int(descriptor)]) as reader:
    reader.request("work", {"how": how}, progress=lambda text: print(text, flush=True))
"""
"""Asks for a minute of work; the reader process inherits a descriptor, and its number is told."""


def ask(
    *requests: Mapping[str, object], environ: Mapping[str, str] | None = None
) -> tuple[list[dict[str, object]], str]:
    """Speak to a reader process without the client.

    Returns:
        Its last reply to each request, and what it wrote to stderr.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "", **(environ or {})},
    )
    assert process.stdin
    assert process.stdout
    replies = []
    for number, request in enumerate(requests):
        process.stdin.write(json.dumps({"id": number, "params": {}, **request}) + "\n")
        process.stdin.flush()
        replies.append(json.loads(process.stdout.readline()))
        assert replies[-1]["id"] == number
    rest, errors = process.communicate(timeout=10)
    assert rest == ""
    assert process.returncode == 0
    return replies, errors


def test_a_line_a_request_and_a_reply() -> None:
    """As the protocol's module shows them."""
    replies, errors = ask(
        {"request": "echo", "params": {"day": "2026-03-01"}},
        {"request": "fail", "params": {"how": "contract"}},
    )
    assert replies == [
        {"id": 0, "result": {"day": "2026-03-01"}},
        {
            "id": 1,
            "error": {
                "class": "ContractError",
                "message": "no table 'executions' in \\udcff",
                "remedy": "name another file",
            },
        },
    ]
    assert errors == ""


def test_standard_output_is_the_protocols_alone() -> None:
    """What Python, the C library or another program prints goes to stderr, and stdin is empty."""
    replies, errors = ask({"request": "write"}, {"request": "write"})
    assert [reply["result"] for reply in replies] == ["", ""]
    assert sorted(errors.split()) == sorted(["printed", "written", "echoed"] * 2)


@pytest.mark.parametrize(("value", "shown"), [("", False), ("1", True)])
def test_a_traceback_is_shown_for_those_who_look_for_faults(value: str, shown: bool) -> None:
    """Nobody else ever sees one."""
    replies, errors = ask(
        {"request": "fail", "params": {"how": "value"}}, environ={"DBMON_DEBUG": value}
    )
    assert "error" in replies[0]
    assert ("Traceback" in errors) is shown
    assert bool(errors) is shown


def test_without_standard_error_there_is_none_to_write_to() -> None:
    """As under a service manager that closes it."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {sys.executable} -m {MODULE} 2>&-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin
    assert process.stdout
    for number in range(2):
        process.stdin.write(b'{"id": %d, "request": "write", "params": {}}\n' % number)
        assert process.stdout.readline() == b'{"id":%d,"result":""}\n' % number
    assert process.communicate(timeout=10)[0] == b""


def test_it_is_light_before_a_request_needs_more() -> None:
    """It imports no engine and no data frames in order to be ready."""
    code = (
        "import sys, dbmon_pipeline.core.reader.__main__\n"
        "print(sorted({'duckdb', 'numpy', 'pandas', 'dagster', 'pydantic', 'typer'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


def test_a_ping_is_answered_by_the_process() -> None:
    """The requests of the true reader process are there."""
    assert HANDLERS["ping"]({}, print) == {"process": os.getpid()}
    with ReaderProcess() as reader:
        assert reader.request("ping")["process"] != os.getpid()


@pytest.mark.parametrize("how", ["sleep", "loop", "talk", "query"])
def test_it_ends_with_its_parent_in_the_middle_of_a_request(how: str) -> None:
    """Within a second after kill -9 of the parent, whatever it does."""
    alive, held = os.pipe()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, MODULE, how, str(held)],
        stdout=subprocess.PIPE,
        pass_fds=[held],
    )
    os.close(held)
    assert parent.stdout
    assert parent.stdout.readline().strip().isdigit()
    time.sleep(0.2)
    assert not select.select([alive], [], [], 0)[0]
    parent.kill()
    ended = select.select([alive], [], [], 1)[0]
    os.close(alive)
    parent.communicate()
    assert ended


def test_it_ends_with_a_parent_that_ends_by_itself(tmp_path: Path) -> None:
    """Without a close, in an exception, with nothing written to stderr."""
    alive, held = os.pipe()
    code = f"""
import os
from dbmon_pipeline.core.source.reader_client import ReaderProcess
reader = ReaderProcess(module={MODULE!r}, inherit=[{held}])
print(reader.request("process"), flush=True)
os._exit(3)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], pass_fds=[held], capture_output=True, cwd=tmp_path
    )
    os.close(held)
    ended = select.select([alive], [], [], 1)[0]
    os.close(alive)
    assert ended
    assert (done.returncode, done.stderr) == (3, b"")
    assert done.stdout.strip().isdigit()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGPIPE, signal.SIGTTOU])
def test_some_signals_are_for_the_parent(number: signal.Signals) -> None:
    """The reader process goes on, and is the same afterwards."""
    with ReaderProcess(module=MODULE) as reader:
        process = reader.request("process")
        os.kill(process, number)
        assert reader.request("process") == process
