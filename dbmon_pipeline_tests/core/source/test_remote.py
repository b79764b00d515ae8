"""A source that is named by an address for ATTACH; a DuckDB file has one, too."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import (
    ConfigError,
    ContractError,
    SourceError,
    SourceLockedError,
)
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.config.address import remote_name
from dbmon_pipeline.core.config.loader import load_config
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.doctor.examine import examine
from dbmon_pipeline.core.doctor.finding import Level
from dbmon_pipeline.core.source.kinds import Address
from dbmon_pipeline_tests.helpers import (
    HOLD_DATABASE,
    Row,
    change_source,
    execution,
    make_source,
    refresh_core,
    run_dbmon,
    running,
    settings_for,
)
from dbmon_pipeline_tests.histories import refresh_here
from dbmon_pipeline_tests.truth import assert_published

AS_OF = datetime(2026, 3, 10, 12)


def named(folder: Path, address: str, **limits: object) -> Settings:
    """Settings with a source that is named by an address."""
    settings = settings_for(folder, rules={})
    source = msgspec.structs.replace(
        settings.config.source, attach=address, attach_wait_seconds=0.2, **limits
    )
    config = msgspec.structs.replace(settings.config, source=source)
    return replace(settings, source=remote_name(address), config=config)


def some_rows(number: int = 20) -> list[Row]:
    """Executions whose costs a FLOAT holds as they are."""
    return [
        execution(AS_OF - timedelta(hours=n + 1), actual_cost=0.125, cost_estimate=0.25)
        for n in range(number)
    ]


def test_what_is_attached_is_read_like_a_file(tmp_path: Path) -> None:
    """From another schema than main, with changed rows."""
    rows, database = some_rows(), tmp_path / "theirs.db"
    make_source(database, rows[1:])
    for statement in (
        "CREATE SCHEMA logs",
        "CREATE TABLE logs.executions AS FROM main.executions",
        "DROP TABLE main.executions CASCADE",
    ):
        change_source(database, statement)
    settings = named(tmp_path, f"duckdb:{database}")
    refresh_core(settings, AS_OF)
    assert_published(settings.home, rows[1:])
    change_source(database, "UPDATE logs.executions SET user_rating = 1, success = false")
    refresh_core(settings, AS_OF)
    assert_published(
        settings.home, [{**row, "user_rating": 1, "success": False} for row in rows[1:]]
    )


def test_its_owner_has_it_open(tmp_path: Path) -> None:
    """There is no copy of what is no file."""
    database = make_source(tmp_path / "theirs.db", some_rows())
    settings = named(tmp_path, f"duckdb:{database}")
    with running(HOLD_DATABASE, database), pytest.raises(SourceLockedError):
        refresh_core(settings, AS_OF)


def test_a_database_without_the_table(tmp_path: Path) -> None:
    """A view of theirs is none."""
    database = tmp_path / "theirs.db"
    make_source(database)
    change_source(database, "CREATE TABLE others AS FROM executions")
    change_source(database, "DROP TABLE executions CASCADE")
    change_source(database, "CREATE VIEW executions AS FROM others")
    with pytest.raises(ContractError, match="has no tables 'executions'"):
        refresh_core(named(tmp_path, f"duckdb:{database}"), AS_OF)


@pytest.mark.parametrize(
    ("address", "limits", "message"),
    [
        ("duckdb:/nowhere/theirs.db", {}, "duckdb:/nowhere/theirs.db cannot be read"),
        ("postgres:host=db user=u password=hunter2", {}, r"password=\*\*\* cannot be read"),
        ("duckdb:x.db", {"extension": "no_such_extension"}, "source.extension"),
    ],
)
def test_what_cannot_be_attached_is_told_without_secrets(
    tmp_path: Path, address: str, limits: dict[str, object], message: str
) -> None:
    """No extension is loaded that is not asked for."""
    with pytest.raises(SourceError, match=message) as caught:
        refresh_core(named(tmp_path, address, **limits), AS_OF)
    assert "hunter2" not in str(caught.value)


def test_names_and_errors_have_no_secrets() -> None:
    """However they are written."""
    for address in (
        "postgres:host=db password=hunter2 dbname=x",
        "postgres:host=db password='hunter2 too' dbname=x",
        "postgres:postgresql://me:hunter2@db/x",
        "md:mine?motherduck_token=hunter2&x=1",
    ):
        assert "hunter2" not in str(remote_name(address))
        _, _, rest = address.partition(":")
        with connect() as con:
            source = Address(con, address, None)
        for told in (address, rest, f'cannot connect to "{rest}"'):
            assert "hunter2" not in str(source.explain(OSError(told)))
    assert remote_name("ducklake:meta.ducklake") == Path("ducklake:meta.ducklake")


@pytest.mark.parametrize(
    "line", ["attach: learning.db", "attach: 'x:'", "extension: 'a; DROP TABLE t'", "attach: 7"]
)
def test_addresses_that_are_none_are_refused(tmp_path: Path, line: str) -> None:
    """With the place in the file."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(f"source:\n  {line}\n")
    with pytest.raises(ConfigError, match=r"line 2, source\.(attach|extension)"):
        load_config(shipped("config", "monitoring.yaml"), rules)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A rules file that names an address."""
    database = make_source(tmp_path / "theirs.db", some_rows())
    file = tmp_path / "rules.yaml"
    file.write_text(f"source: {{attach: 'duckdb:{database}'}}\n")
    return file


def test_the_commands_take_an_address(tmp_path: Path, rules: Path) -> None:
    """It stands in the rules file; the doctor finds nothing wrong."""
    where = ("--home", str(tmp_path / "home"), "--as-of", f"{AS_OF.isoformat()}Z")
    done = run_dbmon("refresh", *where, DBMON_CONFIG=rules)
    assert done.returncode == 0, done.stderr
    told = run_dbmon("status", *where, "--format", "json", DBMON_CONFIG=rules)
    assert json.loads(told.stdout)["executions"]["total"] == 20
    settings = Settings.load(home=tmp_path / "home", environ={"DBMON_CONFIG": str(rules)})
    findings = {finding.name: finding for finding in examine(settings)}
    address = f"duckdb:{tmp_path / 'theirs.db'}"
    assert findings["source"].seen == f"{address} is attached by its address"
    assert [name for name, one in findings.items() if one.level == Level.PROBLEM] == []


def test_a_source_that_is_named_otherwise_goes_before_it(tmp_path: Path, rules: Path) -> None:
    """As that of ``--source``."""
    another = make_source(tmp_path / "another.db", some_rows(7))
    environ = {"DBMON_CONFIG": str(rules)}
    settings = Settings.load(another, tmp_path / "other", environ=environ)
    assert refresh_here(settings, AS_OF).rolled_up.executions == 7
