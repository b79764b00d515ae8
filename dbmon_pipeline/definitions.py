"""The code location: the definitions of the source that the environment names, and nothing else."""

from __future__ import annotations

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.orchestration.definitions_builder import build_definitions

__all__ = ["build_definitions", "defs"]

defs = build_definitions(Settings.load())
