"""A backup is one whole generation, whatever is published meanwhile, and a home goes on from it."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import msgspec
import pytest

from dbmon_pipeline.core.common.errors import BackupError, NotPublishedError, StorageError
from dbmon_pipeline.core.config.monitoring import Keep
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.generation.backup import back_up, restore_backup
from dbmon_pipeline.core.generation.backup_files import LIST_NAME, checksums
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.schema.catalogue import ROLLED_UP
from dbmon_pipeline.core.schema.manifest import FILE_NAME, read_manifest
from dbmon_pipeline_tests.helpers import (
    HOLD_FILE,
    add_rows,
    change_source,
    execution,
    make_source,
    published_rows,
    refresh_core,
    running,
    settings_for,
)

AS_OF = datetime.fromisoformat("2026-03-20T12:00")
MINUTE = timedelta(minutes=1)
COUNTED = ("hour_ledger", "hourly_summary", "hourly_totals", "daily_summary")
"""Tables that count each execution once."""


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def executions_of(folder: Path) -> tuple[int, dict[str, int]]:
    """Count the executions of a generation: by its manifest, and by each table of hours or days."""
    counts = {}
    for table in COUNTED:
        [(count,)] = duckdb.execute(
            f"SELECT sum(executions)::BIGINT FROM '{folder}/{table}/*.parquet'"
        ).fetchall()
        counts[table] = count
    return read_manifest(folder).executions, counts


def is_one_generation(folder: Path) -> bool:
    """Tell whether all tables of a folder count the executions that its manifest does."""
    executions, counts = executions_of(folder)
    return set(counts.values()) == {executions}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source and a home that was refreshed from it, to copy."""
    folder = tmp_path_factory.mktemp("template")
    made = settings_for(folder, rules={}, keep=Keep(generations=1))
    rows = [
        execution(AS_OF - timedelta(hours=5 * n + 1), repo="ab"[n % 2], duration_seconds=n / 8)
        for n in range(200)
    ]
    make_source(made.source, rows)
    refresh_core(made, AS_OF)
    return folder


@pytest.fixture
def settings(template: Path, tmp_path: Path) -> Settings:
    """A refreshed home of the test's own that keeps one generation."""
    shutil.copytree(template, tmp_path / "there", symlinks=True)
    return settings_for(tmp_path / "there", rules={}, keep=Keep(generations=1))


