"""
The process that has the broker: it connects the hosts of one run of pyinfra, and runs their commands.

pyinfra patches the standard library with gevent: locks, threads, sockets and the start of processes are gevent's then.
So the broker has a process where they are Python's own.  Its one descriptor is a pair of sockets with the process of
pyinfra.

Invariants:

* When the process of pyinfra ends, however it ends, so does the pair of sockets, this process, and with its links all
  contexts.
* Each request has one last answer, DONE or FAILED, but those on their way when the process ends.
* Nothing is kept of a password but in the request for a context.

The main thread reads requests; each request has a thread while it lasts, which alone waits for contexts.
"""

from __future__ import annotations

import contextlib
import errno
import marshal
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import econtext
from econtext.child import pyinfra as there
from econtext.child import sessions
from econtext.child.transfer import as_bytes
from econtext.controller.commands import running as commands
from econtext.pyinfra import frames

MOST_AT_ONCE = 4096     # requests
SCREEN = (24, 80)       # rows and columns, which is what paramiko asks for
TERMINAL = [(b'TERM', b'vt100')]
SMALL = 1 << 16         # bytes of a file that is written in one call
# What is seldom of the request, and may be over a moment later.
PASSING = ('unreachable', 'connection-refused', 'hung-up', 'proxy-ended', 'timeout', 'no-such-host', 'stalled')


class Failure(Exception):
    """The request has failed: a kind of failure, and what the other end makes an error of."""


class Site:
    """A host, and the contexts of its users."""

    def __init__(self, context: econtext.Context, shell: bytes, without: list[str]) -> None:
        self.context: econtext.Context = context
        #: The login shell.
        self.shell: bytes = shell
        #: Variables that a command is not to have, of this user or another.
        self.without: list[str] = without
        #: The login shells of users that were reached by su, which names them to a command.
        self.shells: dict[tuple[Any, ...], str] = {}
        #: By the steps that lead there.
        self.users: dict[tuple[Any, ...], econtext.Context] = {}
        self.lock: threading.Lock = threading.Lock()

    def user(self, steps: tuple[Any, ...]) -> econtext.Context:
        """Return the context that `steps` lead to; start those that are missing."""
        context = self.context
        with self.lock:
            for end in range(1, len(steps) + 1):
                found = self.users.get(steps[:end])
                if found is None:
                    found = self.users[steps[:end]] = start_user(context, *steps[end - 1])
                context = found
        return context

    def variables(self, steps: tuple[Any, ...], context: econtext.Context) -> list[tuple[str, str | None]]:
        """Return in what the environment of a command differs from that of its context; None is for no value."""
        found: list[tuple[str, str | None]] = [(name, None) for name in self.without]
        if steps and steps[-1][0] == 'su':
            # The connector may have asked su for another shell, which does not refuse a command.
            if steps not in self.shells:
                self.shells[steps] = str(context.call(there.describe)[0])
            found.append(('SHELL', self.shells[steps]))
        return found

    def forget_users(self) -> None:
        """Close the contexts of other users; what is started next starts anew."""
        with self.lock:
            users, self.users = list(self.users.values()), {}
            self.shells.clear()
        for context in reversed(users):
            with contextlib.suppress(econtext.EcontextError):
                context.close()


def start_user(context: econtext.Context, kind: str, name: str, password: str | None, keeps: bool) -> econtext.Context:
    if kind == 'sudo':
        return context.sudo(name, password=password, preserve_env=keeps)
    if kind == 'su':
        return context.su(name, password=password)
    return context.doas(name, password=password)


def is_stale(context: Any) -> bool:
    return bool(context.call(there.is_stale))


