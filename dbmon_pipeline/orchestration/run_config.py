"""Run config: what a person may ask of a refresh in the launchpad; nothing has to be given."""

import dagster as dg
from pydantic import Field

from dbmon_pipeline.core.changes.request import RefreshRequest, parse_request


class RefreshConfig(dg.Config):
    """Optional wishes for one refresh."""

    as_of: str | None = Field(
        None, description="Refresh as if it were this time: ISO 8601, in the past."
    )
    since: str | None = Field(
        None, description="Read this day (YYYY-MM-DD) and those after it again, changed or not."
    )
    until: str | None = Field(None, description="The last day to read again; today if left out.")
    full: bool = Field(False, description="Compare the whole history with the source.")
    compare_days: int | None = Field(
        None, description="How many days to compare closely; the usual hours if left out."
    )
    accept_shrink: bool = Field(
        False, description="Delete here what the source no longer holds, however much that is."
    )

    def request(self) -> RefreshRequest:
        """Read the values as a request.

        Raises:
            ConfigError: One of them cannot be understood.
        """
        return parse_request(
            as_of=self.as_of,
            since=self.since,
            until=self.until,
            full=self.full,
            compare_days=self.compare_days,
            accept_shrink=self.accept_shrink,
        )
