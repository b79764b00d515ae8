"""The files of reports: written whole, kept for a while, and listed in an index."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dbmon_pipeline.core.errors import ReportError
from dbmon_pipeline.core.files import write_together, write_whole
from dbmon_pipeline.core.ranges import TimeRange
from dbmon_pipeline.core.rows import Scalar
from dbmon_pipeline.core.settings import Settings
from dbmon_pipeline.faces.report.content import Report
from dbmon_pipeline.faces.report.gather import gather
from dbmon_pipeline.faces.report.page import as_json, html, index

_NAME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z_\w+\.html")
_INDEX = "index.html"
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Written:
    """A report that was written.

    Attributes:
        report: The report.
        page: The page; the JSON lies beside it.
    """

    report: Report
    page: Path


def write_report(
    settings: Settings, as_of: datetime, time_range: TimeRange, out: Path | None = None
) -> Written:
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
    if out and not out.parent.is_dir():
        raise ReportError(
            f"there is no folder {out.parent}", remedy="make it, or name another file with --out"
        )
    report = gather(settings, as_of, time_range)
    beside = page.with_suffix(".json")
    text, data = html(report, beside.name), as_json(report)
    with _told(page):
        write_together({beside: data, page: text})
        if not out:
            _keep(folder, settings)
    return Written(report, page)


def _keep(folder: Path, settings: Settings) -> None:
    """Remove reports that were written too long ago, and list the others."""
    limit = time.time() - settings.config.report.keep_days * _DAY_SECONDS
    pages = sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)
    kept = []
    for page in pages:
        if page.stat().st_mtime < limit:
            page.unlink()
            page.with_suffix(".json").unlink(missing_ok=True)
        elif row := _row(page):
            kept.append(row)
    write_whole(folder / _INDEX, index(kept, settings.config.report.time_zone))


def _row(page: Path) -> dict[str, Scalar] | None:
    """What the index says of a report; nothing of one that cannot be read."""
    try:
        found = json.loads(page.with_suffix(".json").read_text("utf-8"))
        return {
            "file": page.name,
            "made_at": str(found["as_of"]),
            "time_range": str(found["time_range"]),
            "executions": int(found["samples"]),
            "gist": " ".join(map(str, found["gist"])),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _told(page: Path) -> Iterator[None]:
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
