"""Reading what is published: one generation, with no lock anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import duckdb

from dbmon_pipeline.core.duck import connect, quoted
from dbmon_pipeline.core.errors import NotPublishedError
from dbmon_pipeline.core.manifest import Manifest, read_manifest
from dbmon_pipeline.core.rollups import BY_NAME
from dbmon_pipeline.core.settings import Home


@dataclass(frozen=True)
class Rows:
    """Rows of a published table.

    Attributes:
        columns: Their names.
        rows: Their values, in the order of the table's key.
    """

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]


class Published:
    """One published generation.

    A reader that keeps it sees the same figures until the generation is removed, whatever is
    published meanwhile.

    Attributes:
        folder: Where it lies.
        manifest: What it holds.
    """

    def __init__(self, home: Home) -> None:
        """Resolve ``current``, once.

        Raises:
            NotPublishedError: Nothing is published.
        """
        self.folder = home.current.resolve()
        self.manifest: Manifest = read_manifest(self.folder)

    def files(self, table: str) -> list[Path]:
        """The files of a table.

        Raises:
            NotPublishedError: There is no such table; the message names those there are.
        """
        if table not in self.manifest.tables:
            known = sorted(self.manifest.tables)
            near = get_close_matches(table, known, n=1)
            raise NotPublishedError(
                f"no table {table!r} is published",
                remedy=(f"did you mean {near[0]}? " if near else "")
                + f"the tables are {', '.join(known)}",
            )
        return [self.folder / table / file.name for file in self.manifest.tables[table]]

    def rows(self, table: str, *, limit: int | None = None) -> Rows:
        """The rows of a table, or the last so many of them, in the order of its key.

        Raises:
            NotPublishedError: There is no such table, or a file of it is damaged or gone.
        """
        files = [str(file) for file in self.files(table)]
        # A later version may have published a table that this one does not know.
        key = BY_NAME[table].key if table in BY_NAME else ("ALL",)
        newest = (
            "" if limit is None else f"ORDER BY {', '.join(f'{c} DESC' for c in key)} LIMIT $limit"
        )
        with connect() as con:
            con.execute(f"SET allowed_directories = [{quoted(f'{self.folder}/')}]")
            con.execute("SET enable_external_access = false")
            con.execute("SET lock_configuration = true")
            try:
                found = con.execute(
                    f"SELECT * FROM (SELECT * FROM read_parquet($files) {newest})"
                    f" ORDER BY {', '.join(key)}",
                    {"files": files} | ({} if limit is None else {"limit": limit}),
                )
                return Rows(tuple(c[0] for c in found.description or ()), found.fetchall())
            except duckdb.Error as error:
                raise NotPublishedError(
                    f"{self.folder / table} cannot be read ({str(error).splitlines()[0]})",
                    remedy="run dbmon refresh; if it persists, remove that generation first",
                ) from error
