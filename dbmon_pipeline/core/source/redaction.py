"""Redaction: free text loses what looks like a secret before it is rolled up.

Done on the way in, it is done once per row, texts that differ only in a secret become one pattern,
and no secret ever lies on our own disk. DuckDB's RE2 does the matching, in time linear in the text.
"""

from __future__ import annotations

import hashlib
import json

import duckdb

from dbmon_pipeline.core.common.duck import quoted
from dbmon_pipeline.core.common.errors import ConfigError
from dbmon_pipeline.core.config.monitoring import Redaction
from dbmon_pipeline.core.schema.executions import COLUMNS, Role

TEXT_COLUMNS = tuple(column.name for column in COLUMNS if column.role is Role.TEXT)


class Redactor:
    """The configured patterns as one SQL expression.

    Attributes:
        digest: Changes when the patterns do.
    """

    def __init__(self, redaction: Redaction, con: duckdb.DuckDBPyConnection) -> None:
        """Compile the patterns.

        Args:
            redaction: The patterns.
            con: Any instance of DuckDB, to check them in.

        Raises:
            ConfigError: A pattern is not a valid RE2 expression; it is named.
        """
        patterns = redaction.patterns if redaction.enabled else {}
        self._patterns = patterns
        self.digest = hashlib.sha256(json.dumps(patterns).encode()).hexdigest()
        for name, pattern in patterns.items():
            try:
                con.execute("SELECT regexp_matches('', $pattern)", {"pattern": pattern})
            except duckdb.Error as error:
                raise ConfigError(
                    f"redaction.patterns.{name} is not a valid expression ({error})",
                    remedy="correct it; the syntax is that of RE2",
                ) from None

    def expression(self, text: str) -> str:
        """SQL for a text column without its secrets.

        The patterns stand in it as literals: DuckDB compiles a bound one anew for every row.
        """
        for name, pattern in self._patterns.items():
            text = f"regexp_replace({text}, {quoted(pattern)}, '[redacted {name}]', 'g')"
        return text
