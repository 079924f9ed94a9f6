"""What the daemon of a run sends to a host, and when."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import econtext
from econtext.ansible import wire
from econtext.ansible.archives import Archive
from econtext.ansible.daemon import Daemon
from econtext.ansible.deferred import Deferred
from econtext.ansible.places import Place
from econtext.child import ansiballz, running, temporary

from .test_deferred import NAME, PARENT, PATH, command, folder_line, remove_line

MODULE = {'what': 'module', 'payload': (b'', 'ansible.modules.mine', b'{}', 'legacy', 0), 'fork': True,
          'variables': {}, 'interpreter': '/usr/bin/python3', 'words': ['/bin/sh', '-c', '/usr/bin/python3'],
          'input': b'program'}
OUTPUTS = {'echo ~': b'/home/me\n', folder_line(PARENT, NAME): f'{NAME}={PATH}\n'.encode()}


class Context:
    """Notes what is asked of it. A step fails if its name is in `failing`, a command if it has one of `refused`."""

    python_version = 3, 12
    is_always_replaced = False

    def __init__(self) -> None:
        self.trips: list[Any] = []
        self.failing: set[str] = set()
        self.refused: set[str] = set()
        self.ended = False
        self.replaced = Context.is_always_replaced
        self.coerced: list[str] = []
        #: The changes of the environment, of each command.
        self.changes: list[dict[str, None]] = []
        #: Contexts that are started within this one.
        self.below: list[Context] = []
        self.go: asyncio.Event | None = None

    def options(self, **given: Any) -> Context:
        return self

    def local(self, **given: Any) -> Context:
        self.below.append(Context())
        return self.below[-1]

    async def close(self) -> None:
        self.ended = True

    async def wait_ready(self) -> Context:
        if self.ended:
            raise econtext.ContextLost('ended')
        return self

    async def call(self, function: Any, *args: Any) -> Any:
        if function is ansiballz.suits:
            return True, True
        if function is running.coerced:
            return self.coerced
        if self.go is not None:
            await self.go.wait()
        if function is temporary.carry_out:
            self.trips.append([step[0] for step in args[0]])
            return self.carried_out(args[0])
        assert function is ansiballz.run
        if self.replaced:
            return types.SimpleNamespace(value=ansiballz.REPLACED, stdout=b'', stderr=b'')
        self.trips.append(('module', [step[0] for step in args[-1]]))
        done = self.carried_out(args[-1])
        return types.SimpleNamespace(value=0 if done == len(args[-1]) else -1 - done, stdout=b'{}', stderr=b'')

    def carried_out(self, steps: list[Any]) -> int:
        return next((number for number, step in enumerate(steps) if step[0] in self.failing), len(steps))

    async def run(self, words: list[str], **options: Any) -> Any:
        self.trips.append(words[2])
        self.changes.append(options.get('env') or {})
        failed = any(each in words[2] for each in self.refused)
        return types.SimpleNamespace(
            returncode=int(failed), stdout=OUTPUTS.get(words[2], b''), stderr=b'no luck' * failed)


class Hosts:
    """A daemon whose requests all have one place each for the login and for another user."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.daemon = Daemon(None)
        self.context, self.other = Context(), Context()
        self.login, self.root = Place(self.context), Place(self.other)
        self.source = tmp_path / 'source'
        self.source.write_bytes(b'content')

        async def login(request: dict[str, Any]) -> Place:
            return self.login

        async def become(request: dict[str, Any], place: Place) -> Place:
            return self.root if request['become'] else self.login

        monkeypatch.setattr(self.daemon, 'login', login)
        monkeypatch.setattr(self.daemon, 'become', become)
        monkeypatch.setattr(self.daemon.archives, 'open', lambda archive: Archive(b'archive', {}))

    async def ask(self, request: dict[str, Any], deferred: Deferred, become: Any = None) -> Any:
        kind, value = await self.daemon.answer({**request, 'way': {'key': 'host', 'options': {}}, 'become': become},
                                               deferred)
        return value if kind == wire.DONE else (kind, value)

    async def copy(self, deferred: Deferred, become: Any = None) -> list[Any]:
        """Ask what Ansible asks to copy a file."""
        return [await self.ask(command('echo ~'), deferred),
                await self.ask(command(folder_line(PARENT, NAME)), deferred),
                await self.ask(MODULE, deferred, become), await self.put(deferred),
                await self.ask(command(f'chmod u+rwx {PATH}/ {PATH}/.source'), deferred),
                await self.ask(MODULE, deferred, become), await self.ask(command(remove_line(PATH)), deferred)]

    async def put(self, deferred: Deferred) -> Any:
        return await self.ask({'what': 'put', 'source': str(self.source), 'target': f'{PATH}/.source'}, deferred)

    async def experience(self) -> None:
        """Have a worker copy a file, and go."""
        deferred = Deferred()
        await self.copy(deferred)
        self.daemon.leave(deferred)
        await self.daemon.settle({'way': {'key': 'host'}})
        self.context.trips.clear()


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hosts:
    return Hosts(monkeypatch, tmp_path)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def test_the_first_copy_asks_by_commands(hosts: Hosts) -> None:
    async def test() -> None:
        deferred = Deferred()
        answers = await hosts.copy(deferred)
        assert answers == [(0, b'/home/me\n', b''), (0, OUTPUTS[folder_line(PARENT, NAME)], b''), (0, b'{}', b''),
                           (0, b'', b''), (0, b'', b''), (0, b'{}', b''), (0, b'', b'')]
        assert hosts.context.trips == [
            'echo ~', folder_line(PARENT, NAME), ('module', []), ('module', ['write', 'mode'])]
        hosts.daemon.leave(deferred)
        await hosts.daemon.settle({'way': {'key': 'host'}})
        assert hosts.context.trips[4:] == [['remove']]
    run(test)


