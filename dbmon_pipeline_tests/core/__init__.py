"""Tests of the core, without Dagster."""