@pytest.fixture
def copying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the backup lie on another disk."""

    def other_disk(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", other_disk)


def refresher(settings: Settings) -> Callable[[], None]:
    """Make a function that publishes another generation with one execution more."""
    number = 0

    def refresh() -> None:
        nonlocal number
        number += 1
        add_rows(settings.source, [execution(AS_OF - timedelta(hours=number))])
        refresh_core(settings, AS_OF + number * MINUTE)

    return refresh


def test_a_backup_is_what_is_published(settings: Settings, tmp_path: Path) -> None:
    """Its files are links on the same disk, and the home stays as it is."""
    before = contents(settings.home.path)
    made = back_up(settings.home, tmp_path / "deep" / "backup")
    published = contents(settings.home.generation)
    there = contents(made.folder)
    assert {name: there[name] for name in published} == published
    assert set(there) == {*published, LIST_NAME}
    assert (made.files, made.is_linked) == (len(published) - 1, True)
    assert made.size_bytes == sum(map(len, published.values())) - len(published[FILE_NAME])
    assert made.manifest == read_manifest(made.folder)
    assert contents(settings.home.path) == before
    assert [path.name for path in made.folder.parent.iterdir()] == ["backup"]


@pytest.mark.usefixtures("copying")
def test_a_backup_on_another_disk(settings: Settings, tmp_path: Path) -> None:
    """It is a copy, whose files are files of its own that nobody changes by mistake."""
    made = back_up(settings.home, tmp_path / "backup")
    assert not made.is_linked
    assert is_one_generation(made.folder)
    for name in contents(settings.home.generation):
        assert (made.folder / name).read_bytes() == (settings.home.generation / name).read_bytes()
        assert not (made.folder / name).samefile(settings.home.generation / name)
    assert (made.folder / "daily_summary").glob("*").__next__().stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("is_linked", [True, False])
def test_a_generation_that_is_removed_meanwhile(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_linked: bool
) -> None:
    """The backup is of the next one, or of the one whose files it holds; never of two."""
    refresh = refresher(settings)
    link, open_file = Path.hardlink_to, Path.open
    waited = 0

    def in_the_middle() -> None:
        nonlocal waited
        waited += 1
        if waited == 10:
            with monkeypatch.context() as undone:
                undone.setattr(Path, "hardlink_to", link)
                undone.setattr(Path, "open", open_file)
                refresh()

    def slow_link(self: Path, target: Path) -> None:
        if not is_linked and "backup" in str(self):
            raise OSError(18, "Invalid cross-device link")
        if "backup" in str(self):
            in_the_middle()
        link(self, target)

    def slow_open(self: Path, *arguments: str, **options: object) -> object:
        if arguments == ("rb",) and str(self).startswith(str(settings.home.generations)):
            in_the_middle()
        return open_file(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "hardlink_to", slow_link)
    monkeypatch.setattr(Path, "open", slow_open)
    before = read_manifest(settings.home.generation)
    made = back_up(settings.home, tmp_path / "backup")
    assert waited > made.files, "the first attempt was to be cut short"
    assert made.manifest.executions == before.executions + 1
    assert made.manifest.generation == before.generation + 1
    assert is_one_generation(made.folder)
    assert made.is_linked == is_linked


def test_a_plain_copy_mixes_two_generations(settings: Settings, tmp_path: Path) -> None:
    """Which is why there is a command."""
    refresh = refresher(settings)
    copied = set[str]()

    def copy(source: str, target: str) -> None:
        table = Path(source).parent.name
        if table in COUNTED and table not in copied:
            copied.add(table)
            if len(copied) == 2:
                refresh()
        if Path(source).exists():  # of others a recursive copy complains, and goes on
            shutil.copyfile(source, target)

    shutil.copytree(settings.home.current, tmp_path / "copy", copy_function=copy)
    assert not is_one_generation(tmp_path / "copy")


def test_backups_beside_refreshes(settings: Settings, tmp_path: Path) -> None:
    """Each backup is a whole generation, while others are published and removed all the time."""
    refresh, is_over = refresher(settings), threading.Event()
    failures: list[BaseException] = []

    def refresh_on() -> None:
        try:
            for _ in range(3):
                refresh()
        except BaseException as error:
            failures.append(error)
        finally:
            is_over.set()

    thread = threading.Thread(target=refresh_on)
    thread.start()
    seen = set[int]()
    while not is_over.is_set():
        made = back_up(settings.home, tmp_path / "backup")
        assert is_one_generation(made.folder)
        seen.add(made.manifest.generation)
        time.sleep(0.02)
    thread.join()
    assert not failures
    assert len(seen) >= 3


def test_a_home_goes_on_from_a_backup(settings: Settings, tmp_path: Path) -> None:
    """With the figures of hours that the source has no more, and those that changed since."""
    made = back_up(settings.home, tmp_path / "backup")
    before = contents(made.folder)
    change_source(settings.source, "DELETE FROM executions WHERE timestamp < '2026-03-05'")
    add_rows(settings.source, [execution(AS_OF + MINUTE), execution(AS_OF - timedelta(hours=30))])
    other = Settings(settings.source, Home(tmp_path / "other"), settings.config)
    assert restore_backup(other.home, made.folder) == made.manifest
    restored = contents(other.home.generation)
    assert restored == {name: before[name] for name in before if name != LIST_NAME}
    assert other.home.generation.name == f"{made.manifest.generation:06d}"
    later = AS_OF + 5 * MINUTE
    refreshed = refresh_core(other, later, accept_shrink=True)
    assert refreshed.publication.manifest.generation == made.manifest.generation + 1
    assert refreshed.rolled_up.changes.rows_read < 100
    refresh_core(settings, later, accept_shrink=True)
    for table in ROLLED_UP:
        assert published_rows(other, table.name) == published_rows(settings, table.name)
    assert sum(int(str(row["executions"])) for row in published_rows(other, "daily_summary")) == 202
    assert contents(made.folder) == before


def test_a_home_that_has_something_published(settings: Settings, tmp_path: Path) -> None:
    """It is not replaced."""
    made = back_up(settings.home, tmp_path / "backup")
    before = contents(settings.home.path)
    with pytest.raises(BackupError, match=r"has published generation 1, .*: name a new home"):
        restore_backup(settings.home, made.folder)
    assert contents(settings.home.path) == before


def test_a_backup_is_replaced(settings: Settings, tmp_path: Path) -> None:
    """By a later one as a whole; an empty folder is filled, and links are followed."""
    (tmp_path / "backup").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "backup")
    first = back_up(settings.home, tmp_path / "link")
    refresher(settings)()
    second = back_up(settings.home, tmp_path / "link")
    assert first.folder == second.folder == tmp_path / "backup"
    assert read_manifest(second.folder).generation == first.manifest.generation + 1
    assert is_one_generation(second.folder)
    assert {path.name for path in tmp_path.iterdir()} == {"backup", "link", "there"}


def put_file(folder: Path) -> Path:
    """Put a file where the backup should be."""
    folder.write_text("precious")
    return folder


def put_other_folder(folder: Path) -> Path:
    """Put another folder where the backup should be."""
    (folder / "photos").mkdir(parents=True)
    return folder


def put_generation(folder: Path) -> Path:
    """Put a folder like a generation there: it has a manifest."""
    folder.mkdir()
    (folder / FILE_NAME).write_text("{}")
    return folder


def put_beside(folder: Path) -> Path:
    """Put a file of somebody into a backup."""
    shutil.copytree(folder.parent / "good", folder)
    (folder / "notes.txt").write_text("precious")
    return folder


@pytest.mark.parametrize(
    ("put", "words"),
    [
        (put_file, "is no folder: name a new one"),
        (put_other_folder, "is not empty, and no backup of dbmon: name a new folder"),
        (put_generation, "is not empty, and no backup of dbmon: name a new folder"),
        (put_beside, "holds 'notes.txt' beside a backup: name a new folder"),
        (lambda folder: folder.parent / "there/home/published/new", "lies in what is published"),
        (lambda folder: folder.parent / "there/home/published/current", "lies in what is publish"),
        (lambda _: Path("/proc"), "/proc is the root of a disk"),
    ],
)
def test_a_folder_that_is_no_backup(
    settings: Settings, tmp_path: Path, put: Callable[[Path], Path], words: str
) -> None:
    """It is refused, and stays as it is."""
    back_up(settings.home, tmp_path / "good")
    folder = put(tmp_path / "backup")
    before = contents(tmp_path)
    with pytest.raises(BackupError, match=words):
        back_up(settings.home, folder)
    assert contents(tmp_path) == before


def flip_byte(backup: Path) -> None:
    """Damage data in the middle of a file, which its footer says nothing of."""
    [file, *_] = (backup / "daily_summary").iterdir()
    file.chmod(0o644)
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.unlink()
    file.write_bytes(data)


def change_json(backup: Path, name: str, change: Callable[[dict[str, object]], object]) -> None:
    """Change a JSON file, and list it as it is then."""
    content = json.loads((backup / name).read_text())
    change(content)
    (backup / name).unlink()
    (backup / name).write_text(json.dumps(content))
    listed = json.loads((backup / LIST_NAME).read_text())
    if name != LIST_NAME:
        listed["sha256"][name] = checksums(backup, [name])[name]
    (backup / LIST_NAME).write_text(json.dumps(listed))


def change_rows(manifest: dict[str, object]) -> None:
    """Have the manifest say another number of rows."""
    tables = msgspec.convert(manifest["tables"], dict[str, list[dict[str, object]]])
    tables["daily_summary"][0]["rows"] = 1
    manifest["tables"] = tables


def climb_out(manifest: dict[str, object]) -> None:
    """Have a table's folder lie outside."""
    tables = msgspec.convert(manifest["tables"], dict[str, object])
    manifest["tables"] = {"../outside": tables["daily_summary"]}


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (shutil.rmtree, "does not exist: name a folder that dbmon backup made"),
    "no list": (lambda b: (b / LIST_NAME).unlink(), "is no backup of dbmon"),
    "no json": (lambda b: (b / LIST_NAME).write_bytes(b"\xff"), "backup.json cannot be read"),
    "no manifest": (lambda b: (b / FILE_NAME).unlink(), "manifest.json cannot be read: No such"),
    "manifest": (
        lambda b: (b / FILE_NAME).write_text("{}"),
        "manifest.json is not what was backed up",
    ),
    "file gone": (
        lambda b: next((b / "hour_ledger").iterdir()).unlink(),
        r"damaged \(hour_ledger/\S+.parquet is not whole\): take another backup",
    ),
    "cut short": (
        lambda b: os.truncate(next((b / "hour_ledger").iterdir()), 100),
        r"damaged \(hour_ledger/\S+.parquet is not whole\)",
    ),
    "flipped": (flip_byte, r"daily_summary/\S+.parquet is not what was backed up"),
    "rows": (lambda b: change_json(b, FILE_NAME, change_rows), r"daily_summary/\S+ has \d+ rows"),
    "out": (lambda b: change_json(b, FILE_NAME, climb_out), "'../outside' is no name of a table"),
    "list of others": (
        lambda b: change_json(b, LIST_NAME, lambda c: c["sha256"].popitem()),  # type: ignore[attr-defined]
        "backup.json lists other files than manifest.json",
    ),
    "newer list": (
        lambda b: change_json(b, LIST_NAME, lambda c: c.update(format_version=2)),
        "was made by a newer version of dbmon: upgrade dbmon-pipeline",
    ),
    "newer manifest": (
        lambda b: change_json(b, FILE_NAME, lambda c: c.update(format_version=99)),
        "was written by a newer version of dbmon: upgrade dbmon-pipeline",
    ),
}