def test_the_next_copy_is_two_trips_and_one_that_nobody_waits_for(hosts: Hosts) -> None:
    async def test() -> None:
        await hosts.experience()
        deferred = Deferred()
        answers = await hosts.copy(deferred)
        assert answers[:2] == [(0, b'/home/me\n', b''), (0, OUTPUTS[folder_line(PARENT, NAME)], b'')]
        assert hosts.context.trips == [('module', ['home', 'folder']), ('module', ['write', 'mode'])]
        # In a loop, the next item takes along what is left.
        await hosts.copy(deferred)
        assert hosts.context.trips[2:] == [('module', ['remove', 'home', 'folder']), ('module', ['write', 'mode'])]
    run(test)


def test_a_module_of_another_user_comes_behind_what_waits(hosts: Hosts) -> None:
    async def test() -> None:
        await hosts.experience()
        deferred = Deferred()
        order: list[Any] = []
        hosts.context.trips = hosts.other.trips = order
        await hosts.copy(deferred, become={'key': 'sudo', 'password': None})
        assert order == [['home', 'folder'], ('module', []), ['write', 'mode'], ('module', [])]
    run(test)


def test_the_home_folder_of_one_user_is_no_step_for_another(hosts: Hosts) -> None:
    async def test() -> None:
        await hosts.experience()
        deferred = Deferred()
        await hosts.ask(command('echo ~'), deferred)
        await hosts.ask(MODULE, deferred, become={'key': 'sudo', 'password': None})
        assert hosts.context.trips == []
        assert hosts.other.trips == [('module', [])]
    run(test)


def test_whatever_is_no_module_comes_behind_what_waits(hosts: Hosts) -> None:
    async def test() -> None:
        await hosts.experience()
        deferred = Deferred()
        await hosts.ask(command(folder_line(PARENT, NAME)), deferred)
        await hosts.ask(command('raw'), deferred)
        assert hosts.context.trips == [['folder'], 'raw']
    run(test)


