"""Gathering a report: everything is asked of one published generation, and nothing waits."""

from __future__ import annotations

from datetime import datetime

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.answers import Answer
from dbmon_pipeline.core.query.open_reader import reading
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.outputs.report import health, outcomes, work
from dbmon_pipeline.outputs.report.changes import Change, compare
from dbmon_pipeline.outputs.report.content import Report
from dbmon_pipeline.outputs.report.period import Period
from dbmon_pipeline.outputs.report.series import over_time
from dbmon_pipeline.outputs.report.words import executions, moment, percent, period, usd


def gather(settings: Settings, as_of: datetime, time_range: TimeRange) -> Report:
    """Gather a report.

    Args:
        settings: The home and the rules.
        as_of: The instant to speak for.
        time_range: How far back to look.

    Raises:
        NotPublishedError: Nothing is published, or a file is damaged or gone.
    """
    zone = settings.config.report.time_zone
    by_hour = time_range.is_to_the_second
    unit = "hour" if by_hour else "day"
    with Published(settings.home) as published:
        with reading(published, as_of) as reader:

            def ask(name: str) -> Answer:
                return reader.ask(name, time_range)

            now = Period.read(reader, time_range)
            start = now.figures.window_start
            points = over_time(now.hours, zone, by_hour=by_hour)
            parts = [
                work.activity(points, unit=unit),
                work.cost(ask, points, settings.config, unit=unit),
                work.tiers(ask),
                outcomes.trouble(ask),
                outcomes.patterns(
                    published.rows("solution_patterns"), moment(published.manifest.as_of, zone)
                ),
                outcomes.quality(ask),
            ]
            about = reader.about
        with reading(published, start) as earlier:
            before = Period.read(earlier, time_range, now.figures.samples)
        current_health = health.gather(settings, published, start, as_of)
    changes = compare(now, before)
    return Report(
        time_range=time_range,
        time_zone=zone,
        about=about,
        window_start=start,
        window_end=now.figures.window_end,
        samples=now.figures.samples,
        gist=(health.sentence(current_health), _work(now, changes, time_range, zone)),
        changes=changes,
        sections=[health.section(current_health, settings.config), *parts],
    )


def _work(now: Period, changes: list[Change], time_range: TimeRange, zone: str) -> str:
    """Describe in one sentence how work went."""
    when = f"In the {period(time_range)} to {moment(now.figures.window_end, zone)}"
    totals = now.totals
    if not now.figures.samples:
        return f"{when} nothing ran, so there is nothing to tell of."
    ran = f"{when} {executions(now.figures.samples)} ran"
    rate = next(change for change in changes if change.unit == "rate")
    succeeded = f"{percent(rate.now or 0)} succeeded"
    if rate.before is None:
        usual = "there is no earlier period to compare with"
    else:
        usual = f"{percent(rate.before)} in the {period(time_range)} before, which is"
        usual += " more than noise" if rate.is_more_than_noise else " no more than noise"
    cost = totals["total_cost"]
    it, its = ("it", "its") if now.figures.samples == 1 else ("they", "their")
    known = f"{it} cost {usd(cost)}" if isinstance(cost, float) else f"{its} cost is not known"
    return f"{ran}, {succeeded} ({usual}), and {known}."
