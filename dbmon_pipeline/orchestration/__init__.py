"""Dagster's shell around the core, one file per Dagster concept; no figure is computed here."""

import warnings

import dagster as dg

# Backfills of many days in one run are "beta" in Dagster 1.13; whoever runs us cannot act on it.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