@pytest.mark.parametrize(('failing', 'trips'), [
    ('home', [('module', ['home', 'folder']), 'echo ~', folder_line(PARENT, NAME), ('module', [])]),
    ('folder', [('module', ['home', 'folder']), folder_line(PARENT, NAME), ('module', [])]),
])
def test_a_step_that_fails_is_a_command_before_the_module(hosts: Hosts, failing: str, trips: list[Any]) -> None:
    async def test() -> None:
        await hosts.experience()
        hosts.context.failing = {failing}
        deferred = Deferred()
        await hosts.ask(command('echo ~'), deferred)
        await hosts.ask(command(folder_line(PARENT, NAME)), deferred)
        assert await hosts.ask(MODULE, deferred) == (0, b'{}', b'')
        assert hosts.context.trips == trips
    run(test)


@pytest.mark.parametrize(('step', 'refused', 'kind', 'text'), [
    ('folder', 'mkdir', wire.LOST, f'cannot make the temporary folder {PATH}: no luck'),
    ('write', 'cat', wire.FAILED, f'cannot write into the temporary folder {PATH}: no luck'),
    ('mode', 'chmod', wire.FAILED, f'cannot change the modes of what is in {PATH}: no luck'),
])
def test_what_cannot_be_done_at_all_is_the_answer_of_the_module(
    hosts: Hosts, step: str, refused: str, kind: str, text: str,
) -> None:
    async def test() -> None:
        await hosts.experience()
        hosts.context.failing, hosts.context.refused = {step}, {refused}
        deferred = Deferred()
        await hosts.ask(command(folder_line(PARENT, NAME)), deferred)
        await hosts.put(deferred)
        await hosts.ask(command(f'chmod u+rwx {PATH}/.source'), deferred)
        assert await hosts.ask(MODULE, deferred) == (kind, text)
        assert hosts.context.trips.count(('module', ['folder', 'write', 'mode'])) == 1
        assert ('module', []) not in hosts.context.trips
    run(test)


def test_an_interpreter_that_was_replaced_is_started(hosts: Hosts) -> None:
    """The process of the login stays for commands; one that was started for an interpreter alone ends."""
    async def test() -> None:
        await hosts.experience()
        hosts.context.replaced = True
        await hosts.copy(Deferred())
        (first,) = hosts.context.below
        assert first.trips == [('module', ['home', 'folder']), ('module', ['write', 'mode'])]
        assert not hosts.context.ended
        first.replaced = True
        assert await hosts.ask(MODULE, Deferred()) == (0, b'{}', b'')
        assert first.ended
        assert hosts.context.below[1].trips == [('module', [])]
        # Where somebody waits for something else there, that goes on.
        (place,) = [found.result() for found in hosts.daemon.places._found.values()]
        place.busy += 1
        hosts.context.below[1].replaced = True
        await hosts.ask(MODULE, Deferred())
        assert not hosts.context.below[1].ended
        assert hosts.context.below[2].trips == [('module', [])]
    run(test)


def test_commands_have_the_locale_of_a_shell(hosts: Hosts) -> None:
    """Python sets LC_CTYPE where there is no locale, and sudo hands that on."""
    async def test() -> None:
        hosts.context.coerced = ['LC_CTYPE']
        hosts.root.login = hosts.login
        for line in 'echo ~', './script':
            await hosts.ask(command(line), Deferred())
        await hosts.ask(command('./script'), Deferred(), become={'key': 'sudo', 'password': None})
        assert hosts.context.changes == [{}, {'LC_CTYPE': None}]
        assert hosts.other.changes == [{'LC_CTYPE': None}]
    run(test)


def test_others_wait_for_what_a_worker_has_left(hosts: Hosts) -> None:
    async def test() -> None:
        await hosts.experience()
        deferred = Deferred()
        await hosts.copy(deferred)
        hosts.context.trips.clear()
        hosts.context.go = asyncio.Event()
        hosts.daemon.leave(deferred)
        # By another user as well.
        hosts.other.trips = hosts.context.trips
        asked = asyncio.ensure_future(hosts.ask(MODULE, Deferred(), become={'key': 'sudo', 'password': None}))
        await asyncio.sleep(0)
        finished = asyncio.ensure_future(hosts.daemon.finish())
        await asyncio.sleep(0)
        assert hosts.context.trips == []
        hosts.context.go.set()
        await finished
        assert hosts.context.trips[0] == ['remove']
        await asked
        assert hosts.context.trips == [['remove'], ('module', [])]
        assert hosts.daemon.left == {'host': set()}
    run(test)


