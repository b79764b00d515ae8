"""The rules file: what it leaves out is supplied, and what is wrong is found by line and key."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from msgspec.structs import replace

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.config.loader import load_config
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.config.rule import Limits
from dbmon_pipeline.core.config.settings import Settings

DEFAULTS = shipped("config", "monitoring.yaml")


def load(tmp_path: Path, text: str | bytes) -> MonitoringConfig:
    """Read a rules file of this text."""
    path = tmp_path / "rules.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(DEFAULTS, path)


def refusal(tmp_path: Path, text: str | bytes) -> str:
    """The error for a rules file of this text, without the name of the file."""
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text)
    message = str(raised.value)
    assert "\n" not in message
    assert str(tmp_path / "rules.yaml") in message
    return message.replace(str(tmp_path / "rules.yaml"), "FILE")


def test_the_shipped_file_says_what_the_code_defaults_to() -> None:
    """So that no limit has two values; the patterns and the rules live in the file alone."""
    config = load_config(DEFAULTS)
    assert config.redaction.patterns
    assert config.rules
    defaults = MonitoringConfig()
    assert replace(config, redaction=defaults.redaction, rules={}) == defaults


@pytest.mark.parametrize("text", ["", "# nothing\n", "keep:\n  # generations: 7\n", "keep: {}\n"])
def test_what_is_left_out_has_the_shipped_value(tmp_path: Path, text: str) -> None:
    """Down to nothing at all."""
    assert load(tmp_path, text) == load_config(DEFAULTS)


def test_a_value_changes_nothing_beside_it(tmp_path: Path) -> None:
    """A section is merged, not replaced."""
    config = load(tmp_path, "keep:\n  generations: 7\nhistory_start: 2025-06-01\n")
    assert config.keep.generations == 7
    assert config.history_start == date(2025, 6, 1)
    assert config.keep.dagster_runs_days == 30
    assert config.redaction == load_config(DEFAULTS).redaction


def test_one_limit_changes_nothing_beside_it(tmp_path: Path) -> None:
    """A thresholds file may hold a single number."""
    shipped_rules = load_config(DEFAULTS).rules
    rules = load(tmp_path, "rules: {success_rate: {below: {warning: 0.9}}}").rules
    assert rules.keys() == shipped_rules.keys()
    assert rules["success_rate"].limits == Limits(warning=0.9, critical=0.7)
    assert rules["error_rate"] == shipped_rules["error_rate"]


def test_waits_may_be_whole_or_broken_numbers(tmp_path: Path) -> None:
    """In seconds, down to none."""
    config = load(tmp_path, "source: {attach_wait_seconds: 0}\nhome: {lock_wait_seconds: 0.5}\n")
    assert (config.source.attach_wait_seconds, config.home.lock_wait_seconds) == (0, 0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "source:\n  snapshot: false\n",
            "line 2, source.snapshot: gone, since the source is read live, without a lock and"
            " without a copy: remove that key",
        ),
        (
            "source: {longest_hold_ms: 50}\n",
            "line 1, source.longest_hold_ms: gone, since reading the source holds no lock: remove",
        ),
        (
            "source: {lock_wait_seconds: 3}\n",
            "line 1, source.lock_wait_seconds: replaced by source.attach_wait_seconds, which",
        ),
        (
            "keep:\n  generations: 3\n  executions_days: 90\n",
            "line 3, keep.executions_days: gone, since no executions are kept but those in"
            " recent_executions",
        ),
    ],
)
def test_a_key_of_an_earlier_version_names_what_replaced_it(
    tmp_path: Path, text: str, said: str
) -> None:
    """Rather than to be merely unknown."""
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("keep:\n  generations: many\n", "FILE, line 2, keep.generations: "),
        ("\n\nkeep:\n  generations: 0\n", "FILE, line 4, keep.generations: "),
        ("keep:\n  generations: true\n", "FILE, line 2, keep.generations: "),
        ("keep:\n  generations: 2.5\n", "FILE, line 2, keep.generations: "),
        ("keep:\n  generations:\n", "FILE, line 2, keep.generations: "),
        ("keep:\n  generation: 3\n", "FILE, line 2, keep.generation: "),
        ("kept:\n  generations: 3\n", "FILE, line 1, kept: "),
        ("keep: 3\n", "FILE, line 1, keep: "),
        ("keep: [3]\n", "FILE, line 1, keep: "),
        ("history_start: soon\n", "FILE, line 1, history_start: "),
        ("home:\n  lock_wait_seconds: -1\n", "FILE, line 2, home.lock_wait_seconds: "),
        ("home:\n  lock_wait_seconds: .nan\n", "FILE, line 2, home.lock_wait_seconds: "),
        ("home:\n  lock_wait_seconds: .inf\n", "FILE, line 2, home.lock_wait_seconds: "),
        ("report:\n  time_zone: Mars/Olympus\n", "FILE, line 2, report.time_zone: there is no"),
        ("report:\n  time_zone: ../../etc/passwd\n", "FILE, line 2, report.time_zone: there is"),
        ("report:\n  time_zone: Europe\n", "FILE, line 2, report.time_zone: there is no time zone"),
        ('report:\n  time_zone: ""\n', "FILE, line 2, report.time_zone: there is no time zone"),
        ("report:\n  keep_days: 0\n", "FILE, line 2, report.keep_days: "),
        (
            "rules:\n  success_rate:\n    below: {warning: 0.6}\n",
            "FILE, line 2, rules.success_rate: ",
        ),
        ("rules:\n  error_rate:\n    above: {warning: 0.3}\n", "FILE, line 2, rules.error_rate: "),
        ("rules:\n  error_rate:\n    below: {warning: 1}\n", "FILE, line 2, rules.error_rate: "),
        (
            "rules:\n  error_rate:\n    window: -1h\n",
            "FILE, line 3, rules.error_rate.window: ",
        ),
        (
            "rules:\n  error_rate:\n    above:\n      warning: high\n",
            "FILE, line 4, rules.error_rate.above.warning: ",
        ),
        ("rules:\n  no_such_rule:\n    below: {warning: 1}\n", "FILE, line 2, rules.no_such_rule"),
        ("prometheus:\n  textfile: dbmon.prom\n", "FILE, line 2, prometheus.textfile: "),
        ("prometheus:\n  textfile: /var/dbmon.txt\n", "FILE, line 2, prometheus.textfile: "),
        ('prometheus:\n  textfile: "/a\\0b.prom"\n', "FILE, line 2, prometheus.textfile: "),
        ('prometheus:\n  textfile: "/a\\nb.prom"\n', "FILE, line 2, prometheus.textfile: "),
        ('prometheus:\n  textfile: "/ab.prom\\n"\n', "FILE, line 2, prometheus.textfile: "),
        ("prometheus:\n  textfile: /a/.prom\n", "FILE, line 2, prometheus.textfile: "),
        (
            "rules:\n  source_freshness:\n    above: {warning: -5}\n",
            "FILE, line 2, rules.source_freshness: an age is limited in seconds, 0 to 31536000",
        ),
        (
            "rules:\n  source_freshness:\n    above: {critical: 1.0e+300}\n",
            "FILE, line 2, rules.source_freshness: an age is limited in seconds, 0 to 31536000",
        ),
        ("redaction:\n  patterns:\n    Bad Name: x\n", "FILE, line 3, redaction.patterns.Bad Name"),
        ("redaction:\n  patterns:\n    seven: 7\n", "FILE, line 3, redaction.patterns.seven: "),
    ],
)
def test_a_wrong_value_is_found_by_line_and_key(tmp_path: Path, text: str, place: str) -> None:
    """A person who edits the file at night needs the place."""
    message = refusal(tmp_path, text)
    assert message.startswith(place)
    assert message.endswith(": correct that value")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("keep: [1, 2\nmore: 3\n", "FILE is not YAML ("),
        ("keep:\n\tgenerations: 3\n", "FILE is not YAML ("),
        ("a: 1\n---\nb: 2\n", "FILE is not YAML ("),
        ("- keep\n", "FILE holds no mapping: write it as 'key: value' lines"),
        ("just words\n", "FILE holds no mapping: write it as 'key: value' lines"),
        (b"\xff\xfe\x00k", "the rules file FILE cannot be read ("),
        ("!!python/object/apply:os.getcwd []\n", "FILE is not YAML ("),
        ("keep: &a {generations: *a}\n", "FILE"),
        ("1: 2\n", "FILE, line 1, 1: "),
        ("2025-01-01: 2\n", "FILE, line 1, "),
        ("? [a, b]\n: 2\n", "FILE"),
        ("keep:\n  2: 3\n", "FILE, line 2, keep.2: "),
    ],
)
def test_what_is_no_rules_file_is_refused(tmp_path: Path, text: str | bytes, words: str) -> None:
    """Without running or following anything that stands in it."""
    assert refusal(tmp_path, text).startswith(words)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With the variable that named it."""
    path = tmp_path / "missing.yaml"
    with pytest.raises(ConfigError, match=r"missing\.yaml cannot be read .* in DBMON_CONFIG, or"):
        Settings.load(environ={"DBMON_CONFIG": str(path)})


