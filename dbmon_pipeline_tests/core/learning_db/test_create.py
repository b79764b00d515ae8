"""A learning database of our own making has the founding schema, and never replaces anything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from dbmon_pipeline.core.common.errors import SourceError, StorageError
from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.learning_db import create as learning_db

FOUNDING_COLUMNS = {
    "task_id": "UUID",
    "timestamp": "TIMESTAMP",
    "task_type": "VARCHAR",
    "task_description": "VARCHAR",
    "repo": "VARCHAR",
    "file_count": "INTEGER",
    "estimated_tokens": "INTEGER",
    "model_tier": "VARCHAR",
    "pool_type": "VARCHAR",
    "swarm_topology": "VARCHAR",
    "routing_confidence": "FLOAT",
    "complexity_score": "INTEGER",
    "success": "BOOLEAN",
    "duration_seconds": "FLOAT",
    "quality_score": "INTEGER",
    "cost_estimate": "FLOAT",
    "actual_cost": "FLOAT",
    "error_type": "VARCHAR",
    "error_message": "VARCHAR",
    "user_accepted": "BOOLEAN",
    "user_rating": "INTEGER",
    "peak_memory_mb": "FLOAT",
    "cpu_time_seconds": "FLOAT",
    "solution_summary": "VARCHAR",
    "embedding": "FLOAT[384]",
    "metadata": "JSON",
}
REQUIRED = {
    "task_id",
    "timestamp",
    "task_type",
    "task_description",
    "repo",
    "model_tier",
    "pool_type",
    "success",
    "duration_seconds",
}
TWO_ROWS = """
    INSERT INTO executions BY NAME
    SELECT
        CAST(printf('00000000-0000-0000-0000-%012d', i) AS UUID) AS task_id,
        TIMESTAMP '2026-02-09 10:00:00' - to_days(CAST(40 * i AS INTEGER)) AS timestamp,
        'bug_fix' AS task_type, 'd' AS task_description, 'r' AS repo, 'small' AS model_tier,
        'p' AS pool_type, true AS success, 2 + i AS duration_seconds, 0.5 AS actual_cost
    FROM range(2) AS numbers (i)
"""


def make_file(path: Path) -> None:
    """Something of value."""
    path.write_text("precious")


def make_folder(path: Path) -> None:
    """A folder where the database should go."""
    path.mkdir()


def make_dangling_link(path: Path) -> None:
    """A link to a disk that is not mounted just now."""
    path.symlink_to(path.with_name("not-mounted") / "learning.db")


@pytest.fixture
def made(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    """A fresh database, open read-only."""
    learning_db.create(tmp_path / "learning.db")
    return duckdb.connect(str(tmp_path / "learning.db"), read_only=True)


def test_executions_have_the_founding_columns(made: duckdb.DuckDBPyConnection) -> None:
    """Other tools were written against these names and types."""
    rows = made.execute("DESCRIBE executions").fetchall()
    assert {row[0]: row[1] for row in rows} == FOUNDING_COLUMNS
    assert [row[0] for row in rows] == list(FOUNDING_COLUMNS)
    assert {row[0] for row in rows if row[2] == "NO"} == REQUIRED
    assert [row[0] for row in rows if row[3] == "PRI"] == ["task_id"]


def test_there_are_the_founding_indexes_and_views(made: duckdb.DuckDBPyConnection) -> None:
    """A view that is gone would break somebody's dashboard."""
    indexes = made.execute("SELECT index_name, expressions FROM duckdb_indexes()").fetchall()
    assert {name: " ".join(text.strip("[]").split()) for name, text in indexes} == {
        "idx_executions_repo_task": "repo, task_type, '\"timestamp\"'",
        "idx_executions_tier_success": "model_tier, success, '\"timestamp\"'",
        "idx_executions_pool_duration": "pool_type, success, duration_seconds",
        "idx_executions_quality_trend": "repo, quality_score, '\"timestamp\"'",
    }
    views = made.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    assert {row[0] for row in views} == {
        "tier_performance_mv",
        "pool_performance_mv",
        "solution_patterns_mv",
    }


