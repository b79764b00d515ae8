"""A sign of life: a file, and a URL where an outside watchdog waits for it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from dbmon_pipeline.core.common.atomic_files import write_whole
from dbmon_pipeline.core.common.errors import NotificationError
from dbmon_pipeline.core.common.instants import iso
from dbmon_pipeline.outputs.notify.transport import request, url_fault

_TIMEOUT = 10


def send_heartbeat(home_file: Path, url: str | None, at: datetime) -> None:
    """Write the file that all went well at an instant, and call the watchdog.

    Args:
        home_file: The file that has the instant, written whole.
        url: What is called after that, if anything is.
        at: The instant, naive UTC.

    Raises:
        NotificationError: The file could not be written, or, when it was, the URL not be called.
    """
    try:
        write_whole(home_file, json.dumps({"at": iso(at)}) + "\n")
    except OSError as error:
        raise NotificationError(
            f"the heartbeat {home_file} cannot be written ({error.strerror})",
            remedy="see that the folder is writable and the disk not full",
        ) from None
    if url is None:
        return
    fault = url_fault(url)
    if fault is not None:
        raise NotificationError(
            f"notifications.heartbeat_url {fault}",
            remedy="write the full URL of the watchdog there, for instance https://example.com/path",
        )
    request("GET", url, who="the watchdog at notifications.heartbeat_url", timeout=_TIMEOUT)
