"""``dbmon queries``, ``dbmon query`` and ``dbmon sql``: the catalogue of questions."""

from typing import Annotated

import typer

from dbmon_pipeline.core.common.instants import parse_as_of
from dbmon_pipeline.core.common.rows import Rows
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.open_reader import opened_reader
from dbmon_pipeline.core.query.published import Published
from dbmon_pipeline.core.query.questions import question, questions
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.query.standalone_sql import standalone_sql
from dbmon_pipeline.faces.cli.options import (
    AsOfOption,
    DatabaseOption,
    FormatOption,
    HomeOption,
    RangeOption,
)
from dbmon_pipeline.faces.cli.output import Format, print_info, print_result, print_rows
from dbmon_pipeline.faces.cli.status_text import window_line

NameArgument = Annotated[str, typer.Argument(help="One of those that dbmon queries lists.")]


def queries(format: FormatOption = Format.TABLE) -> None:  # noqa: A002
    """List the questions that can be asked."""
    columns = ("question", "category", "filters", "chart", "one_row")
    rows: list[tuple[object, ...]] = [
        (q.name, q.category, ", ".join(q.filters), q.chart, q.row) for q in questions().values()
    ]
    print_rows(Rows(columns, rows), format)


def query(
    name: NameArgument,
    time_range: RangeOption = TimeRange.WEEK,
    repo: Annotated[str | None, typer.Option(help="Only this repository.")] = None,
    model_tier: Annotated[str | None, typer.Option(help="Only this model tier.")] = None,
    pool_type: Annotated[str | None, typer.Option(help="Only this pool type.")] = None,
    task_type: Annotated[str | None, typer.Option(help="Only this task type.")] = None,
    db: DatabaseOption = None,
    home: HomeOption = None,
    format: FormatOption = Format.TABLE,  # noqa: A002
    as_of: AsOfOption = None,
) -> None:
    """Answer a question."""
    question(name)
    settings = Settings.load(home=home)
    with opened_reader(settings.home, settings.config, parse_as_of(as_of), db) as reader:
        answer = reader.ask(
            name,
            time_range,
            repo=repo,
            model_tier=model_tier,
            pool_type=pool_type,
            task_type=task_type,
        )
    print_rows(answer, format)
    print_info(window_line(answer))


def sql(
    name: NameArgument,
    time_range: RangeOption = TimeRange.WEEK,
    home: HomeOption = None,
    as_of: AsOfOption = None,
) -> None:
    """Print a question as SQL over the published files, ready for the duckdb shell."""
    asked = question(name)
    published = Published(Settings.load(home=home).home)
    print_result(standalone_sql(asked, published, time_range, parse_as_of(as_of)))
