"""Sources of the URLs and the secrets of targets. No error has one in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.config.notifications import TargetConfig
from dbmon_pipeline.outputs.notify.transport import url_fault

_LARGEST_FILE = 64 * 1024


def url_of(name: str, config: TargetConfig, environ: Mapping[str, str]) -> str:
    """Return the URL of a target.

    Args:
        name: The name of the target.
        config: What the rules file says about it.
        environ: The environment.

    Raises:
        ConfigError: There is none where it should be, or it cannot be one; the message names the
            target and the place, and not the URL.
    """
    url, place = _found(name, "url", config.url, config.url_env, config.url_file, environ)
    fault = url_fault(url) if config.kind != "apprise" else None
    if fault is not None:
        raise ConfigError(
            f"the URL of the target {name} in {place} {fault}",
            remedy=f"write the full URL of the {config.kind} there, for instance"
            " https://example.com/path",
        )
    return url


def secret_of(name: str, config: TargetConfig, environ: Mapping[str, str]) -> str:
    """Return the secret that a webhook is signed with.

    Args:
        name: The name of the target.
        config: What the rules file says about it.
        environ: The environment.

    Raises:
        ConfigError: There is none where it should be; the message names the target and the place.
    """
    return _found(name, "secret", None, config.secret_env, config.secret_file, environ)[0]


def _found(
    name: str,
    what: str,
    given: str | None,
    variable: str | None,
    file: str | None,
    environ: Mapping[str, str],
) -> tuple[str, str]:
    """Return the value looked for, and the place where it stands."""
    if file is not None:
        return _read(name, what, file), f"the file {file}"
    if variable is not None:
        value, place = environ.get(variable, "").strip(), f"the environment variable {variable}"
        fault = f"{place} is not set"
    else:
        value, place = (given or "").strip(), f"notifications.targets.{name}.{what}"
        fault = f"{place} is empty"
    if not value:
        raise ConfigError(
            f"the target {name} has no {what}: {fault}",
            remedy=f"set it to the {what} of the target, or disable the target",
        )
    return value, place


def _read(name: str, what: str, file: str) -> str:
    remedy = f"write the {what} of the target into it, readable for the user that runs dbmon"
    try:
        with Path(file).expanduser().open("rb") as opened:
            value = opened.read(_LARGEST_FILE).decode("utf-8").strip()
    except UnicodeDecodeError:
        fault = "is not UTF-8 text"
    except (OSError, RuntimeError, ValueError) as error:
        fault = f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})"
    else:
        if value:
            return value
        fault = "is empty"
    raise ConfigError(f"the target {name} has no {what}: the file {file} {fault}", remedy=remedy)
