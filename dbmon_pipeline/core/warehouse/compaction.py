"""Compaction: a warehouse most of which is free room is written anew.

DuckDB uses free blocks again but never gives them back to the disk.
"""

from __future__ import annotations

from dbmon_pipeline.core.common.duck import CATALOGUE, STORAGE_VERSION, quoted, storage_errors
from dbmon_pipeline.core.warehouse.warehouse import Warehouse

_LEAST_BYTES = 64_000_000
"""Less free room than that is left alone."""


def compact(warehouse: Warehouse) -> int:
    """Write the file anew if more than half of it is free room.

    The new file takes the place of the old one in one step; a process killed before that leaves
    the old one.

    Returns:
        How many bytes that gave back to the disk.

    Raises:
        StorageError: The disk has no room for both, or cannot be written.
    """
    con, path = warehouse.con, warehouse.path
    fresh = path.with_name(f"{path.name}.compacting")
    with storage_errors(path):
        con.execute(f"CHECKPOINT {CATALOGUE}")
        block_bytes, used, free = con.execute(
            "SELECT block_size, used_blocks, free_blocks FROM pragma_database_size()"
            " WHERE database_name = $name",
            {"name": CATALOGUE},
        ).fetchall()[0]
        if free <= used or free * block_bytes < _LEAST_BYTES:
            return 0
        before = path.stat().st_size
        try:
            fresh.unlink(missing_ok=True)
            con.execute(f"ATTACH {quoted(fresh)} AS fresh (STORAGE_VERSION '{STORAGE_VERSION}')")
            con.execute(f"COPY FROM DATABASE {CATALOGUE} TO fresh")
            con.execute("DETACH fresh")
            warehouse.replace_by(fresh)
        finally:
            fresh.unlink(missing_ok=True)
        return before - path.stat().st_size
