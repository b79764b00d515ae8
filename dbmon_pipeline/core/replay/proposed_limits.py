"""Proposal of limits for a value whose normal state lies beyond those of its rule.

A rate is called bad when its odds are a multiple of the usual ones, so a limit never passes 0 % or
100 %: at a success rate of 92 % twice the odds of failure are 85 %, five times 70 %. Other values
are called bad at a multiple of the usual one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dbmon_pipeline.core.config.rule import RATES, Rule, Severity
from dbmon_pipeline.core.replay.replay import RuleReplay

_MOST_OF_THE_TIME = 0.5
_ODDS = {"warning": 2.0, "critical": 5.0}
_TIMES = {"warning": 1.5, "critical": 3.0}
_OTHERS = frozenset({"cost_budget", "cost_drift"})
_DIGITS = 2


def propose_limits(
    replayed: Iterable[RuleReplay], rules: Mapping[str, Rule]
) -> dict[str, dict[str, dict[str, float]]]:
    """Propose limits for the rules that are beyond theirs for more than half of the time.

    Args:
        replayed: What the rules say of the past.
        rules: The rules, by name.

    Returns:
        By rule, then ``below`` or ``above``, then ``warning`` and ``critical``: as in a rules file.
        A rule is left out if no limit would do, since the usual value is as bad as can be.
    """
    return {
        one.rule: {rules[one.rule].direction: limits}
        for one in replayed
        if one.share_beyond_limit > _MOST_OF_THE_TIME and one.usual is not None
        if (limits := _limits(one.rule, rules[one.rule], one.usual))
    }


def _limits(name: str, rule: Rule, usual: float) -> dict[str, float]:
    measurement = rule.judges(name)
    levels = [severity.value for severity in Severity if rule.limit(severity) is not None]
    if measurement in RATES and 0 < usual < 1:
        odds = usual / (1 - usual)
        return {
            level: _rounded(_rate(odds / _ODDS[level] if rule.below else odds * _ODDS[level]))
            for level in levels
        }
    if measurement in _OTHERS and usual > 0 and not rule.below:
        return {level: _rounded(usual * _TIMES[level]) for level in levels}
    return {}


def _rate(odds: float) -> float:
    return odds / (1 + odds)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
