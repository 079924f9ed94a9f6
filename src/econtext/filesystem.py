"""
Files of contexts for fsspec, and so for pandas and others: ``econtext://HOST/path``.

Needs the package fsspec: ``pip install 'econtext[fsspec]'``.  HOST is what ``ssh`` takes, with ``user@`` before it
and ``:port`` behind it where wanted; ``.`` is a process on this machine.  Hosts are connected once for a program, by a
broker that ends with it; ``fsspec.filesystem('econtext', context=web)`` takes a context that is there.

Storage options are those of ``broker.ssh``, of ``broker.local`` for ``.``, and fsspec's own.  Any other is an error.

Any thread of the program may enter.
"""

from __future__ import annotations

import atexit
import datetime
import importlib
import os
import stat
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import econtext
from econtext.child import copies, renewal
from econtext.controller.files.answers import taken
from econtext.controller.files.progress import TransferProgress

if TYPE_CHECKING:
    class Base:
        """The base class of fsspec, which has no types, as far as it is needed here."""

        def __init__(self, **options: Any) -> None: ...
        @classmethod
        def _parent(cls, path: str) -> str: ...
        def glob(self, path: str, **options: Any) -> list[str]: ...
        def isdir(self, path: str) -> bool: ...
else:
    try:
        Base = importlib.import_module('fsspec.spec').AbstractFileSystem
    except ImportError:
        raise ImportError(
            "econtext:// needs the package fsspec, which is not installed: run pip install 'econtext[fsspec]'"
        ) from None

#: What fsspec takes for each file system.
FSSPECS = frozenset(
    'use_listings_cache listings_expiry_time max_paths skip_instance_cache asynchronous loop'.split())
KINDS = {stat.S_IFREG: 'file', stat.S_IFDIR: 'directory', stat.S_IFLNK: 'link'}


class Contexts:
    """The contexts that were reached by URLs, of one broker."""

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.broker: econtext.Broker | None = None
        self.made: dict[tuple[Any, ...], econtext.Context] = {}

    def of(self, host: str, options: Mapping[str, Any] | None = None) -> econtext.Context:
        """Return the context that `options` reach `host` with; the same one for the same options."""
        options = options or {}
        key = host, fixed(options)
        with self.lock:
            if self.broker is None:
                self.broker = econtext.Broker()
                atexit.register(self.broker.close)
            found = self.made.get(key)
            if found is None or found._node.error is not None:
                found = self.made[key] = start(self.broker, host, options)
            return found


