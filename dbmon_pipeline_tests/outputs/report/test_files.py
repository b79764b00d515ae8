"""Where reports lie: written whole or not at all, kept for a while, and listed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from dbmon_pipeline.core.common.errors import ReportError
from dbmon_pipeline.core.config.monitoring import ReportOutput
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.faces.cli import main as cli
from dbmon_pipeline.outputs.report.files import write_report
from dbmon_pipeline_tests.helpers import DROP_PRIVILEGES, HOLD_FILE, run_dbmon, running
from dbmon_pipeline_tests.outputs.report.conftest import AS_OF
from dbmon_pipeline_tests.outputs.report.parsed import Parsed

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(settings: Settings, tmp_path: Path) -> Settings:
    """A home of the test's own with the same that is published, and nothing else to read."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "published").symlink_to(settings.home.published)
    config = msgspec.structs.replace(settings.config, report=ReportOutput(keep_days=30))
    return Settings(tmp_path / "gone.db", Home(folder), config)


@pytest.fixture
def run(home: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``dbmon report`` in this process."""

    def run_it(*arguments: object, where: Path = home.home.path) -> tuple[int, str, str]:
        words = ["report", *map(str, arguments), "--home", str(where)]
        monkeypatch.setattr("sys.argv", ["dbmon", *words, "--as-of", AS_OF.isoformat()])
        for name in ("DBMON_HOME", "DBMON_SOURCE", "DBMON_CONFIG", "DBMON_DEBUG"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed, said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return int(ended.value.code), printed, said

    return run_it


def refusal(ended: tuple[int, str, str]) -> str:
    """The one line that says why there is no report."""
    code, printed, said = ended
    assert (code, printed, said.count("\n")) == (3, "", 1)
    assert said.startswith("dbmon: ")
    assert "unexpected" not in said
    return said


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_the_command_prints_the_page_and_says_the_gist(run: Run, home: Settings) -> None:
    """Without a source and while another process has the home: it needs neither."""
    with running(HOLD_FILE, home.home.lock):
        code, printed, said = run("--time-range", "24h")
    page = home.home.reports / "2026-02-10T123456Z_24h.html"
    assert (code, printed) == (0, f"{page}\n")
    assert said.count("\n") == 2
    assert "In the 24 hours to 2026-02-10 12:34 UTC" in said
    assert names(home.home.reports) == [page.stem + ".html", page.stem + ".json", "index.html"]


def test_a_file_of_ones_own_is_neither_listed_nor_removed(run: Run, tmp_path: Path) -> None:
    """The JSON lies beside it, and there is no index; an old file is replaced."""
    folder = tmp_path / "mine \N{SNOWMAN} & more"
    folder.mkdir()
    (folder / "page.html").write_text("old")
    code, printed, _ = run("--out", folder / "page.html")
    assert (code, printed) == (0, f"{folder / 'page.html'}\n")
    assert names(folder) == ["page.html", "page.json"]
    assert "What changed" in (folder / "page.html").read_text("utf-8")


def test_what_cannot_be_written(run: Run, tmp_path: Path) -> None:
    """A folder that is missing, no file in its place, another ending: told, and nothing is left."""
    assert "there is no folder" in refusal(run("--out", tmp_path / "no" / "page.html"))
    assert not (tmp_path / "no").exists()
    assert "let it end in .html" in refusal(run("--out", tmp_path / "page.json"))
    (tmp_path / "taken.html").mkdir()
    assert "cannot be written (Is a directory)" in refusal(run("--out", tmp_path / "taken.html"))
    os.mkfifo(tmp_path / "pipe.html")
    assert "cannot be written (it is no regular file)" in refusal(
        run("--out", tmp_path / "pipe.html")
    )
    assert "cannot be written (File name too long)" in refusal(
        run("--out", tmp_path / ("a" * 300) / "page.html")
    )
    assert "Nothing is published" not in refusal(run(where=tmp_path / "nowhere"))
    assert names(tmp_path) == ["home", "pipe.html", "taken.html"]


def test_a_folder_that_may_not_be_written(tmp_path: Path, settings: Settings) -> None:
    """It is named, and nothing is left there."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    done = run_dbmon(
        *("report", "--home", settings.home.path, "--as-of", AS_OF.isoformat()),
        *("--out", folder / "page.html"),
        first=DROP_PRIVILEGES,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "page.html cannot be written (Permission denied)" in done.stderr
    assert names(folder) == []


def test_nothing_published(run: Run, tmp_path: Path) -> None:
    """The message says what to do."""
    (tmp_path / "empty").mkdir()
    assert "nothing is published in" in refusal(run(where=tmp_path / "empty"))
    assert names(tmp_path / "empty") == []


def test_a_page_is_whole_or_not_there(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full in the middle leaves no page and no draft."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ReportError, match="No space left on device"):
        write_report(home, AS_OF, TimeRange.DAY)
    assert names(home.home.reports) == []


def gone_meanwhile(path: Path, *, missing_ok: bool = False) -> None:
    """Remove a file that another process has removed just now."""
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - the method is replaced by this
    if not missing_ok:
        raise FileNotFoundError(2, "No such file or directory")


def test_old_reports_go_and_the_others_are_listed(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By when they were written; what is not ours stays, and what cannot be read is left out."""
    folder = home.home.reports
    written = [
        write_report(home, AS_OF - timedelta(hours=hours), TimeRange.DAY).page
        for hours in (3, 2, 1)
    ]
    (folder / "notes.html").write_text("mine")
    for path, days in ((written[0], 31), (written[1], 29), (folder / "notes.html", 400)):
        then = time.time() - days * 86_400
        os.utime(path, (then, then))
    written[2].with_suffix(".json").write_text("{}")
    drafts = [folder / f".{written[1].stem}.json.{number}.tmp" for number in (1, 2)]
    for path, hours in zip(drafts, (25, 23), strict=True):
        path.write_text("half of")
        then = time.time() - hours * 3600
        os.utime(path, (then, then))
    monkeypatch.setattr(Path, "unlink", gone_meanwhile)
    newest = write_report(home, AS_OF, TimeRange.WEEK).page
    assert names(folder) == sorted(
        [
            *("index.html", "notes.html", drafts[1].name),
            *(
                f"{page.stem}.{kind}"
                for page in (*written[1:], newest)
                for kind in ("html", "json")
            ),
        ]
    )
    page = Parsed((folder / "index.html").read_text("utf-8"))
    links = [found["href"] for name, found in page.tags if name == "a"][1:]
    assert links == [newest.name, written[1].name]
    text = " ".join(page.text.split())
    assert "Reports 2 kept, the newest first" in text
    for listed in ("2026-02-10 12:34 UTC, 7d", "2026-02-10 10:34 UTC, 24h"):
        assert listed in text
    assert text.count(" executions ran, ") == 2


SOUND = b'{"as_of": "2026-02-01T00:00:00Z", "time_range": "7d", "samples": 1, "gist": ["x"]}'
ODD = {
    "no instant": SOUND.replace(b"2026-02-01T00:00:00Z", b"x"),
    "no year": SOUND.replace(b"2026-02-01", b"0001-01-01"),
    "infinite": SOUND.replace(b'"samples": 1', b'"samples": 1e999'),
    "endless": SOUND.replace(b'"samples": 1', b'"samples": ' + b"9" * 5000),
    "half a letter": SOUND.replace(b'"x"', rb'"\ud800"'),
    "no UTF-8": SOUND.replace(b'"x"', b'"\xff"'),
    "deep": b"[" * 200_000,
    "deep below": b'{"sections": ' + b"[" * 200_000,
}
"""What may lie beside a page in place of its JSON."""


def test_odd_files_beside_the_reports_cost_nothing_but_their_lines(home: Settings) -> None:
    """Each is passed over, and stays; a single execution is one."""
    folder = home.home.reports
    folder.mkdir()
    pages = [folder / f"2001-01-{day:02}T000000Z_7d.html" for day in range(1, 15)]
    for page in pages[:-2]:
        page.write_text("page")
    for page, odd in zip(pages, ODD.values(), strict=False):
        page.with_suffix(".json").write_bytes(odd)
    pipe, dangling, a_folder, sound, gone, taken = pages[len(ODD) :]
    os.mkfifo(pipe.with_suffix(".json"))
    dangling.with_suffix(".json").symlink_to("nowhere")
    a_folder.with_suffix(".json").mkdir()
    sound.with_suffix(".json").write_bytes(SOUND)
    gone.symlink_to("nowhere")
    taken.mkdir()
    os.utime(taken, (0, 0))
    before = names(folder)
    newest = write_report(home, AS_OF, TimeRange.DAY).page
    there = [newest.name, newest.with_suffix(".json").name, "index.html"]
    assert names(folder) == sorted([*before, *there])
    index = Parsed((folder / "index.html").read_text("utf-8"))
    links = [found["href"] for name, found in index.tags if name == "a"][1:]
    assert links == [newest.name, sound.name]
    assert " ".join(index.text.split()).endswith(" 1 execution x")


def test_the_command_starts_without_what_draws() -> None:
    """Its help is there in no time."""
    code = (
        "import sys\nfrom dbmon_pipeline.faces.cli.main import main\n"
        "sys.argv = ['dbmon', 'report', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert not {'altair', 'jinja2', 'vl_convert'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
