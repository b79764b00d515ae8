"""What the project is about, without Dagster: each module is one step of the flow."""
