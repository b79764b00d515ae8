"""Settings of a process: its source, its home and its rules."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dbmon_pipeline.core.common.paths import absolute
from dbmon_pipeline.core.common.shipped import shipped
from dbmon_pipeline.core.config.address import remote_name
from dbmon_pipeline.core.config.loader import load_config
from dbmon_pipeline.core.config.monitoring import MonitoringConfig
from dbmon_pipeline.core.home.home import Home


@dataclass(frozen=True)
class Settings:
    """Settings of a process: its source, its home and its rules.

    Attributes:
        source: The learning database, absolute; the name of one that is no file.
        home: The working folder.
        config: Every limit and rule.
    """

    source: Path
    home: Home
    config: MonitoringConfig

    @classmethod
    def load(
        cls,
        source: Path | None = None,
        home: Path | None = None,
        environ: Mapping[str, str] = os.environ,
        *,
        rules: Path | None = None,
    ) -> Settings:
        """Take settings from arguments, then ``DBMON_SOURCE/HOME/CONFIG``, then the defaults.

        Args:
            source: The learning database.
            home: The working folder.
            environ: Where the variables are.
            rules: A rules file over all others.

        Raises:
            ConfigError: The rules file is missing or wrong, or a path cannot be understood.
        """
        files = [shipped("config", "monitoring.yaml")]
        if named := environ.get("DBMON_CONFIG"):
            files.append(Path(named))
        if rules:
            files.append(rules)
        config = load_config(*files)
        remote = remote_name(config.source.attach) if config.source.attach else None
        given = environ.get("DBMON_SOURCE")
        chosen = source or (Path(given) if given else remote or Path("data/learning.db"))
        return cls(
            source=chosen if chosen == remote else absolute(chosen),
            home=Home(absolute(home or Path(environ.get("DBMON_HOME") or ".dbmon"))),
            config=config,
        )
