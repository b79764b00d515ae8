"""Gauges in Prometheus' text format, with labels that are harmless whatever the data holds."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

PREFIX = "dbmon_"
_LONGEST_LABEL = 120
_MARK_DIGITS = 8


def label(text: str) -> str:
    """A text from the data as the value of a label: on one line, without controls, and cut.

    What is changed ends in a mark that is made of the whole text, so that two texts do not become
    one series.
    """
    line = " ".join(text.split())
    kept = "".join(
        character
        for character in line
        if not unicodedata.category(character).startswith("C")  # controls, and what turns text
    )
    if kept == text and 0 < len(kept) <= _LONGEST_LABEL:
        return text
    mark = f"~{hashlib.sha256(text.encode()).hexdigest()[:_MARK_DIGITS]}"
    return kept[: _LONGEST_LABEL - len(mark)] + mark


class Gauges(Collector):
    """Families of gauges; of series with the same labels the first one stays."""

    def __init__(self) -> None:
        """Begin with none."""
        self._about: dict[str, str] = {}
        self._series: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}

    def add(self, name: str, about: str, value: float | None, **labels: str) -> None:
        """Add one series, unless there is no value.

        Args:
            name: The name of the family, without the prefix.
            about: What a value of it is.
            value: The value.
            labels: Labels; their values may be any text.
        """
        if value is None:
            return
        self._about[name] = about
        key = tuple((at, label(text)) for at, text in labels.items())
        self._series.setdefault(name, {}).setdefault(key, value)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The families in the order of their first series."""
        for name, series in self._series.items():
            family = GaugeMetricFamily(
                PREFIX + name, self._about[name], labels=[at for at, _ in next(iter(series))]
            )
            for key, value in series.items():
                family.add_metric([text for _, text in key], value)
            yield family

    def text(self) -> str:
        """All of them in the text format."""
        return generate_latest(self).decode()