def fixed(value: Any) -> Any:
    """Return what stands for the value of an option in a key: equal for equal values, and hashable."""
    if isinstance(value, Mapping):
        return tuple((name, fixed(each)) for name, each in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(map(fixed, value))
    return value


def start(broker: econtext.Broker, host: str, options: Mapping[str, Any] | None = None) -> econtext.Context:
    options = dict(options or {})
    if host in ('', '.'):
        return broker.local(**options)
    user, _, place = host.rpartition('@')
    name, colon, port = place.partition(':')
    closed = ']'
    if place.startswith('['):
        # An address of IPv6.
        name, closed, port = place[1:].partition(']')
        colon, port = port[:1], port[1:]
    elif ':' in port:
        name, colon, port = place, '', ''
    if not name or not closed or colon not in ('', ':') or (colon and not (port.isascii() and port.isdigit())):
        raise ValueError('a host is written as in econtext://user@web1:22/path, with a number for the port')
    for option, part in (('username', user), ('port', port)):
        if part and option in options:
            raise ValueError(f'{option} stands in the URL and in the options: give one of them')
    given = {'username': user or None, 'port': int(port) if port else None, **options}
    return broker.ssh(name, **given)


CONTEXTS = Contexts()


@renewal.register
def after_fork() -> None:
    """The contexts are those of the other process."""
    global CONTEXTS
    CONTEXTS = Contexts()


class ContextFileSystem(Base):
    """The files of a context, as a file system of fsspec."""

    protocol = 'econtext'
    root_marker = '/'
    cachable = False

    def __init__(self, host: str = '.', context: econtext.Context | None = None, auto_mkdir: bool = True,
                 **options: Any) -> None:
        own = {name: options.pop(name) for name in FSSPECS if name in options}
        if context is not None and options:
            raise TypeError(f'context= is connected already, and takes no {", ".join(sorted(options))}')
        super().__init__(**own)
        self.host = host
        #: Are folders made for the files that are written?
        self.auto_mkdir = auto_mkdir
        self.context: econtext.Context = context if context is not None else CONTEXTS.of(host, options)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        if hasattr(path, '__econtext_path__'):
            path = path.__econtext_path__
        path = os.fspath(path)
        if path.startswith('econtext://'):
            path = '/' + path[len('econtext://'):].partition('/')[2]
        elif path.startswith('econtext:'):
            path = path[len('econtext:'):]
        return path.rstrip('/') or '/'

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        if path.startswith('econtext://'):
            return {'host': path[len('econtext://'):].partition('/')[0]}
        return {}

    def _path(self, path: Any) -> Any:
        return self.context.path(self._strip_protocol(path))

    def _make_room(self, path: Any) -> None:
        if self.auto_mkdir:
            self._path(self._parent(self._strip_protocol(path))).mkdir(parents=True, exist_ok=True)

    def info(self, path: Any, **options: Any) -> dict[str, Any]:
        place = self._path(path)
        own = place.lstat()
        return told(str(place), own, place.stat() if stat.S_ISLNK(own.st_mode) else own)

    def ls(self, path: Any, detail: bool = True, **options: Any) -> list[Any]:
        place = self._path(path)
        found = self.info(path)
        entries = [found]
        if found['type'] == 'directory':
            entries = [told(str(each), own, behind) for each, own, behind in place._statuses()]
        return entries if detail else sorted(entry['name'] for entry in entries)

    def exists(self, path: Any, **options: Any) -> bool:
        return bool(self._path(path).exists())

    def mkdir(self, path: Any, create_parents: bool = True, **options: Any) -> None:
        self._path(path).mkdir(parents=create_parents)

    def makedirs(self, path: Any, exist_ok: bool = False) -> None:
        self._path(path).mkdir(parents=True, exist_ok=exist_ok)

    def rmdir(self, path: Any) -> None:
        self._path(path).rmdir()

    def rm_file(self, path: Any) -> None:
        self._path(path).unlink()

    _rm = rm_file

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        for each in path if isinstance(path, list) else [path]:
            for found in [each] if not has_magic(each) else self.glob(each):
                place = self._path(found)
                if not stat.S_ISDIR(place.lstat().st_mode):
                    place.unlink()
                elif recursive:
                    place.rmtree()
                else:
                    raise IsADirectoryError(21, f'{self.context.name}: a folder: give recursive=True', str(place))

    def cp_file(self, path1: Any, path2: Any, **options: Any) -> None:
        if self.isdir(path1):
            self.makedirs(path2, exist_ok=True)
            return
        self._make_room(path2)
        taken(self.context, self.context.call(
            copies.copy, bytes(self._path(path1)), bytes(self._path(path2))))

    def mv_file(self, path1: Any, path2: Any, **options: Any) -> None:
        self._path(path1).rename(self._path(path2))

    def put_file(self, lpath: Any, rpath: Any, callback: Any = None, mode: str = 'overwrite', **options: Any) -> None:
        if mode == 'create' and self.exists(rpath):
            raise FileExistsError(17, f'{self.context.name}: File exists', str(self._path(rpath)))
        if os.path.isdir(lpath):
            self.makedirs(rpath, exist_ok=True)
            return
        self._make_room(rpath)
        self.context.put(lpath, self._path(rpath), progress=progress(callback))

    def get_file(self, rpath: Any, lpath: Any, callback: Any = None, outfile: Any = None, **options: Any) -> None:
        if hasattr(lpath, 'write') or outfile is not None:
            self.context.get(self._path(rpath), outfile or lpath, progress=progress(callback))
        elif self.isdir(rpath):
            os.makedirs(lpath, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(os.path.abspath(lpath)), exist_ok=True)
            self.context.get(self._path(rpath), lpath, progress=progress(callback))

    def pipe_file(self, path: Any, value: Any, mode: str = 'overwrite', **options: Any) -> None:
        self._make_room(path)
        with self._path(path).open('xb' if mode == 'create' else 'wb') as file:
            file.write(value)

    def touch(self, path: Any, truncate: bool = True, **options: Any) -> None:
        self._make_room(path)
        if truncate:
            self._path(path).write_bytes(b'')
        else:
            self._path(path).touch()

    def created(self, path: Any) -> datetime.datetime:
        return moment(self.info(path)['created'])

    def modified(self, path: Any) -> datetime.datetime:
        return moment(self.info(path)['mtime'])

    def _open(
        self, path: Any, mode: str = 'rb', block_size: Any = None, autocommit: bool = True, cache_options: Any = None,
        **options: Any,
    ) -> Any:
        if set(mode) & set('wax'):
            self._make_room(path)
        return self.context.open(self._strip_protocol(path), mode)


def progress(callback: Any) -> Any:
    """Return what tells a callback of fsspec how far a transfer is."""
    if callback is None:
        return None

    def tell(far: TransferProgress) -> None:
        if far.complete:
            callback.set_size(far.total)
        callback.absolute_update(far.bytes)

    return tell


def has_magic(path: Any) -> bool:
    return any(letter in str(path) for letter in '*?[')


def moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc)


def told(name: str, own: os.stat_result, behind: os.stat_result | None) -> dict[str, Any]:
    """Return what fsspec wants to know of a file: of a link, of what it leads to."""
    status = behind or own
    return {
        'name': name, 'size': status.st_size, 'type': KINDS.get(stat.S_IFMT(status.st_mode), 'other'),
        'islink': stat.S_ISLNK(own.st_mode), 'mode': status.st_mode, 'uid': status.st_uid, 'gid': status.st_gid,
        'mtime': status.st_mtime, 'created': status.st_ctime, 'ino': status.st_ino, 'nlink': status.st_nlink,
    }
