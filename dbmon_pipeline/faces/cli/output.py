"""What the commands print: data on stdout, what is about it on stderr."""

from __future__ import annotations

import sys
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes, as monitoring plugins have them."""

    OK = 0
    UNKNOWN = 3
    INTERRUPTED = 130


def say(line: str) -> None:
    """Print a line about the data, on stderr."""
    sys.stderr.write(f"{line}\n")


def put(line: str) -> None:
    """Print a line of what was asked for, on stdout."""
    sys.stdout.write(f"{line}\n")
