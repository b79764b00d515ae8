"""The client of the reader process: what it asks is answered, or it is told why not."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from dbmon_pipeline.core.common.errors import (
    ContractError,
    DbmonError,
    ReaderDiedError,
    ReaderError,
)
from dbmon_pipeline.core.source.reader_client import ReaderProcess, shared_reader
from dbmon_pipeline.core.source.reader_protocol import ENGINE_BROKEN_EXIT, decode_rows
from dbmon_pipeline_tests.core.reader.trial import MODULE


@pytest.fixture
def reader() -> Iterator[ReaderProcess]:
    """A reader process that has every fault."""
    with ReaderProcess(module=MODULE) as started:
        yield started


@pytest.fixture(scope="module")
def lasting() -> Iterator[ReaderProcess]:
    """A reader process that outlives its requests."""
    with ReaderProcess(module=MODULE) as started:
        yield started


def is_there(process: int) -> bool:
    """Whether a process runs, and is not only waited for."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text("utf-8")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def ends_soon(process: int, seconds: float = 1) -> bool:
    """Whether a process ends within some seconds."""
    end = time.monotonic() + seconds
    while is_there(process):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("text", ["", "a\nb", "ü漢\u2028\x00", "x" * 3_000_000])
def test_an_answer_is_what_was_asked(lasting: ReaderProcess, text: str) -> None:
    """Longer than any pipe holds, in both directions."""
    params = {"text": text, "number": 2**63, "none": None, "list": [1.5, True]}
    assert lasting.request("echo", params) == params
    assert lasting.request("echo") == {}


def test_one_process_answers_all(reader: ReaderProcess) -> None:
    """It is started once, by whichever comes first."""
    reader.start()
    process = reader.request("process")
    reader.start()
    assert reader.request("process") == process
    assert is_there(process)
    reader.close()
    assert not is_there(process)


def test_starting_does_not_wait(reader: ReaderProcess) -> None:
    """A command imports what it needs meanwhile; even a busy process delays nobody."""
    started = time.monotonic()
    reader.start()
    assert time.monotonic() - started < 0.05
    busy = threading.Event()

    def work() -> None:
        with suppress(ReaderDiedError):
            reader.request("work", {"how": "sleep"}, progress=lambda _: busy.set())

    thread = threading.Thread(target=work)
    thread.start()
    assert busy.wait(5)
    started = time.monotonic()
    reader.start()
    assert time.monotonic() - started < 0.05
    reader.close()
    thread.join()


def test_progress_comes_in_order_and_before_the_result(lasting: ReaderProcess) -> None:
    """Whoever does not listen gets the result all the same."""
    texts: list[str] = []
    assert lasting.request("count", {"to": 300}, progress=texts.append) == 300
    assert texts == [f"number\n{number} \\udcff" for number in range(300)]
    assert lasting.request("count", {"to": 3}) == 3


def test_late_progress_is_not_taken_for_that_of_another_request(lasting: ReaderProcess) -> None:
    """A thread of a handler may outlast its request."""
    texts: list[str] = []
    assert lasting.request("late_progress", progress=texts.append) == "done"
    time.sleep(0.2)
    assert lasting.request("echo", {"a": 1}, progress=texts.append) == {"a": 1}
    assert texts == []


def test_the_values_of_a_query_arrive(lasting: ReaderProcess) -> None:
    """In the types that DuckDB gives them."""
    columns, rows = decode_rows(lasting.request("rows"))
    values = dict(zip(columns, rows[0], strict=True))
    assert isinstance(values.pop("uuid"), UUID)
    assert str(values.pop("nan")) == "nan"
    assert repr(values.pop("money")) == repr(Decimal("1.50"))
    assert values == {
        "huge": 2**100,
        "low": -float("inf"),
        "day": date(2026, 3, 1),
        "noon": time_of_day(12, 0, 0, 500_000),
        "at": datetime(2026, 3, 1, 12),
        "zoned": datetime(2026, 3, 1, 10, tzinfo=UTC),
        "long": timedelta(seconds=90),
        "bytes": b"\xff\x00",
        "list": [1, None],
        "struct": {"a": [date(2026, 3, 1)]},
        "map": {1: 2.5},
    }


