"""The command ``dbmon``, run in the process of the tests."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from unittest.mock import patch

from dbmon_pipeline.faces.cli.main import main
from dbmon_pipeline_tests.helpers import clean_environ


def dbmon_here(*arguments: object, **environ: object) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, which saves its start and its imports.

    What ends the process at once, and what depends on how it is started, needs a process of its own
    (:func:`~dbmon_pipeline_tests.helpers.run_dbmon`).

    Args:
        arguments: Its arguments.
        environ: What its environment has besides.
    """
    words = ["dbmon", *map(str, arguments)]
    printed, said = (TextIOWrapper(BytesIO(), "utf-8", write_through=True) for _ in range(2))
    dagster = logging.getLogger("dagster")
    level = dagster.level
    with (
        patch.object(sys, "argv", words),
        patch.object(sys.modules["__main__"], "__package__", None),  # It is part of the usage.
        patch.dict(os.environ, clean_environ(**environ), clear=True),
        redirect_stdout(printed),
        redirect_stderr(said),
    ):
        sys.modules.pop("dbmon_pipeline.definitions", None)  # It reads the environment.
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        finally:
            dagster.setLevel(level)
            sys.modules.pop("dbmon_pipeline.definitions", None)
    assert isinstance(code, int)
    out, err = (stream.buffer.getvalue().decode() for stream in (printed, said))
    return subprocess.CompletedProcess(words, code, out, err)