def test_what_a_worker_has_deferred_is_done_when_it_goes(hosts: Hosts) -> None:
    async def test() -> None:
        await hosts.experience()
        reader = asyncio.StreamReader()

        class Writer:
            """Goes once it has its answer."""

            def write(self, data: bytes) -> None:
                reader.feed_eof()

            async def drain(self) -> None:
                pass

            def close(self) -> None:
                pass

        reader.feed_data(wire.packed({
            **command(folder_line(PARENT, NAME)), 'way': {'key': 'host', 'options': {}}, 'become': None}))
        writer: Any = Writer()
        await hosts.daemon.serve(reader, writer)
        await hosts.daemon.settle({'way': {'key': 'host'}})
        assert hosts.context.trips == [['folder']]
        assert hosts.daemon.workers == set()
    run(test)


def test_a_run_that_ends_does_what_is_left(hosts: Hosts) -> None:
    async def test() -> None:
        await hosts.experience()
        deferred = Deferred()
        hosts.daemon.workers.add(deferred)
        await hosts.copy(deferred)
        hosts.context.trips.clear()
        await hosts.daemon.finish()
        assert hosts.context.trips == [['remove']]
    run(test)


def test_what_waits_for_a_context_that_has_ended_is_done_by_commands(hosts: Hosts) -> None:
    async def test() -> None:
        await hosts.experience()
        deferred = Deferred()
        await hosts.ask(command(folder_line(PARENT, NAME)), deferred)
        await hosts.put(deferred)
        hosts.context.ended = True
        hosts.context = Context()
        hosts.login = Place(hosts.context)
        assert await hosts.ask(MODULE, deferred) == (0, b'{}', b'')
        assert hosts.context.trips == [folder_line(PARENT, NAME), 'umask 077; cat > "$0"', ('module', [])]
    run(test)


def test_what_waits_is_done_before_the_stock_plugin_does_anything(hosts: Hosts) -> None:
    async def test() -> None:
        await hosts.experience()
        deferred = Deferred()
        await hosts.ask(command(folder_line(PARENT, NAME)), deferred)
        assert await hosts.daemon.answer({'what': 'catch up'}, deferred) == (wire.DONE, None)
        assert hosts.context.trips == [['folder']]
        assert await hosts.daemon.answer({'what': 'catch up'}, deferred) == (wire.DONE, None)
        assert hosts.context.trips == [['folder']]
        hosts.context.failing, hosts.context.refused = {'folder'}, {'mkdir'}
        await hosts.ask(command(folder_line(PARENT, NAME)), deferred)
        assert (await hosts.daemon.answer({'what': 'catch up'}, deferred))[0] == wire.LOST
    run(test)


def test_much_does_not_wait(hosts: Hosts) -> None:
    async def test() -> None:
        await hosts.experience()
        deferred = Deferred()
        hosts.source.write_bytes(b'x' * 200_000)
        await hosts.ask(command(folder_line(PARENT, NAME)), deferred)
        for _ in range(3):
            await hosts.put(deferred)
        assert hosts.context.trips == [['folder', 'write', 'write']]
    run(test)


def test_an_interpreter_that_always_looks_replaced_runs_a_command(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So it looks on a file system that numbers its files anew for each look."""
    async def test() -> None:
        await hosts.experience()
        monkeypatch.setattr(Context, 'is_always_replaced', True)
        hosts.context.replaced = True
        deferred = Deferred()
        assert await hosts.ask(MODULE, deferred) == (0, b'', b'')
        assert len(hosts.context.below) == 2
        assert hosts.context.trips == [MODULE['words'][2]]
    run(test)
