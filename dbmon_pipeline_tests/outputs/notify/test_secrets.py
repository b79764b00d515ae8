"""Where secrets come from, and that no error has one."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.config.notifications import TargetConfig
from dbmon_pipeline.outputs.notify.secrets import secret_of, url_of

SECRET = "S3CRET-9f2c"  # noqa: S105 - that is what it is for
URL = f"https://hooks.example.com/{SECRET}?token={SECRET}"


def webhook(**values: Any) -> TargetConfig:
    """A webhook, with some of its values given."""
    if "secret_file" not in values:
        values = {"secret_env": "HOOK_SECRET", **values}
    return TargetConfig(kind="webhook", **values)


def refusal(config: TargetConfig, environ: dict[str, str], *, of_secret: bool = False) -> str:
    """Why there is no URL, or no secret; whatever is said has none in it."""
    with pytest.raises(ConfigError) as caught:
        (secret_of if of_secret else url_of)("hook", config, environ)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in repr(caught.value.args) + caught.value.remedy
    return str(caught.value)


def test_each_place(tmp_path: Path) -> None:
    """The rules file, a variable, a file; what surrounds it does not count."""
    file = tmp_path / "url"
    file.write_text(f"{URL}\n", "utf-8")
    environ = {"HOOK_URL": f" {URL}\n", "HOOK_SECRET": SECRET}
    for config in (webhook(url=URL), webhook(url_env="HOOK_URL"), webhook(url_file=str(file))):
        assert url_of("hook", config, environ) == URL
        assert secret_of("hook", config, environ) == SECRET
    file.write_text(f"{SECRET}\r\n", "utf-8")
    assert secret_of("hook", webhook(url=URL, secret_file=str(file)), {}) == SECRET


def test_a_variable_that_is_not_set() -> None:
    """It is named, with the target and what is missing."""
    assert refusal(webhook(url_env="HOOK_URL"), {}) == (
        "the target hook has no url: the environment variable HOOK_URL is not set: set it to the"
        " url of the target, or disable the target"
    )
    assert refusal(webhook(url=URL), {"HOOK_SECRET": "  "}, of_secret=True) == (
        "the target hook has no secret: the environment variable HOOK_SECRET is not set: set it to"
        " the secret of the target, or disable the target"
    )
    assert "notifications.targets.hook.url is empty" in refusal(webhook(url=" "), {})


def test_a_file_that_has_none(tmp_path: Path) -> None:
    """It is named, with what is wrong with it."""
    file = tmp_path / "secret"
    remedy = "write the secret of the target into it, readable for the user that runs dbmon"
    config = webhook(url=URL, secret_file=str(file))
    missing = f"the target hook has no secret: the file {file} "
    assert refusal(config, {}, of_secret=True) == (
        f"{missing}cannot be read (No such file or directory): {remedy}"
    )
    file.write_text("\n", "utf-8")
    assert refusal(config, {}, of_secret=True) == f"{missing}is empty: {remedy}"
    file.write_bytes(b"\xff\xfe" + SECRET.encode())
    assert refusal(config, {}, of_secret=True) == f"{missing}is not UTF-8 text: {remedy}"
    file.unlink()
    file.mkdir()
    assert "(Is a directory)" in refusal(config, {}, of_secret=True)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        (f"ftp://example.com/{SECRET}", "does not begin with http:// or https://"),
        (f"file:///etc/{SECRET}", "does not begin with http:// or https://"),
        (SECRET, "does not begin with http:// or https://"),
        (f"https:///{SECRET}", "names no host"),
        (f"https://ada:{SECRET}@example.com/", "has a user or a password in it"),
        (f"https://{SECRET}@example.com/", "has a user or a password in it"),
        (f"https://example.com:{SECRET}/", "is not a URL"),
        (f"https://[{SECRET}/", "is not a URL"),
        (f"https://example.com/{SECRET}\r\nX: y", "has characters that must be percent-encoded"),
        (f"https://example.com/{SECRET} x", "has characters that must be percent-encoded"),
        (f"https://example.com/{SECRET}ü", "has characters that must be percent-encoded"),
    ],
)
def test_what_cannot_be_asked(url: str, fault: str, tmp_path: Path) -> None:
    """The place is named and the fault, and not the URL."""
    file = tmp_path / "url"
    file.write_text(url, "utf-8", newline="")
    for config, place in (
        (webhook(url=url), "notifications.targets.hook.url"),
        (webhook(url_env="HOOK_URL"), "the environment variable HOOK_URL"),
        (webhook(url_file=str(file)), f"the file {file}"),
        (TargetConfig(kind="alertmanager", url=url), "notifications.targets.hook.url"),
    ):
        assert refusal(config, {"HOOK_URL": url}) == (
            f"the URL of the target hook in {place} {fault}: write the full URL of the"
            f" {config.kind} there, for instance https://example.com/path"
        )


def test_apprise_has_urls_of_its_own() -> None:
    """They are not looked at here."""
    config = TargetConfig(kind="apprise", url_env="CHAT")
    assert url_of("chat", config, {"CHAT": f"slack://{SECRET}/a/b"}) == f"slack://{SECRET}/a/b"