@pytest.mark.parametrize(
    ("how", "kind", "text"),
    [
        ("contract", ContractError, "no table 'executions' in \\udcff: name another file"),
        ("unknown", ContractError, "odd: look"),
        ("newer", DbmonError, "new: upgrade"),
        ("value", ReaderError, "the reader process failed (ValueError: several lines): set DBMON"),
        ("silent", ReaderError, "the reader process failed (AssertionError): set DBMON_DEBUG=1"),
        ("unsendable", ReaderError, "the reader process failed (TypeError: "),
        ("surrogate", ReaderError, "the reader process failed (UnicodeEncodeError: "),
    ],
)
def test_an_error_arrives(
    lasting: ReaderProcess, how: str, kind: type[DbmonError], text: str
) -> None:
    """In its class, and the process goes on."""
    process = lasting.request("process")
    with pytest.raises(DbmonError) as raised:
        lasting.request("fail", {"how": how}, retries=2)
    assert type(raised.value) is kind
    assert str(raised.value).startswith(text)
    assert lasting.request("process") == process


def test_a_request_that_there_is_not_is_refused(lasting: ReaderProcess) -> None:
    """And named."""
    with pytest.raises(ReaderError, match="knows no request 'divine': install the same version"):
        lasting.request("divine")


def test_what_cannot_be_sent_is_refused_before_anything_is(lasting: ReaderProcess) -> None:
    """The process goes on."""
    process = lasting.request("process")
    with pytest.raises(ReaderError, match=r"a name that is not UTF-8 \('\\udcff'\): rename that"):
        lasting.request("echo", {"path": "\udcff"})
    with pytest.raises(TypeError):
        lasting.request("echo", {"path": object()})
    assert lasting.request("process") == process


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"signal": "SIGSEGV"}, "the reader process was ended by SIGSEGV during die: repeat it"),
        ({"signal": "SIGKILL"}, "the reader process was ended by SIGKILL during die: repeat it; "),
        ({"signal": "SIGRTMIN"}, "the reader process was ended by SIGRTMIN during die"),
        ({"code": 7}, "the reader process ended with exit code 7 during die: repeat it"),
        ({}, "the reader process ended with exit code 0 during die"),
        (
            {"code": ENGINE_BROKEN_EXIT},
            "the reader process gave up over changed or damaged blocks of the source during die:",
        ),
    ],
)
def test_a_death_is_told_and_the_next_request_has_a_new_process(
    reader: ReaderProcess, params: dict[str, object], text: str
) -> None:
    """However it died."""
    process = reader.request("process")
    with pytest.raises(ReaderDiedError) as raised:
        reader.request("die", params)
    assert str(raised.value).startswith(text)
    assert reader.request("process") != process


