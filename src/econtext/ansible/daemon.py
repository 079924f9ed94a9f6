"""
The daemon of one run of Ansible: ``python -m econtext.ansible.daemon FOLDER PID LOCK``.

LOCK is the open file of a lock that the daemon holds until it listens: ``client``.

The daemon owns a broker, and carries out what workers ask through a socket in the run's private folder: one request at
a time for each connection.

Invariants:

* It ends with the process PID, however that ends, and takes along its contexts and its socket.
* A request whose worker has gone is given up, and so is what it has started on the host.
* Every request has one answer, of the kinds in ``wire``.
* What was deferred, see ``deferred``, is done before whatever else is asked of the same host.
* It prints nothing; what it logs goes to its standard error.

One event loop; threads are those of econtext, and one that makes sources older: `old_targets`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import threading
import zipfile
from typing import Any

import econtext
from econtext.ansible import old_targets, places, wire
from econtext.ansible.archives import Archive, Archives
from econtext.ansible.connectors import start_become, start_login
from econtext.ansible.deferred import MOST, Deferred, Step, StepError, is_own
from econtext.ansible.downlevel import TooNew
from econtext.ansible.entering import SECRET
from econtext.ansible.old_targets import OldTargets
from econtext.ansible.payload import Payload
from econtext.ansible.places import COMMON, Place, Places
from econtext.controller.aio.broker import Broker

SOCKET = 'econtext'
BLOCK = 1 << 20
LOOK = 0.5          # seconds between two looks at a process that cannot be waited for
LAST = 15.0         # seconds until the daemon ends, whatever its contexts do
FINISH = 5.0        # seconds for what workers have left to be done
WRITE = 'umask 077; cat > "$0"'


class Daemon:
    """Answers the requests of one run."""

    def __init__(self, broker: Any) -> None:
        self.broker: Any = broker
        self.places: Places = Places()
        self.archives: Archives = Archives()
        self.old_targets: OldTargets = OldTargets()
        #: What workers that are here have deferred.
        self.workers: set[Deferred] = set()
        #: What those that have gone have left to be done, by host.
        self.left: dict[Any, set[asyncio.Future[None]]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one worker until it goes."""
        deferred = Deferred()
        self.workers.add(deferred)
        head = asyncio.ensure_future(reader.readexactly(wire.HEAD.size))
        try:
            while True:
                request = wire.unpacked(await reader.readexactly(wire.length(await head)))
                head = asyncio.ensure_future(reader.readexactly(wire.HEAD.size))
                work = asyncio.ensure_future(self.answer(request, deferred))
                await asyncio.wait((work, head), return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    # Nobody waits for it.
                    work.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await work
                    return
                writer.write(wire.packed(work.result()))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            head.cancel()
            self.leave(deferred)
            with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
                await head
            writer.close()

    async def answer(self, request: dict[str, Any], deferred: Deferred) -> tuple[str, Any]:
        """Carry out a request, or defer it; return its answer."""
        at = wire.REFUSED
        try:
            if request['what'] == 'catch up':
                await self.carry_out(deferred)
                return wire.DONE, None
            if request['what'] == 'reset':
                await self.carry_out(deferred)
                await self.settle(request)
                return wire.DONE, await self.reset(request)
            login = await self.login(request)
            at = wire.BECOME
            place = await self.become(request, login)
            at = wire.FAILED
            place.busy += 1
            try:
                return wire.DONE, await self.done(request, place, deferred)
            finally:
                place.busy -= 1
        except StepError as error:
            return error.kind, str(error)
        except econtext.ConnectError as error:
            if at == wire.FAILED:
                return at, str(error)
            return at, (error.kind, str(error), error.lines)
        except econtext.ContextLost as error:
            return wire.LOST, str(error)
        except TooNew as error:
            return wire.FAILED, str(error)
        except OSError as error:
            return wire.FAILED, f'{error.strerror or error}: {error.filename or ""}'.rstrip(': ')
        except Exception as error:
            logging.exception('a request')
            text = f'{type(error).__name__}: {error}'
            # Options that econtext does not take, Ansible's own plugin may.
            return (at, text) if at == wire.FAILED else (at, ('refused-option', text, ''))

    async def done(self, request: dict[str, Any], place: Place, deferred: Deferred) -> tuple[int, bytes, bytes]:
        """Carry out a request at its place, behind what was deferred, or defer it."""
        if deferred.place is not place or deferred.size > MOST:
            await self.carry_out(deferred)
            # What is left are home folders, which were those of the other place.
            deferred.take()
        if place.context.python_version >= places.OLDEST:
            step = deferred.step(request, place.known)
            if step is not None:
                deferred.add(step, place)
                return 0, step.output, b''
        await self.settle(request)
        if request['what'] == 'module':
            return await self.on_module(request, place, deferred)
        await self.carry_out(deferred)
        found: tuple[int, bytes, bytes] = await getattr(self, 'on_' + request['what'])(request, place)
        if folder := place.known.learn(request, found):
            deferred.made(folder)
        return found

    async def carry_out(self, deferred: Deferred) -> None:
        """Do what was deferred, in a trip of its own."""
        if not deferred.matters:
            return
        steps, place = deferred.take(), deferred.place
        try:
            await place.context.wait_ready()
        except econtext.EcontextError:
            # That context has ended since: the commands find another, as they would have.
            await self.by_commands(steps, await self.place(steps[0].request))
            return
        place.busy += 1
        try:
            await self.by_commands(steps[await place.carry_out([step.what for step in steps]):], place)
        finally:
            place.busy -= 1

    async def by_commands(self, steps: list[Step], place: Place) -> None:
        """Do by their own commands what could not be done in steps; raise StepError if that fails, too."""
        for step in steps:
            if step.what[0] == 'write':
                _, path, data = step.what
                done = await self.write(place, path, data)
            else:
                done = await self.on_command(step.request, place)
                place.known.learn(step.request, done)
            if done[0] != 0:
                error = StepError(step, *done)
                if step.what[0] not in ('home', 'remove'):
                    raise error
                logging.warning('%s', error)

    def leave(self, deferred: Deferred) -> None:
        """Have done what a worker that goes has left to be done: `settle` waits for that."""
        self.workers.discard(deferred)
        if deferred.matters:
            left = asyncio.ensure_future(self.carry_out(deferred))
            host = deferred.steps[0].request['way']['key']
            self.left.setdefault(host, set()).add(left)
            left.add_done_callback(lambda done: self._is_done(host, done))

    def _is_done(self, host: Any, done: asyncio.Future[None]) -> None:
        self.left[host].discard(done)
        if not done.cancelled() and (error := done.exception()) is not None:
            logging.warning('%s', error)

    async def settle(self, request: dict[str, Any]) -> None:
        """Wait for what workers have left to be done on the host of a request."""
        while left := self.left.get(request['way']['key']):
            await asyncio.wait(set(left))

    async def finish(self) -> None:
        """Do what is left to be done on all hosts, within a few seconds."""
        for deferred in list(self.workers):
            self.leave(deferred)
        if left := set().union(*self.left.values()):
            await asyncio.wait(left, timeout=FINISH)

    async def place(self, request: dict[str, Any]) -> Place:
        """Return the place of the user that a request wants to be."""
        return await self.become(request, await self.login(request))

    async def login(self, request: dict[str, Any]) -> Place:
        """Return the place by which the host of a request is entered."""
        way = request['way']
        return await places.with_interpreter(
            self.places, (way['key'],), lambda python: start_login(self.broker, way, python), request['interpreter'])

    async def become(self, request: dict[str, Any], login: Place) -> Place:
        """Return the place of the user that a request wants to be."""
        become = request['become']
        if become is None:
            return login
        # A login that may take long may do so because of what sudo waits for as well.
        seconds = become['seconds'] or request['way']['options'].get('connect_timeout')
        place = await self.places.get(
            (request['way']['key'], become['key'], become['password']),
            lambda: start_become(login.context, become, seconds))
        place.login = login
        return place

    async def fitting(self, request: dict[str, Any], place: Place) -> tuple[Place, bool]:
        """Return the place beside `place` that has the interpreter, and whether modules may run there."""
        interpreter = request['interpreter']
        same, able = await place.suits(interpreter)
        if same:
            return place, able
        become = request['become'] or {'key': None, 'password': None}
        key = request['way']['key'], become['key'], become['password'], interpreter
        other = await self.places.get(key, lambda: place.context.local(python=interpreter, **COMMON))
        _, able = await other.suits(interpreter)
        return other, able

    # What workers ask for.

    async def on_command(self, request: dict[str, Any], place: Place) -> tuple[int, bytes, bytes]:
        """Run a command, in the locale in which a shell would."""
        coerced = () if is_own(request) else await place.coerced()
        done = await place.context.run(
            request['words'], input=request['input'] or None, text=False, env=dict.fromkeys(coerced), extend_env=True)
        code = done.returncode
        return code if code >= 0 else 128 - code, done.stdout, done.stderr

    async def on_module(self, request: dict[str, Any], place: Place, deferred: Deferred) -> tuple[int, bytes, bytes]:
        """Run a packed module behind what was deferred; as the command that it is where there is no other way."""
        payload = Payload(*request['payload'])
        if places.changes_accounts(payload):
            await self.let_go(request, place)
        fork = bool(request['fork'])
        try:
            archive = self.archives.open(payload.archive)
            other, able = await self.fitting(request, place)
        except (ValueError, zipfile.BadZipFile, econtext.ConnectError):
            await self.carry_out(deferred)
            return await self.on_command(request, place)
        target = old_targets.needed(archive, other.context.python_version)
        if target is not None:
            archive = await self.old_targets.archive(archive, payload, target)
        if not (able and fork):
            if target is not None:
                program = await self.old_targets.program(request['input'], payload, archive, target)
                request = {**request, 'input': program}
            await self.carry_out(deferred)
            return explained(archive, await self.on_command(request, place))
        module = archive, payload, request['variables'], request['interpreter']
        steps = deferred.take()
        is_replaced = False
        other.busy += 1
        try:
            try:
                done = await other.run_module(*module, [step.what for step in steps])
            except places.StepFailed as failed:
                left, steps = steps[failed.done:], []
                await self.by_commands(left, place)
                done = await other.run_module(*module)
        except places.Replaced:
            is_replaced = True
        finally:
            other.busy -= 1
        if is_replaced:
            deferred.steps[:0] = steps
            await self.replace(request['interpreter'], other, place)
            # As a command the second time: a file system may have no lasting numbers by which to know a file.
            following = {**request, 'is_second': True, 'fork': not request.get('is_second')}
            return await self.on_module(following, place, deferred)
        return explained(archive, done)

    async def replace(self, interpreter: str, old: Place, place: Place) -> None:
        """See to it that the interpreter that is now at its path is started."""
        if old is place:
            # The process in which the user has logged in stays, for commands.
            place.verdicts[interpreter] = False, False
        else:
            await self.places.forget(old)

    async def let_go(self, request: dict[str, Any], place: Place) -> None:
        """End the idle contexts of other users on the host: the account of one may be about to go."""
        host = request['way']['key']
        await self.places.close(
            lambda key, each: key[0] == host and len(key) > 1 and each is not place and not each.busy)

    async def on_put(self, request: dict[str, Any], place: Place) -> tuple[int, bytes, bytes]:
        """Write a file of ours to the host, into the file that is there; a new one is for its owner alone."""
        if request.get('payload'):
            program = await self.program_for(request, place)
            if program is not None:
                return await self.write(place, request['target'], program)
        with open(request['source'], 'rb') as source:
            return await self.write(place, request['target'], source)

    async def write(self, place: Place, path: str, data: Any) -> tuple[int, bytes, bytes]:
        """Write bytes, or what an open file has."""
        done = await place.context.run(['/bin/sh', '-c', WRITE, path], input=data, text=False)
        return done.returncode, b'', done.stderr

    async def program_for(self, request: dict[str, Any], place: Place) -> bytes | None:
        """Return the program to write in place of a packed module, for an old Python; None if the module will do."""
        payload = Payload(*request['payload'])
        try:
            archive = self.archives.open(payload.archive)
            other, _ = await self.fitting(request, place)
        except (ValueError, zipfile.BadZipFile, econtext.ConnectError):
            return None
        target = old_targets.needed(archive, other.context.python_version)
        if target is None:
            return None
        older = await self.old_targets.archive(archive, payload, target)
        with open(request['source'], 'rb') as source:
            return await self.old_targets.program(source.read(), payload, older, target)

    async def on_fetch(self, request: dict[str, Any], place: Place) -> tuple[int, bytes, bytes]:
        """Write a file of the host to a file of ours."""
        async with await place.context.open(request['source'], 'rb', buffering=0) as source:
            with open(request['target'], 'wb') as target:
                while data := await source.read(BLOCK):
                    target.write(data)
        return 0, b'', b''

    async def reset(self, request: dict[str, Any]) -> tuple[int, bytes, bytes]:
        """End all contexts of the host, if there are any."""
        host = request['way']['key']
        await self.places.close(lambda key, _: key[0] == host)
        return 0, b'', b''


def explained(archive: Archive, done: tuple[int, bytes, bytes]) -> tuple[int, bytes, bytes]:
    """Return what a module did; raise TooNew if it failed by a source that could not be made older."""
    for reason in archive.refused.values():
        if done[0] and reason.encode() in done[2]:
            raise TooNew(reason)
    return done


async def ended(pid: int) -> None:
    """Wait until process `pid` has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        while os.getppid() == pid or lives(pid):
            await asyncio.sleep(LOOK)
        return
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def remove_files(place: int) -> None:
    """Remove what is econtext's from the open folder of a run, which Ansible leaves where it is killed."""
    with contextlib.suppress(OSError):
        for name in os.listdir(place):
            if name.startswith((SOCKET, SECRET)):
                os.unlink(name, dir_fd=place)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False
    except PermissionError:
        return True


def listening(folder: str) -> socket.socket:
    """Return a socket that listens in `folder`, from which a path of any length is short."""
    os.chdir(folder)
    made = socket.socket(socket.AF_UNIX)
    # Nobody finds it under its name before it listens.
    made.bind(SOCKET + '.new')
    made.listen(1000)
    os.rename(SOCKET + '.new', SOCKET)
    made.setblocking(False)
    return made


async def main(folder: str, pid: int, lock: int) -> None:
    """Serve in `folder` until process `pid` has ended; close the file `lock` once workers can connect."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    home = os.getcwd()
    made = listening(folder)
    # Contexts on this machine start where Ansible did.
    os.chdir(home)
    # That of `econtext.aio`, without all else that would be imported there: workers wait for this process to start.
    broker = Broker()
    daemon = Daemon(broker)
    server = await asyncio.start_unix_server(daemon.serve, sock=made)
    os.close(lock)
    try:
        await ended(pid)
    finally:
        guard = threading.Timer(LAST, os._exit, (1,))
        guard.daemon = True
        guard.start()
        server.close()
        remove_files(place)
        await daemon.finish()
        await broker.close()
        # Requests of workers that outlive their run have nothing to wait for.
        os._exit(0)


if __name__ == '__main__':
    logging.basicConfig(format='%(asctime)s %(name)s: %(message)s')
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
