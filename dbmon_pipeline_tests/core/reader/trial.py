"""A reader process for tests, run as a module: it prints, fails, crashes and never ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from typing import Any

import dbmon_pipeline.core.common.errors
from dbmon_pipeline.core.common.errors import ContractError, NotificationError
from dbmon_pipeline.core.reader.serve import Handler, Progress, serve
from dbmon_pipeline.core.source.reader_protocol import encode_rows

MODULE = __spec__.name if __spec__ else __name__


class _UnknownError(ContractError):
    """An error of a module that the client has not imported."""


def _echo(params: dict[str, Any], _: Progress) -> object:
    return params


def _process(_params: dict[str, Any], _: Progress) -> int:
    return os.getpid()


def _count(params: dict[str, Any], progress: Progress) -> int:
    for number in range(params["to"]):
        progress(f"number\n{number} \udcff")
    return int(params["to"])


def _write(_params: dict[str, Any], _: Progress) -> object:
    """Write to standard output in every way, and read from standard input."""
    print("printed")  # noqa: T201
    os.write(1, b"written\n")
    os.system("echo echoed")  # noqa: S605, S607
    return sys.stdin.read()


def _fail(params: dict[str, Any], _: Progress) -> object:
    match params["how"]:
        case "contract":
            raise ContractError("no table\n'executions' in \udcff", remedy="name another file")
        case "told":
            raise NotificationError("not told", remedy="wait", notified=(1, 2))
        case "unknown":
            raise _UnknownError("odd", remedy="look")
        case "newer":
            newer = type("NewerError", (ContractError,), {})
            newer.__module__ = dbmon_pipeline.core.common.errors.__name__
            raise newer("new", remedy="upgrade")
        case "value":
            raise ValueError("several\nlines")
        case "silent":
            raise AssertionError
        case "unsendable":
            return {1: object()}
    return "\udcff"


def _die(params: dict[str, Any], _: Progress) -> None:
    """Die, of a signal or with an exit code, unless a file says that it was done before."""
    if "once" in params:
        try:
            os.close(os.open(params["once"], os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
    if "signal" in params:
        os.kill(os.getpid(), getattr(signal, params["signal"]))
    os._exit(params.get("code", 0))


def _work(params: dict[str, Any], progress: Progress) -> None:
    """Work for a minute, and tell the number of this process first."""
    progress(str(os.getpid()))
    end = time.monotonic() + 60
    match params["how"]:
        case "sleep":
            time.sleep(60)
        case "loop":
            while time.monotonic() < end:
                pass
        case "talk":
            while time.monotonic() < end:
                progress("x" * 1000)
        case "hold":  # so that no other thread of it runs, not even the one that would end it
            ctypes.PyDLL(None).sleep(2)
        case "query":
            import duckdb

            with duckdb.connect() as con:
                con.execute("SELECT sum(hash(x)) FROM range(1_000_000_000_000) AS r (x)")


def _late_progress(_params: dict[str, Any], progress: Progress) -> str:
    """Let a thread tell of progress after the result."""
    threading.Timer(0.1, progress, ["too late"]).start()
    return "done"


def _rows(_params: dict[str, Any], _: Progress) -> object:
    """Query a value of each type that Python has another type for."""
    import duckdb

    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        relation = con.sql(
            "SELECT 1::HUGEINT << 100 AS huge, 'nan'::DOUBLE AS nan, '-inf'::FLOAT AS low,"
            " 1.50::DECIMAL(9, 2) AS money, DATE '2026-03-01' AS day, TIME '12:00:00.5' AS noon,"
            " TIMESTAMP '2026-03-01 12:00' AS at, TIMESTAMPTZ '2026-03-01 12:00+02' AS zoned,"
            " INTERVAL 90 SECOND AS long, '\\xFF\\x00'::BLOB AS bytes, uuid() AS uuid,"
            " [1, NULL] AS list, {'a': [DATE '2026-03-01']} AS struct, MAP {1: 2.5::DOUBLE} AS map"
        )
        return encode_rows(relation.columns, list(map(str, relation.types)), relation.fetchall())


HANDLERS: dict[str, Handler] = {
    "count": _count,
    "die": _die,
    "echo": _echo,
    "fail": _fail,
    "late_progress": _late_progress,
    "process": _process,
    "rows": _rows,
    "work": _work,
    "write": _write,
}

if __name__ == "__main__":
    serve(HANDLERS)