def test_a_death_between_two_requests_disturbs_none(reader: ReaderProcess) -> None:
    """It is noticed before anything is sent."""
    process = reader.request("process")
    os.kill(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert reader.request("process") != process


def test_a_request_is_repeated_after_a_death(reader: ReaderProcess, tmp_path: Path) -> None:
    """As often as was asked for, and not after its answer."""
    params = {"signal": "SIGSEGV", "once": str(tmp_path / "died")}
    assert reader.request("die", params, retries=1) is None
    processes: list[int] = []

    def kill(text: str) -> None:
        processes.append(int(text))
        os.kill(processes[-1], signal.SIGKILL)

    with pytest.raises(ReaderDiedError):
        reader.request("work", {"how": "sleep"}, progress=kill, retries=2)
    assert len(set(processes)) == 3


def test_threads_take_turns(lasting: ReaderProcess) -> None:
    """Each gets its own answer."""
    answers: dict[int, list[object]] = {}

    def work(number: int) -> None:
        answers[number] = [lasting.request("echo", {"n": [number, turn]}) for turn in range(40)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: [{"n": [number, turn]} for turn in range(40)] for number in range(6)}


def test_a_close_ends_the_request_of_another_thread(reader: ReaderProcess) -> None:
    """It is not repeated, and whoever waits for it goes without an answer, too."""
    busy = threading.Event()
    errors: list[Exception] = []

    def work() -> None:
        try:
            reader.request("work", {"how": "sleep"}, progress=lambda _: busy.set(), retries=3)
        except ReaderError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert busy.wait(5)
    waiting = threading.Thread(target=work)
    waiting.start()
    time.sleep(0.1)
    assert thread.is_alive()
    assert waiting.is_alive()
    reader.close()
    for ended in (thread, waiting):
        ended.join(2)
        assert not ended.is_alive()
    assert [str(error) for error in errors] == [
        "the reader process was closed: start the command again"
    ] * 2


def test_a_callback_that_fails_ends_the_work(reader: ReaderProcess) -> None:
    """So does Ctrl-C: nothing goes on of which nobody knows."""
    seen: list[int] = []

    def interrupt(text: str) -> None:
        seen.append(int(text))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reader.request("work", {"how": "sleep"}, progress=interrupt)
    assert ends_soon(seen[0])
    assert reader.request("process") != seen[0]


def test_ctrl_c_is_for_the_parent() -> None:
    """Even before the process is ready, when it could not say that it ignores it."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"""
import os, signal
from dbmon_pipeline.core.source.reader_client import ReaderProcess
with ReaderProcess(module={MODULE!r}) as reader:
    reader.start()
    process = reader._child.process.pid
    for _ in range(20):
        try:
            os.killpg(0, signal.SIGINT)
            signal.pause()
        except KeyboardInterrupt:
            signal.sigtimedwait([], 0.005)
    assert reader.request("process") == process
""",
        ],
        capture_output=True,
        text=True,
        timeout=20,
        process_group=0,
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_callback_that_asks_is_refused(lasting: ReaderProcess) -> None:
    """Rather than waiting for itself for ever."""
    with pytest.raises(RuntimeError, match="must not make a request"):
        lasting.request("count", {"to": 1}, progress=lambda _: lasting.request("process"))


def test_a_callback_may_close(reader: ReaderProcess) -> None:
    """The request ends then."""
    with pytest.raises(ReaderDiedError, match="SIGKILL"):
        reader.request("work", {"how": "sleep"}, progress=lambda _: reader.close())


def test_what_was_closed_within_its_last_request_leaves_nothing() -> None:
    """Neither a process to be waited for nor a warning, though it had its answer."""
    lines = run(f"""
import time
from dbmon_pipeline.core.source.reader_client import ReaderProcess
reader = ReaderProcess(module={MODULE!r})
def close(_):
    time.sleep(0.3)
    reader.close()
print(reader.request("count", {{"to": 1}}, progress=close))
del reader
""")
    assert lines == ["1"]


def test_a_closed_one_answers_no_more(reader: ReaderProcess) -> None:
    """Closing it again does no harm, nor does closing one that never started."""
    reader.close()
    reader.close()
    with pytest.raises(ReaderError, match="was closed"):
        reader.request("echo")
    with pytest.raises(ReaderError, match="was closed"):
        reader.start()


def test_what_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With what the system says."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(
        ReaderError,
        match=r"cannot be started \(.*no-python: No such file or directory\): check that",
    ):
        ReaderProcess().request("ping")


def test_where_a_command_is_run_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file there is not taken for a module; PYTHONPATH is kept."""
    for name in ("msgspec.py", "queue.py", "dbmon_pipeline.py"):
        (tmp_path / name).write_text("raise SystemExit(9)", "utf-8")
    monkeypatch.chdir(tmp_path)
    with ReaderProcess() as reader:
        assert reader.request("ping")["process"]
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with ReaderProcess() as reader, pytest.raises(ReaderDiedError, match="exit code 9"):
        reader.request("ping")


LOCKING = """
import fcntl, os, sys
from dbmon_pipeline.core.source.reader_client import ReaderProcess
module, path = sys.argv[1:]
lock = os.open(path, os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
with ReaderProcess(module=module, inherit=[lock]) as reader:
    reader.request("work", {"how": "hold"}, progress=lambda text: print(text, flush=True))
"""


def test_a_lock_is_held_as_long_as_either_lives(tmp_path: Path) -> None:
    """Nobody gets it while a reader process may still write, though its parent was killed."""
    path = tmp_path / "lock"
    parent = subprocess.Popen([sys.executable, "-c", LOCKING, MODULE, path], stdout=subprocess.PIPE)
    assert parent.stdout
    process = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    with path.open("a") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert ends_soon(process, seconds=5)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_new_process_inherits_the_lock_again(tmp_path: Path) -> None:
    """It is free once all that inherited it are gone, or at once when it is unlocked."""
    path = tmp_path / "lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with ReaderProcess(module=MODULE, inherit=[lock]) as reader, path.open("a") as other:
        with pytest.raises(ReaderDiedError):
            reader.request("die", {"signal": "SIGKILL"})
        reader.request("echo")
        kept = os.dup(lock)
        os.close(lock)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(kept, fcntl.LOCK_UN)
        os.close(kept)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def run(code: str) -> list[str]:
    """Run a program to its end, which must write nothing to stderr; its lines."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=20
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.splitlines()


def test_the_shared_one_is_one_and_ends_with_the_program() -> None:
    """Started before the slow imports, found by what comes later."""
    lines = run("""
import atexit, os
def look():
    print(os.path.exists(f"/proc/{process}"))
atexit.register(look)
from dbmon_pipeline.core.source.reader_client import shared_reader
shared_reader().start()
assert shared_reader() is shared_reader()
process = shared_reader().request("ping")["process"]
look()
""")
    assert lines == ["True", "False"]


def test_the_shared_one_can_be_had_again() -> None:
    """Whoever closes it early leaves the others with another one."""
    first = shared_reader()
    process = first.request("ping")["process"]
    first.close()
    assert shared_reader() is not first
    assert shared_reader().request("ping")["process"] != process
    shared_reader().close()


def test_a_fork_has_a_process_of_its_own() -> None:
    """While another thread of its parent is in the middle of a request; each ends its own."""
    lines = run(f"""
import os, sys, threading
from dbmon_pipeline.core.source.reader_client import ReaderProcess, shared_reader
parents = ReaderProcess(module={MODULE!r})
shared = shared_reader().request("ping")["process"]
busy = threading.Event()
def work():
    try:
        parents.request("work", {{"how": "sleep"}}, progress=lambda _: busy.set())
    except Exception as error:
        print(type(error).__name__)
thread = threading.Thread(target=work)
thread.start()
busy.wait()
child = os.fork()
if not child:
    mine = parents.request("process")
    assert shared_reader().request("ping")["process"] != shared
    parents.close()
    shared_reader().close()
    print(mine, flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert thread.is_alive()
assert shared_reader().request("ping")["process"] == shared
parents.close()
thread.join()
""")
    assert len(lines) == 2
    assert not is_there(int(lines[0]))
    assert lines[1] == "ReaderDiedError"


def test_a_fork_that_lives_on_keeps_no_process_alive(tmp_path: Path) -> None:
    """Its parent's pipes are not open in it."""
    path = tmp_path / "process"
    program = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"""
import os, pathlib, time
from dbmon_pipeline.core.source.reader_client import ReaderProcess
reader = ReaderProcess(module={MODULE!r})
pathlib.Path({str(path)!r}).write_text(str(reader.request("process")))
if not os.fork():
    print("forked", flush=True)
    time.sleep(60)
time.sleep(60)
""",
        ],
        stdout=subprocess.PIPE,
        process_group=0,
    )
    assert program.stdout
    assert program.stdout.readline() == b"forked\n"
    process = int(path.read_text("utf-8"))
    assert is_there(process)
    os.kill(program.pid, signal.SIGKILL)
    ended = ends_soon(process)
    os.killpg(program.pid, signal.SIGKILL)
    program.communicate()
    assert ended