@pytest.mark.usefixtures("copying")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_backup(settings: Settings, tmp_path: Path, damage: str) -> None:
    """It is told in one line, and the home stays empty."""
    made = back_up(settings.home, tmp_path / "backup")
    spoil, words = DAMAGES[damage]
    spoil(made.folder)
    home = Home(tmp_path / "other")
    with pytest.raises((BackupError, NotPublishedError), match=words) as raised:
        restore_backup(home, made.folder)
    assert "\n" not in str(raised.value)
    assert not home.path.exists()


def test_a_damaged_generation(settings: Settings, tmp_path: Path) -> None:
    """No backup is made of it, and the one that is there stays."""
    made = back_up(settings.home, tmp_path / "backup")
    before = contents(made.folder)
    file = next((settings.home.generation / "daily_summary").iterdir())
    file.unlink()
    with pytest.raises(NotPublishedError, match=r"is gone\): run dbmon refresh, which makes it"):
        back_up(settings.home, made.folder)
    file.write_bytes(b"PAR1")
    with pytest.raises(NotPublishedError, match=r"is not whole\): run dbmon refresh"):
        back_up(settings.home, made.folder)
    assert contents(made.folder) == before
    with pytest.raises(NotPublishedError, match="nothing is published in"):
        back_up(Home(tmp_path / "empty"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.usefixtures("copying")
def test_a_full_disk(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a part of a backup is left, nor a part of a restored generation."""
    made = back_up(settings.home, tmp_path / "backup")
    before = contents(made.folder)
    copies = 0

    def full(source: object, target: object) -> None:  # noqa: ARG001
        nonlocal copies
        copies += 1
        if copies > 5:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(StorageError, match="free some space on that disk and repeat"):
        back_up(settings.home, made.folder)
    assert contents(made.folder) == before
    assert {path.name for path in tmp_path.iterdir()} == {"backup", "there"}
    home = Home(tmp_path / "other")
    with pytest.raises(StorageError, match="free some space on that disk and repeat"):
        restore_backup(home, made.folder)
    assert contents(home.path) == {}


def test_a_backup_that_was_killed(settings: Settings, tmp_path: Path) -> None:
    """What it left is removed, or put back: also if it died between two renames."""
    made = back_up(settings.home, tmp_path / "backup")
    draft = tmp_path / ".backup.draft"
    draft.mkdir()
    (draft / "content").mkdir()
    (draft / "content" / FILE_NAME).write_text("{")
    replaced = made.folder.rename(tmp_path / ".backup.replaced")
    with running(HOLD_FILE, tmp_path / ".backup.lock"):
        with pytest.raises(BackupError, match="another process makes a backup in"):
            back_up(settings.home, made.folder)
        assert (draft / "content" / FILE_NAME).exists()
        assert (replaced / LIST_NAME).exists()
    with pytest.raises(NotPublishedError):
        back_up(Home(tmp_path / "empty"), made.folder)
    assert is_one_generation(made.folder)
    assert {path.name for path in tmp_path.iterdir()} == {"backup", "there"}
