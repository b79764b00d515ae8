"""The monitoring itself, without Dagster: packages in the order of the flow."""