def test_the_schema_version_is_recorded(made: duckdb.DuckDBPyConnection) -> None:
    """The health check reads it from there."""
    [(key, value, at)] = made.execute("FROM metadata").fetchall()
    assert (key, value) == ("schema_version", "1")
    assert timedelta(0) <= utc_now() - at < timedelta(minutes=1)


def test_a_new_database_is_empty_and_its_views_answer(made: duckdb.DuckDBPyConnection) -> None:
    """An empty table has no newest row to count back from."""
    for name in (
        "executions",
        "tier_performance_mv",
        "pool_performance_mv",
        "solution_patterns_mv",
    ):
        assert made.execute(f"SELECT count(*) FROM {name}").fetchall() == [(0,)]


def test_views_count_back_from_the_newest_row(tmp_path: Path) -> None:
    """The other row is 40 days older, out of the 30."""
    path = tmp_path / "learning.db"
    with learning_db.creating(path) as con:
        con.execute(TWO_ROWS)
    with duckdb.connect(str(path), read_only=True) as con:
        found = con.execute(
            "SELECT date::VARCHAR, total_executions, successful_count, avg_duration, avg_cost"
            " FROM tier_performance_mv"
        ).fetchall()
    assert found == [("2026-02-09", 1, 1, 2.0, 0.5)]


@pytest.mark.parametrize("existing", [make_file, make_folder, make_dangling_link])
def test_nothing_that_exists_is_replaced(tmp_path: Path, existing: Callable[[Path], None]) -> None:
    """It might be the orchestrator's only copy."""
    path = tmp_path / "learning.db"
    existing(path)
    before = path.lstat()
    with pytest.raises(SourceError, match="already exists"):
        learning_db.create(path)
    after = path.lstat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    assert after.st_mtime_ns == before.st_mtime_ns
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    """Filling a database may take minutes; the other maker was first."""
    path = tmp_path / "learning.db"
    with pytest.raises(SourceError, match="already exists"), learning_db.creating(path):
        path.write_text("precious")
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    """Half a database would be taken for a whole one."""
    with (
        pytest.raises(duckdb.ParserException),
        learning_db.creating(tmp_path / "learning.db") as con,
    ):
        con.execute(f"{TWO_ROWS}; and then nonsense")
    assert list(tmp_path.iterdir()) == []


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    """The default source lies in a folder that a checkout does not have."""
    path = tmp_path / "data" / "it's new" / "learning.db"
    learning_db.create(path)
    assert path.is_file()


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    """What the system refuses becomes an error with a remedy."""
    (tmp_path / "file").write_text("precious")
    with pytest.raises(StorageError, match="cannot be written"):
        learning_db.create(tmp_path / "file" / "learning.db")


def test_a_relaxed_database_takes_what_is_seen_in_the_wild(tmp_path: Path) -> None:
    """No column may be required, and the order stays."""
    path = tmp_path / "learning.db"
    with learning_db.creating(path, relaxed=True) as con:
        con.execute("INSERT INTO executions (task_id, embedding) VALUES ('run-7', [1, 2])")
    with duckdb.connect(str(path), read_only=True) as con:
        types = {row[0]: row[1] for row in con.execute("DESCRIBE executions").fetchall()}
        row = con.execute("SELECT task_id, embedding, success FROM executions").fetchall()
        [(indexes,)] = con.execute("SELECT count(*) FROM duckdb_indexes()").fetchall()
    assert types == FOUNDING_COLUMNS | {"task_id": "VARCHAR", "embedding": "FLOAT[]"}
    assert list(types) == list(FOUNDING_COLUMNS)
    assert row == [("run-7", [1.0, 2.0], None)]
    assert indexes == 4
