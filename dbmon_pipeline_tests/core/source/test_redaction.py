"""Redaction: no secret enters the warehouse."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from dbmon_pipeline.core.common.duck import connect
from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.config.monitoring import Redaction
from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.core.source.redaction import Redactor
from dbmon_pipeline_tests.helpers import (
    execution,
    make_source,
    published_rows,
    refresh_core,
    settings_for,
)
from dbmon_pipeline_tests.histories import refresh_here

NOW = datetime(2026, 5, 20, 12)
FAKE = "Zx9" * 8
"""Looks like a key, and is none."""


def redacted(text: str, redaction: Redaction | None = None) -> str:
    """A text as it enters the warehouse."""
    with connect() as con:
        redactor = Redactor(redaction or Settings.load(environ={}).config.redaction, con)
        sql = f"SELECT {redactor.expression('text')} FROM (SELECT $text AS text)"
        return str(con.execute(sql, {"text": text}).fetchall()[0][0])


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"401 for key sk-{FAKE}, giving up", "401 for key [redacted token], giving up"),
        (f"ghp_{FAKE}", "[redacted token]"),
        ("uses AKIA" + "Q7" * 8, "uses [redacted aws_key]"),
        (f"header eyJ{FAKE}.{FAKE}.{FAKE}", "header [redacted jwt]"),
        ("at postgres://bob:hunter22@db/x", "at [redacted url_password]db/x"),
        (f"Authorization: Bearer {FAKE}", "Authorization: [redacted bearer]"),
        ("password=hunter22 was refused", "[redacted secret] was refused"),
        ('{"api_key": "hunter22"}', '{"[redacted secret]"}'),
        ("mail jane.doe@example.org now", "mail [redacted email] now"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\ndef", "[redacted private_key]"),
        ("timeout after 30 s in step 4/7: retry", "timeout after 30 s in step 4/7: retry"),
        ("the token budget of 4096 was used up", "the token budget of 4096 was used up"),
        ("see https://example.org/a?b=c", "see https://example.org/a?b=c"),
    ],
)
def test_what_looks_like_a_secret_goes(text: str, clean: str) -> None:
    """And what does not stays as it is."""
    assert redacted(text) == clean


def test_it_can_be_switched_off() -> None:
    """Then texts are kept as they are."""
    assert redacted(f"sk-{FAKE}", Redaction(enabled=False, patterns={"x": "s"})) == f"sk-{FAKE}"


def test_a_wrong_pattern_is_named() -> None:
    """At once, not at the first row."""
    redaction = Redaction(patterns={"mine": "("})
    with connect() as con, pytest.raises(ConfigError, match=r"redaction\.patterns\.mine .*RE2"):
        Redactor(redaction, con)


def test_no_secret_anywhere_in_the_home(tmp_path: Path) -> None:
    """Neither published nor in the warehouse; and solutions that differ in one are one pattern."""
    settings = settings_for(tmp_path)
    rows = [
        execution(
            NOW - timedelta(hours=n),
            error_type="Refused",
            error_message=f"key sk-{FAKE}{n} refused",
            solution_summary=f"asked m{n}@example.org",
        )
        for n in range(1, 7)
    ]
    make_source(settings.source, rows)
    refresh_core(settings, NOW)
    (pattern,) = published_rows(settings, "solution_patterns")
    assert (pattern["solution_summary"], pattern["usage_count"]) == ("asked [redacted email]", 6)
    examples = {row["example_message"] for row in published_rows(settings, "error_summary")}
    assert examples == {"key [redacted token] refused"}
    texts = {row["error_message"] for row in published_rows(settings, "recent_executions")}
    assert texts == examples
    for path in settings.home.path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert FAKE.encode() not in data, path
            assert b"@example.org" not in data, path


def test_a_new_pattern_reaches_what_is_stored(tmp_path: Path) -> None:
    """Old rows, and examples whose raw rows have left, are cleaned and published again."""
    settings = settings_for(tmp_path, rules={})
    old = NOW - timedelta(days=100)
    make_source(
        settings.source,
        [
            execution(moment, error_type="Refused", error_message="codeword swordfish")
            for moment in (old, NOW - timedelta(hours=1))
        ],
    )
    refresh_here(settings, NOW)
    assert _examples(settings) == ["codeword swordfish"] * 2
    stricter = msgspec.structs.replace(
        settings.config, redaction=Redaction(patterns={"codeword": "codeword [a-z]+"})
    )
    refresh_here(replace(settings, config=stricter), NOW)
    assert _examples(settings) == ["[redacted codeword]"] * 2


def test_long_texts_are_cut_after_redaction(tmp_path: Path) -> None:
    """A secret across the cut would otherwise lose only its half."""
    settings = settings_for(tmp_path, rules={})
    long = "x" * 1990 + f" sk-{FAKE}" + "y" * 1_000_000
    make_source(settings.source, [execution(NOW - timedelta(hours=1), error_message=long)])
    refresh_here(settings, NOW)
    (row,) = published_rows(settings, "recent_executions")
    assert row["error_message"] == ("x" * 1990 + " [redacted token]" + "y" * 9)[:2000]


def _examples(settings: Settings) -> list[object]:
    return [row["example_message"] for row in published_rows(settings, "error_summary")]
