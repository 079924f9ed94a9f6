"""What a place knows to be on its host, and what a context has of a packed module before it forks for one."""

from __future__ import annotations

import asyncio
import threading
import types
import zlib
from typing import Any

import pytest

import econtext
from econtext.ansible.archives import Archive, digest_of
from econtext.ansible.payload import Payload
from econtext.ansible.places import Place, last_words
from econtext.child import ansiballz, separate

MEMBERS = {
    'ansible/__init__.py': b'', 'ansible/modules/__init__.py': b'', 'ansible/modules/mine.py': b'X = 1\n',
    'ansible/module_utils/basic.py': b'Y = 2\n', 'ansible/module_utils/wrong.py': b'def\n',
}
ARCHIVE = Archive(b'archive', MEMBERS)
PAYLOAD = Payload(b'', 'ansible.modules.mine', b'{}', 'legacy', 0)


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in 'SOURCES', 'CODE', 'PAYLOADS', 'PRELOADED':
        monkeypatch.setattr(ansiballz, name, {})
    monkeypatch.setattr(ansiballz, 'preload', lambda archive: None)


def compiled() -> set[str]:
    return {name for name, content in MEMBERS.items() if digest_of(content) in ansiballz.CODE}


def test_the_function_stands_before_the_fork() -> None:
    assert separate.AHEAD[ansiballz.run.__module__, ansiballz.run.__name__] is ansiballz.receive


def test_what_is_new_is_compiled_before_the_fork() -> None:
    ansiballz.receive(ARCHIVE.digest, (ARCHIVE.files, ARCHIVE.sources), PAYLOAD.module)
    assert compiled() == {*MEMBERS} - {'ansible/module_utils/wrong.py'}


def test_one_at_a_time_has_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one waits for the first, and so does its fork: what is imported is imported whole."""
    inside, go, ended = threading.Event(), threading.Event(), []

    def preload(archive: bytes) -> None:
        inside.set()
        assert go.wait(60)
        ended.append('first')

    def second() -> None:
        ansiballz.receive(ARCHIVE.digest, None, PAYLOAD.module)
        ended.append('second')

    monkeypatch.setattr(ansiballz, 'preload', preload)
    first = threading.Thread(target=ansiballz.receive, args=(
        ARCHIVE.digest, (ARCHIVE.files, ARCHIVE.sources), PAYLOAD.module))
    first.start()
    assert inside.wait(60)
    other = threading.Thread(target=second)
    other.start()
    assert ansiballz.RECEIVING.locked()
    go.set()
    first.join(60)
    other.join(60)
    assert ended == ['first', 'second']


class FakeContext:
    """Notes the calls, and answers as it is told."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[tuple[Any, ...]] = []

    def options(self, **given: Any) -> FakeContext:
        assert given['fork'] is True
        return self

    async def call(self, function: Any, *args: Any) -> Any:
        assert function is ansiballz.run
        self.calls.append(args)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


DONE = types.SimpleNamespace(value=0, stdout=b'{}', stderr=b'')


def ran(context: FakeContext) -> list[Any]:
    """Run the module as often as the context has answers; return what was new."""
    place = Place(context)

    async def main() -> None:
        while context.outcomes:
            try:
                await place.run_module(ARCHIVE, PAYLOAD, {}, '/usr/bin/python3')
            except OSError:
                pass

    asyncio.run(main())
    return [call[1] and (call[1][0], set(call[1][1])) for call in context.calls]


def test_sources_go_with_the_first_run_alone() -> None:
    assert ran(FakeContext(DONE, DONE)) == [(ARCHIVE.files, set(ARCHIVE.sources)), None]


def test_sources_of_a_run_that_was_not_heard_of_go_again() -> None:
    everything = ARCHIVE.files, set(ARCHIVE.sources)
    lost = OSError('nobody knows')
    assert ran(FakeContext(lost, DONE, DONE)) == [everything, everything, None]


def test_what_another_archive_has_brought_is_not_sent_again() -> None:
    context = FakeContext(DONE, DONE)
    place = Place(context)
    more = Archive(b'more', {**MEMBERS, 'ansible/modules/more.py': b'Z = 3\n'})

    async def main() -> None:
        for archive in ARCHIVE, more:
            await place.run_module(archive, PAYLOAD, {}, '/usr/bin/python3')

    asyncio.run(main())
    assert [zlib.decompress(each, -15) for each in context.calls[1][1][1].values()] == [b'Z = 3\n']


@pytest.mark.parametrize(('returncode', 'said'), [
    (None, b''), (0, b''), (3, b''), (-9, b'Killed\n'), (-11, b'Segmentation fault\n'), (-2, b''), (-13, b''),
    (-250, b'Signal 250\n')])
def test_a_signal_is_named_as_a_shell_does(returncode: int | None, said: bytes) -> None:
    assert last_words(returncode) == said


def test_what_a_module_wrote_stands_before_the_signal_that_ended_it() -> None:
    context = FakeContext(econtext.ForkExited('web', 'a module', -9, b'out', b'err\n'))
    done = asyncio.run(Place(context).run_module(ARCHIVE, PAYLOAD, {}, '/usr/bin/python3'))
    assert done == (137, b'out', b'err\nKilled\n')
