"""Catalogue of questions: one file in ``sql/dashboard/`` each, described in its header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from functools import cache

from dbmon_pipeline.core.common.errors import QuestionError
from dbmon_pipeline.core.common.shipped import shipped, sql, sql_header

FILTERS = ("model_tier", "pool_type", "repo", "task_type")
"""Every filter that a question may have: a column that must have one value."""


@dataclass(frozen=True)
class Question:
    """Question in ``sql/``: its name, filters and range.

    Attributes:
        name: Its name everywhere, ``NAME.sql``.
        row: What one row of the answer stands for, and what there is to know about it.
        category: The group it belongs to.
        chart: What shows the answer best.
        filters: The filters it has.
        fixed_range: How far back it always looks; None if that is asked for.
        folder: Where it stands in ``sql/``.
    """

    name: str
    row: str
    category: str
    chart: str
    filters: tuple[str, ...]
    fixed_range: timedelta | None
    folder: str = "dashboard"

    @property
    def select(self) -> str:
        """The bare SELECT with ``$since``, ``$until`` and its filters."""
        return sql(self.folder, self.name)

    def check_filters(self, filters: Mapping[str, str | None]) -> None:
        """Refuse filters that the question does not have.

        Raises:
            QuestionError: It lacks one; the message names those it has.
        """
        for name, value in filters.items():
            if value is not None and name not in self.filters:
                raise QuestionError(
                    f"{self.name} cannot be filtered by {name}",
                    remedy=f"its filters are {', '.join(self.filters)}",
                )


@cache
def questions() -> Mapping[str, Question]:
    """Read all questions, by name and grouped by category."""
    folder = shipped("sql", "dashboard")
    asked = (read_question("dashboard", path.stem) for path in sorted(folder.glob("*.sql")))
    return {question.name: question for question in sorted(asked, key=lambda q: q.category)}


def question(name: str) -> Question:
    """Return the question of a name.

    Raises:
        QuestionError: There is none; the message names the nearest one and all.
    """
    if name not in questions():
        near = get_close_matches(name[:100], questions(), n=1)
        raise QuestionError(
            f"there is no question {name[:100]!r}",
            remedy=(f"did you mean {near[0]}? " if near else "")
            + f"the questions are {', '.join(questions())}",
        )
    return questions()[name]


def read_question(folder: str, name: str) -> Question:
    """Read the question in ``sql/FOLDER/NAME.sql``."""
    labels = {"Category": "", "Chart": "", "Filters": "", "Range": ""}
    text = []
    for line in sql_header(folder, name):
        label, _, value = line.partition(": ")
        if label in labels:
            labels[label] = value
        else:
            text.append(line)
    hours = labels["Range"].removesuffix("h")
    return Question(
        name=name,
        row=" ".join(text).removeprefix("One row: "),
        category=labels["Category"],
        chart=labels["Chart"],
        filters=tuple(filter(None, labels["Filters"].split(", "))),
        fixed_range=timedelta(hours=int(hours)) if hours else None,
        folder=folder,
    )
