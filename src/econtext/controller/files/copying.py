"""
Copy files and folders to a context, from one, and between two.

The strategy: one end of each transfer is a ``child.sending.Sender``, the other a ``child.receiving.Receiver``;
what is in a context runs there, what is here runs in the calling thread, and between two contexts the
messages are handed on as they come, unread.

Invariants:

* What a user got wrong is raised before anything is sent.
* A transfer that fails leaves no call running, and raises what went wrong, of both ends the one that says why.
* Of a context nothing is believed but bytes: the receiver here checks all that they say.
"""

from __future__ import annotations

import concurrent.futures
import io
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from econtext.child import receiving, renewal, sending
from econtext.child import within as inside
from econtext.child.labels import seen
from econtext.child.transfer import LITTLE, Broken, Nonsense, Watch, as_bytes
from econtext.controller.errors import ContextLost, EcontextError
from econtext.controller.files.answers import here, nonsense, taken, text_of
from econtext.controller.files.progress import Callback, Listener, Reporter, bar_for
from econtext.controller.session.contract import Answer, Home, Port

WINDOW = 1 << 23    # bytes on their way: what 80 MB/s need over a link of 100 ms
PATIENCE = 5.0      # seconds for the other end to clean up
# Held while both ends of a transfer between two contexts are submitted: a context that carries out one call after the
# other begins with the same transfer as the other context does, so that no two of them wait for each other.
IN_ORDER = threading.Lock()
COMPARE = ('time', 'content', 'always')
SYMLINKS = ('keep', 'follow', 'skip')


@renewal.register
def after_fork() -> None:
    global IN_ORDER
    IN_ORDER = threading.Lock()


@dataclass(frozen=True)
class Copied:
    """
    What a transfer of files did; ``put()`` and ``get()`` return it.

    `path` is where the file or folder is now, '' for a file object. `files` is how many files and links were written,
    and `bytes` how many bytes these have. `unchanged` is how many were there already as they are, `deleted` how many
    were removed since they are not in the source. `left_out` are paths in the source that are no file, folder or link,
    or that vanished; the first thousand. `checksum` is that of one file, such as ``'sha256:9f86…'``, else ''.
    """

    path: str
    files: int
    bytes: int
    unchanged: int
    deleted: int
    left_out: tuple[str, ...]
    checksum: str


class Options:
    """What put() and get() are asked for, checked."""
    delete: bool
    durable: bool | None
    mode: int | None
    owner: bool | str | None
    progress: bool | Callback | None
    resume: bool
    times: bool

    def __init__(
        self, mode: int | None, times: bool, owner: bool | str | None, symlinks: str, compare: str | None,
        delete: bool, resume: bool, durable: bool | None, progress: Callback | bool | None,
    ) -> None:
        if mode is not None and (type(mode) is not int or not 0 <= mode <= 0o7777):
            raise ValueError(f'mode= must be a number from 0 to 0o7777, not {seen(mode)}')
        if owner is not None and not isinstance(owner, (bool, str)):
            raise TypeError(f"owner= must be True, or a text such as 'www-data:www-data', not {seen(owner)}")
        if symlinks not in SYMLINKS:
            raise ValueError(f'symlinks= must be one of {", ".join(SYMLINKS)}, not {seen(symlinks)}')
        if compare is not None and compare not in COMPARE:
            raise ValueError(f'compare= must be one of {", ".join(COMPARE)}, not {seen(compare)}')
        if progress is not None and not isinstance(progress, bool) and not callable(progress):
            raise TypeError(f'progress= must be True or a function, not {seen(progress)}')
        self.mode, self.times, self.owner, self.symlinks, self.compare = mode, bool(times), owner, symlinks, compare
        self.delete, self.resume, self.durable, self.progress = bool(delete), bool(resume), durable, progress

    def for_sender(self) -> dict[str, Any]:
        return {
            'symlinks': self.symlinks, 'owners': self.owner is True,
            'sums': self.compare == 'content',
        }

    def for_receiver(self, name: bytes | None, into: bool, has_mode: bool) -> dict[str, Any]:
        return {
            'name': name, 'into': into, 'mode': self.mode, 'modes': has_mode, 'times': self.times,
            'owner': self.owner or None, 'compare': self.compare or 'time_of_folder', 'delete': self.delete,
            'resume': self.resume, 'durable': self.durable,
        }

    def reporter(self, title: str, size: int | None = 0) -> tuple[Reporter | None, Callable[[], None]]:
        """Return what counts for the progress that is asked for, and what ends it."""
        if not self.progress:
            return None, nothing
        if self.progress is True:
            bar = bar_for(title)
            return Reporter(bar, size, title), bar.stop
        return Reporter(self.progress, size, title), nothing


def nothing() -> None:
    pass


