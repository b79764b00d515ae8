"""Result of an archive, as the reader process answers with it."""

from __future__ import annotations

from datetime import date

import msgspec


class ArchivedFile(msgspec.Struct, frozen=True, kw_only=True):
    """File of a month, or of the archived part of one.

    Attributes:
        name: Its name in the folder of the archive.
        rows: How many rows it has.
        size_bytes: How large it is.
        is_new: Whether it was written now; else it was there, with the same rows.
    """

    name: str
    rows: int
    size_bytes: int
    is_new: bool


class ArchivedRows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that were read from the source and written.

    Attributes:
        files: The files, in the order of time.
        days: How many rows of each day they have.
        rows_without_timestamp: Rows of the source that belong to no month: never archived.
        rows_before_1970: Rows whose clock was wrong: never archived.
        delete_sql: Statements that delete these rows and no others; None if there are none, or if
            they stand in files.
        read_as: How the source was read: ``live``, ``attached``, ``files`` or ``address``.
    """

    files: tuple[ArchivedFile, ...]
    days: dict[date, int]
    rows_without_timestamp: int
    rows_before_1970: int
    delete_sql: str | None
    read_as: str

    @property
    def rows(self) -> int:
        """The number of rows in the files."""
        return sum(file.rows for file in self.files)
