"""Which modules leave the program: what is denied is sent in no way, and whoever wants it hears why."""

from __future__ import annotations

import os

import guarded.settings
import guarded.work
import pytest

import econtext
from lab.pythons import Interpreter


@pytest.mark.parametrize('where', ['below us', 'behind a hop'])
@pytest.mark.parametrize('python', ['2.7', '3.6', '3.13'], indirect=True)
def test_what_is_denied_is_not_sent(python: Interpreter, where: str) -> None:
    with econtext.Broker(deny_modules=['guarded.settings', 'os']) as broker:
        context = broker.local(python=python)
        if where == 'behind a hop':
            context = context.local()
        assert context.call(guarded.fine) == 'fine'
        with pytest.raises(econtext.NotAllowed, match='deny_modules'):
            context.call(guarded.settings.give)
        with pytest.raises(econtext.NotAllowed):
            context.submit(os.getpid)
        with pytest.raises(ImportError, match='deny_modules'):
            context.call(guarded.work.imports, 'guarded.settings')
        assert context.call(guarded.work.imports, 'guarded.work') == 'guarded.work'


@pytest.mark.parametrize('python', ['2.7', '3.6', '3.13'], indirect=True)
def test_nothing_but_what_is_allowed_is_sent(python: Interpreter) -> None:
    with econtext.Broker(allow_modules=['guarded.w*', 'guarded']) as broker:
        context = broker.local(python=python)
        assert context.call(guarded.work.imports, 'guarded') == 'guarded'
        assert context.call(os.getpid) == context.pid, 'what the target has of its own is no question'
        with pytest.raises(econtext.NotAllowed, match='allow_modules'):
            context.call(pytest.main)
        with pytest.raises(ImportError, match='allow_modules'):
            context.call(guarded.work.imports, 'lab.leaks')


def test_files_follow_their_package(broker: econtext.Broker) -> None:
    assert broker.local().call(guarded.work.data, 'guarded', 'file.txt') == 5
    with econtext.Broker(deny_modules=['guarded']) as strict:
        assert strict.modules.data('guarded', 'file.txt') is None
    with econtext.Broker(deny_modules=['__main__']) as strict, pytest.raises(econtext.NotAllowed):
        strict.modules.policy.check(strict.modules.main)


def test_what_is_no_list_of_names_is_refused() -> None:
    with pytest.raises(TypeError, match='allow_modules'):
        econtext.Broker(allow_modules='app')
    with pytest.raises(TypeError, match='deny_modules'):
        econtext.Broker(deny_modules=[b'app'])  # type: ignore[list-item]
