"""The Python API, for notebooks: what is published, as pandas DataFrames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dbmon_pipeline.core.common.instants import parse_as_of
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.open_reader import reading
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.questions import questions
from dbmon_pipeline.core.query.ranges import parse_range

if TYPE_CHECKING:
    import pandas as pd


class PublishedData:
    """Published generation; open it again to see a newer one.

    Durations are seconds, costs USD, memory MB, rates 0 to 1, and instants naive UTC.
    """

    def __init__(self, published: Published) -> None:
        """Use :func:`open_published`."""
        self._published = published

    def tables(self) -> pd.DataFrame:
        """List the published tables.

        Returns:
            One row per table, with the columns ``table`` and ``rows``.
        """
        import pandas as pd

        manifest = self._published.manifest
        names = list(manifest.tables)
        return pd.DataFrame({"table": names, "rows": [manifest.rows(name) for name in names]})

    def table(self, name: str) -> pd.DataFrame:
        """Read a published table, in the order of its key.

        Args:
            name: One of :meth:`tables`.

        Returns:
            One row per row of the table, with its columns; sql/rollups/NAME.sql says what they are.

        Raises:
            NotPublishedError: There is no such table, or a file of it is damaged or gone.
        """
        return self._published.query(name).df()

    def questions(self) -> pd.DataFrame:
        """List the questions that can be asked.

        Returns:
            One row per question, with ``question``, ``category``, ``one_row`` (what a row of the
            answer is), ``filters`` and ``chart``.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "question": q.name,
                    "category": q.category,
                    "one_row": q.row,
                    "filters": ", ".join(q.filters),
                    "chart": q.chart,
                }
                for q in questions().values()
            ]
        )

    def ask(
        self,
        question: str,
        time_range: str = "7d",
        *,
        as_of: str | None = None,
        repo: str | None = None,
        model_tier: str | None = None,
        pool_type: str | None = None,
        task_type: str | None = None,
    ) -> pd.DataFrame:
        """Answer a question.

        Args:
            question: One of :meth:`questions`.
            time_range: How far back to look: ``1h``, ``24h``, ``7d``, ``30d`` or ``90d``.
            as_of: The instant to speak for, ISO 8601; the present one if left out.
            repo: Only executions of this repository.
            model_tier: Only executions of this model tier.
            pool_type: Only executions of this pool type.
            task_type: Only executions of this task type.

        Returns:
            The answer, of any number of rows. Its ``attrs`` hold ``window_start``, ``window_end``,
            ``data_through`` (ISO 8601) and ``samples`` (executions).

        Raises:
            QuestionError: There is no such question or range, or it lacks a filter.
            NotPublishedError: A published file is damaged or gone.
            ConfigError: ``as_of`` cannot be read, or lies in the future.
        """
        import pandas as pd

        with reading(self._published, parse_as_of(as_of)) as reader:
            answer = reader.ask(
                question,
                parse_range(time_range),
                repo=repo,
                model_tier=model_tier,
                pool_type=pool_type,
                task_type=task_type,
            )
        frame = pd.DataFrame(answer.rows, columns=list(answer.columns))
        frame.attrs.update(answer.about)
        return frame


def open_published(home: str | Path | None = None) -> PublishedData:
    """Open what is published now.

    Args:
        home: The working folder; by default ``DBMON_HOME``, then ``.dbmon``.

    Raises:
        NotPublishedError: Nothing is published there.
    """
    settings = Settings.load(home=Path(home) if home is not None else None)
    return PublishedData(Published(settings.home, in_memory=True))
