"""A process that refreshes from bad sources: a line of JSON in for each, one out for how it ended.

Whatever a source does to DuckDB, it does it here, and not to the tests.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from datetime import datetime
from pathlib import Path

from dbmon_pipeline.core.common.errors import DbmonError
from dbmon_pipeline.core.config.monitoring import SourceLimits
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.home.home import Home
from dbmon_pipeline_tests.helpers import refresh_core, settings_for

_MOST_MEMORY = 8 << 30


def main() -> None:
    """Work until there is no more to do."""
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
    limits = SourceLimits(lock_wait_seconds=0.2, snapshot=False)
    config = settings_for(Path("/"), source=limits).config
    with os.fdopen(os.dup(1), "w") as told:
        os.dup2(2, 1)
        for line in sys.stdin:
            source, home, as_of = json.loads(line)
            settings = Settings(Path(source), Home(Path(home)), config)
            told.write(json.dumps(_ended(settings, datetime.fromisoformat(as_of))) + "\n")
            told.flush()


def _ended(settings: Settings, as_of: datetime) -> dict[str, object]:
    """How a refresh ended."""
    try:
        done = refresh_core(settings, as_of, accept_shrink=True)
    except DbmonError as error:
        ended: dict[str, object] = {"error": type(error).__name__, "text": str(error)}
    except BaseException:  # whatever it is, it is what the test is about
        ended = {"trace": traceback.format_exc()}
    else:
        ended = {"schema_version": done.extractions[0].overview.schema_version}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return ended | {"peak_mb": peak // 1024}


if __name__ == "__main__":
    main()
