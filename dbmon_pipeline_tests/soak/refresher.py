"""Refreshes on demand: a line of JSON on standard input each, its error on standard output.

``python -m dbmon_pipeline_tests.soak.refresher`` is what file operations are made to fail in. Its
reader process stays, as that of a server does.
"""

from __future__ import annotations

import json
import sys
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from dbmon_pipeline.core.common.errors import DbmonError
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline.core.home.locks import HomeLock
from dbmon_pipeline.core.source.reader_client import ReaderProcess
from dbmon_pipeline_tests.helpers import refresh_with


def request_of(settings: Settings, as_of: datetime) -> dict[str, object]:
    """Make the line for a refresh."""
    return {
        "source": str(settings.source),
        "home": str(settings.home.path),
        "config": msgspec.to_builtins(settings.config),
        "as_of": as_of.isoformat(),
    }


def _settings(request: dict[str, Any]) -> Settings:
    config = msgspec.convert(request["config"], MonitoringConfig)
    return Settings(Path(request["source"]), Home(Path(request["home"])), config)


def _main() -> None:
    with ReaderProcess() as reader:
        reader.request("ping")
        for line in sys.stdin:
            request = json.loads(line)
            error = ""
            try:
                settings = _settings(request)
                lock = HomeLock(settings.home)
                try:
                    as_of = datetime.fromisoformat(request["as_of"])
                    refresh_with(lock, reader, settings, as_of)
                finally:
                    lock.close()
            except DbmonError as failure:
                error = str(failure)
            except Exception:
                error = traceback.format_exc()
            sys.stdout.write(json.dumps(error) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _main()
