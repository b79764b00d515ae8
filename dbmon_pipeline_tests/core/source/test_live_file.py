"""Reading a file that its owner writes: what counts is right, and nothing is touched."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.common.errors import SourceChangingError, SourceError
from dbmon_pipeline.core.source import live_file
from dbmon_pipeline.core.source.live_file import (
    LiveFile,
    is_local,
)
from dbmon_pipeline.core.source.reader_protocol import EngineBrokenError
from dbmon_pipeline_tests.core.source.live_owners import KINDS
from dbmon_pipeline_tests.core.source.live_trial import OwnerProcess, owner_of, trial

OLDER_AND_NEWER = pytest.mark.parametrize("is_older", [True, False], ids=["1.5", "2.0"])
TRIAL_SECONDS = 0.4
LEAST_RIGHT = 3
ROWS = 100_000
TOTAL = sum(range(ROWS))

Query = Callable[[duckdb.DuckDBPyConnection], int]


@contextmanager
def opened(path: Path, *, allowed_directories: tuple[Path, ...] = ()) -> Iterator[LiveFile]:
    """Open a live file with an instance of its own."""
    con = duckdb.connect(config={"threads": 2})
    try:
        yield LiveFile(con, path, allowed_directories=allowed_directories)
    finally:
        con.close()


def total(con: duckdb.DuckDBPyConnection) -> int:
    """Add up the attached table."""
    ((answer,),) = con.execute("SELECT sum(x)::BIGINT FROM source.t").fetchall()
    return int(answer)


def read_once(path: Path, query: Query = total) -> int:
    """Read a file that nobody writes at this moment."""
    with opened(path) as file:
        return file.read(query, seconds=2)


def make_table(owner: OwnerProcess) -> None:
    """Have a table, with all of it in the file and no log."""
    owner.order(f"CREATE TABLE t AS SELECT range AS x FROM range({ROWS})")
    owner.order("CHECKPOINT")


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that nobody writes any more, with a log."""
    path = tmp_path_factory.mktemp("still") / "learning.db"
    with owner_of(path) as owner:
        make_table(owner)
        owner.order("INSERT INTO t VALUES (-1)")
    return path


@pytest.mark.parametrize(
    ("kind", "is_older"), [(kind, number % 2 > 0) for number, kind in enumerate(KINDS)]
)
def test_every_answer_is_right(tmp_path: Path, kind: str, is_older: bool) -> None:
    """Whatever an owner does; in ``make soak`` each has either DuckDB, and more time."""
    judgement = trial(
        tmp_path / "learning.db",
        kind,
        is_older=is_older,
        seconds=TRIAL_SECONDS,
        seed=7,
        least_right=0 if kind == "conc" else LEAST_RIGHT,
    )
    assert judgement.is_sound, judgement
    assert judgement.right or kind == "conc", judgement
    assert judgement.commits > 1


@pytest.mark.parametrize(("kind", "is_older"), [("small", True), ("upd", False), ("noauto", True)])
def test_owner_that_is_killed_again_and_again(tmp_path: Path, kind: str, is_older: bool) -> None:
    """Whatever it leaves half done, and whatever its next start does about it."""
    judgement = trial(
        tmp_path / "learning.db",
        kind,
        is_older=is_older,
        seconds=2 * TRIAL_SECONDS,
        seed=11,
        least_right=LEAST_RIGHT,
        is_killed=True,
    )
    assert judgement.is_sound, judgement
    assert judgement.right, judgement
    assert judgement.kills


def test_a_trial_notices_readings_of_two_states(tmp_path: Path) -> None:
    """Without the guard, answers and errors count that mean nothing, sooner or later."""
    for seed in range(10):
        path = tmp_path / f"{seed}.db"
        judgement = trial(
            path,
            "small",
            is_older=True,
            seconds=4 * TRIAL_SECONDS,
            seed=seed,
            is_guarded=False,
        )
        if not judgement.is_sound or judgement.died:
            return
    pytest.fail("all unguarded readings were right")


