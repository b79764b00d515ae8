"""Dagster's shell around the core, one file per Dagster concept; no figure is computed here."""
