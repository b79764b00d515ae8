"""Every question as a person would write it over the raw executions: what the bench compares."""

from __future__ import annotations

_WITHIN = "FROM raw WHERE timestamp >= $since AND timestamp < $until"
_RATE = "count(*) AS executions, count(*) FILTER (WHERE success) / count(*) AS success_rate"
_PERCENTILES = "avg(duration_seconds), quantile_cont(duration_seconds, [0.5, 0.95, 0.99]), count(*)"
_BANDS = (
    "count(*) FILTER (WHERE quality_score >= 90), count(*) FILTER (WHERE quality_score < 60),"
    " count(*) FILTER (WHERE quality_score >= 75 AND quality_score < 90), count(quality_score),"
    " count(*) FILTER (WHERE quality_score >= 60 AND quality_score < 75), avg(quality_score)"
)


def _by(key: str, figures: str) -> str:
    return f"SELECT {key}, {figures} {_WITHIN} GROUP BY 1 ORDER BY 1"


_DAY, _HOUR = "date_trunc('day', timestamp)", "date_trunc('hour', timestamp)"

RAW = {
    "complexity_distribution": _by(
        "complexity_score", f"{_RATE}, avg(duration_seconds), avg(actual_cost)"
    ),
    "cost_by_model_tier": _by(
        "model_tier", "count(*), count(actual_cost), sum(actual_cost), count(*) FILTER (success)"
    ),
    "cost_efficiency": _by(
        "model_tier", "sum(cost_estimate), sum(actual_cost), avg(cost_estimate - actual_cost)"
    ),
    "cost_over_time": _by(_DAY, "count(*), sum(actual_cost), sum(cost_estimate)"),
    "data_completeness": (
        "SELECT count(*), count(duration_seconds), count(actual_cost), count(cost_estimate),"
        " count(quality_score), count(complexity_score), count(peak_memory_mb),"
        f" count(user_accepted) {_WITHIN}"
    ),
    "data_problems": (
        "SELECT count(*), count(task_id) - count(DISTINCT task_id),"
        " count(*) FILTER (success IS NULL), count(*) FILTER (success AND error_type IS NOT NULL),"
        " count(*) FILTER (NOT success AND error_type IS NULL),"
        " count(*) FILTER (quality_score NOT BETWEEN 0 AND 100),"
        " count(*) FILTER (user_rating NOT BETWEEN 1 AND 5),"
        " count(*) FILTER (duration_seconds < 0),"
        f" count(*) FILTER (cost_estimate < 0 OR actual_cost < 0) {_WITHIN}"
    ),
    "duration_by_model_tier": _by("model_tier", _PERCENTILES),
    "duration_by_pool_type": _by("pool_type", _PERCENTILES),
    "duration_percentiles": f"SELECT {_PERCENTILES} {_WITHIN}",
    "error_rate_over_time": _by(_DAY, "count(*), count(error_type) / count(*)"),
    "errors_by_model_tier": (
        "SELECT model_tier, error_type, count(*), sum(count(*)) OVER (PARTITION BY model_tier)"
        f" {_WITHIN} GROUP BY 1, 2 ORDER BY 1, 3 DESC"
    ),
    "executions_per_day": _by(_DAY, f"{_RATE}, avg(duration_seconds), avg(quality_score)"),
    "executions_per_hour": _by(_HOUR, _RATE),
    "hourly_overview": _by(
        _HOUR,
        f"{_RATE}, count(error_type), avg(duration_seconds), avg(quality_score), sum(actual_cost)",
    ),
    "hourly_measures": _by(
        _HOUR,
        "count(*), count(*) FILTER (success), count(error_type), count(duration_seconds),"
        " sum(duration_seconds), count(quality_score), sum(quality_score), count(actual_cost),"
        " sum(actual_cost)",
    ),
    "key_figures": (
        f"SELECT {_RATE}, count(error_type), avg(duration_seconds), avg(quality_score),"
        f" sum(actual_cost), avg(cost_estimate - actual_cost), avg(peak_memory_mb) {_WITHIN}"
    ),
    "pool_performance_over_time": (
        f"SELECT {_DAY}, pool_type, {_RATE}, avg(duration_seconds), avg(actual_cost) {_WITHIN}"
        " GROUP BY 1, 2 ORDER BY 1, 2"
    ),
    "pool_utilization": _by(
        "pool_type",
        f"{_RATE}, sum(duration_seconds), avg(peak_memory_mb), avg(cpu_time_seconds),"
        " sum(actual_cost)",
    ),
    "quality_by_model_tier": _by("model_tier", _BANDS),
    "quality_distribution": f"SELECT {_BANDS} {_WITHIN}",
    "recent_executions": (
        "SELECT * FROM raw WHERE timestamp >= CAST($until AS TIMESTAMP) - INTERVAL 48 HOUR"
        " AND timestamp < $until AND timestamp >= $since ORDER BY timestamp DESC LIMIT 100"
    ),
    "repository_activity": _by(
        "repo",
        f"{_RATE}, count(DISTINCT CAST(timestamp AS DATE)), count(DISTINCT task_type),"
        " sum(actual_cost), avg(file_count), avg(complexity_score)",
    ),
    "resource_usage": _by(
        "pool_type",
        "avg(peak_memory_mb), quantile_cont(peak_memory_mb, 0.95), avg(cpu_time_seconds)",
    ),
    "success_rate_by_model_tier": _by(
        "model_tier", f"{_RATE}, avg(duration_seconds), avg(actual_cost), avg(quality_score)"
    ),
    "success_rate_by_pool_type": _by(
        "pool_type", f"{_RATE}, avg(duration_seconds), avg(actual_cost), avg(quality_score)"
    ),
    "success_rate_by_repository": _by("repo", _RATE),
    "success_rate_over_time": _by(_DAY, _RATE),
    "task_type_by_model_tier": (
        f"SELECT task_type, model_tier, {_RATE}, avg(duration_seconds), avg(actual_cost) {_WITHIN}"
        " GROUP BY 1, 2 ORDER BY 1, 2"
    ),
    "task_type_distribution": _by("task_type", f"{_RATE}, avg(duration_seconds), sum(actual_cost)"),
    "top_error_types": (
        "SELECT error_type, count(*), count(DISTINCT repo), max(timestamp), min(error_message)"
        f" {_WITHIN} AND error_type IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 10"
    ),
    "top_repositories": _by("repo", f"{_RATE}, avg(duration_seconds), sum(actual_cost)"),
    "user_feedback": _by(
        "model_tier",
        "count(user_accepted), count(*) FILTER (WHERE user_accepted), avg(user_rating)",
    ),
}
