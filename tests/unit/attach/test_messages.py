"""What a broker and an attached program say to each other: round trips, and whatever else there may be."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import econtext
from econtext.controller.attach import messages, passed
from econtext.controller.connect.options import ConnectRequest
from econtext.core.codec import encode
from econtext.core.wire import BadFrame

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 33) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=9).map(tuple)
    | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3), max_leaves=12)
WISH = messages.Connect(0, 'ssh', {'hostname': 'web1'}, {'password': 'x'}, ['question'], 7, {'threads': 2}, 'web1')


def test_a_request_is_read_as_it_was_said() -> None:
    word, values = messages.request(encode((messages.CONNECT, *WISH)))
    assert word == messages.CONNECT
    assert messages.connect(values) == WISH


@given(PLAIN)
def test_any_value_is_a_request_or_no_frame(value: Any) -> None:
    try:
        word, values = messages.request(encode(value))
    except BadFrame:
        return
    assert isinstance(word, str)
    for read in messages.connect, lambda values: messages.numbers(values, 2):
        try:
            read(values)
        except BadFrame:
            pass


@given(st.integers(0, len(WISH) - 1), PLAIN)
def test_a_wish_with_another_value_has_the_right_types_or_is_none(place: int, value: Any) -> None:
    try:
        found = messages.connect((*WISH[:place], value, *WISH[place + 1:]))
    except BadFrame:
        return
    assert [type(each) for each in found[:-1]] == [int, str, dict, dict, list, int, dict]
    assert found.name is None or isinstance(found.name, str)
    assert all(isinstance(text, str) for text in (*found.asked, *found.secrets.values(), *found.options, *found.common))


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_no_frame(data: bytes) -> None:
    for read in (messages.request, messages.brought, messages.refused, messages.reason_of, passed.credit,
                 lambda data: messages.brought(zlib.compress(data))):
        try:
            read(data)
        except BadFrame:
            pass


@given(st.integers(1, 0xFFFFFFFF))
def test_credit(number: int) -> None:
    assert passed.credit(b'%x' % number) == number


@pytest.mark.parametrize('wrong', [b'', b'0', b'00', b'-1', b'+1', b'1_0', b' 1', b'F', b'123456789', b'0x1'])
def test_no_credit(wrong: bytes) -> None:
    with pytest.raises(BadFrame):
        passed.credit(wrong)


def test_modules_that_do_not_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, 'UNPACKED', 1000)
    whole = encode([('app', (False, 'app.py', b'x' * 900))])
    assert messages.brought(zlib.compress(whole)) == [('app', (False, 'app.py', b'x' * 900))]
    for wrong in zlib.compress(encode([('app', (False, 'app.py', b'x' * 2000))])), zlib.compress(whole)[:-1]:
        with pytest.raises(BadFrame):
            messages.brought(wrong)


@pytest.mark.parametrize('error', [
    econtext.ConnectError('web', 'refused-key', 'what', 'lines', 'remedy', 'command'),
    econtext.ContextLost('web: lost'), econtext.CorruptStream('web: corrupt')])
def test_reasons(error: econtext.EcontextError) -> None:
    found = messages.reason_of(messages.reason(error))
    assert (type(found), str(found)) == (type(error), str(error))
    assert messages.reason_of(b'') is messages.reason_of(messages.reason(None)) is None


@pytest.mark.parametrize('error', [
    TypeError('t'), ValueError('v'), econtext.NotAllowed('n'), econtext.EcontextError('e')])
def test_refusals(error: Exception) -> None:
    found = messages.refused(messages.refusal(error))
    assert (type(found), str(found)) == (type(error), str(error))


def request(connector: str, label: str | None, options: dict[str, Any], **common: Any) -> ConnectRequest:
    return ConnectRequest(connector, options, {}, common, label)  # type: ignore[arg-type]


def test_what_is_shared_has_a_name_and_the_same_options() -> None:
    first = request('ssh', 'web1', {'hostname': 'web1', 'args': ('-v',)}, connect_timeout=3, name=None)
    same = request('ssh', 'web1', {'args': ['-v'], 'hostname': 'web1'}, idle_timeout=5)
    assert messages.key(0, first) == messages.key(0, same) is not None
    others = [
        (1, same), (0, request('ssh', 'web2', same.options)), (0, request('ssh', 'web1', {'hostname': 'web1'})),
        (0, request('docker', 'web1', same.options)), (0, request('ssh', 'web1', same.options, threads=2)),
        (0, request('ssh', 'web1', same.options, name='mine'))]
    assert len({messages.key(*other) for other in others} | {messages.key(0, first)}) == len(others) + 1
    assert messages.key(0, request('local', None, {'nice': None})) is None
    assert messages.key(0, request('local', None, {'nice': None}, name='mine')) is not None
