"""Receivers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbmon_pipeline_tests.outputs.notify.made import Receiver, receiving


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receivers are on this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver."""
    with receiving() as running:
        yield running


@pytest.fixture
def elsewhere() -> Iterator[Receiver]:
    """Another receiver, which nobody has configured."""
    with receiving() as running:
        yield running
