"""
Paths of contexts: what ``pathlib`` has for files here, for those there.

Names, parts and all that asks no file are those of PurePosixPath; what does runs in the context, a call each.

Invariants:

* A path is never taken for one of this machine: it has no ``__fspath__``.
* Names that are no UTF-8 are text with surrogates, as everywhere in Python.

Any thread may enter.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from econtext.child import files
from econtext.child.labels import seen
from econtext.child.transfer import as_bytes
from econtext.controller.errors import stays
from econtext.controller.files import remote
from econtext.controller.files.answers import nonsense, taken
from econtext.controller.session.contract import Home
from econtext.controller.text import harmless

GONE = errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP


class RemotePath:
    """A path in a context; made by ``context.path()``. Paths of one context are equal if their texts are."""

    __slots__ = ('_home', '_pure')
    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, home: Home, *parts: Any) -> None:
        self._home = home
        self._pure = PurePosixPath(*(plain(home, part) for part in parts))
        if '\0' in str(self._pure):
            raise ValueError('a path must not hold a NUL')

    @property
    def context(self) -> Any:
        """The context that has the file."""
        return self._home

    @property
    def __econtext_path__(self) -> str:
        return str(self._pure)

    # What asks no file.

    def __str__(self) -> str:
        return str(self._pure)

    def __repr__(self) -> str:
        return f'<econtext path {self._home.name}:{harmless(str(self._pure))}>'

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RemotePath):
            return NotImplemented
        return self._home is other._home and self._pure == other._pure

    def __hash__(self) -> int:
        return hash((id(self._home), self._pure))

    def __lt__(self, other: RemotePath) -> bool:
        return self._pure < pure(other)

    def __le__(self, other: RemotePath) -> bool:
        return self._pure <= pure(other)

    def __gt__(self, other: RemotePath) -> bool:
        return self._pure > pure(other)

    def __ge__(self, other: RemotePath) -> bool:
        return self._pure >= pure(other)

    def __truediv__(self, other: Any) -> RemotePath:
        return self._new(self._pure / plain(self._home, other))

    def __rtruediv__(self, other: Any) -> RemotePath:
        return self._new(plain(self._home, other) / self._pure)

    def __bytes__(self) -> bytes:
        return os.fsencode(str(self._pure))

    def _new(self, path: Any) -> RemotePath:
        return RemotePath(self._home, path)

    def joinpath(self, *others: Any) -> RemotePath:
        return self._new(self._pure.joinpath(*(plain(self._home, other) for other in others)))

    @property
    def parts(self) -> tuple[str, ...]:
        return self._pure.parts

    @property
    def drive(self) -> str:
        return self._pure.drive

    @property
    def root(self) -> str:
        return self._pure.root

    @property
    def anchor(self) -> str:
        return self._pure.anchor

    @property
    def name(self) -> str:
        return self._pure.name

    @property
    def suffix(self) -> str:
        return self._pure.suffix

    @property
    def suffixes(self) -> list[str]:
        return self._pure.suffixes

    @property
    def stem(self) -> str:
        return self._pure.stem

    @property
    def parent(self) -> RemotePath:
        return self._new(self._pure.parent)

    @property
    def parents(self) -> tuple[RemotePath, ...]:
        return tuple(self._new(parent) for parent in self._pure.parents)

    def as_posix(self) -> str:
        return str(self._pure)

    def is_absolute(self) -> bool:
        return self._pure.is_absolute()

    def is_relative_to(self, other: Any) -> bool:
        return self._pure.is_relative_to(plain(self._home, other))

    def relative_to(self, other: Any) -> RemotePath:
        return self._new(self._pure.relative_to(plain(self._home, other)))

    def match(self, pattern: str) -> bool:
        return self._pure.match(pattern)

    def with_name(self, name: str) -> RemotePath:
        return self._new(self._pure.with_name(name))

    def with_stem(self, stem: str) -> RemotePath:
        return self._new(self._pure.with_stem(stem))

    def with_suffix(self, suffix: str) -> RemotePath:
        return self._new(self._pure.with_suffix(suffix))

    # What does.

    def _do(self, name: str, *args: Any) -> Any:
        return taken(self._home, self._home.call(files.do, name, *args))

    def _text(self, answer: Any) -> str:
        answer = as_bytes(answer) if isinstance(answer, (bytes, str)) else None
        if answer is None:
            raise nonsense(self._home, 'a path that is no text')
        return os.fsdecode(answer)

    def _texts(self, answer: Any) -> list[str]:
        if type(answer) is not list:
            raise nonsense(self._home, 'paths that are no list')
        return [self._text(each) for each in answer]

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return status(self._home, self._do('stat', bytes(self), follow_symlinks))

    def lstat(self) -> os.stat_result:
        return self.stat(follow_symlinks=False)

    def _mode(self, follow: bool = True) -> int:
        """Return the mode, 0 if nothing is there."""
        try:
            return self.stat(follow_symlinks=follow).st_mode
        except OSError as error:
            if error.errno not in GONE:
                raise
            return 0

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        return self._mode(follow_symlinks) != 0

    def is_dir(self) -> bool:
        return stat.S_ISDIR(self._mode())

    def is_file(self) -> bool:
        return stat.S_ISREG(self._mode())

    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self._mode(False))

    def is_fifo(self) -> bool:
        return stat.S_ISFIFO(self._mode())

    def is_socket(self) -> bool:
        return stat.S_ISSOCK(self._mode())

    def is_block_device(self) -> bool:
        return stat.S_ISBLK(self._mode())

    def is_char_device(self) -> bool:
        return stat.S_ISCHR(self._mode())

    def samefile(self, other: Any) -> bool:
        mine, its = self.stat(), self._new(plain(self._home, other)).stat()
        return (mine.st_dev, mine.st_ino) == (its.st_dev, its.st_ino)

    def _statuses(self) -> Iterator[tuple[RemotePath, os.stat_result, os.stat_result | None]]:
        """Yield what is in the folder: paths, and what lstat() and stat() say of each, None where it leads nowhere."""
        found = self._do('statuses', bytes(self))
        if type(found) is not list or any(type(each) is not tuple or len(each) != 3 for each in found):
            raise nonsense(self._home, 'a folder of no kind')
        for name, own, behind in found:
            followed = None if behind is None else status(self._home, behind)
            yield self / self._text(name), status(self._home, own), followed

    def iterdir(self) -> Iterator[RemotePath]:
        return iter([self / name for name in self._texts(self._do('names', bytes(self)))])

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        given = PurePosixPath(pattern)
        if not pattern or not given.parts:
            raise ValueError('a pattern must not be empty')
        if given.is_absolute():
            raise NotImplementedError('a pattern must be relative')
        found = self._do('match', bytes(self), [os.fsencode(part) for part in given.parts])
        return iter([self / path for path in self._texts(found)])

    def rglob(self, pattern: str) -> Iterator[RemotePath]:
        return self.glob('**/' + pattern)

    def walk(
        self, top_down: bool = True, on_error: Any = None, follow_symlinks: bool = False,
    ) -> Iterator[tuple[RemotePath, list[str], list[str]]]:
        todo: list[RemotePath | tuple[RemotePath, list[str], list[str]]] = [self]
        while todo:
            path = todo.pop()
            if isinstance(path, tuple):
                yield path
                continue
            try:
                found = list(path._statuses())
            except OSError as error:
                if on_error is not None:
                    on_error(error)
                continue
            folders: list[str] = []
            others: list[str] = []
            for each, own, behind in found:
                mode = ((behind or own) if follow_symlinks else own).st_mode
                (folders if stat.S_ISDIR(mode) else others).append(each.name)
            if top_down:
                yield path, folders, others
            else:
                todo.append((path, folders, others))
            todo.extend(path / name for name in reversed(folders))

    def open(
        self, mode: str = 'r', buffering: int = -1, encoding: str | None = None, errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        return remote.open_file(self._home, self, mode, buffering, encoding, errors, newline)

    def read_bytes(self) -> bytes:
        answer = self._do('brief', bytes(self))
        if answer is not None:
            if not isinstance(answer, (bytes, str)):
                raise nonsense(self._home, 'what was read is no bytes')
            return as_bytes(answer)     # type: ignore[no-any-return]
        with self.open('rb') as file:
            content: bytes = file.read()
        return content

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        data = io.BytesIO(self.read_bytes())
        return io.TextIOWrapper(data, encoding or 'utf-8', errors).read()

    def write_bytes(self, data: Any) -> int:
        view = memoryview(data)
        with self.open('wb') as file:
            written: int = file.write(view)
        return written

    def write_text(
        self, data: str, encoding: str | None = None, errors: str | None = None, newline: str | None = None,
    ) -> int:
        if not isinstance(data, str):
            raise TypeError(f'data must be a text, not {seen(data)}')
        with self.open('w', encoding=encoding, errors=errors, newline=newline) as file:
            written: int = file.write(data)
        return written

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        self._do('mkdir', bytes(self), mode, bool(parents), bool(exist_ok))

    def rmdir(self) -> None:
        self._do('rmdir', bytes(self))

    def unlink(self, missing_ok: bool = False) -> None:
        self._do('unlink', bytes(self), bool(missing_ok))

    def rmtree(self) -> None:
        """Remove the folder with all that is in it; no link is followed."""
        self._do('rmtree', bytes(self))

    def rename(self, target: Any) -> RemotePath:
        other = self._new(plain(self._home, target))
        self._do('rename', bytes(self), bytes(other))
        return other

    replace = rename

    def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:
        self._do('touch', bytes(self), mode, bool(exist_ok))

    def chmod(self, mode: int) -> None:
        self._do('chmod', bytes(self), mode)

    def symlink_to(self, target: Any, target_is_directory: bool = False) -> None:
        self._do('symlink', os.fsencode(str(plain(self._home, target))), bytes(self))

    def hardlink_to(self, target: Any) -> None:
        self._do('link', os.fsencode(str(plain(self._home, target))), bytes(self))

    def readlink(self) -> RemotePath:
        return self._new(self._text(self._do('readlink', bytes(self))))

    def resolve(self, strict: bool = False) -> RemotePath:
        return self._new(self._text(self._do('resolve', bytes(self), bool(strict))))

    def absolute(self) -> RemotePath:
        if self.is_absolute():
            return self
        return self._new(self._text(self._do('cwd'))) / self

    def expanduser(self) -> RemotePath:
        if not (self._pure.parts and self._pure.parts[0].startswith('~')):
            return self
        home = self._text(self._do('home', os.fsencode(self._pure.parts[0])))
        if home.startswith('~'):
            raise RuntimeError(f'{self._home.name}: no home directory of {self._pure.parts[0]}')
        return self._new(home).joinpath(*self._pure.parts[1:])

    def owner(self) -> str:
        return self._name_of(0)

    def group(self) -> str:
        return self._name_of(1)

    def _name_of(self, which: int) -> str:
        found = self._do('owner', bytes(self))
        if type(found) is not list or len(found) != 2 or not found[which]:
            raise KeyError(f'{self._home.name}: its owner has no name: ask stat() for the number')
        return self._text(found[which])


def plain(home: Home, path: Any) -> PurePosixPath:
    """Return a path of this context, or a text, as a pure path."""
    if isinstance(path, RemotePath):
        if path._home is not home:
            raise ValueError(f'a path of {path._home.name} is none of {home.name}: copy the file between them')
        return path._pure
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f'a path must be a text or a path, not {seen(path)}')
    return PurePosixPath(path)


def pure(path: Any) -> PurePosixPath:
    if not isinstance(path, RemotePath):
        raise TypeError(f'a path of a context is compared with another, not with {seen(path)}')
    return path._pure


def status(home: Home, told: Any) -> os.stat_result:
    """Return what stat() says there."""
    if type(told) is not tuple or len(told) != 10 or any(type(each) is not int for each in told):
        raise nonsense(home, 'a status of no kind')
    times = told[7:]
    return os.stat_result(
        (*told[:7], *(int(each // 10**9) for each in times), *(each / 1e9 for each in times), *times))


