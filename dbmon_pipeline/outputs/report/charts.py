"""The charts: Altair says what is drawn, vl-convert turns it into SVG; neither asks any network."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence

import altair as alt

from dbmon_pipeline.core.common.rows import Records, Scalar
from dbmon_pipeline.outputs.report.content import Chart
from dbmon_pipeline.outputs.report.palette import AMBER, BAND, BLUE, GREEN, GRID, INK, MUTED, RED
from dbmon_pipeline.outputs.report.tables import number
from dbmon_pipeline.outputs.report.words import cut

Drawn = alt.Chart | alt.LayerChart | alt.FacetChart

_WIDTH = 290
_WIDTH_BESIDE_NAMES = 180
_HEIGHT = 150
_BAR = 22
_MOST_ZOOM = 1.3
_LONGEST_LABEL = 20
_TICK = "length(datum.value) > 10 ? slice(datum.value, 11, 16) : slice(datum.value, 5, 10)"
"""Label of a point of time: the hour, or the month and day."""


def svg(chart: Chart, rows: Records) -> str:
    """Draw a chart of a table's rows, as an SVG element without size or names of its own."""
    drawn = _drawn(chart, rows)
    out = io.StringIO()
    _styled(drawn).save(out, format="svg")
    text = out.getvalue()
    opening, _, inner = text.partition("<svg")[2].partition(">")
    width, height = (float(size) for size in re.findall(r'(?:width|height)="([0-9.]+)"', opening))
    size = f'viewBox="0 0 {width:g} {height:g}" style="max-width: {_MOST_ZOOM * width:.0f}px"'
    return f"<svg {size}>{inner}"


def _drawn(chart: Chart, rows: Records) -> Drawn:
    if chart.draws.startswith("bars "):
        _, label, value = chart.draws.split()
        return _bars(rows, label, value)
    match chart.draws:
        case "executions":
            return _executions(rows)
        case "success_rate":
            return _success_rate(rows)
        case "cost":
            return _cost(rows, chart.limits)
        case "quality_against_cost":
            return _quality_against_cost(rows)
    return _durations(rows)


def _executions(rows: Records) -> Drawn:
    parts = [
        {"time": row["time"], "executions": count, "part": part}
        for row in rows
        for part, count in (
            ("succeeded", number(row["successes"])),
            ("did not", number(row["executions"]) - number(row["successes"])),
        )
    ]
    colours = alt.Scale(domain=["succeeded", "did not"], range=[BLUE, RED])
    drawn: Drawn = (
        alt.Chart(_data(parts))
        .mark_bar()
        .encode(
            x=_times(rows),
            y=alt.Y("executions:Q", title=None),
            color=alt.Color("part:N", title=None, scale=colours),
            order=alt.Order("part:N", sort="descending"),
        )
    )
    return drawn


def _success_rate(rows: Records) -> Drawn:
    known = [row for row in rows if row["success_rate"] is not None]
    scale = alt.Scale(zero=False)
    base = alt.Chart(_data(known)).encode(x=_times(rows))
    percent = alt.Axis(format=".0%")
    band = base.mark_area(color=BAND).encode(
        y=alt.Y("lowest_rate:Q", title=None, scale=scale, axis=percent), y2="highest_rate:Q"
    )
    line = base.mark_line(color=BLUE, point=alt.OverlayMarkDef(color=BLUE, size=28)).encode(
        y=alt.Y("success_rate:Q", title=None, scale=scale, axis=percent)
    )
    return alt.layer(band, line)


def _cost(rows: Records, limits: Sequence[float]) -> Drawn:
    bars = (
        alt.Chart(_data({"time": row["time"], "cost": number(row["total_cost"])} for row in rows))
        .mark_bar(color=GREEN)
        .encode(x=_times(rows), y=alt.Y("cost:Q", title=None, axis=alt.Axis(format="$,.4~r")))
    )
    lines = (
        alt.Chart(_data([{"limit": limit} for limit in limits]))
        .mark_rule(color=RED, strokeDash=[4, 3])
        .encode(y="limit:Q")
    )
    return alt.layer(bars, lines) if limits else alt.layer(bars)


