"""The file of metrics for the node exporter: it follows what is published."""

import logging
from pathlib import Path

from dbmon_pipeline.core.config.settings import Settings

logger = logging.getLogger(__name__)


def write_textfile(settings: Settings) -> None:
    """Write the file that the settings name, if they name one.

    Whatever keeps it from being written is told as a warning: no refresh fails of it.
    """
    textfile = settings.config.prometheus.textfile
    if textfile is None:
        return
    from dbmon_pipeline.outputs.prometheus.metrics import published_metrics
    from dbmon_pipeline.outputs.prometheus.textfile import write_world_readable

    try:
        write_world_readable(Path(textfile), published_metrics(settings))
    except Exception as error:
        logger.warning("the metrics for Prometheus were not written: %s", error)
