"""``dbmon status``: the health check, for people, cron, monitoring plugins and scrapers."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from dbmon_pipeline.core.common.errors import (
    DbmonError,
    NotPublishedError,
    SourceError,
    SourceLockedError,
    TimeoutExceededError,
)
from dbmon_pipeline.core.common.instants import parse_as_of
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.open_reader import opened_reader
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.query.reader import Reader
from dbmon_pipeline.core.source.health import source_health
from dbmon_pipeline.core.status.execution_reports import execution_statistics, performance_metrics
from dbmon_pipeline.core.status.status import (
    DatabaseStatus,
    Level,
    database_status,
    unreadable_status,
)
from dbmon_pipeline.faces.cli import status_text
from dbmon_pipeline.faces.cli.options import AsOfOption, DatabaseOption, HomeOption, RangeOption
from dbmon_pipeline.faces.cli.output import (
    ExitCode,
    Format,
    exit_at_once,
    is_interrupt,
    print_info,
    print_json,
    print_result,
    print_rows,
)

_GRACE_SECONDS = 1.0
_CLEAR = "\x1b[H\x1b[2J"


class Metric(StrEnum):
    """Metric that ``--metric`` shows."""

    EXECUTIONS = "executions"
    PERFORMANCE = "performance"
    QUALITY = "quality"
    COST = "cost"
    ERRORS = "errors"
    POOLS = "pools"
    REPOSITORIES = "repositories"


QUESTIONS = {
    Metric.EXECUTIONS: ("key_figures", "executions_per_day", "task_type_distribution"),
    Metric.PERFORMANCE: (
        *("duration_percentiles", "duration_by_model_tier", "duration_by_pool_type"),
        "resource_usage",
    ),
    Metric.QUALITY: ("quality_distribution", "quality_by_model_tier", "user_feedback"),
    Metric.COST: ("cost_by_model_tier", "cost_efficiency", "cost_over_time"),
    Metric.ERRORS: ("top_error_types", "errors_by_model_tier", "error_rate_over_time"),
    Metric.POOLS: ("pool_utilization", "success_rate_by_pool_type"),
    Metric.REPOSITORIES: ("top_repositories", "success_rate_by_repository", "repository_activity"),
}
"""The questions that make up a metric."""


class StatusFormat(StrEnum):
    """Format of a printed status."""

    TEXT = "text"
    JSON = "json"
    NAGIOS = "nagios"
    PROMETHEUS = "prometheus"


_EXIT = {
    Level.OK: ExitCode.OK,
    Level.WARNING: ExitCode.WARNING,
    Level.ERROR: ExitCode.CRITICAL,
    Level.CRITICAL: ExitCode.CRITICAL,
}


def status(
    stats: Annotated[
        bool, typer.Option("--stats", help="Statistics and metrics; JSON unless on a terminal.")
    ] = False,
    metric: Annotated[
        Metric | None, typer.Option(help="The questions about one thing instead.")
    ] = None,
    time_range: RangeOption = TimeRange.WEEK,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Repeat until interrupted; one JSON line per check when not on a terminal.",
        ),
    ] = False,
    interval: Annotated[float, typer.Option(min=1, help="Seconds from one look to the next.")] = 60,
    alert: Annotated[
        bool, typer.Option("--alert", help="Show what every alert rule says, with its limits.")
    ] = False,
    thresholds: Annotated[
        Path | None,
        typer.Option(readable=False, help="Another rules file; what it leaves out stays."),
    ] = None,
    db: DatabaseOption = None,
    home: HomeOption = None,
    format: Annotated[  # noqa: A002
        StatusFormat | None, typer.Option("--format", help="How to print. [text]")
    ] = None,
    as_of: AsOfOption = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, help="Give up after so many seconds, with exit code 3.")
    ] = None,
) -> int:
    """Show the health of the database.

    Exits with 0 if all is well, 1 on a warning, 2 on an error or what is critical, and 3 if it
    cannot tell.
    """
    settings = Settings.load(home=home, rules=thresholds)
    if stats and metric:
        raise typer.BadParameter("give either --stats or --metric")
    if (stats or metric) and format in (StatusFormat.NAGIOS, StatusFormat.PROMETHEUS):
        raise typer.BadParameter(f"--format {format} has the status only")
    instant = parse_as_of(as_of)
    is_terminal = sys.stdout.isatty()
    if format is None:
        wants_json = (stats or watch) and not is_terminal
        format = StatusFormat.JSON if wants_json else StatusFormat.TEXT  # noqa: A001

    def look(at: datetime, *, on_one_line: bool = False) -> int:
        with _time_limit(timeout):
            if stats or metric:
                with opened_reader(settings.home, settings.config, at, db) as reader:
                    _print_report(reader, metric, time_range, format, on_one_line=on_one_line)
                return ExitCode.OK
            current = _status(settings, at, db)
        _print_status(current, format, alert=alert, on_one_line=on_one_line)
        return _EXIT[current.status]

    if not watch:
        try:
            return look(instant)
        except DbmonError as error:
            if format is not StatusFormat.NAGIOS:
                raise
            print_result(f"DBMON UNKNOWN - {error}".replace("|", "/"))
            return ExitCode.UNKNOWN
    return _watch(lambda: look(parse_as_of(as_of), on_one_line=not is_terminal), interval)


def _status(settings: Settings, at: datetime, db: Path | None) -> DatabaseStatus:
    """Report the status, also of a database that cannot be read."""
    try:
        with opened_reader(settings.home, settings.config, at, db) as reader:
            return database_status(reader, settings.config)
    except SourceLockedError:
        raise
    except SourceError as error:
        return unreadable_status(db.absolute() if db else settings.source, at, error)
    except NotPublishedError:
        if problem := source_health(settings.source).error:
            return unreadable_status(settings.source, at, problem)
        raise


def _print_status(
    status: DatabaseStatus, form: StatusFormat, *, alert: bool, on_one_line: bool
) -> None:
    match form:
        case StatusFormat.JSON:
            shown = asdict(status)
            if not alert:
                del shown["alerts"]
            print_json(shown, on_one_line=on_one_line)
        case StatusFormat.NAGIOS:
            print_result(status_text.nagios(status))
        case StatusFormat.PROMETHEUS:
            from dbmon_pipeline.outputs.prometheus.metrics import status_metrics

            print_result(status_metrics(status).rstrip("\n"))
        case StatusFormat.TEXT:
            print_result(
                status_text.text(status, alert=alert, colour=status_text.has_colour(sys.stdout))
            )


def _print_report(
    reader: Reader,
    metric: Metric | None,
    time_range: TimeRange,
    form: StatusFormat,
    *,
    on_one_line: bool,
) -> None:
    """Print statistics and metrics, or the questions of one metric."""
    if metric:
        answers = [reader.ask(name, time_range) for name in QUESTIONS[metric]]
        first = answers[0]
        if form is StatusFormat.TEXT:
            print_result(status_text.window_line(first))
            for answer in answers:
                print_result(f"\n{answer.question.replace('_', ' ').capitalize()}")
                print_rows(answer, Format.TABLE)
            return
        report: dict[str, object] = {
            "metric": metric,
            "time_range": time_range,
            **first.about,
            "questions": {answer.question: answer.records for answer in answers},
        }
    else:
        statistics = execution_statistics(reader, time_range)
        metrics = performance_metrics(reader, time_range)
        if form is StatusFormat.TEXT:
            status_text.print_statistics(statistics, metrics)
            return
        report = {
            "execution_statistics": asdict(statistics),
            "performance_metrics": asdict(metrics),
        }
    print_json(report, on_one_line=on_one_line)


def _watch(look: Callable[[], int], interval: float) -> int:
    """Look again and again, until somebody interrupts."""
    try:
        while True:
            if sys.stdout.isatty():
                sys.stdout.write(_CLEAR)
            try:
                look()
            except DbmonError as error:
                print_info(f"dbmon: {error}")
            time.sleep(interval)
    except KeyboardInterrupt:
        return ExitCode.OK
    except RuntimeError as error:
        if is_interrupt(error):
            exit_at_once(ExitCode.OK)
        raise


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """Give up a block after some seconds.

    A long query may not notice the alarm; then the process ends, a moment later.

    Raises:
        TimeoutExceededError: It took longer.
    """
    if seconds is None:
        yield
        return
    late = TimeoutExceededError(
        f"there is no answer after {seconds:g} seconds",
        remedy="give more with --timeout, or look at dbmon tables",
    )

    def give_up(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise late

    def end() -> None:
        print_info(f"dbmon: {late}")
        exit_at_once(ExitCode.UNKNOWN)

    last_resort = threading.Timer(seconds + _GRACE_SECONDS, end)
    last_resort.daemon = True
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    last_resort.start()
    try:
        yield
    except RuntimeError as error:
        raise (late if is_interrupt(error) else error) from None
    finally:
        last_resort.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
