"""Builds the definitions of one monitored source; a host may merge several with its own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import dagster as dg

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.orchestration.assets import refresh_assets, source_spec
from dbmon_pipeline.orchestration.jobs import define_jobs
from dbmon_pipeline.orchestration.namespace import DEFAULT_NAME, Namespace, Project
from dbmon_pipeline.orchestration.reports import report_assets
from dbmon_pipeline.orchestration.resources import PublishedResource
from dbmon_pipeline.orchestration.schedules import define_schedules
from dbmon_pipeline.orchestration.sensors import define_sensors


def build_definitions(
    settings: Settings, *, key_prefix: Sequence[str] | None = None, name: str = DEFAULT_NAME
) -> dg.Definitions:
    """Build the assets, checks, jobs, schedules, sensors and the resource of one source.

    They bring no executor, and only a resource of their own name, so that ``Definitions.merge`` of
    them with those of a host works. Nothing is read from the environment.

    Args:
        settings: The source, the home and the rules.
        key_prefix: Precedes the key of each asset; the name by default, unless that is the default
            one.
        name: Carried by the names of jobs, ops, schedules, sensors and the resource, unless it is
            the default one. Two sources in one code location need two names.
    """
    prefix = ([] if name == DEFAULT_NAME else [name]) if key_prefix is None else key_prefix
    project = Project(settings, Namespace(name, tuple(prefix)))
    with warnings.catch_warnings():
        # Code references are "beta" in Dagster 1.13; whoever runs us cannot act on it.
        warnings.simplefilter("ignore", category=dg.BetaWarning)
        refreshed = refresh_assets(project)
        made = dg.with_source_code_references([refreshed, *report_assets(project)])
    jobs = define_jobs(project, refreshed)
    return dg.Definitions(
        assets=[source_spec(project), *made],
        jobs=[jobs.refresh, jobs.daily_reporting, jobs.weekly_reporting, jobs.retention],
        schedules=define_schedules(project, jobs),
        sensors=define_sensors(project, jobs),
        resources={project.namespace.resource: PublishedResource(home=str(settings.home.path))},
    )
