"""What the project is about, without Dagster: its packages in the order of the flow."""
