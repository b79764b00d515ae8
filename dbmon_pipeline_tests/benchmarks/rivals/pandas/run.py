"""The same tables by data frames: everything is read and made anew, as a script of cron would.

It says how long that took, without imports, where dbt says it.
"""

import json
import os
import time
from pathlib import Path

import duckdb
import pandas as pd

DIMENSIONS = ["repo", "task_type", "model_tier", "pool_type"]
MEASURES = {
    "duration": "duration_seconds",
    "quality": "quality_score",
    "cost_estimate": "cost_estimate",
    "actual_cost": "actual_cost",
    "rating": "user_rating",
    "memory": "peak_memory_mb",
    "cpu": "cpu_time_seconds",
    "tokens": "estimated_tokens",
    "files": "file_count",
    "complexity": "complexity_score",
    "confidence": "routing_confidence",
}
READ = ", ".join(f"CAST({column} AS DOUBLE) AS {name}" for name, column in MEASURES.items())


def read(source: str) -> pd.DataFrame:
    """Every execution, and what of it is counted and added up."""
    with duckdb.connect(source, read_only=True) as con:
        frame = con.execute(
            f"SELECT timestamp, {', '.join(DIMENSIONS)}, success, error_type, error_message,"
            f" CAST(user_accepted AS DOUBLE) AS feedback, {READ} FROM executions"
        ).df()
    for name in (*DIMENSIONS, "error_type"):
        frame[name] = frame[name].astype("category")
    frame["hour"] = frame["timestamp"].dt.floor("h")
    frame["date"] = frame["timestamp"].dt.normalize()
    return frame


def summary(frame: pd.DataFrame, time_column: str) -> pd.DataFrame:
    """What hourly_summary and daily_summary hold."""
    quality, both = frame["quality"], frame["cost_estimate"].notna() & frame["actual_cost"].notna()
    wide = frame.assign(
        excellent_count=quality >= 90,
        good_count=(quality >= 75) & (quality < 90),
        fair_count=(quality >= 60) & (quality < 75),
        poor_count=quality < 60,
        both_costs_count=both,
        both_costs_estimate=frame["cost_estimate"].where(both),
        both_costs_actual=frame["actual_cost"].where(both),
    )
    groups = wide.groupby([time_column, *DIMENSIONS], observed=True)
    counts = groups[[*MEASURES, "feedback"]].count().add_suffix("_count")
    adding = [*MEASURES, "both_costs_estimate", "both_costs_actual"]
    sums = groups[adding].sum(min_count=1).add_suffix("_sum")
    flags = groups[[name for name in wide.columns if name.endswith("_count")]].sum()
    return pd.concat([counts, sums, flags], axis=1).assign(
        executions=groups.size(),
        successes=groups["success"].sum(),
        errors=groups["error_type"].count(),
        accepted_count=groups["feedback"].sum(),
        duration_min=groups["duration"].min(),
        duration_max=groups["duration"].max(),
    )


def performance(frame: pd.DataFrame, key: list[str], fractions: list[float]) -> pd.DataFrame:
    """What tier_performance and pool_performance have in common."""
    groups = frame.groupby(key, observed=True)
    percentiles = groups["duration"].quantile(fractions).unstack()  # type: ignore[arg-type]
    percentiles.columns = [f"p{100 * fraction:.0f}_duration_seconds" for fraction in fractions]
    return percentiles.assign(
        success_rate=groups["success"].mean(),
        avg_duration_seconds=groups["duration"].mean(),
        avg_cost=groups["actual_cost"].mean(),
    )


def tables(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """All five."""
    tier = ["date", "repo", "model_tier", "task_type"]
    by_tier = frame.groupby(tier, observed=True)
    pool = ["hour", "pool_type", "repo"]
    by_pool = frame.groupby(pool, observed=True)
    failed = frame[frame["error_type"].notna()]
    errors = failed.groupby(["hour", "error_type", *DIMENSIONS], observed=True)
    return {
        "hourly_summary": summary(frame, "hour"),
        "daily_summary": summary(frame, "date"),
        "tier_performance": performance(frame, tier, [0.5, 0.95, 0.99]).assign(
            total_executions=by_tier.size(),
            successful_count=by_tier["success"].sum(),
            total_cost=by_tier["actual_cost"].sum(min_count=1),
            avg_quality=by_tier["quality"].mean(),
        ),
        "pool_performance": performance(frame, pool, [0.95]).assign(
            total_tasks=by_pool.size(), successful_tasks=by_pool["success"].sum()
        ),
        "error_summary": pd.DataFrame(
            {
                "occurrences": errors.size(),
                "last_seen": errors["timestamp"].max(),
                "example_message": errors["error_message"].min().str.slice(0, 500),
            }
        ),
    }


def main() -> None:
    """Read the source, make the tables, store them."""
    started = time.perf_counter()
    made = tables(read(os.environ["BENCH_SOURCE"]))
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{os.environ['BENCH_TABLES']}' AS tables (STORAGE_VERSION 'v1.4.0')")
        con.execute("USE tables")
        for name, frame in made.items():
            con.register("frame", frame.reset_index())
            con.execute(f"CREATE OR REPLACE TABLE {name} AS FROM frame")
    seconds = time.perf_counter() - started
    results = Path("target/run_results.json")
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps({"elapsed_time": seconds}), "utf-8")


if __name__ == "__main__":
    main()