@OLDER_AND_NEWER
def test_a_commit_during_a_reading_does_not_disturb_it(tmp_path: Path, is_older: bool) -> None:
    """With a log or without one at first."""
    path = tmp_path / "learning.db"
    with owner_of(path, is_older=is_older) as owner, opened(path) as file:
        make_table(owner)

        def query(con: duckdb.DuckDBPyConnection) -> int:
            owner.order("INSERT INTO t VALUES (1)")
            return total(con)

        # The file itself is young until the clock behind mtime has moved.
        assert [file.read(query, seconds=5) - TOTAL for _ in range(3)] == [0, 1, 2]
        assert file.stats.readings == 3 + file.stats.thrown_away
        assert file.stats.bytes_read > 3 * 12_288


@OLDER_AND_NEWER
def test_a_checkpoint_during_a_reading_throws_it_away(tmp_path: Path, is_older: bool) -> None:
    """And the next reading sees the new state."""
    path = tmp_path / "learning.db"
    with owner_of(path, is_older=is_older) as owner, opened(path) as file:
        make_table(owner)
        answers = []

        def query(con: duckdb.DuckDBPyConnection) -> int:
            answers.append(total(con))
            if len(answers) == 1:
                owner.order("INSERT INTO t VALUES (1); CHECKPOINT")
            return answers[-1]

        assert file.read(query) == TOTAL + 1
        assert answers == [TOTAL, TOTAL + 1]


def test_an_error_counts_only_if_its_state_held(tmp_path: Path) -> None:
    """Whoever raised it."""
    path = tmp_path / "learning.db"
    with owner_of(path) as owner, opened(path) as file:
        make_table(owner)
        errors: list[str] = []

        def query(_: duckdb.DuckDBPyConnection) -> int:
            errors.append(f"error {len(errors)}")
            if len(errors) == 1:
                owner.order("INSERT INTO t VALUES (1); CHECKPOINT")
            raise ValueError(errors[-1])

        with pytest.raises(ValueError, match="error 1"):
            file.read(query)
        with pytest.raises(duckdb.CatalogException, match="no_such_table"):
            file.read(lambda con: con.execute("FROM source.no_such_table"))


def test_a_table_made_in_memory_stays(still: Path) -> None:
    """The database itself is detached again, even in the middle of a transaction."""
    with opened(still) as file:
        for _ in range(2):
            file.read(lambda con: con.execute("CREATE OR REPLACE TABLE memory.t AS FROM source.t"))
        file.read(lambda con: con.execute("BEGIN; FROM source.t"))
        ((attached,),) = file._con.execute(
            "SELECT count(*) FROM duckdb_databases() WHERE database_name = 'source'"
        ).fetchall()
        assert attached == 0
        assert file._con.execute("SELECT sum(x) FROM memory.t").fetchall() == [(TOTAL - 1,)]


def test_a_file_that_never_holds_still_is_told(still: Path, tmp_path: Path) -> None:
    """With its name, how often and how long it was tried, and what to do."""
    path = tmp_path / "learning.db"
    path.write_bytes(still.read_bytes())
    Path(f"{path}.wal.checkpoint").touch()
    with opened(path) as file:
        with pytest.raises(SourceChangingError) as error:
            file.read(total, seconds=0.3)
        assert re.fullmatch(
            rf"{path} is being written without a pause: {file.stats.readings} readings were thrown"
            r" away in \d+\.\d seconds, the last because a checkpoint is under way:"
            r" repeat when its owner writes less; the last published data stays",
            str(error.value),
        )
        assert file.stats.thrown_away == file.stats.readings > 1


def test_an_engine_that_gave_up_is_told(still: Path, tmp_path: Path) -> None:
    """Since the reading was thrown away, there is nothing wrong with the file."""
    path = tmp_path / "learning.db"
    path.write_bytes(still.read_bytes())
    with opened(path) as file:

        def query(_: duckdb.DuckDBPyConnection) -> int:
            Path(f"{path}.wal.checkpoint").touch()
            file._con.close()
            return 1

        with pytest.raises(EngineBrokenError, match="when a checkpoint is under way"):
            file.read(query)


