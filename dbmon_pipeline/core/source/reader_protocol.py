"""The protocol of the reader process: one JSON line a request, and lines of replies to it.

``{"id": 1, "request": "compare", "params": {}}`` is answered by any number of ``{"id": 1,
"progress": "text"}`` and then by ``{"id": 1, "result": ...}`` or ``{"id": 1, "error": {"class":
"ContractError", "message": ..., "remedy": ...}}``. Both sides import this module.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dbmon_pipeline.core.common import errors
from dbmon_pipeline.core.common.errors import DbmonError, ReaderError

_SMALLEST_INTEGER, _LARGEST_INTEGER = -(2**63), 2**63 - 1
"""The integers that every JSON decoder keeps as they are."""


ENGINE_BROKEN_EXIT = 70
"""The exit code of a reader process whose engine broke over a block that was overwritten."""


class EngineBrokenError(Exception):
    """A reading that was thrown away broke the engine of the reader process, which then ends."""


class Request(Struct):
    """A request to the reader process."""

    id: int
    request: str
    params: dict[str, Any]


class ErrorInfo(Struct):
    """A :class:`DbmonError` as it is sent.

    Attributes:
        kind: The name of its class in :mod:`dbmon_pipeline.core.common.errors`.
    """

    kind: str = msgspec.field(name="class")
    message: str
    remedy: str


class Reply(Struct):
    """A reply with exactly one of progress, a result and an error."""

    id: int
    progress: str | UnsetType = UNSET
    result: Any = UNSET
    error: ErrorInfo | UnsetType = UNSET


_encoder = msgspec.json.Encoder()
decode_request = msgspec.json.Decoder(Request).decode
decode_reply = msgspec.json.Decoder(Reply).decode
"""Decoders of a line; a DecodeError of msgspec means that it is no such message."""


def encode_line(message: Request | Reply) -> bytes:
    """Encode a message as one line.

    Raises:
        TypeError: JSON has nothing for one of its values.
        OverflowError: An integer has more than 64 bits.
        UnicodeEncodeError: A text is not Unicode, as of a file name in another encoding.
    """
    return _encoder.encode(message) + b"\n"


def sendable(text: str) -> str:
    """Escape the parts of a text that are not Unicode, as of a file name in another encoding."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def describe_error(error: BaseException) -> ErrorInfo:
    """Describe an error for sending; one that is not of the tree becomes a ReaderError."""
    if not isinstance(error, DbmonError):
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        error = ReaderError(
            f"the reader process failed ({text})",
            remedy="set DBMON_DEBUG=1 and repeat to see where",
        )
    kind = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    return ErrorInfo(kind.__name__, sendable(error.message), sendable(error.remedy))


def rebuild_error(info: ErrorInfo) -> DbmonError:
    """Build the error that was described; one of an unknown class becomes a DbmonError."""
    kind = getattr(errors, info.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, DbmonError)):
        kind = DbmonError
    return kind(info.message, remedy=info.remedy)


def encode_rows(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> dict[str, Any]:
    """Turn the rows of a query into a result that JSON carries without loss.

    Raises:
        TypeError: A value is of a type that no query returns.
    """
    return {"columns": columns, "rows": [list(map(encode_value, row)) for row in rows]}


def decode_rows(result: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Turn the result of :func:`encode_rows` into columns and rows again."""
    return tuple(result["columns"]), [tuple(map(decode_value, row)) for row in result["rows"]]


def encode_value(value: object) -> object:
    """Encode a value; an object with one key names the type of what JSON does not have.

    Raises:
        TypeError: It is of a type that no query returns and no statement takes.
    """
    match value:
        case None | bool() | str():
            return value
        case int():
            fits = _SMALLEST_INTEGER <= value <= _LARGEST_INTEGER
            return value if fits else {"int": hex(value)}
        case float():
            return value if math.isfinite(value) else {"float": repr(value)}
        case list():
            return [encode_value(item) for item in value]
        case tuple():
            return {"tuple": [encode_value(item) for item in value]}
        case dict():
            pairs = [[encode_value(key), encode_value(item)] for key, item in value.items()]
            return {"dict": pairs}
        case timedelta():
            return {"timedelta": [value.days, value.seconds, value.microseconds]}
        case datetime() | date() | time():
            kind = next(kind for kind in (datetime, date, time) if isinstance(value, kind))
            return {kind.__name__: value.isoformat()}
        case Decimal():
            return {"decimal": str(value)}
        case bytes():
            return {"bytes": b64encode(value).decode("ascii")}
        case UUID():
            return {"uuid": value.hex}
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent")


def decode_value(value: Any) -> Any:  # noqa: ANN401 - as decoded
    """Decode the result of :func:`encode_value`."""
    if type(value) is list:
        return [decode_value(item) for item in value]
    if type(value) is dict:
        ((kind, content),) = value.items()
        return _DECODERS[kind](content)
    return value


_DECODERS: dict[str, Callable[[Any], object]] = {
    "int": lambda text: int(text, 16),
    "float": float,
    "tuple": lambda items: tuple(map(decode_value, items)),
    "dict": lambda pairs: {decode_value(key): decode_value(item) for key, item in pairs},
    "timedelta": lambda parts: timedelta(*parts),
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "decimal": Decimal,
    "bytes": b64decode,
    "uuid": UUID,
}
