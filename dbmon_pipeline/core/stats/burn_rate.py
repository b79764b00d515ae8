"""Service level objective: how fast its error budget is burnt.

Multi-window, multi-burn-rate alerts, as in The Site Reliability Workbook (2018), chapter 5: a
budget of 30 days is burnt too fast if 2 % of it go in an hour, 5 % in six, or 10 % in three days;
and it still is, if so much goes in a twelfth of that time too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

_PERIOD = timedelta(days=30)
_SHORT = 12


@dataclass(frozen=True)
class Burn:
    """Burn rate limit: how fast the budget may be burnt.

    Attributes:
        window: Over how long.
        part: Which part of the budget of 30 days may be burnt in it.
        is_critical: Whether more is critical, or a warning only.
    """

    window: timedelta
    part: float
    is_critical: bool

    @property
    def short(self) -> timedelta:
        """The short window, which shows whether the burning still goes on."""
        return self.window / _SHORT

    @property
    def limit(self) -> float:
        """The highest burn rate, as a multiple of the rate that the budget allows."""
        return self.part * (_PERIOD / self.window)


BURNS = (
    Burn(timedelta(hours=1), 0.02, is_critical=True),
    Burn(timedelta(hours=6), 0.05, is_critical=True),
    Burn(timedelta(days=3), 0.10, is_critical=False),
)


def can_fire(target: float) -> bool:
    """Tell whether every alert could fire: if all executions fail, that is fast enough.

    Args:
        target: Which part of the executions is to succeed.
    """
    return BURNS[0].limit < 1 / (1 - target)


def burn_rate(success_rate: float, target: float) -> float:
    """Compute the rate of failures as a multiple of the rate that the target allows.

    Args:
        success_rate: Which part of the executions succeeded.
        target: Which part of them is to succeed, below 1.
    """
    return (1 - success_rate) / (1 - target)
