"""Files are written whole, and nothing but a file is replaced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.atomic_files import write_together, write_whole


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("is_there", [True, False], ids=["a file", "nothing"])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path, is_there: bool) -> None:
    """Also from a link to a link, and to where there is nothing as yet."""
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "target"
    if is_there:
        target.write_text("old")
    (tmp_path / "middle").symlink_to("far/target")
    (tmp_path / "link").symlink_to("middle")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").readlink() == Path("middle")
    assert target.read_text() == "new"
    assert not target.is_symlink()
    assert names(tmp_path) == ["far", "link", "middle"]
    assert names(target.parent) == ["target"]


@pytest.mark.parametrize("name", ["pipe", "to_pipe", "round"])
def test_what_is_no_file_stays(tmp_path: Path, name: str) -> None:
    """And none of the others is written."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to_pipe").symlink_to("pipe")
    (tmp_path / "round").symlink_to("round")
    there = names(tmp_path)
    with pytest.raises(OSError, match=r"no regular file|Too many levels of symbolic links"):
        write_together({tmp_path / "other": "x", tmp_path / name: "x"})
    assert (tmp_path / "pipe").is_fifo()
    assert names(tmp_path) == there


@pytest.mark.parametrize("letter", ["x", "\N{SNOWMAN}"])
def test_a_name_may_be_as_long_as_the_system_has_them(tmp_path: Path, letter: str) -> None:
    """The draft's is no longer, and those of two files that are written together differ."""
    stem = letter * (250 // len(letter.encode()))
    texts = {tmp_path / f"{stem}.html": "page", tmp_path / f"{stem}.json": "data"}
    write_together(texts)
    assert {path: path.read_text() for path in tmp_path.iterdir()} == texts
