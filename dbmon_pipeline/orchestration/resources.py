"""Resources: the published tables, for the assets of whoever embeds these definitions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from dagster_duckdb import DuckDBResource

from dbmon_pipeline.core.common.shipped import sql
from dbmon_pipeline.core.generation.generation import read_parquet
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.published import Published

_FOUNDING_VIEWS = ("tier_performance_mv", "pool_performance_mv", "solution_patterns_mv")


class PublishedResource(DuckDBResource):
    """The published tables as views of an in-memory DuckDB, which can open no other file.

    A connection sees one generation, whatever is published meanwhile. Unlike the parent's it waits
    for nobody and always closes.
    """

    database: str = ":memory:"
    home: str

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a connection with a view of each published table.

        Raises:
            NotPublishedError: Nothing is published.
        """
        with Published(Home(Path(self.home))) as published:
            tables = published.manifest.tables
            views = {name: f"FROM {read_parquet(published.files(name))}" for name in tables}
            views |= {name: sql("published", name) for name in _FOUNDING_VIEWS}
            for name, select in views.items():
                published.con.execute(f"CREATE VIEW {name} AS {select}")
            yield published.con
