"""The protocol of the reader process: values and errors arrive as they were sent."""

from __future__ import annotations

import inspect
import json
import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbmon_pipeline.core.common import errors
from dbmon_pipeline.core.common.errors import (
    ContractError,
    DbmonError,
    NotificationError,
    ReaderError,
)
from dbmon_pipeline.core.source.reader_protocol import (
    Reply,
    Request,
    decode_reply,
    decode_request,
    decode_rows,
    describe_error,
    encode_line,
    encode_rows,
    rebuild_error,
)

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]

_zones = st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
_keys = (
    st.text()
    | st.integers()
    | st.booleans()
    | st.dates()
    | st.datetimes()
    | st.decimals(allow_nan=False)
    | st.tuples(st.integers(), st.text())
)
_scalars = (
    st.none()
    | _keys
    | st.floats()
    | st.decimals(allow_nan=True)
    | st.binary()
    | st.timedeltas()
    | st.uuids()
    | st.datetimes(timezones=_zones)
    | st.times()
    | st.times(timezones=_zones)
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(_keys, inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(rows=st.lists(st.tuples(_values, _values), max_size=4))
def test_rows_arrive_as_they_were_sent(rows: list[tuple[object, object]]) -> None:
    """Each value in its type, through a line of JSON that any decoder understands."""
    line = encode_line(Reply(1, result=encode_rows(["a", "b"], ["BIGINT", "DOUBLE[]"], rows)))
    assert line.count(b"\n") == 1
    json.loads(line, parse_constant=pytest.fail)
    columns, types, decoded = decode_rows(decode_reply(line).result)
    assert (columns, types) == (["a", "b"], ["BIGINT", "DOUBLE[]"])
    assert _typed(decoded) == _typed(rows)


def _typed(value: object) -> object:
    """Name the types within a value; equal texts for the values that equal nothing."""
    match value:
        case list() | tuple():
            return type(value), [_typed(item) for item in value]
        case dict():
            return dict, [(_typed(key), _typed(item)) for key, item in value.items()]
        case float() | Decimal():
            return type(value), repr(value)
    return type(value), value


@pytest.mark.parametrize(
    "value", [-(2**63), 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**5000], ids=hex
)
def test_integers_of_any_size_arrive(value: int) -> None:
    """Beyond what JSON decoders keep, and beyond what Python reads as decimal digits."""
    result = decode_reply(encode_line(Reply(1, result=encode_rows(["n"], ["X"], [(value,)]))))
    assert decode_rows(result.result)[2] == [(value,)]


@pytest.mark.parametrize("value", [-0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 1e16, 1.0])
def test_floats_arrive_to_the_last_bit(value: float) -> None:
    """As floats, though they may have no fraction."""
    result = decode_reply(encode_line(Reply(1, result=encode_rows(["x"], ["X"], [(value,)]))))
    ((arrived,),) = decode_rows(result.result)[2]
    assert isinstance(arrived, float)
    assert (arrived, math.copysign(1, arrived)) == (value, math.copysign(1, value))


def test_an_instant_with_a_zone_stays_that_instant() -> None:
    """Its zone becomes an offset."""
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert decode_rows(encode_rows(["t"], ["X"], [(at,)]))[2] == [(at,)]


def test_a_value_of_no_query_is_refused() -> None:
    """Rather than sent as something else."""
    with pytest.raises(TypeError, match="a value of type set cannot be sent"):
        encode_rows(["x"], ["X"], [({1},)])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_arrives_as_itself(kind: type[DbmonError]) -> None:
    """With its message and its remedy."""
    sent = kind("the file 'x' is not well", remedy="make it well")
    arrived = _sent_and_rebuilt(sent)
    assert type(arrived) is kind
    assert (arrived.message, arrived.remedy) == (sent.message, sent.remedy)


def test_what_else_an_error_carries_arrives_if_json_has_it() -> None:
    """What JSON does not have stays behind, and disturbs nothing."""
    sent = NotificationError("not told", remedy="wait", notified=(1, 2))
    sent.add_note("a note")
    vars(sent)["thing"] = object()
    arrived = _sent_and_rebuilt(sent)
    assert isinstance(arrived, NotificationError)
    assert list(arrived.notified) == [1, 2]
    assert "thing" not in vars(arrived)


@pytest.mark.parametrize("name", ["NewerError", "annotations", "__name__", "", "Exception"])
def test_an_error_of_an_unknown_class_arrives_as_the_root(name: str) -> None:
    """A newer reader may have more of them; nothing else of that name is called."""
    info = describe_error(ContractError("no table", remedy="look"))
    info.kind = name
    assert type(rebuild_error(info)) is DbmonError


def test_an_error_made_elsewhere_arrives_as_the_nearest_of_the_tree() -> None:
    """The client need not have imported its module."""

    class LocalError(ContractError):
        """An error of this test."""

    assert type(_sent_and_rebuilt(LocalError("no table", remedy="look"))) is ContractError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("two\nlines"), "the reader process failed (ValueError: two lines)"),
        (AssertionError(), "the reader process failed (AssertionError)"),
        (OSError("\udcff"), "the reader process failed (OSError: \\udcff)"),
    ],
)
def test_any_other_error_arrives_as_an_error_of_the_reader(error: Exception, message: str) -> None:
    """With its type and its text on one line."""
    arrived = _sent_and_rebuilt(error)
    assert type(arrived) is ReaderError
    assert arrived.message == message


def _sent_and_rebuilt(error: Exception) -> DbmonError:
    reply = decode_reply(encode_line(Reply(1, error=describe_error(error))))
    assert isinstance(reply.error, type(describe_error(error)))
    return rebuild_error(reply.error)


def test_messages_are_lines_of_plain_json() -> None:
    """As the head of the module shows them."""
    request = Request(1, "compare", {"days": ["2026-03-01"]})
    assert json.loads(encode_line(request)) == {
        "id": 1,
        "request": "compare",
        "params": {"days": ["2026-03-01"]},
    }
    assert decode_request(encode_line(request)) == request
    for reply in (Reply(1, progress="half"), Reply(1, result=None)):
        assert decode_reply(encode_line(reply)) == reply
    assert encode_line(Reply(1, progress="half")) == b'{"id":1,"progress":"half"}\n'
    assert encode_line(Reply(1, result=None)) == b'{"id":1,"result":null}\n'
    error = describe_error(ContractError("no table", remedy="look"))
    assert json.loads(encode_line(Reply(1, error=error)))["error"] == {
        "class": "ContractError",
        "message": "no table",
        "remedy": "look",
        "data": {},
    }
