"""Section: the common base of every mapping of the rules file."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Positive = Annotated[int, Meta(ge=1)]
Address = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]+:.")]
ExtensionName = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$")]
TextFile = Annotated[str, Meta(pattern=r"^/[^\x00-\x1f\x7f]*(?<!/)\.prom\Z")]
Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mapping of the rules file; an unknown key is an error."""
