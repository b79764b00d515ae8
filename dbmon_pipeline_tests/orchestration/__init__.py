"""Tests of the Dagster shell, against real instances and real files."""