def test_a_thresholds_file_lies_over_the_rules_file(tmp_path: Path) -> None:
    """And that over the shipped one."""
    rules, thresholds = tmp_path / "rules.yaml", tmp_path / "thresholds.yaml"
    rules.write_text("rules: {database_size: {above: {warning: 1}}}\nkeep: {generations: 5}\n")
    thresholds.write_text("rules: {error_rate: {above: {warning: 0.2}}}\n")
    config = Settings.load(environ={"DBMON_CONFIG": str(rules)}, rules=thresholds).config
    assert config.keep.generations == 5
    assert config.rules["database_size"].limits == Limits(warning=1, critical=1000)
    assert config.rules["error_rate"].limits == Limits(warning=0.2, critical=0.25)


def test_settings_come_from_arguments_then_the_environment(tmp_path: Path) -> None:
    """And then from the defaults; an empty variable is none."""
    environ = {"DBMON_SOURCE": str(tmp_path / "a.db"), "DBMON_HOME": ""}
    assert Settings.load(environ=environ).source == tmp_path / "a.db"
    assert Settings.load(Path("b.db"), environ=environ).source == Path.cwd() / "b.db"
    assert Settings.load(environ=environ).home.path == Path.cwd() / ".dbmon"
    assert Settings.load(home=tmp_path / "x" / ".." / "h", environ={}).home.path == tmp_path / "h"
