"""Python 2.4 and 2.5 in contexts: real ones where ECONTEXT_PYTHONS names some, and 2.7 with what is newer hidden."""

from __future__ import annotations

import datetime
import math
import operator
from pathlib import Path
from typing import Any

import pytest
from crossing import far

import econtext
from lab import eventually, olden, pythons

REAL = [name for name, found in pythons.extra().items() if found.version < (2, 6)]
FLOATS = [0.0, -0.0, 1.5, 0.1, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, 1 + 2j]
SETS: list[Any] = [set(), {1, 'a'}, frozenset({(4,)}), [{1: {2}}], {frozenset({1}): {2}}, {frozenset({1, 2})}]


@pytest.fixture(params=['hidden', *REAL])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return olden.write(tmp_path) if request.param == 'hidden' else pythons.interpreter(request.param)


def same(child: econtext.Context) -> None:
    for values in FLOATS, SETS:
        back = list(child.call(far.echo, *values)[0][0:])
        assert repr(back) == repr(values) or back == values
    signs = child.call(far.echo, -0.0, math.nan)[0]
    assert math.copysign(1, signs[0]) == -1
    assert math.isnan(signs[1])


def test_values_cross_in_a_first_call_and_in_later_ones(broker: econtext.Broker, old: str) -> None:
    child = broker.local(python=old)
    same(child)
    assert child.python_version < (2, 6)
    same(child)


def test_values_cross_to_what_lies_below(broker: econtext.Broker, old: str) -> None:
    same(broker.local(python=old).local(python=old))


def test_values_cross_by_channels(broker: econtext.Broker, old: str) -> None:
    child = broker.local(python=old).wait_ready()
    channel = child.channel()
    done = child.submit(far.talk, channel)
    for value in [*FLOATS, *SETS, None]:
        channel.send(value)
    assert list(channel) == [*FLOATS, *SETS, None, 'end']
    done.result(60)


def test_large_frames_cross(broker: econtext.Broker, old: str) -> None:
    data = 'x' * 3_000_000
    child = broker.local(python=old).wait_ready()
    assert child.call(far.echo, data)[0][0] == data
    assert child.local(python=old).call(far.echo, data)[0][0] == data


def test_errors_of_ours_can_be_caught_there(broker: econtext.Broker, old: str) -> None:
    child = broker.local(python=old)
    assert child.call(far.not_allowed) == 'NotAllowed'
    with pytest.raises(ZeroDivisionError):
        child.call(operator.floordiv, 1, 0)


def test_first_calls_below_old_hops_are_answered(broker: econtext.Broker, old: str) -> None:
    hop = broker.local(python=old)
    below = [hop.local(python=old) for _ in range(4)]
    futures = [child.options(timeout=60).submit(operator.add, 1, 2) for child in below]
    assert [future.result() for future in futures] == [3] * 4


def test_a_request_that_fails_here_is_answered(
    broker: econtext.Broker, old: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The module is then none, and the reason is logged here."""
    child = broker.local(python=old).wait_ready()
    frames = broker._tree.frames
    supply = frames.supply

    def failing(context: Any, handle: int, name: str, here: Any) -> None:
        if name == 'ect_nowhere':
            raise IndexError('ours')
        supply(context, handle, name, here)

    monkeypatch.setattr(frames, 'supply', failing)
    with pytest.raises(ImportError):
        child.options(timeout=60).call(far.import_one, 'ect_nowhere')
    eventually(lambda: any(
        'ect_nowhere could not be looked for' in record.getMessage() and 'IndexError: ours' in record.getMessage()
        for record in caplog.records))


@pytest.mark.parametrize('version', ['2.7', '3.6', '3.7'])
def test_a_zone_that_is_some_seconds_off(broker: econtext.Broker, version: str) -> None:
    """Before Python 3.7 there is none: that is said, and not found by whoever asks the value for its zone."""
    zone = datetime.timezone(datetime.timedelta(seconds=3601))
    child = broker.local(python=pythons.interpreter(version))
    moment = datetime.datetime(2024, 1, 1, tzinfo=zone)
    if version == '3.7':
        assert child.call(far.echo, moment)[0][0] == moment
        return
    with pytest.raises(ValueError, match='from UTC has seconds'):
        child.call(far.echo, moment)
