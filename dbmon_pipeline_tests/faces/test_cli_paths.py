"""Paths that begin with ``~``: those of a user that there is, and of one that there is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dbmon_pipeline.core.source.reader_client import shared_reader
from dbmon_pipeline.faces.cli import main as cli

UNKNOWN = "~nobody_at_all/x"


@pytest.fixture(autouse=True)
def _no_reader_stays() -> Iterator[None]:
    """End a reader process that was started in a folder that goes with the test."""
    yield
    shared_reader().close()


def ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[object, str, str]:
    """Run a command in this process."""
    for name in ("DBMON_HOME", "DBMON_SOURCE", "DBMON_CONFIG", "DBMON_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.argv", ["dbmon", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return (left.value.code, *capsys.readouterr())


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--home", UNKNOWN),
        ("archive", "--before", "2026-01-01", "--source", UNKNOWN),
        ("query", "key_figures", "--db", UNKNOWN),
        ("report", "--out", f"{UNKNOWN}.html"),
        ("grafana", "export", UNKNOWN),
        ("prometheus", "--out", UNKNOWN),
        ("prometheus-rules", UNKNOWN),
        ("archive", "--before", "2026-01-01", "--out", UNKNOWN),
    ],
    ids=" ".join,
)
def test_the_home_of_a_user_that_is_not_known(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    """The path is named, with what to do about it."""
    monkeypatch.chdir(tmp_path)
    code, printed, said = ended(monkeypatch, capsys, *words)
    assert (code, printed, said.count("\n")) == (3, "", 1)
    assert said.startswith(f"dbmon: {UNKNOWN}")
    assert said.endswith(" is not known: write out the whole path\n")
    assert [*tmp_path.iterdir()] == []


def test_files_for_prometheus_in_the_home_of_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No folder that is called so is made."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    code, _, said = ended(monkeypatch, capsys, "prometheus-rules", "~/rules")
    assert (code, said.count(f"{tmp_path}/rules/")) == (0, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["rules"]