class Near:
    """A channel to a context, as a transfer uses it here."""

    def __init__(self, home: Home, channel: Port) -> None:
        self.home = home
        self.channel = channel

    def send(self, data: bytes) -> None:
        try:
            if len(data) > LITTLE and type(data) is bytes:
                self.channel._send_bytes(data)
            else:
                self.channel.send(data)
        except EcontextError:
            raise Broken from None

    def get(self) -> bytes:
        try:
            data = self.channel.get()
        except (EOFError, EcontextError):
            raise Broken from None
        except ValueError as error:
            raise nonsense(self.home, str(error)) from None
        if not isinstance(data, (bytes, str)):
            raise nonsense(self.home, 'a message that is no bytes')
        return as_bytes(data)  # type: ignore[no-any-return]


def remote_name(home: Home | None, path: Any) -> tuple[bytes, bytes | None, bool]:
    """Return a path in `home` as bytes, its last name if it has one, and whether a / is behind it. None is a fleet."""
    if hasattr(path, '__econtext_path__'):
        path = text_of(home, path)
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f'a path must be a text or a path, not {seen(path)}')
    return local_name(path)


def local_name(path: Any) -> tuple[bytes, bytes | None, bool]:
    raw = os.fsencode(path)
    if not raw:
        raise ValueError('a path must not be empty')
    if b'\0' in raw:
        raise ValueError('a path must not hold a NUL')
    into = raw.endswith(b'/')
    stripped = raw.rstrip(b'/') or b'/'
    name: bytes | None = stripped.rpartition(b'/')[2]
    if name in (b'', b'.', b'..') or (name is not None and name.startswith(b'~') and name == stripped):
        name = None
    return stripped, name, into


def put(home: Home, local: Any, remote: Any, options: Options) -> Copied:
    """Copy `local` to `remote` in the context."""
    if hasattr(local, '__econtext_path__'):
        return between(local.context, local, home, remote, options)
    target, _, into = remote_name(home, remote)
    file: Any = None
    source, name = b'', None
    size: int | None = 0
    if isinstance(local, (bytes, bytearray, memoryview)):
        size = memoryview(local).nbytes
        file = io.BytesIO(local)
    elif hasattr(local, 'read') and not isinstance(local, os.PathLike):
        file = check_reader(local)
        size = size_of(file)
    else:
        source, name, _ = local_name(local)
        if name is None:
            name = os.fsencode(os.path.basename(os.path.abspath(source))) or None
        os.stat(os.fsdecode(source))
    far = options.for_receiver(name, into, file is None)
    watch, stop = options.reporter(os.fsdecode(name or target), size)
    try:
        return transfer_to(home, source, file, target, options, far, watch)
    finally:
        stop()


def transfer_to(
    home: Home, source: bytes, file: Any, target: bytes, options: Options, far: dict[str, Any], watch: Reporter | None,
) -> Copied:
    channel = home.channel(window=WINDOW)
    future = home.submit(receiving.receive, channel, target, far)
    left_out: list[bytes] = []
    with ending(channel, future):
        sender = sending.Sender(Near(home, channel), source, options.for_sender(), watch, file)
        try:
            left_out = sender.run()
        except Broken:
            # The function there has ended, and tells why.
            pass
        except Nonsense as error:
            raise nonsense(home, str(error)) from None
        except OSError as error:
            raise here(error) from None
        answer = future.result()
    if watch is not None:
        watch.end()
    return copied(home, taken(home, answer), left_out)


def get(home: Home, remote: Any, local: Any, options: Options) -> Copied:
    """Copy `remote` in the context to `local`."""
    if hasattr(local, '__econtext_path__'):
        return between(home, remote, local.context, local, options)
    source, name, _ = remote_name(home, remote)
    file: Any = None
    target, into = b'', False
    if hasattr(local, 'write') and not isinstance(local, os.PathLike):
        file = check_writer(local)
    else:
        target, _, into = local_name(local)
    own = options.for_receiver(name, into, True)
    own['safe'] = True
    watch, stop = options.reporter(os.fsdecode(name or source))
    try:
        channel = home.channel(window=WINDOW)
        ahead = options.for_sender()
        ahead['folders'] = file is None
        future = home.submit(sending.send, channel, source, ahead)
        with ending(channel, future):
            receiver = receiving.Receiver(Near(home, channel), target, own, watch, file)
            try:
                done: Any = receiver.run()
            except Broken:
                taken(home, future.result())
                raise ContextLost(f'{home.name}: the transfer broke off: start it again') from None
            except Nonsense as error:
                raise nonsense(home, str(error)) from None
            except OSError as error:
                raise here(error) from None
            left_out = taken(home, future.result())
        if watch is not None:
            watch.end()
        return copied(home, done, left_out)
    finally:
        stop()