@OLDER_AND_NEWER
@pytest.mark.parametrize(
    "name",
    ["a b#c.db", "q?a=1.db", "100%20.db", 'it\'s "it".db', "größe 数.db", "*[a];.db", "plain"],
)
def test_any_name(tmp_path: Path, name: str, is_older: bool) -> None:
    """With what is only in the log yet."""
    path = tmp_path / name
    with owner_of(path, is_older=is_older) as owner:
        make_table(owner)
        owner.order("INSERT INTO t VALUES (5)")
        assert read_once(path) == TOTAL + 5


@OLDER_AND_NEWER
def test_the_log_lies_beside_the_real_file(tmp_path: Path, is_older: bool) -> None:
    """Wherever a link to it is."""
    real, link = tmp_path / "real.db", tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(real)
    with owner_of(real, is_older=is_older) as owner:
        make_table(owner)
        owner.order("INSERT INTO t VALUES (5)")
        assert read_once(link) == TOTAL + 5


@OLDER_AND_NEWER
def test_an_encrypted_file_is_refused(tmp_path: Path, is_older: bool) -> None:
    """Without its key, in DuckDB's words."""
    path = tmp_path / "encrypted.db"
    with owner_of(tmp_path / "other.db", is_older=is_older) as owner:
        owner.order("SET force_mbedtls_unsafe = 'true'")
        owner.order(f"ATTACH '{path}' AS enc (ENCRYPTION_KEY 'secret'); CREATE TABLE enc.t (x INT)")
        owner.order("CHECKPOINT enc")
        with pytest.raises(duckdb.Error, match="encrypted"):
            read_once(path)


