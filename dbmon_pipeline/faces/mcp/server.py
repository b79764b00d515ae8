"""The MCP server: the status, the reports and the questions, for agents. It only reads.

No SQL comes from a caller, no file outside of the allow-list is opened, and text from the data is
cut and said to be data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import Annotated, Any, TypeVar, cast

import msgspec
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

from dbmon_pipeline.core.common.errors import (
    DbmonError,
    NotPublishedError,
    SourceError,
    SourceLockedError,
)
from dbmon_pipeline.core.common.instants import utc_now
from dbmon_pipeline.core.common.rows import Records, Scalar
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.query.questions import Question, questions
from dbmon_pipeline.core.query.ranges import TimeRange
from dbmon_pipeline.core.schema.catalogue import TABLES
from dbmon_pipeline.core.schema.columns import table_columns
from dbmon_pipeline.core.status import execution_reports as reports
from dbmon_pipeline.core.status import status
from dbmon_pipeline.core.status.execution_reports import ExecutionStatistics, PerformanceMetrics
from dbmon_pipeline.core.status.status import DatabaseStatus
from dbmon_pipeline.faces.mcp.alerts import (
    ExplainedAlert,
    OpenIncidents,
    explained_alert,
    open_incidents,
)
from dbmon_pipeline.faces.mcp.data import Data
from dbmon_pipeline.faces.mcp.prompts import INSTRUCTIONS, TEXT_IS_DATA, triage, weekly_review

R = TypeVar("R", ExecutionStatistics, PerformanceMetrics)

_READS_ONLY = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
_NOTHING_PUBLISHED = "nothing readable is published: run dbmon refresh"

DatabasePath = Annotated[
    str | None,
    Field(description="Another database, of those that the settings allow. Usually left out."),
]
Range = Annotated[TimeRange, Field(description="How far back to look.")]
Filter = Annotated[str | None, Field(description="Only executions with this value.")]


class QuestionInfo(BaseModel):
    """A question that can be asked."""

    name: str
    category: str
    one_row: str
    filters: list[str]
    chart: str


class QuestionList(BaseModel):
    """The catalogue of questions."""

    questions: list[QuestionInfo]


class QuestionAnswer(BaseModel):
    """The answer to a question; instants are ISO 8601 in UTC."""

    question: str
    one_row: str
    window_start: str
    window_end: str
    data_through: str | None
    samples: int
    rows: Records
    rows_in_all: int
    is_truncated: bool
    note: str


def _info(question: Question) -> QuestionInfo:
    return QuestionInfo(
        name=question.name,
        category=question.category,
        one_row=question.row,
        filters=list(question.filters),
        chart=question.chart,
    )


@contextmanager
def _tool_errors() -> Iterator[None]:
    """Tell an error of the core as one of the tool, without the paths of the home.

    Raises:
        ToolError: With what to do about it.
    """
    try:
        yield
    except NotPublishedError:
        raise ToolError(_NOTHING_PUBLISHED) from None
    except DbmonError as error:
        raise ToolError(str(error)) from None


def make_server(settings: Settings) -> MCPServer:
    """Build the server over a home.

    Args:
        settings: Whose published data it reads, and what it may do.
    """
    data, config, limits = Data(settings), settings.config, settings.config.mcp
    server = MCPServer(
        "dbmon",
        title="dbmon",
        version=version("dbmon-pipeline"),
        instructions=INSTRUCTIONS,
        log_level="WARNING",
    )
    tool = server.tool(annotations=_READS_ONLY)

    def cut(value: Scalar) -> Scalar:
        is_long = isinstance(value, str) and len(value) > limits.max_text
        return f"{str(value)[: limits.max_text]}…" if is_long else value

    def cut_rows(rows: Records) -> Records:
        return [{column: cut(value) for column, value in row.items()} for row in rows]

    def cut_records(report: R) -> R:
        lists = {n: cut_rows(value) for n, value in vars(report).items() if isinstance(value, list)}
        return replace(report, **cast("dict[str, Any]", lists))

    @tool
    def database_status(db_path: DatabasePath = None) -> DatabaseStatus:
        """Report the health of the database: level, size, counts, rates of the last day, alerts."""
        with _tool_errors():
            try:
                return data.answer(db_path, lambda reader: status.database_status(reader, config))
            except SourceLockedError:
                raise
            except SourceError as error:
                path = data.allowed(db_path) if db_path else settings.source
                return status.unreadable_status(path, utc_now(), error)

    @tool
    def execution_statistics(
        time_range: Range = TimeRange.WEEK, db_path: DatabasePath = None
    ) -> ExecutionStatistics:
        """Count executions over time, by model tier, pool type, repository and task type."""
        with _tool_errors():
            return cut_records(
                data.answer(
                    db_path, lambda reader: reports.execution_statistics(reader, time_range)
                )
            )

    @tool
    def performance_metrics(
        time_range: Range = TimeRange.WEEK, db_path: DatabasePath = None
    ) -> PerformanceMetrics:
        """Report durations with percentiles, costs with savings, and memory."""
        with _tool_errors():
            return cut_records(
                data.answer(db_path, lambda reader: reports.performance_metrics(reader, time_range))
            )

    @tool
    def list_alerts() -> OpenIncidents:
        """List the incidents that are not over: what is wrong, since when, who has taken it on."""
        with _tool_errors():
            return open_incidents(settings, cut, TEXT_IS_DATA)

    @tool
    def explain_alert(
        rule: Annotated[str, Field(description="An alert rule, as database_status names it.")],
        scope: Annotated[str, Field(description="Its scope; all for a rule without one.")] = "all",
    ) -> ExplainedAlert:
        """Explain a rule's verdict: what contributes, and whether only the mix has changed."""
        with _tool_errors():
            return data.answer(
                None,
                lambda reader: explained_alert(reader, config, rule, scope, cut_rows, TEXT_IS_DATA),
            )

    @tool
    def list_questions() -> QuestionList:
        """List all questions for ask_question: what a row of the answer is, and its filters."""
        return QuestionList(questions=[_info(q) for q in questions().values()])

    @tool
    def ask_question(
        name: Annotated[str, Field(description="A name from list_questions.")],
        time_range: Range = TimeRange.WEEK,
        repo: Filter = None,
        model_tier: Filter = None,
        pool_type: Filter = None,
        task_type: Filter = None,
        limit: Annotated[int, Field(ge=1, description="Rows of the answer at the most.")] = 100,
    ) -> QuestionAnswer:
        """Answer a question of the catalogue."""
        filters = {
            "repo": repo,
            "model_tier": model_tier,
            "pool_type": pool_type,
            "task_type": task_type,
        }
        with _tool_errors():
            answer = data.answer(None, lambda reader: reader.ask(name, time_range, **filters))
        rows = answer.records[: min(limit, limits.max_rows)]
        return QuestionAnswer.model_validate(
            {
                "question": name,
                "one_row": questions()[name].row,
                **answer.about,
                "rows": cut_rows(rows),
                "rows_in_all": len(answer.rows),
                "is_truncated": len(rows) < len(answer.rows),
                "note": TEXT_IS_DATA,
            }
        )

    @server.resource("dbmon://schema", mime_type="application/json")
    def schema() -> str:
        """Describe the published tables: what a row is, the key, and the typed columns."""
        columns = table_columns()
        return json.dumps(
            {
                name: {
                    "one_row": table.grain,
                    "key": table.key,
                    "columns": dict(columns[name]),
                }
                for name, table in TABLES.items()
            },
            indent=1,
        )

    @server.resource("dbmon://questions", mime_type="application/json")
    def catalogue() -> str:
        """List the questions, with the SQL of each."""
        return json.dumps(
            {q.name: _info(q).model_dump() | {"sql": q.select} for q in questions().values()},
            indent=1,
        )

    @server.resource("dbmon://config", mime_type="application/json")
    def rules() -> str:
        """Show the limits and the alert rules that are in force."""
        limits = msgspec.to_builtins(config)
        del limits["redaction"], limits["mcp"], limits["notifications"]
        return json.dumps(limits, indent=1)

    for prompt in (weekly_review, triage):
        server.prompt()(prompt)
    return server