class ending:
    """Has the call of a transfer end with the block, and what it has begun there cleaned up."""

    def __init__(self, *ends: Any) -> None:
        self.channels: tuple[Any, ...] = ends[::2]
        self.futures: tuple[Answer, ...] = ends[1::2]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        for channel in self.channels:
            channel.close()
        if error is None or not isinstance(error, Exception):
            return
        for future in self.futures:
            try:
                future.exception(PATIENCE)
            except (Exception, concurrent.futures.CancelledError):
                # What matters is what went wrong before.
                pass


def copied(home: Home, done: Any, left_out: Any) -> Copied:
    """Return what was done, of which a context may have told."""
    try:
        digest = as_bytes(done['digest'])
        paths = tuple(os.fsdecode(as_bytes(path)) for path in left_out)
        return Copied(
            os.fsdecode(as_bytes(done['path'])), int(done['files']), int(done['bytes']), int(done['same']),
            int(done['deleted']), paths, f'{done["algorithm"]}:{digest.hex()}' if digest else '')
    except (TypeError, KeyError, ValueError, AttributeError):
        raise nonsense(home, 'an answer of no kind') from None


def check_reader(file: Any) -> BinaryIO:
    if isinstance(file, io.TextIOBase):
        raise TypeError("a file to be copied must be opened for bytes, as by open(path, 'rb')")
    return file  # type: ignore[no-any-return]


def size_of(file: Any) -> int | None:
    """Return how many bytes a file has from where it stands, None if it cannot say."""
    try:
        if not file.seekable():
            return None
        at: int = file.tell()
        end: int = file.seek(0, os.SEEK_END)
        file.seek(at)
        return max(end - at, 0)
    except (AttributeError, OSError, TypeError, ValueError):
        return None


def check_writer(file: Any) -> BinaryIO:
    if isinstance(file, io.TextIOBase):
        raise TypeError("a file to be written must be opened for bytes, as by open(path, 'wb')")
    return file  # type: ignore[no-any-return]


def between(home: Home, source: Any, other: Home, target: Any, options: Options) -> Copied:
    """Copy `source` of the context `home` to `target` of the context `other`."""
    if home is other:
        return within(home, source, target, options)
    path, name, _ = remote_name(home, source)
    place, _, into = remote_name(other, target)
    far = options.for_receiver(name, into, True)
    watch, stop = options.reporter(os.fsdecode(name or path))
    try:
        out, back = home.channel(window=WINDOW), other.channel(window=WINDOW)
        with IN_ORDER:
            receives = other.submit(receiving.receive, back, place, far)
            sends = home.submit(sending.send, out, path, options.for_sender())
        with ending(out, sends, back, receives):
            listener = Listener(watch or Watch())
            answers = threading.Thread(
                target=hand_on, args=(Near(other, back), Near(home, out), listener.received), daemon=True)
            answers.start()
            try:
                hand_on(Near(home, out), Near(other, back), listener.sent)
                # Whoever failed tells why; the other has only heard that it is over.
                sent = sends.result()
                if sent[:1] not in (('done',), ('broken',)):
                    taken(home, sent)
                done = taken(other, receives.result())
                left_out = taken(home, sent)
            finally:
                out.close()
                back.close()
                answers.join(PATIENCE)
        if watch is not None:
            watch.end()
        return copied(other, done, left_out)
    finally:
        stop()


def within(home: Home, source: Any, target: Any, options: Options) -> Copied:
    """Copy `source` of a context to `target` in the same one, by one call."""
    path, name, _ = remote_name(home, source)
    place, _, into = remote_name(home, target)
    watch, stop = options.reporter(os.fsdecode(name or path))
    try:
        channel = home.channel(window=WINDOW)
        future = home.submit(
            inside.copy_within, channel, path, place, options.for_sender(),
            options.for_receiver(name, into, True))
        with ending(channel, future):
            while True:
                try:
                    far = channel.get()
                except (EOFError, EcontextError):
                    break
                except ValueError as error:
                    raise nonsense(home, str(error)) from None
                if watch is not None and not watch.hear(far):
                    raise nonsense(home, 'a progress of no kind')
            answers = future.result()
        if type(answers) is not tuple or len(answers) != 2:
            raise nonsense(home, 'an answer of no kind')
        sent, received = answers
        if sent[:1] not in (('done',), ('broken',)):
            taken(home, sent)
        done = taken(home, received)
        left_out = taken(home, sent)
        if watch is not None:
            if isinstance(done, dict) and type(done.get('bytes')) is int:
                watch.bytes = max(watch.bytes, done['bytes'])
            watch.end()
        return copied(home, done, left_out)
    finally:
        stop()


def hand_on(one: Near, other: Near, listen: Callable[[bytes], None]) -> None:
    """Hand what comes from one channel to the other, until it ends."""
    try:
        while True:
            data = one.get()
            listen(data)
            other.send(data)
    except (Broken, EcontextError):
        one.channel.close()
        other.channel.close()
