"""
Paths of contexts: what ``pathlib`` has for files here, for those there.

What asks no file is in `names`; what does runs in the context, a call each.

Invariants:

* A path is never taken for one of this machine: it has no ``__fspath__``.
* Names that are no UTF-8 are text with surrogates, as everywhere in Python.

Any thread may enter.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import Any

from econtext.child import files
from econtext.controller.files import remote
from econtext.controller.files.answers import taken
from econtext.controller.files.names import PathNames, check_text, decoded, pattern_of, plain, sorted_out, status

GONE = errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP


class RemotePath(PathNames):
    """A path in a context; made by ``context.path()``. Paths of one context are equal if their texts are."""

    __slots__ = ()

    def _do(self, name: str, *args: Any) -> Any:
        return taken(self._home, self._home.call(files.do, name, *args))

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
        mine, its = self.stat(), self._other(other).stat()
        return (mine.st_dev, mine.st_ino) == (its.st_dev, its.st_ino)

    def _statuses(self) -> Iterator[tuple[RemotePath, os.stat_result, os.stat_result | None]]:
        """Yield what is in the folder, see `_entries`."""
        return self._entries(self._do('statuses', bytes(self)))

    def iterdir(self) -> Iterator[RemotePath]:
        return iter(self._paths(self._do('names', bytes(self))))

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        return iter(self._paths(self._do('match', bytes(self), pattern_of(pattern))))

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
            folders, others = sorted_out(found, follow_symlinks)
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
            return self._content(answer)
        with self.open('rb') as file:
            content: bytes = file.read()
        return content

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        return decoded(self.read_bytes(), encoding, errors)

    def write_bytes(self, data: Any) -> int:
        view = memoryview(data)
        with self.open('wb') as file:
            written: int = file.write(view)
        return written

    def write_text(
        self, data: str, encoding: str | None = None, errors: str | None = None, newline: str | None = None,
    ) -> int:
        check_text(data)
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
        other = self._other(target)
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
        return self._in_home(self._do('home', os.fsencode(self._pure.parts[0])))

    def owner(self) -> str:
        return self._name_of(self._do('owner', bytes(self)), 0)

    def group(self) -> str:
        return self._name_of(self._do('owner', bytes(self)), 1)
