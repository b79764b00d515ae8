"""Databases that were cut short, flipped in places, or lie beside the log of another one."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from dbmon_pipeline.core.common.duck import CATALOGUE, connect, quoted
from dbmon_pipeline.core.common.errors import SourceError
from dbmon_pipeline_tests.core.source.hostile_case import (
    AT,
    DAMAGED,
    NOT_A_DATABASE,
    Case,
    Ends,
    as_owner,
    refused,
    refused_or_read,
    row,
)
from dbmon_pipeline_tests.helpers import make_odd_source
from dbmon_pipeline_tests.oracle import Row

_HEADER, _PAGE, _BLOCK = 12288, 4096, 1 << 18
_MAIN = {"checksum": 0, "magic": 8, "version": 12, "flags": 20}
_FIELDS = (
    *("checksum", "iteration", "meta block", "free list"),
    *("block count", "block size", "vector size", "format"),
)
"""What a header page begins with, 8 bytes each."""
_CUTS = (
    *(0, 1, 7, 8, 12, 63, 64, 4095, 4096, 4104, 8191, 8192, 8200, 12287, 12288),
    *(_HEADER + _BLOCK, 0.2, 0.5, 0.8, -1),
)


@cache
def _rows() -> list[Row]:
    """Executions that fill several blocks."""
    chance = random.Random(5)  # noqa: S311 - letters, not secrets
    return [
        row(
            task_id=f"task {n}",
            timestamp=AT + timedelta(seconds=n),
            duration_seconds=float(n),
            error_message="".join(chance.choices("abcdefghijklmnopqrstuvwxyz ", k=1_900)),
        )
        for n in range(300)
    ]


@cache
def _whole() -> bytes:
    with TemporaryDirectory() as folder:
        content = make_odd_source(Path(folder) / "learning.db", _rows()).read_bytes()
    assert len(content) > _HEADER + 2 * _BLOCK
    return content


def _cut(at: float, path: Path) -> Ends:
    whole = _whole()
    path.write_bytes(whole[: at if isinstance(at, int) else int(at * len(whole))])
    if at == 0:
        return refused("is an empty file: name a DuckDB learning.db")
    return refused(NOT_A_DATABASE if at in (1, 7, 8) else DAMAGED)


def _flipped(path: Path, places: Iterable[int], mask: int) -> Ends:
    """Flip bits: DuckDB notices by a checksum, or nobody uses them."""
    content = bytearray(_whole())
    for place in places:
        content[place] ^= mask
    path.write_bytes(content)
    return refused_or_read(f"{DAMAGED}|{NOT_A_DATABASE}|by a newer DuckDB", _rows())


def _in_header(place: int, path: Path) -> Ends:
    return _flipped(path, [place], 0x41)


def _somewhere(number: int, path: Path) -> Ends:
    """Flip some of the bytes that hold something."""
    used = np.flatnonzero(np.frombuffer(_whole()[_HEADER:], np.uint8)) + _HEADER
    chance = random.Random(number)  # noqa: S311
    places = [int(chance.choice(used)) for _ in range(1 + number % 3)]
    return _flipped(path, places, 1 << number % 8)


def _in_catalogue(number: int, path: Path) -> Ends:
    """Flip bytes around the name of a column."""
    chance = random.Random(number)  # noqa: S311
    at = _whole().rfind(b"model_tier")
    return _flipped(path, [at + chance.randrange(-1_500, 1_500) for _ in range(2)], 0xFF)


def _in_rows(part: float, path: Path) -> Ends:
    """Spoil a stretch, as a broken disk does."""
    start = int(part * len(_whole()))
    _flipped(path, range(start, start + 3_000), 0xFF)
    return refused(DAMAGED)


def _forged(make: Callable[[Path], Ends], path: Path) -> Ends:
    """Make every checksum right again: what DuckDB reads then is its own affair."""
    make(path)
    _seal(path)
    return Ends(SourceError, anything=True)


def _seal(path: Path) -> None:
    content = bytearray(path.read_bytes())
    pages = [(start, start + _PAGE) for start in range(0, _HEADER, _PAGE)]
    blocks = [(start, start + _BLOCK) for start in range(_HEADER, len(content), _BLOCK)]
    for start, end in pages + blocks:
        words = np.frombuffer(content[start + 8 : end], "<u8") * np.uint64(0xBF58476D1CE4E5B9)
        content[start : start + 8] = struct.pack("<Q", int(np.bitwise_xor.reduce(words)) ^ 5381)
    path.write_bytes(content)


def _name_is_no_text(path: Path) -> Ends:
    """Give a column a name that is not UTF-8, which not even an error message can hold."""
    path.write_bytes(_whole().replace(b"model_tier", b"model_\xed\xff\xff\xff"))
    _seal(path)
    return refused(DAMAGED)


def _newer_format(path: Path) -> Ends:
    content = bytearray(_whole())
    content[12:20] = struct.pack("<Q", 12_345)
    path.write_bytes(content)
    _seal(path)
    return refused("was written by a newer DuckDB .*12345.*: upgrade duckdb in this environment")


_TWICE = """
import duckdb, os, sys
con = duckdb.connect(sys.argv[1])
for n in range(2):
    con.execute(
        f"INSERT INTO executions BY NAME SELECT * REPLACE ('later {n}' AS task_id)"
        " FROM executions WHERE task_id = 'first'"
    )