class Helper:
    """Reads requests, and answers them."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection: socket.socket = connection
        self.writing: threading.Lock = threading.Lock()
        self.broker: econtext.Broker = econtext.Broker()
        self.changing: threading.Lock = threading.Lock()
        self.sites: dict[str, Site] = {}
        #: Contexts that others are reached through, by what was asked for.
        self.hops: dict[bytes, econtext.Context] = {}
        self.asked: dict[int, Future[str]] = {}

    def serve(self) -> None:
        """Answer requests until the other end is gone."""
        unpacker = frames.Unpacker()
        pool = ThreadPoolExecutor(MOST_AT_ONCE, 'econtext request')
        while True:
            try:
                data = self.connection.recv(1 << 20)
            except ConnectionError:
                return
            if not data:
                return
            for number, kind, *rest in unpacker.feed(data):
                if kind == frames.ANSWER:
                    future = self.asked.pop(number, None)
                    if future is not None:
                        future.set_result(rest[0])
                else:
                    pool.submit(self.answer, number, kind, rest)

    def say(self, number: int, word: str, *values: Any) -> None:
        """Tell the other end; a request whose other end is gone ends with this process."""
        data = frames.packed(number, word, *values)
        try:
            with self.writing:
                self.connection.sendall(data)
        except OSError:
            pass

    def answer(self, number: int, kind: str, rest: list[Any]) -> None:
        try:
            values = getattr(self, 'on_' + kind)(number, *rest)
        except Failure as failure:
            self.say(number, frames.FAILED, *failure.args)
        except OSError as error:
            self.say(number, frames.FAILED, frames.SYSTEM, error.errno or errno.EIO, str(error))
        except BaseException as error:
            self.say(number, frames.FAILED, frames.LOST, f'{type(error).__name__}: {error}')
        else:
            self.say(number, frames.DONE, *values)

    def site(self, host: str) -> Site:
        try:
            return self.sites[host]
        except KeyError:
            raise Failure(frames.LOST, f'{host} is not connected') from None

    # Hosts.

    def on_connect(self, number: int, host: str, name: str, chain: list[dict[str, Any]], asks: bool) -> tuple[Any, ...]:
        """Connect a host by way of others, which it may have in common with more hosts."""
        self.on_close(number, host)
        try:
            parent: Any = self.broker
            for index in range(len(chain) - 1):
                parent = self.hop(number, parent, chain[:index + 1], asks)
            context = self.start(number, parent, chain[-1], asks, name)
            shell, without = context.call(there.describe)
        except econtext.ConnectError as error:
            raise Failure(frames.CONNECTING, str(error), error.kind in PASSING) from None
        except (econtext.EcontextError, ValueError, TypeError, AttributeError) as error:
            raise Failure(frames.CONNECTING, str(error), False) from None
        self.sites[host] = Site(context, as_bytes(shell), [str(name) for name in without])
        return ()

    def hop(self, number: int, parent: Any, chain: list[dict[str, Any]], asks: bool) -> econtext.Context:
        # Of plain values alone.
        key = marshal.dumps(chain)
        with self.changing:
            found = self.hops.get(key)
            if found is None:
                found = self.hops[key] = self.start(number, parent, chain[-1], asks, None)
        try:
            found.wait_ready()
            return found
        except econtext.EcontextError:
            with self.changing:
                if self.hops.get(key) is found:
                    del self.hops[key]
            raise

    def start(self, number: int, parent: Any, request: dict[str, Any], asks: bool, name: str | None) -> Any:
        options = dict(request['options'])
        connector = request['connector']
        if name is not None:
            options.setdefault('name', name)
        if connector == 'ssh' and asks and 'identity_file' in options and 'passphrase' not in options:
            options['passphrase'] = lambda prompt: self.ask(number, prompt)
        place = [] if request['place'] is None else [request['place']]
        return getattr(parent, connector)(*place, **options)

    def ask(self, number: int, prompt: str) -> str:
        """Have the person at the terminal answer."""
        future: Future[str] = Future()
        self.asked[number] = future
        self.say(number, frames.ASK, prompt)
        return future.result()

    def on_close(self, number: int, host: str) -> tuple[Any, ...]:
        site = self.sites.pop(host, None)
        if site is not None:
            site.forget_users()
            with contextlib.suppress(econtext.EcontextError):
                site.context.close()
        return ()

    # Commands.

    def on_run(
        self, number: int, host: str, steps: tuple[Any, ...], words: list[bytes], options: dict[str, Any],
    ) -> tuple[Any, ...]:
        """
        Run `words` as the user that `steps` lead to; the last answer is the status and the output.

        Of `options`, ``input`` are bytes, ``timeout`` seconds, ``login`` says that the login shell is to read the last
        word, ``terminal`` that there is to be one, ``live`` that each piece of the output is told at once, and
        ``settles`` that no context of another user is to be there.
        """
        site = self.site(host)
        if options['settles']:
            site.forget_users()
        context = self.reached(site, steps)
        try:
            variables = site.variables(steps, context)
            if options['login']:
                words = [site.shell, *words]
            if options['terminal']:
                return self.terminal(number, context, words, variables, options)
            if options['live']:
                if steps and is_stale(context):
                    raise self.stale(site)
                return self.live(number, context, words, variables, options)
            verdict, status, output = context.call(
                there.run, words, options['input'], options['timeout'], bool(steps), variables)
        except econtext.EcontextError as error:
            raise Failure(frames.LOST, str(error)) from None
        if verdict == there.STALE:
            raise self.stale(site)
        if verdict == 'expired':
            raise Failure(frames.TIMEOUT)
        return status, [as_bytes(piece) for piece in output]

    def reached(self, site: Site, steps: tuple[Any, ...]) -> econtext.Context:
        if not steps:
            return site.context
        try:
            context = site.user(steps)
            context.wait_ready()
            return context
        except (econtext.EcontextError, ValueError, TypeError) as error:
            site.forget_users()
            lost = site.context._node.error
            if lost is not None:
                raise Failure(frames.LOST, str(lost)) from None
            raise Failure(frames.CANNOT, getattr(error, 'kind', ''), str(error)) from None

    def stale(self, site: Site) -> Failure:
        site.forget_users()
        return Failure(frames.STALE)

    def live(
        self, number: int, context: econtext.Context, words: list[bytes], variables: list[tuple[str, str | None]],
        options: dict[str, Any],
    ) -> tuple[Any, ...]:
        request = commands.Request(
            words, input=options['input'] or None, env=dict(variables), extend_env=True, cwd=None,
            timeout=options['timeout'], check=False, capture=False, text=False)
        command = commands.Command(context, request)
        try:
            for tag, data in command.pieces():
                self.say(number, frames.OUTPUT, tag + data)
            in_time, status = command.answer()
        finally:
            command.leave(True)
        if not in_time:
            raise Failure(frames.TIMEOUT)
        return status, []

    def terminal(
        self, number: int, context: econtext.Context, words: list[bytes], variables: list[tuple[str, str | None]],
        options: dict[str, Any],
    ) -> tuple[Any, ...]:
        data, control = context.channel(), context.channel()
        changes = [*TERMINAL, *((os.fsencode(name), value and os.fsencode(value)) for name, value in variables)]
        future = context.submit(
            sessions.serve, data, control, words, {'cwd': None, 'env': changes, 'extend': True, 'size': SCREEN})
        try:
            if options['input']:
                data.send(options['input'])
            data.send(b'')
            for piece in self.pieces(data, options['timeout']):
                # A terminal ends lines with a carriage return, too.
                self.say(number, frames.OUTPUT, piece)
            how, status, *_ = future.result()
        except TimeoutError:
            raise Failure(frames.TIMEOUT) from None
        finally:
            data.close()
            control.close()
        return status if how == 'done' else 127, []

    def pieces(self, data: Any, timeout: float | None) -> Iterator[bytes]:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                piece = data.get(None if end is None else max(0.0, end - time.monotonic()))
            except EOFError:
                return
            yield as_bytes(piece)

    # Files.

    def on_put(
        self, number: int, host: str, steps: tuple[Any, ...], source: str | bytes, path: str,
    ) -> tuple[Any, ...]:
        """Write the file at `path` there: the bytes, or the file of this machine, that `source` is."""
        context = self.reached(self.site(host), steps)
        try:
            if steps and is_stale(context):
                raise self.stale(self.site(host))
            if isinstance(source, bytes) and len(source) <= SMALL:
                code, text = context.call(there.write, os.fsencode(path), source)
                if code:
                    raise OSError(code, text, path)
            elif isinstance(source, bytes):
                with context.open(path, 'wb') as file:
                    file.write(source)
            else:
                with open(source, 'rb') as local, context.open(path, 'wb') as file:
                    while data := local.read(frames.BLOCK):
                        file.write(data)
        except econtext.EcontextError as error:
            raise Failure(frames.LOST, str(error)) from None
        return ()

    def on_get(self, number: int, host: str, steps: tuple[Any, ...], path: str) -> tuple[Any, ...]:
        """Tell what is in the file at `path` there, piece by piece."""
        context = self.reached(self.site(host), steps)
        try:
            if steps and is_stale(context):
                raise self.stale(self.site(host))
            with context.open(path, 'rb') as file:
                self.say(number, frames.OUTPUT, b'')
                while data := file.read(frames.BLOCK):
                    self.say(number, frames.OUTPUT, data)
        except econtext.EcontextError as error:
            raise Failure(frames.LOST, str(error)) from None
        return ()


def main() -> None:
    """Serve the process at the other end of the descriptor that is the one argument; never returns."""
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        connection.set_inheritable(False)
        # gevent has made it.
        connection.setblocking(True)
        helper = Helper(connection)
        try:
            helper.serve()
            helper.broker.close()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        # Threads may wait for what does not come any more.
        os._exit(0)
