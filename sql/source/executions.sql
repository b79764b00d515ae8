-- One row: one task that the orchestrator ran. This is the schema contract of version 1; the
-- pipeline never writes to it, and accepts more columns, fewer optional ones, and other widths.
CREATE TABLE executions (
    task_id UUID PRIMARY KEY,
    timestamp TIMESTAMP NOT NULL, -- when the task ran, UTC
    task_type VARCHAR NOT NULL,
    task_description TEXT NOT NULL,
    repo VARCHAR NOT NULL,
    file_count INT,
    estimated_tokens INT,
    model_tier VARCHAR NOT NULL,
    pool_type VARCHAR NOT NULL,
    swarm_topology VARCHAR,
    routing_confidence FLOAT, -- 0..1, of the router's neural network
    complexity_score INT,
    success BOOLEAN NOT NULL,
    duration_seconds FLOAT NOT NULL,
    quality_score INT, -- 0..100
    cost_estimate FLOAT, -- USD
    actual_cost FLOAT, -- USD
    error_type VARCHAR, -- if failed
    error_message TEXT,
    user_accepted BOOLEAN,
    user_rating INT, -- 1..5
    peak_memory_mb FLOAT,
    cpu_time_seconds FLOAT,
    solution_summary TEXT,
    embedding FLOAT[384],
    metadata JSON
);
