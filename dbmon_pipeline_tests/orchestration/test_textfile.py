"""Each refresh writes the metrics for the node exporter, and none fails of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dbmon_pipeline_tests.helpers import add_rows, execution, make_source
from dbmon_pipeline_tests.orchestration.site import HOUR, MINUTE, NOON, Site


def figures(path: Path) -> dict[str, float]:
    """The values of a file of metrics, of each name the last one."""
    families = text_string_to_metric_families(path.read_text("utf-8"))
    return {sample.name: sample.value for family in families for sample in family.samples}


def name_textfile(site: Site, path: Path) -> None:
    """Have the rules file name a file."""
    config = site.home.path.parent / "rules.yaml"
    config.write_text(f"prometheus: {{textfile: '{path}'}}\n", "utf-8")
    site.patch.setenv("DBMON_CONFIG", str(config))


def test_the_file_follows_the_publication(site: Site, tmp_path: Path) -> None:
    """And the incidents, which change between refreshes."""
    path = tmp_path / "dbmon.prom"
    rows = [execution(NOON - n * MINUTE, success=n % 2 == 0) for n in range(1, 50)]
    make_source(site.source, rows)
    name_textfile(site, path)
    site.refresh()
    found = figures(path)
    assert found["dbmon_executions"] == 49
    assert "dbmon_open_incidents" not in found
    assert site.sensor_tick("alert_sensor").skip_message
    assert figures(path)["dbmon_open_incidents"] >= 1

    add_rows(site.source, [execution(NOON + MINUTE)])
    site.clock.now += HOUR
    site.refresh()
    assert figures(path)["dbmon_executions"] == 50
    assert [*tmp_path.glob("*.prom")] == [path]


def test_no_refresh_fails_of_it(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that is missing is told as a warning."""
    make_source(site.source, [execution(NOON - MINUTE)])
    name_textfile(site, tmp_path / "missing" / "dbmon.prom")
    run: Any = site.refresh()
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert site.generation == 1
    warned = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert any("the metrics for Prometheus were not written: " in line for line in warned)
