"""The sign of life."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from dbmon_pipeline.core.common.errors import NotificationError
from dbmon_pipeline.outputs.notify.heartbeat import send_heartbeat
from dbmon_pipeline_tests.outputs.notify.made import MINUTE, NOW, Receiver

SECRET = "S3CRET-9f2c"  # noqa: S105 - that is what it is for


def test_a_file_and_a_call(receiver: Receiver, tmp_path: Path) -> None:
    """The file has the latest instant; the URL is got once each time."""
    file = tmp_path / "home" / "heartbeat.json"
    send_heartbeat(file, None, NOW - MINUTE)
    assert json.loads(file.read_text("utf-8")) == {"at": "2026-02-10T11:59:30Z"}
    send_heartbeat(file, f"{receiver.url}/ping/{SECRET}", NOW)
    assert json.loads(file.read_text("utf-8")) == {"at": "2026-02-10T12:00:30Z"}
    (request,) = receiver.requests
    assert (request.method, request.path, request.body) == ("GET", f"/ping/{SECRET}", b"")
    assert [path.name for path in file.parent.iterdir()] == ["heartbeat.json"]


def test_the_file_is_written_though_nobody_hears(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Why it was not heard is said, without the URL."""
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "heartbeat.json"
    receiver.status = 404
    for url, said in (
        (
            f"{receiver.url}/{SECRET}",
            "the watchdog at notifications.heartbeat_url answered 404 Not Found: ",
        ),
        (
            f"file:///{SECRET}",
            "notifications.heartbeat_url does not begin with http:// or https://: ",
        ),
    ):
        file.unlink(missing_ok=True)
        with pytest.raises(NotificationError) as caught:
            send_heartbeat(file, url, NOW)
        assert str(caught.value).startswith(said)
        assert SECRET not in str(caught.value) + caplog.text
        assert json.loads(file.read_text("utf-8")) == {"at": "2026-02-10T12:00:30Z"}


def test_a_file_that_cannot_be_written(receiver: Receiver, tmp_path: Path) -> None:
    """Then nobody is told that all was well."""
    (tmp_path / "file").touch()
    with pytest.raises(NotificationError, match=r"heartbeat\.json cannot be written"):
        send_heartbeat(tmp_path / "file" / "heartbeat.json", receiver.url, NOW)
    assert receiver.requests == []
