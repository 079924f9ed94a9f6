"""
Names of paths of contexts, for paths whose methods block and for those that are awaited.

Names, parts and all that asks no file are those of PurePosixPath.  Both kinds of path also send the same questions and
read the same answers, so what an answer means stands here.

Invariants:

* Nothing here asks a file, or waits.
* An answer of another form than was asked raises CorruptStream.
* A path is never taken for one of this machine: it has no ``__fspath__``.
* Paths of two contexts are not mixed: where one is joined with or compared to one of another, that is refused.

Pure: any thread may enter.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any, TypeVar

from econtext.child.labels import seen
from econtext.child.transfer import as_bytes
from econtext.controller.errors import stays
from econtext.controller.files.answers import nonsense
from econtext.controller.session.contract import Home
from econtext.controller.text import harmless

Names = TypeVar('Names', bound='PathNames')


class PathNames:
    """A path in a context, as far as its text goes."""

    __slots__ = ('_home', '_pure')
    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, home: Any, *parts: Any) -> None:
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

    def __str__(self) -> str:
        return str(self._pure)

    def __repr__(self) -> str:
        return f'<econtext path {self._home.name}:{harmless(str(self._pure))}>'

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return bool(self._home == other._home) and self._pure == other._pure

    def __hash__(self) -> int:
        return hash((self._home, self._pure))

    def __lt__(self, other: PathNames) -> bool:
        return self._pure < pure(other)

    def __le__(self, other: PathNames) -> bool:
        return self._pure <= pure(other)

    def __gt__(self, other: PathNames) -> bool:
        return self._pure > pure(other)

    def __ge__(self, other: PathNames) -> bool:
        return self._pure >= pure(other)

    def __truediv__(self: Names, other: Any) -> Names:
        return self._new(self._pure / plain(self._home, other))

    def __rtruediv__(self: Names, other: Any) -> Names:
        return self._new(plain(self._home, other) / self._pure)

    def __bytes__(self) -> bytes:
        return os.fsencode(str(self._pure))

    def _new(self: Names, path: Any) -> Names:
        return type(self)(self._home, path)

    def joinpath(self: Names, *others: Any) -> Names:
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
    def parent(self: Names) -> Names:
        return self._new(self._pure.parent)

    @property
    def parents(self: Names) -> tuple[Names, ...]:
        return tuple(self._new(parent) for parent in self._pure.parents)

    def as_posix(self) -> str:
        return str(self._pure)

    def is_absolute(self) -> bool:
        return self._pure.is_absolute()

    def is_relative_to(self, other: Any) -> bool:
        return self._pure.is_relative_to(plain(self._home, other))

    def relative_to(self: Names, other: Any) -> Names:
        return self._new(self._pure.relative_to(plain(self._home, other)))

    def match(self, pattern: str) -> bool:
        return self._pure.match(pattern)

    def with_name(self: Names, name: str) -> Names:
        return self._new(self._pure.with_name(name))

    def with_stem(self: Names, stem: str) -> Names:
        return self._new(self._pure.with_stem(stem))

    def with_suffix(self: Names, suffix: str) -> Names:
        return self._new(self._pure.with_suffix(suffix))

    # What is asked, and what the answers mean.

    def _text(self, answer: Any) -> str:
        answer = as_bytes(answer) if isinstance(answer, (bytes, str)) else None
        if answer is None:
            raise nonsense(self._home, 'a path that is no text')
        return os.fsdecode(answer)

    def _paths(self: Names, answer: Any) -> list[Names]:
        """Return the paths below this one that an answer lists."""
        if type(answer) is not list:
            raise nonsense(self._home, 'paths that are no list')
        return [self / self._text(each) for each in answer]

    def _entries(self: Names, found: Any) -> Iterator[tuple[Names, os.stat_result, os.stat_result | None]]:
        """Yield what is in the folder: paths, and what lstat() and stat() say of each, None where it leads nowhere."""
        if type(found) is not list or any(type(each) is not tuple or len(each) != 3 for each in found):
            raise nonsense(self._home, 'a folder of no kind')
        for name, own, behind in found:
            followed = None if behind is None else status(self._home, behind)
            yield self / self._text(name), status(self._home, own), followed

    def _other(self: Names, other: Any) -> Names:
        """Return a path of this context, or a text, as a path."""
        return self._new(plain(self._home, other))

    def _content(self, answer: Any) -> bytes:
        if not isinstance(answer, (bytes, str)):
            raise nonsense(self._home, 'what was read is no bytes')
        return as_bytes(answer)     # type: ignore[no-any-return]

    def _in_home(self: Names, answer: Any) -> Names:
        """Return the path whose first part is the ~ of a user, whose home an answer tells."""
        home = self._text(answer)
        if home.startswith('~'):
            raise RuntimeError(f'{self._home.name}: no home directory of {self._pure.parts[0]}')
        return self._new(home).joinpath(*self._pure.parts[1:])

    def _name_of(self, found: Any, which: int) -> str:
        """Return the name of the owner, or of the group with `which` of 1, that an answer tells."""
        if type(found) is not list or len(found) != 2 or not found[which]:
            raise KeyError(f'{self._home.name}: its owner has no name: ask stat() for the number')
        return self._text(found[which])


def pattern_of(pattern: str) -> list[bytes]:
    """Return the parts of a pattern of glob()."""
    given = PurePosixPath(pattern)
    if not pattern or not given.parts:
        raise ValueError('a pattern must not be empty')
    if given.is_absolute():
        raise NotImplementedError('a pattern must be relative')
    return [os.fsencode(part) for part in given.parts]


def sorted_out(
    found: Iterable[tuple[PathNames, os.stat_result, os.stat_result | None]], follow: bool,
) -> tuple[list[str], list[str]]:
    """Return the names of folders, and those of all else, as walk() yields them."""
    folders: list[str] = []
    others: list[str] = []
    for each, own, behind in found:
        mode = ((behind or own) if follow else own).st_mode
        (folders if stat.S_ISDIR(mode) else others).append(each.name)
    return folders, others


def decoded(data: bytes, encoding: str | None, errors: str | None) -> str:
    """Return the text that a file with this content has."""
    return io.TextIOWrapper(io.BytesIO(data), encoding or 'utf-8', errors).read()


def check_text(data: object) -> None:
    if not isinstance(data, str):
        raise TypeError(f'data must be a text, not {seen(data)}')


def plain(home: Home, path: Any) -> PurePosixPath:
    """Return a path of this context, or a text, as a pure path."""
    if isinstance(path, PathNames):
        if path._home != home:
            raise ValueError(f'a path of {path._home.name} is none of {home.name}: copy the file between them')
        return path._pure
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f'a path must be a text or a path, not {seen(path)}')
    return PurePosixPath(path)


def pure(path: Any) -> PurePosixPath:
    if not isinstance(path, PathNames):
        raise TypeError(f'a path of a context is compared with another, not with {seen(path)}')
    return path._pure


def status(home: Home, told: Any) -> os.stat_result:
    """Return what stat() says there."""
    if type(told) is not tuple or len(told) != 10 or any(type(each) is not int for each in told):
        raise nonsense(home, 'a status of no kind')
    times = told[7:]
    return os.stat_result(
        (*told[:7], *(int(each // 10**9) for each in times), *(each / 1e9 for each in times), *times))
