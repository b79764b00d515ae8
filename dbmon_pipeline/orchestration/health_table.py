"""Table of the present health, at a glance in the Dagster UI."""

from collections.abc import Sequence

from dbmon_pipeline.core.alerting.check_history import RecordedVerdict
from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.core.query.answers import Answer
from dbmon_pipeline.orchestration.markdown import markdown_table

_FIGURES = {
    "success_rate": "{:.1%}",
    "error_rate": "{:.1%}",
    "avg_duration_seconds": "{:,.1f} s",
    "avg_quality": "{:.1f}",
    "total_cost": "{:,.2f} USD",
}
_SHOWN_VERDICTS = 20


def health_table(last_day: Answer, verdicts: Sequence[RecordedVerdict]) -> str:
    """Write what is beyond a limit, worst first, and the figures of the last 24 hours, as markdown.

    Args:
        last_day: The answer to ``key_figures``.
        verdicts: What the rules said.
    """
    figures = last_day.records[0]
    rows: list[tuple[str, object]] = [("executions", last_day.samples)]
    for name, form in _FIGURES.items():
        value = figures[name]
        rows.append((name.replace("_", " "), "no data" if value is None else form.format(value)))
    through = iso(last_day.data_through) if last_day.data_through else "not yet"
    beyond = sorted(
        (j for j in verdicts if j.verdict.badness > 0), key=lambda j: -j.verdict.badness
    )
    parts = [f"**{len(beyond)} of {len(verdicts)} beyond a limit**; data through {through}"]
    if beyond:
        told = ((j.verdict, j.sentence) for j in beyond[:_SHOWN_VERDICTS])
        parts.append(markdown_table("verdict what", told))
    return "\n\n".join([*parts, markdown_table("last_24_hours figure:", rows)])
