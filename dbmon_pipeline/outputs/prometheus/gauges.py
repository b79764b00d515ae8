"""Gauges in Prometheus' text format, with labels that are harmless whatever the data holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from dbmon_pipeline.core.common.safe_text import plain

PREFIX = "dbmon_"
_LONGEST_LABEL = 120
_MARK_DIGITS = 8


def label_value(text: str) -> str:
    """Make a text the value of a label: on one line, without controls, and cut.

    What is changed ends in a mark that is made of the whole text, so that two texts do not become
    one series.
    """
    kept = plain(text, len(text))
    if kept == text and 0 < len(kept) <= _LONGEST_LABEL:
        return text
    mark = f"~{hashlib.sha256(text.encode()).hexdigest()[:_MARK_DIGITS]}"
    return kept[: _LONGEST_LABEL - len(mark)] + mark


class Gauges(Collector):
    """Families of gauges; of series with the same labels the first one stays."""

    def __init__(self) -> None:
        """Begin with none."""
        self._families: dict[str, GaugeMetricFamily] = {}
        self._series: set[tuple[str, ...]] = set()

    def add(self, name: str, about: str, value: float | None, **labels: str) -> None:
        """Add one series, unless there is no value.

        Args:
            name: The name of the family, without the prefix.
            about: What a value of it is.
            value: The value.
            labels: Labels, the same for all series of a family; their values may be any text.
        """
        series = (name, *map(label_value, labels.values()))
        if value is None or series in self._series:
            return
        self._series.add(series)
        family = GaugeMetricFamily(PREFIX + name, about, labels=[*labels])
        self._families.setdefault(name, family).add_metric(series[1:], value)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the families in the order of their first series."""
        return self._families.values()

    def text(self) -> str:
        """Render all of them in the text format."""
        return generate_latest(self).decode()
