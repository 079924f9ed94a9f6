"""Short forms of `python -m bench.soak` and `python -m bench.flood`: all is accounted for, and nothing grows."""

from __future__ import annotations

import logging

import pytest

from bench import flood, soak


@pytest.mark.deadline(120)
def test_soak(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, 'econtext')
    found = soak.soak(1500, 1, 3, say=lambda line: None)
    assert found['wrong'] == []
    assert not [name for name in found['outcomes'] if name.endswith('wrong')]
    assert sum(found['outcomes'].values()) == 1500
    for pause in found['pauses']:
        assert {name: pause[name] for name in found['before']} == found['before']
    early, last = found['pauses'][3], found['pauses'][-1]
    assert last['objects'] - early['objects'] < 2000
    assert last['resident'] - early['resident'] < 8 << 20
    happened = {name.split()[0] for name in found['outcomes']}
    assert {'call', 'failing', 'batch', 'output', 'stream', 'channel', 'connect', 'kill'} <= happened


@pytest.mark.parametrize(('source', 'lines', 'window'), [('print', 60_000, 1 << 20), ('record', 20_000, 1 << 16)])
def test_flood(source: str, lines: int, window: int) -> None:
    """More than ten times what windows and pipes on its way hold."""
    found = flood.flood(source, lines, window=window, size=200)
    assert lines * 200 > 10 * (window + (1 << 16))
    assert (found['result'], found['lines'], found['missing'], found['wrong']) == (lines, lines, 0, 0)
    assert found['most'] - found['before'] < 6 << 20
