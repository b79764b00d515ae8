"""Errors: one line each, with a remedy, in one tree."""

from __future__ import annotations

import errno
import inspect
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.common import errors
from dbmon_pipeline.core.common.duck import storage_errors
from dbmon_pipeline.core.common.errors import DbmonError, SourceLockedError, StorageError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind is not DbmonError]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_one_line_with_its_remedy(kind: type[DbmonError]) -> None:
    """Whatever a library wrote into it."""
    error = kind("the file\n\n  'x' is\tnot\r\nwell ", remedy="make it well")
    assert str(error) == "the file 'x' is not well: make it well"
    assert error.remedy == "make it well"
    assert isinstance(error, DbmonError)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_error_lacks_a_remedy(kind: type[DbmonError]) -> None:
    """A message alone leaves a person alone."""
    with pytest.raises(TypeError, match="remedy"):
        kind("the file is not well")  # type: ignore[call-arg]


def test_a_locked_source_can_be_told_from_a_bad_one() -> None:
    """It alone is worth another try."""
    assert [kind.__name__ for kind in KINDS if issubclass(kind, SourceLockedError)] == [
        "SourceLockedError"
    ]


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (duckdb.IOException("IO Error: No space left on device"), "free some space on that disk"),
        (OSError(errno.ENOSPC, "No space left on device"), "free some space on that disk"),
        (
            duckdb.OutOfMemoryException(
                "Out of Memory Error: failed to offload data block of size"
                " 256.0 KiB (max_temp_directory_size 0 bytes): Out of space"
            ),
            "free some space on that disk",
        ),
        (PermissionError(errno.EACCES, "Permission denied"), "check the disk and the permissions"),
        (duckdb.FatalException("FATAL Error: database has been invalidated"), "check the disk"),
    ],
)
def test_a_failure_of_the_disk_is_told_as_one(error: Exception, remedy: str) -> None:
    """A full disk has another remedy than a broken one."""
    with pytest.raises(StorageError) as raised, storage_errors(Path("/home/x")):
        raise error
    assert str(raised.value).startswith("/home/x cannot be written or read (")
    assert f": {remedy}" in str(raised.value)
    assert raised.value.__cause__ is error


def test_other_errors_are_not_taken_for_the_disk() -> None:
    """A wrong statement is a mistake of ours and must show as one."""
    with pytest.raises(duckdb.ParserException), storage_errors(Path("/home/x")):
        duckdb.connect().execute("SELEKT 1")
