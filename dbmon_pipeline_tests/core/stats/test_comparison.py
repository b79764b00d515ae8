"""Two periods compared: published values, every arrangement counted, and error rates."""

from __future__ import annotations

import math
import random
from itertools import combinations
from statistics import mean

import pytest

from dbmon_pipeline.core.stats.comparison import (
    difference_bounds,
    least_chance,
    rank_sum_chance,
    scatter,
)


@pytest.mark.parametrize(
    ("now", "before", "lower", "upper"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_the_published_intervals(
    now: tuple[int, int], before: tuple[int, int], lower: float, upper: float
) -> None:
    """Those of method 10 in table II of Newcombe (1998), to the fourth place."""
    found = difference_bounds(now[0] / now[1], now[1], before[0] / before[1], before[1], 0.975)
    assert found == pytest.approx((lower, upper), abs=5.1e-5)


def test_a_difference_turns_around_with_its_periods() -> None:
    """Now minus before is the opposite of before minus now."""
    low, high = difference_bounds(0.7, 30, 0.9, 50, 0.99)
    assert difference_bounds(0.9, 50, 0.7, 30, 0.99) == pytest.approx((-high, -low))
    assert low < -0.2 < high


def test_scatter_against_the_chi_squared_statistic() -> None:
    """By the table of counts: observed against expected, successes and failures, over k - 1."""
    parts = [(90, 100), (60, 80), (45, 50), (10, 40)]
    rate = 205 / 270
    statistic = sum(
        (seen - size * share) ** 2 / (size * share)
        for good, size in parts
        for seen, share in ((good, rate), (size - good, 1 - rate))
    )
    assert scatter([*parts, (0, 0)]) == pytest.approx(statistic / 3)


@pytest.mark.parametrize(
    "parts", [[], [(3, 9)], [(0, 9), (0, 4)], [(9, 9), (4, 4)], [(5, 10), (5, 10), (5, 10)]]
)
def test_no_scatter(parts: list[tuple[int, int]]) -> None:
    """Nothing to see it in, or less than chance makes: a sample counts as what it is."""
    assert scatter(parts) == 1.0


def test_the_scatter_of_chance_alone_is_about_one() -> None:
    """So that a rate that does not vary is not judged as if it did."""
    chance = random.Random(5)  # noqa: S311
    found = [
        scatter([(sum(chance.random() < 0.9 for _ in range(200)), 200) for _ in range(7)])
        for _ in range(60)
    ]
    assert 1.0 < mean(found) < 1.35


def every_arrangement(now: list[float], before: list[float]) -> float:
    """The chance by definition: all ways to part the values, and their rank sums."""
    values = now + before
    ranks = [
        sum(other < value for other in values) + (values.count(value) + 1) / 2 for value in values
    ]
    middle = len(now) * (len(values) + 1) / 2
    apart = abs(sum(ranks[: len(now)]) - middle)
    sums = [sum(chosen) for chosen in combinations(ranks, len(now))]
    return sum(abs(total - middle) >= apart - 1e-9 for total in sums) / len(sums)


@pytest.mark.parametrize("seed", range(25))
def test_ranks_against_every_arrangement(seed: int) -> None:
    """With ties, without, and with samples of unlike size."""
    chance = random.Random(seed)  # noqa: S311
    now, before = (
        [float(chance.randrange(2 if seed == 0 else 30)) for _ in range(chance.randint(1, 7))]
        for _ in range(2)
    )
    assert rank_sum_chance(now, before) == pytest.approx(every_arrangement(now, before))
    assert rank_sum_chance(now, before) == pytest.approx(rank_sum_chance(before, now))


@pytest.mark.parametrize("seed", range(6))
def test_many_values_against_every_arrangement(seed: int) -> None:
    """Above the exact count the approximation is close."""
    chance = random.Random(seed)  # noqa: S311
    now = [float(chance.randrange(12) + seed) for _ in range(4)]
    before = [float(chance.randrange(12)) for _ in range(18)]
    assert rank_sum_chance(now, before) == pytest.approx(every_arrangement(now, before), abs=0.02)


def test_a_known_case() -> None:
    """Seven days wholly above seven others: 2 of 3,432 arrangements."""
    now, before = [8.0, 9, 10, 11, 12, 13, 14], [1.0, 2, 3, 4, 5, 6, 7]
    assert rank_sum_chance(now, before) == pytest.approx(2 / 3432)
    assert least_chance(7, 7) == pytest.approx(2 / 3432)
    assert rank_sum_chance([1.0] * 30, [1.0] * 30) == 1.0
    assert rank_sum_chance([1.0] * 3, [1.0] * 3) == 1.0


def test_few_values_cannot_be_told_apart() -> None:
    """However far apart they are; one value, or none, least of all."""
    assert least_chance(3, 3) == pytest.approx(0.1)
    assert rank_sum_chance([7.0, 8, 9], [1.0, 2, 3]) == pytest.approx(0.1)
    assert least_chance(1, 1) == least_chance(0, 7) == 1.0
    assert math.isclose(least_chance(5, 5), 2 / 252)
