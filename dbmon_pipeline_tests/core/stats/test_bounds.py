"""Bounds of rates and chances of silences, against published values, exact sums and bisection."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmon_pipeline.core.stats.bounds import chance_of_at_most, quantile, wilson_bounds

ROUNDING = 1e-12
CONFIDENCES = (0.6, 0.9, 0.95, 0.975, 0.995, 0.9999)

rates = st.tuples(st.integers(1, 5000), st.floats(0, 1)).map(
    lambda drawn: (round(drawn[0] * drawn[1]), drawn[0])
)
confidences = st.floats(0.51, 0.99999)


def score_bound(count: int, samples: int, confidence: float, *, is_upper: bool) -> float:
    """The rate furthest from the one seen that a score test does not refuse, by bisection.

    It shares no formula with the product: the deviation is measured in standard errors of the
    supposed rate, and the normal distribution comes from ``math.erf``.
    """
    seen = count / samples

    def is_refused(supposed: float) -> bool:
        deviation = abs(seen - supposed)
        error = math.sqrt(supposed * (1 - supposed) / samples)
        if not error:
            return deviation > 0
        return 0.5 * (1 + math.erf(deviation / error / math.sqrt(2))) > confidence

    far = 1.0 if is_upper else 0.0
    if not is_refused(far):
        return far
    near = seen
    for _ in range(100):
        middle = (near + far) / 2
        near, far = (near, middle) if is_refused(middle) else (middle, far)
    return near


def binomial(count: int, samples: int, rate: float) -> float:
    """The probability of a count."""
    ways = math.lgamma(samples + 1) - math.lgamma(count + 1) - math.lgamma(samples - count + 1)
    return math.exp(ways + count * math.log(rate) + (samples - count) * math.log1p(-rate))


def coverage(samples: int, rate: float, confidence: float) -> tuple[float, float]:
    """How probable it is that the lower, and that the upper bound is on the right side of a rate.

    Summed over every count that can be seen.
    """
    below = above = 0.0
    for count in range(samples + 1):
        lower, upper = wilson_bounds(count / samples, samples, confidence)
        chance = binomial(count, samples, rate)
        below += chance * (lower <= rate)
        above += chance * (rate <= upper)
    return below, above


def poisson(count: int, mean: float) -> float:
    """The chance of at most so many events of a Poisson process, one logarithm a term."""
    return math.fsum(
        math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1)
    )


def negative_binomial(count: int, mean: float, variance: float) -> float:
    """The same of a negative binomial distribution, by its probability of success."""
    success = mean / variance
    failures = mean * success / (1 - success)
    return math.fsum(
        math.exp(
            math.lgamma(k + failures)
            - math.lgamma(failures)
            - math.lgamma(k + 1)
            + failures * math.log(success)
            + k * math.log1p(-success)
        )
        for k in range(count + 1)
    )


@pytest.mark.parametrize(
    ("confidence", "value"),
    [(0.9, 1.281552), (0.95, 1.644854), (0.975, 1.959964), (0.995, 2.575829), (0.999, 3.090232)],
)
def test_quantiles_are_those_of_the_tables(confidence: float, value: float) -> None:
    """Of the standard normal distribution, one-sided."""
    assert quantile(confidence) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("count", "samples", "confidence", "lower", "upper"),
    [
        (8, 10, 0.975, 0.4902, 0.9433),
        # R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in
        # Medicine 17 (1998), table I, method 3.
        (81, 263, 0.975, 0.2553, 0.3662),
        (15, 148, 0.975, 0.0624, 0.1605),
        (0, 20, 0.975, 0.0000, 0.1611),
        (1, 29, 0.975, 0.0061, 0.1718),
    ],
)
def test_bounds_are_those_of_the_literature(
    count: int, samples: int, confidence: float, lower: float, upper: float
) -> None:
    """A 95 % two-sided interval has two one-sided bounds at 97.5 %."""
    found = wilson_bounds(count / samples, samples, confidence)
    assert found == pytest.approx((lower, upper), abs=6e-5)


@given(rate=rates, confidence=confidences)
def test_bounds_invert_the_score_test(rate: tuple[int, int], confidence: float) -> None:
    """That is what they are defined by, and says more than the formula that is derived from it."""
    count, samples = rate
    lower, upper = wilson_bounds(count / samples, samples, confidence)
    assert lower == pytest.approx(score_bound(count, samples, confidence, is_upper=False), abs=1e-8)
    assert upper == pytest.approx(score_bound(count, samples, confidence, is_upper=True), abs=1e-8)


@given(rate=rates, confidence=confidences)
def test_bounds_contain_the_rate_and_mirror_failures(
    rate: tuple[int, int], confidence: float
) -> None:
    """Within 0 and 1; bounds of failures are those of successes, seen from the other end."""
    count, samples = rate
    part = count / samples
    lower, upper = wilson_bounds(part, samples, confidence)
    assert 0 <= lower <= part + ROUNDING
    assert part - ROUNDING <= upper <= 1
    mirrored = wilson_bounds(1 - part, samples, confidence)
    assert mirrored == pytest.approx((1 - upper, 1 - lower), abs=1e-9)


@pytest.mark.parametrize("samples", [1, 2, 8, 20, 1000, 10**9])
@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_bounds_do_not_collapse_at_none_and_at_all(samples: int, confidence: float) -> None:
    """Where nothing failed, something still may: by the closed form, z squared of n and that."""
    squared = quantile(confidence) ** 2
    reach = squared / (samples + squared)
    none, every = (wilson_bounds(part, samples, confidence) for part in (0.0, 1.0))
    assert none == pytest.approx((0, reach), abs=ROUNDING)
    assert every == pytest.approx((1 - reach, 1), abs=ROUNDING)
    assert none[1] > 0
    assert every[0] < 1


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.8, 1.0])
def test_bounds_narrow_with_samples_and_widen_with_confidence(part: float) -> None:
    """More executions say more; who wants to be surer knows less."""
    by_samples = [wilson_bounds(part, n, 0.995) for n in (10, 20, 50, 100, 1000, 10**6)]
    by_confidence = [wilson_bounds(part, 40, confidence) for confidence in CONFIDENCES[::-1]]
    for bounds in (by_samples, by_confidence):
        for (low, high), (lower, upper) in pairwise(bounds):
            assert low <= lower + ROUNDING
            assert upper <= high + ROUNDING
            assert upper - lower < high - low


@pytest.mark.parametrize("samples", [10, 30, 100, 400])
@pytest.mark.parametrize("confidence", [0.95, 0.995])
def test_bounds_are_as_sure_as_they_say(samples: int, confidence: float) -> None:
    """By the exact sum over all counts: on average over rates, and nowhere much worse.

    A one-sided score bound is worst for rates near the end that it faces.
    """
    found = [coverage(samples, percent / 100, confidence) for percent in range(5, 100, 5)]
    for side in zip(*found, strict=True):
        assert sum(side) / len(side) == pytest.approx(confidence, abs=0.01)
        assert min(side) > 1 - 3.5 * (1 - confidence)


@pytest.mark.parametrize(
    ("count", "mean", "chance"),
    [(0, 1.0, 0.3679), (1, 1.0, 0.7358), (2, 5.0, 0.1247), (5, 10.0, 0.0671), (10, 10.0, 0.5830)],
)
def test_chances_are_those_of_the_tables(count: int, mean: float, chance: float) -> None:
    """Of the cumulative Poisson distribution."""
    assert chance_of_at_most(count, mean, mean) == pytest.approx(chance, abs=6e-5)


@given(count=st.integers(0, 300), mean=st.floats(0.01, 300), spread=st.floats(0, 1))
def test_a_regular_process_counts_as_poisson(count: int, mean: float, spread: float) -> None:
    """One that varies less than a Poisson process is judged no more strictly than one."""
    expected = min(1.0, poisson(count, mean))
    assert chance_of_at_most(count, mean, mean * spread) == pytest.approx(expected, rel=1e-9)


@given(count=st.integers(0, 300), mean=st.floats(0.01, 300), ratio=st.floats(1.01, 100))
def test_an_irregular_process_counts_as_negative_binomial(
    count: int, mean: float, ratio: float
) -> None:
    """By its probability mass, term by term with the logarithm of the gamma function."""
    expected = min(1.0, negative_binomial(count, mean, mean * ratio))
    assert chance_of_at_most(count, mean, mean * ratio) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("mean", [0.5, 10.0, 200.0])
def test_a_variance_just_above_the_mean_is_nearly_poisson(mean: float) -> None:
    """There is no step where one distribution takes over from the other."""
    count = int(mean * 0.8)
    for excess in (1e-3, 1e-6, 1e-9):
        found = chance_of_at_most(count, mean, mean * (1 + excess))
        assert found == pytest.approx(poisson(count, mean), rel=max(10 * excess * mean, 1e-4))


@given(
    count=st.integers(0, 2000),
    mean=st.floats(1e-6, 600),
    variance=st.floats(0, 1e6),
)
def test_a_chance_is_one_and_grows_with_the_count(count: int, mean: float, variance: float) -> None:
    """Between 0 and 1, whatever the figures."""
    found = [chance_of_at_most(n, mean, variance) for n in (count, count + 1)]
    assert 0 <= found[0] <= found[1] + ROUNDING
    assert found[1] <= 1


@pytest.mark.parametrize(
    ("count", "mean", "variance"),
    [(10_000, 1e4, 1e4), (9_800, 1e4, 1e4), (5_000, 5e3, 1e4), (9_900, 1e4, 2e4), (800, 800, 0)],
)
def test_a_busy_system_is_judged_as_well(count: int, mean: float, variance: float) -> None:
    """Ten thousand executions an hour: the usual number is not unusual."""
    found = chance_of_at_most(count, mean, variance)
    reach = (count + 0.5 - mean) / math.sqrt(2 * max(mean, variance))
    assert found == pytest.approx(0.5 * (1 + math.erf(reach)), abs=0.01)
    is_poisson = variance <= mean
    exact = poisson(count, mean) if is_poisson else negative_binomial(count, mean, variance)
    assert found == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("variance", [0.0, 1e4, 1e5, 1e7, 1e12, 1e300])
@pytest.mark.parametrize("count", [0, 1, 9_000, 20_000])
def test_nothing_overflows(count: int, variance: float) -> None:
    """However much a busy system varies."""
    assert 0 <= chance_of_at_most(count, 1e4, variance) <= 1
