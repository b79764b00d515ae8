-- The composite indexes of the founding schema, for the orchestrator's own look-ups.
CREATE INDEX idx_executions_repo_task ON executions (repo, task_type, timestamp DESC);
CREATE INDEX idx_executions_tier_success ON executions (model_tier, success, timestamp DESC);
CREATE INDEX idx_executions_pool_duration ON executions (pool_type, success, duration_seconds);
CREATE INDEX idx_executions_quality_trend ON executions (repo, quality_score, timestamp DESC);