def _quality_against_cost(rows: Records) -> Drawn:
    known = [
        {
            "tier": _label(row["model_tier"]),
            "cost": row["avg_cost"],
            "quality": row["avg_quality"],
            "executions": row["executions"],
        }
        for row in rows
        if None not in (row["avg_cost"], row["avg_quality"])
    ]
    base = alt.Chart(_data(known)).encode(
        x=alt.X(
            "cost:Q",
            title="mean cost of an execution",
            axis=alt.Axis(format="$,.2~r", tickCount=5),
            scale=alt.Scale(padding=30),
        ),
        y=alt.Y(
            "quality:Q",
            title="mean quality",
            scale=alt.Scale(zero=False, padding=18, nice=False),
            axis=alt.Axis(tickCount=5),
        ),
    )
    points = base.mark_circle(color=BLUE, opacity=1).encode(
        size=alt.Size("executions:Q", legend=None, scale=alt.Scale(range=[60, 420]))
    )
    names = base.mark_text(dy=-16, color=INK).encode(text="tier:N")
    return alt.layer(points, names)


def _durations(rows: Records) -> Drawn:
    known = [
        {
            "tier": _label(row["model_tier"]),
            **{name: row[f"{name}_seconds"] for name in ("p50", "p95", "p99")},
        }
        for row in rows
        if row["p50_seconds"]
    ]
    base = alt.Chart(_data(known), width=_WIDTH_BESIDE_NAMES, height=alt.Step(_BAR)).encode(
        y=alt.Y("tier:N", title=None, sort=None)
    )
    axis = alt.X(
        "p50:Q",
        title="seconds: median, 95 %, 99 %",
        scale=alt.Scale(type="log", nice=True),
        axis=alt.Axis(tickCount=4, format="~s"),
    )
    return alt.layer(
        base.mark_rule(color=MUTED, strokeWidth=2).encode(x=axis, x2="p99:Q"),
        base.mark_circle(color=BLUE, size=90, opacity=1).encode(x=axis),
        base.mark_circle(color=AMBER, size=70, opacity=1).encode(x=alt.X("p95:Q")),
        base.mark_circle(color=RED, size=50, opacity=1).encode(x=alt.X("p99:Q")),
    )


def _bars(rows: Records, label: str, value: str) -> Drawn:
    """Draw a bar for each row, with its value beside it; equal labels stay apart."""
    form = {"total_cost": "$,.2f", "share": ".0%"}.get(value, ",")
    data = [
        {"place": f"{place:03d} {_label(row[label])}", "value": number(row[value])}
        for place, row in enumerate(rows)
    ]
    base = alt.Chart(_data(data), width=_WIDTH_BESIDE_NAMES, height=alt.Step(_BAR)).encode(
        y=alt.Y("place:N", title=None, sort=None, axis=alt.Axis(labelExpr="slice(datum.value, 4)")),
        x=alt.X("value:Q", title=None, axis=None, scale=alt.Scale(padding=0, nice=False)),
    )
    return alt.layer(
        base.mark_bar(color=BLUE),
        base.mark_text(align="left", dx=4, color=INK).encode(text=alt.Text("value:Q", format=form)),
    )


def _styled(chart: Drawn) -> Drawn:
    """Give a chart the colours and sizes that all have."""
    finished: Drawn = (
        chart.properties(background="transparent")
        .configure(aria=False, font="Arial", padding=4)
        .configure_view(
            stroke=None,
            continuousHeight=_HEIGHT,
            discreteHeight=_HEIGHT,
            continuousWidth=_WIDTH,
            discreteWidth=_WIDTH,
        )
        .configure_axis(
            labelColor=MUTED,
            titleColor=MUTED,
            gridColor=GRID,
            domainColor=GRID,
            tickColor=GRID,
            labelFontSize=11,
            titleFontSize=11,
            titleFontWeight="normal",
            labelLimit=140,
        )
        .configure_axisX(grid=False)
        .configure_legend(labelColor=MUTED, orient="top", labelFontSize=11, symbolType="square")
    )
    return finished


def _times(rows: Records) -> alt.X:
    """Build the axis of the points of time, with those at which there is nothing to draw."""
    axis = alt.Axis(labelAngle=0, labelOverlap="greedy", labelExpr=_TICK, labelSeparation=6)
    scale = alt.Scale(domain=[str(row["time"]) for row in rows])
    return alt.X("time:O", title=None, axis=axis, scale=scale)


def _data(rows: Iterable[Mapping[str, object]]) -> dict[str, object]:
    return {"values": [dict(row) for row in rows]}


def _label(value: Scalar) -> str:
    return cut(str(value), _LONGEST_LABEL)
