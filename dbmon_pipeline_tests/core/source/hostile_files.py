"""What lies at the path of a source and is none, and good sources under odd names."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb

from dbmon_pipeline.core.common.duck import quoted
from dbmon_pipeline_tests.core.source.hostile_case import (
    NOT_A_DATABASE,
    Case,
    Ends,
    as_owner,
    read,
    refused,
    row,
)
from dbmon_pipeline_tests.helpers import make_odd_source


def _content(content: bytes, path: Path) -> Ends:
    path.write_bytes(content)
    return refused(NOT_A_DATABASE)


def _program(path: Path) -> Ends:
    shutil.copyfile(Path(sys.executable).resolve(), path)
    return refused(NOT_A_DATABASE)


def _parquet(path: Path) -> Ends:
    with duckdb.connect() as con:
        con.execute(f"COPY (SELECT 1 AS task_id) TO {quoted(path)} (FORMAT parquet)")
    return refused(NOT_A_DATABASE)


def _sqlite(path: Path) -> Ends:
    con = sqlite3.connect(path)
    con.execute("CREATE TABLE executions (task_id TEXT)")
    con.commit()
    con.close()
    return refused("is a SQLite database: name a DuckDB learning.db")


def _missing(_: Path) -> Ends:
    return refused("does not exist: name the learning.db with --source")


def _dangling_link(path: Path) -> Ends:
    path.symlink_to("nowhere.db")
    return refused("does not exist: name the learning.db with --source")


def _link_to_itself(path: Path) -> Ends:
    path.symlink_to(path)
    return refused("cannot be read .*Too many levels of symbolic links")


def _below_a_file(path: Path) -> Ends:
    path.with_name("file").touch()
    path.symlink_to(path.with_name("file") / "learning.db")
    return refused("cannot be read .*Not a directory")


def _folder(path: Path) -> Ends:
    path.mkdir()
    return refused("is a folder without Parquet files: name the learning.db inside it")


def _pipe(path: Path) -> Ends:
    os.mkfifo(path)
    return refused("is a named pipe: name a DuckDB learning.db")


def _link_to_a_pipe(path: Path) -> Ends:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")
    return refused("is a named pipe: name a DuckDB learning.db")


def _socket(path: Path) -> Ends:
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{path.name}")  # the whole path would be too long
    os.close(folder)
    return refused("is a socket: name a DuckDB learning.db")


def _device(_: Path) -> Ends:
    return refused("is a device: name a DuckDB learning.db")


def _link_to_a_device(path: Path) -> Ends:
    path.symlink_to("/dev/zero")
    return refused("is a device: name a DuckDB learning.db")


def _terabyte_of_nothing(path: Path) -> Ends:
    path.touch()
    os.truncate(path, 1 << 40)
    return refused(NOT_A_DATABASE)


def _terabyte_behind(path: Path) -> Ends:
    """Let a file end long after its last block."""
    ends = _good(path)
    os.truncate(path, 1 << 40)
    return ends


def _encrypted(path: Path) -> Ends:
    with duckdb.connect() as con:
        con.execute("SET force_mbedtls_unsafe = true")
        con.execute(f"ATTACH '{path}' AS x (ENCRYPTION_KEY 'a key of some length')")
        con.execute("CREATE TABLE x.executions (task_id VARCHAR)")
    return refused("is encrypted: name a copy of it that is not")


def _good(path: Path) -> Ends:
    made = row()
    make_odd_source(path, [made])
    return read(made)


def _link(path: Path) -> Ends:
    ends = _good(path.with_name("real.db"))
    path.symlink_to("real.db")
    return ends


def _small_blocks(path: Path) -> Ends:
    """Copy a good database into one that is laid out another way."""
    ends = _good(path.with_name("other.db"))
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{path.with_name('other.db')}' AS other (READ_ONLY)")
        con.execute(f"ATTACH '{path}' AS small (BLOCK_SIZE 16384)")
        con.execute("CREATE TABLE small.executions AS FROM other.executions")
    return ends


def _by_another_name(path: Path) -> Ends:
    """Rename it once it is made: what it is named in between is DuckDB's affair."""
    ends = _good(path.with_name("made.db"))
    path.with_name("made.db").rename(path)
    return ends


def _not_utf8(path: Path) -> Ends:
    _by_another_name(path)
    return refused("the name of .*\N{REPLACEMENT CHARACTER}.db is not UTF-8: rename the file")


def _owner_of_two(path: Path) -> Ends:
    """Have a database that lists another one in its own schema's name."""
    ends = _good(path)
    as_owner(path, "CREATE SCHEMA source", "CREATE SCHEMA memory", "CREATE SCHEMA opened")
    return ends


_CONTENTS = {
    "text": b"task_id,timestamp\n1,2026-02-10\n" * 1_000,
    "short text": b"x",
    "zeros": bytes(300_000),
    "gzip": gzip.compress(bytes(100_000)),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
}
_MADE: dict[str, Callable[[Path], Ends]] = {
    "program": _program,
    "parquet": _parquet,
    "sqlite": _sqlite,
    "missing": _missing,
    "dangling link": _dangling_link,
    "link to itself": _link_to_itself,
    "below a file": _below_a_file,
    "folder": _folder,
    "pipe": _pipe,
    "link to a pipe": _link_to_a_pipe,
    "socket": _socket,
    "link to a device": _link_to_a_device,
    "terabyte of nothing": _terabyte_of_nothing,
    "terabyte behind": _terabyte_behind,
    "encrypted": _encrypted,
    "link": _link,
    "small blocks": _small_blocks,
    "schemas named like ours": _owner_of_two,
}
_NAMES = (
    *('it\'s "new\nline" \N{COLLISION SYMBOL} \u202e.db', "100%20 w?at st*r br[ack]et.db"),
    *("x" * 200, ":memory:", "md:x", "a;b--.csv"),
)

CASES = [
    *(Case(f"file of {name}", partial(_content, c)) for name, c in _CONTENTS.items()),
    *(Case(f"file: {name}", make) for name, make in _MADE.items()),
    *(Case(f"file: {path}", _device, path) for path in ("/dev/zero", "/dev/full", "/dev/null")),
    *(Case(f"named {name!a:.40}", _by_another_name, name) for name in _NAMES),
    Case("named in no UTF-8", _not_utf8, "\udcff.db"),
]
"""Everything that is no database, and good ones that look as if they were none."""
