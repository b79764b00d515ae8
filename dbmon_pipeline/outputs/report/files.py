"""The files of reports: written whole, kept for a while, and listed in an index."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from dbmon_pipeline.core.common.atomic_files import write_together, write_whole
from dbmon_pipeline.core.common.errors import ConfigError, ReportError
from dbmon_pipeline.core.common.instants import iso, parse_as_of
from dbmon_pipeline.core.common.rows import Scalar
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.outputs.report.content import Report
from dbmon_pipeline.outputs.report.gather import gather
from dbmon_pipeline.outputs.report.page import as_json, html, index

_NAME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z_\w+\.html")
_DRAFT = re.compile(r"\..+\.(html|json)\.\d+\.tmp")
_INDEX = "index.html"
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written.

    Attributes:
        report: The report.
        page: The page; the JSON lies beside it.
    """

    report: Report
    page: Path


class _Listed(msgspec.Struct):
    """Fields that the index needs of the JSON of a report."""

    as_of: str
    time_range: TimeRange
    samples: int
    gist: list[str]


def write_report(
    settings: Settings, as_of: datetime, time_range: TimeRange, out: Path | None = None
) -> WrittenReport:
    """Make a report and write it: to a file, or into the home's folder of reports.

    Args:
        settings: The home and the rules.
        as_of: The instant to speak for.
        time_range: How far back to look.
        out: The page's file, whose folder is there; None for the home's.

    Raises:
        NotPublishedError: Nothing is published, or a file is damaged or gone.
        ReportError: The report cannot be written there.
    """
    folder = settings.home.reports
    page = out or folder / f"{as_of:%Y-%m-%dT%H%M%S}Z_{time_range}.html"
    if page.suffix != ".html":
        raise ReportError(
            f"{page} is not the name of a page",
            remedy="let it end in .html; the JSON beside it ends in .json",
        )
    with _translate_errors(page):
        if out and not out.parent.is_dir():
            raise ReportError(
                f"there is no folder {out.parent}",
                remedy="make it, or name another file with --out",
            )
    report = gather(settings, as_of, time_range)
    beside = page.with_suffix(".json")
    text, data = html(report, beside.name), as_json(report)
    with _translate_errors(page):
        write_together({beside: data, page: text})
        if not out:
            _keep(folder, settings)
    return WrittenReport(report, page)


def _keep(folder: Path, settings: Settings) -> None:
    """Remove reports that were written too long ago, and drafts of the dead; list the others.

    What is in the way, or is removed meanwhile by another who reports, is passed over.
    """
    now = time.time()
    limit = now - settings.config.report.keep_days * _DAY_SECONDS
    kept = []
    for path in sorted(folder.iterdir(), reverse=True):
        with suppress(OSError):
            if _DRAFT.fullmatch(path.name) and path.lstat().st_mtime < now - _DAY_SECONDS:
                path.unlink()
            elif not (_NAME.fullmatch(path.name) and path.is_file()):
                continue
            elif path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)
                path.with_suffix(".json").unlink(missing_ok=True)
            elif row := _row(path):
                kept.append(row)
    write_whole(folder / _INDEX, index(kept, settings.config.report.time_zone))


def _row(page: Path) -> dict[str, Scalar] | None:
    """Return the index row of a report; None for a report that cannot be read.

    Raises:
        OSError: The file beside it is gone, or may not be read.
    """
    beside = page.with_suffix(".json")
    if not beside.is_file():
        return None
    try:
        listed = msgspec.json.decode(beside.read_bytes(), type=_Listed)
        made_at = iso(parse_as_of(listed.as_of))
    except (msgspec.MsgspecError, ValueError, RecursionError, ConfigError):
        return None
    return {
        "file": page.name,
        "made_at": made_at,
        "time_range": listed.time_range,
        "executions": listed.samples,
        "gist": " ".join(listed.gist),
    }


@contextmanager
def _translate_errors(page: Path) -> Iterator[None]:
    """Tell what the system says of a file.

    Raises:
        ReportError: It cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise ReportError(
            f"{page} cannot be written ({error.strerror or error})",
            remedy="name a file with --out in a folder that you may write, and check that its disk"
            " has space",
        ) from None