os.kill(os.getpid(), 9)
"""


@cache
def _with_log(others: int = 0) -> tuple[bytes, bytes]:
    """A database and its log with two commits, which an owner that was killed left behind."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "learning.db"
        rows = [row(task_id="first"), *(row(task_id=f"other {n}") for n in range(others))]
        make_odd_source(path.with_name("template.db"), rows)
        with connect(path) as con:  # Copies of one file are one database to DuckDB.
            con.execute(f"ATTACH {quoted(path.with_name('template.db'))} AS template (READ_ONLY)")
            con.execute(f"COPY FROM DATABASE template TO {CATALOGUE}")
        ended = subprocess.run([sys.executable, "-c", _TWICE, path], check=False)
        assert ended.returncode == -signal.SIGKILL
        return path.read_bytes(), _log_of(path).read_bytes()


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _states() -> list[list[Row]]:
    """What the executions were, commit by commit."""
    rows = [row(task_id=name) for name in ("first", "later 0", "later 1")]
    return [rows[: n + 1] for n in range(3)]


def _log(change: Callable[[bytes], bytes], path: Path) -> Ends:
    """Change the log: what was committed before its torn end counts."""
    database, log = _with_log()
    path.write_bytes(database)
    _log_of(path).write_bytes(change(log))
    return refused_or_read(DAMAGED, *_states())


def _whole_log(path: Path) -> Ends:
    _log(lambda log: log, path)
    return Ends(states=(_states()[2],))


def _log_of_another(path: Path) -> Ends:
    path.write_bytes(_with_log()[0])
    _log_of(path).write_bytes(_with_log(50)[1])
    return refused(f"{DAMAGED}|write-ahead log")


def _log_that_was_written_back(path: Path) -> Ends:
    """Put the log back after its rows are in the database: they must not count twice."""
    _whole_log(path)
    as_owner(path, "CHECKPOINT")
    _log_of(path).write_bytes(_with_log()[1])
    return refused_or_read(DAMAGED, _states()[2])


def _log_is_a_pipe(path: Path) -> Ends:
    path.write_bytes(_with_log()[0])
    os.mkfifo(_log_of(path))
    return refused(r"\.wal is a named pipe: remove it")


def _log_is_a_folder(path: Path) -> Ends:
    path.write_bytes(_with_log()[0])
    _log_of(path).mkdir()
    return refused(r"\.wal is a folder: remove it")


def _log_is_a_loop(path: Path) -> Ends:
    path.write_bytes(_with_log()[0])
    _log_of(path).symlink_to(_log_of(path))
    return refused("Too many levels of symbolic links")


def _log_of_a_terabyte(path: Path) -> Ends:
    _log(lambda _: b"", path)
    os.truncate(_log_of(path), 1 << 40)
    return refused(r"\.wal, the log of .* has 1,099\.5 GB: have the owner of .* write it back")


_LOGS: dict[str, Callable[[bytes], bytes]] = {
    **{f"cut after {n}": partial(lambda n, log: log[:n], n) for n in (0, 40)},
    **{f"cut at {n} %": partial(lambda n, log: log[: len(log) * n // 100], n) for n in (66,)},
    "without its last byte": lambda log: log[:-1],
    "of zeros": lambda _: bytes(5_000),
    "with zeros behind": lambda log: log + bytes(4_096),
    "with a flipped byte": lambda log: log[:200] + bytes([log[200] ^ 8]) + log[201:],
    "that is a database": lambda _: _whole(),
}

_FORGED: dict[Callable[[int, Path], Ends], Iterable[int]] = {
    _somewhere: range(2),
    _in_catalogue: range(4),
    _in_header: [12, 20, *(page * _PAGE + at for page in (1, 2) for at in (16, 24, 32, 41))],
}

CASES = [
    *(Case(f"cut at {at}", partial(_cut, at)) for at in _CUTS),
    *(Case(f"flipped in main header, {n}", partial(_in_header, a)) for n, a in _MAIN.items()),
    *(
        Case(f"flipped in header {page}, {name}", partial(_in_header, page * _PAGE + 8 * n))
        for page in (1, 2)
        for n, name in enumerate(_FIELDS)
    ),
    *(Case(f"flipped somewhere, {n}", partial(_somewhere, n)) for n in range(5)),
    *(Case(f"flipped in the catalogue, {n}", partial(_in_catalogue, n)) for n in range(5)),
    *(Case(f"spoilt at {part}", partial(_in_rows, part)) for part in (0.3, 0.5, 0.8)),
    *(
        Case(f"forged {make.__name__}, {n}", partial(_forged, partial(make, n)))
        for make, numbers in _FORGED.items()
        for n in numbers
    ),
    Case("forged name of a column", _name_is_no_text),
    Case("of a newer format", _newer_format),
    Case("log whole", _whole_log),
    *(Case(f"log {name}", partial(_log, change)) for name, change in _LOGS.items()),
    Case("log of another", _log_of_another),
    Case("log that was written back", _log_that_was_written_back),
    Case("log is a pipe", _log_is_a_pipe),
    Case("log is a folder", _log_is_a_folder),
    Case("log is a loop", _log_is_a_loop),
    Case("log of a terabyte", _log_of_a_terabyte),
]
"""Every database that was damaged."""