def test_what_is_no_database(tmp_path: Path, still: Path) -> None:
    """Missing, empty, foreign, a folder, a pipe."""
    with pytest.raises(FileNotFoundError):
        read_once(tmp_path / "missing.db")
    for name, content in (
        ("empty", b""),
        ("short", b"abc"),
        ("foreign", b"SQLite format 3" * 2000),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(duckdb.IOException, match="live://db"):
            read_once(tmp_path / name)
    with pytest.raises(IsADirectoryError):
        read_once(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="seek"):
        read_once(tmp_path / "pipe")
    (tmp_path / "cut.db").write_bytes(still.read_bytes()[:20_000])
    with pytest.raises(duckdb.Error, match=r"live://db|bytes"):
        read_once(tmp_path / "cut.db")


def test_a_file_replaced_during_a_reading(tmp_path: Path, still: Path) -> None:
    """The answer from the old one does not count."""
    path, other = tmp_path / "learning.db", tmp_path / "other.db"
    path.write_bytes(still.read_bytes())
    with owner_of(other) as owner:
        owner.order("CREATE TABLE t AS SELECT 5 AS x; CHECKPOINT")
    answers = []

    def query(con: duckdb.DuckDBPyConnection) -> int:
        answers.append(total(con))
        if len(answers) == 1:
            other.rename(path)
        return answers[-1]

    assert read_once(path, query) == 5
    assert answers == [TOTAL, 5]


def test_a_file_of_this_process_is_refused(tmp_path: Path) -> None:
    """Its lock would be gone with the first descriptor that is closed."""
    path = tmp_path / "learning.db"
    with duckdb.connect(path) as own:
        own.execute("CREATE TABLE t AS SELECT 1 AS x")
        with pytest.raises(SourceError, match="is open in this process"):
            read_once(path)
        assert locks_of(path)
    assert read_once(path) == 1


def test_a_file_that_this_process_opens_meanwhile_keeps_its_lock(tmp_path: Path) -> None:
    """The descriptors are leaked instead, which does not hinder later readings."""
    path = tmp_path / "learning.db"
    with duckdb.connect(path) as own:
        own.execute("CREATE TABLE t AS SELECT 1 AS x")
    opened_later = []

    def query(con: duckdb.DuckDBPyConnection) -> int:
        opened_later.append(duckdb.connect(path))
        return total(con)

    before = descriptors()
    assert read_once(path, query) == 1
    assert locks_of(path)
    opened_later[0].close()
    assert len(descriptors()) == len(before) + 1
    assert read_once(path) == 1


def test_no_lock_is_taken(still: Path) -> None:
    """So that the owner can open the file for writing in the middle of a reading."""
    locks = []

    def query(con: duckdb.DuckDBPyConnection) -> int:
        answer = total(con)
        locks.extend(locks_of(still))
        with owner_of(still):
            assert locks_of(still, os.getpid()) == []
            assert len(locks_of(still)) == 1
        return answer

    # That owner writes a transaction of its own when it begins.
    assert read_once(still, query) == TOTAL - 1
    assert locks == []


def test_no_descriptor_is_left(still: Path, tmp_path: Path) -> None:
    """After an answer, an error, and a reading that was thrown away."""
    before = descriptors()
    assert read_once(still) == TOTAL - 1
    with pytest.raises(duckdb.Error):
        read_once(still, lambda con: len(con.execute("FROM source.nothing").fetchall()))
    with pytest.raises(FileNotFoundError):
        read_once(tmp_path / "missing.db")
    path = tmp_path / "learning.db"
    path.write_bytes(still.read_bytes())
    Path(f"{path}.wal.checkpoint").touch()
    with opened(path) as file, pytest.raises(SourceChangingError):
        file.read(total, seconds=0)
    assert descriptors() == before


def test_six_readings_at_once(still: Path) -> None:
    """They do not take one another for owners."""
    before = descriptors()
    answers: list[int | Exception] = []

    def read() -> None:
        try:
            answers.extend(read_once(still) for _ in range(5))
        except Exception as error:
            answers.append(error)

    run_at_once([threading.Thread(target=read) for _ in range(6)])
    assert answers == [TOTAL - 1] * 30
    assert descriptors() == before


def test_threads_have_positions_of_their_own(still: Path) -> None:
    """A thread that is interrupted between seek and read gets its block all the same."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    con = duckdb.connect(config={"threads": 4})
    try:
        file = LiveFile(con, still)
        query = "SELECT sum(x), sum(x * x % 7), count(DISTINCT x) FROM source.t"
        answers = {file.read(lambda con: con.execute(query).fetchone()) for _ in range(20)}
    finally:
        sys.setswitchinterval(interval)
        con.close()
    squares = sum(x * x % 7 for x in range(ROWS)) + 1
    assert answers == {(TOTAL - 1, squares, ROWS + 1)}


@pytest.mark.parametrize(
    "statement",
    [
        "FROM read_csv('/etc/passwd')",
        "FROM read_text('/etc/passwd')",
        "FROM read_text('live://other')",
        "FROM glob('/etc/*')",
        "COPY (SELECT 1) TO '/dev/shm/not-written.csv'",
        "COPY (SELECT 1) TO 'live://db'",
        "COPY (SELECT 1) TO 'live://db.wal.checkpoint'",
        "ATTACH '/dev/shm/not-there.db'",
        "ATTACH 'live://other' AS other",
        "ATTACH 'live://db' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_paths = ['/etc/passwd']",
        "SET threads = 1",
        "INSERT INTO source.t VALUES (1)",
    ],
)
def test_sql_reaches_nothing_else(still: Path, statement: str) -> None:
    """No other file, no extension, no setting, and nothing is written."""
    before = still.read_bytes()
    with pytest.raises(
        duckdb.Error, match=r"disabled|locked|read-only|FileNotFoundError|file handle|already"
    ):
        read_once(still, lambda con: len(con.execute(statement).fetchall()))
    assert still.read_bytes() == before


def test_allowed_directories(still: Path, tmp_path: Path) -> None:
    """SQL may write and read there, whatever their names."""
    folder = tmp_path / "a [b] *"
    folder.mkdir()

    def query(con: duckdb.DuckDBPyConnection) -> int:
        con.execute(f"COPY (FROM source.t) TO '{folder}/t.parquet'")
        pattern = str(folder).replace("[", "[[]").replace("*", "[*]")
        ((rows,),) = con.execute(f"SELECT count(*) FROM '{pattern}/*.parquet'").fetchall()
        return int(rows)

    with opened(still, allowed_directories=(folder,)) as file:
        assert file.read(query) == ROWS + 1
        with pytest.raises(duckdb.Error, match="disabled"):
            file.read(lambda con: con.execute(f"COPY (SELECT 1) TO '{tmp_path}/t.parquet'"))


@OLDER_AND_NEWER
def test_pinned_blocks_answer_while_the_owner_never_pauses(tmp_path: Path, is_older: bool) -> None:
    """A checkpoint during each query: the state at its beginning counts all the same."""
    path = tmp_path / "learning.db"
    with owner_of(path, is_older=is_older) as owner, opened(path) as file:
        make_table(owner)
        query = checkpointing(owner)
        states = []

        def query_and_note(con: duckdb.DuckDBPyConnection) -> int:
            states.extend(owner.order("SELECT sum(x)::BIGINT FROM t")[0])
            return query(con)

        assert file.read(query_and_note, seconds=2) == states[-1] > states[0]
        assert file.stats.thrown_away == file.stats.readings - 1


def test_without_room_for_pinned_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard alone decides."""
    monkeypatch.setattr(live_file, "_MOST_PINNED_BYTES", 0)
    path = tmp_path / "learning.db"
    with owner_of(path) as owner, opened(path) as file:
        make_table(owner)
        with pytest.raises(SourceChangingError):
            file.read(checkpointing(owner), seconds=0.5)


def test_blocks_of_another_size_are_not_pinned(tmp_path: Path) -> None:
    """Though such a file is read like any other."""
    path = tmp_path / "small_blocks.db"
    with owner_of(tmp_path / "other.db") as owner, opened(path) as file:
        owner.order(f"ATTACH '{path}' AS small (BLOCK_SIZE 16384); USE small")
        make_table(owner)
        assert file.read(total) == TOTAL
        with pytest.raises(SourceChangingError):
            file.read(checkpointing(owner), seconds=0.5)


def test_is_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mount that the real file lies on decides; what is not known is not local."""
    assert is_local(tmp_path / "learning.db")
    assert not is_local(Path("/proc/self/status"))
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr(live_file, "_MOUNTS", mounts)
    kinds = {"/": "ext4", "/a\\040b": "nfs4", "/a\\040b/c": "xfs", "/f": "fuse.sshfs", "/m": "9p"}
    mounts.write_text(
        "".join(
            f"{number} 1 0:{number} / {place} rw shared:1 - {kind} from rw\n"
            for number, (place, kind) in enumerate(kinds.items())
        )
    )
    (tmp_path / "link").symlink_to("/f/learning.db")
    assert {path: is_local(Path(path)) for path in (
        "/x.db", "/a b/x.db", "/a b/c/x.db", "/a bc/x.db", "/f/x.db", "/m/x.db", "/mm/x.db",
    )} == {
        "/x.db": True, "/a b/x.db": False, "/a b/c/x.db": True, "/a bc/x.db": True,
        "/f/x.db": False, "/m/x.db": False, "/mm/x.db": True,
    }  # fmt: skip
    assert not is_local(tmp_path / "link")
    mounts.unlink()
    assert not is_local(tmp_path)


def checkpointing(owner: OwnerProcess) -> Query:
    """Make a query during which the owner adds 1 to the total and finishes a checkpoint.

    It reads before that: on blocks that are gone DuckDB may crash, which here would be the tests.
    """

    def query(con: duckdb.DuckDBPyConnection) -> int:
        answer = total(con)
        owner.order("INSERT INTO t VALUES (1); CHECKPOINT")
        return answer

    return query


def descriptors() -> set[tuple[str, str]]:
    """List what this process has open."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add((entry.name, str(entry.readlink())))
        except FileNotFoundError:  # that of the listing itself
            continue
    return found


def locks_of(path: Path, pid: int | None = None) -> list[str]:
    """List the locks on a file, of one process or of all."""
    inode = path.stat().st_ino
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return [
        " ".join(lock)
        for lock in locks
        if lock[1] != "->" and lock[5].endswith(f":{inode}") and pid in (None, int(lock[4]))
    ]


def run_at_once(threads: list[threading.Thread]) -> None:
    """Run threads to their end."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
