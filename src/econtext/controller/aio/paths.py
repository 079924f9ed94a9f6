"""
Paths of contexts, whose methods are awaited.

Invariants, beside those of ``files.names``:

* What asks for files there is a call, or several one after the other, and has no thread; what writes a file, and what
  reads a large one, has one while it lasts.
* A task that is cancelled has the call interrupted that its method waits for.

The thread of the event loop enters.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from econtext.child import files
from econtext.controller.aio.errands import Errand
from econtext.controller.files import paths
from econtext.controller.files.answers import taken
from econtext.controller.files.names import PathNames, check_text, decoded, pattern_of, plain, sorted_out, status

if TYPE_CHECKING:
    from econtext.controller.aio.opened import Opening


class RemotePath(PathNames):
    """
    A path in a context, whose methods are awaited; made by ``context.path()``.

    Paths of one context are equal if their texts are.
    """

    __slots__ = ()

    async def _do(self, name: str, *args: Any) -> Any:
        return taken(self._home, await self._home.call(files.do, name, *args))

    async def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return status(self._home, await self._do('stat', bytes(self), follow_symlinks))

    async def lstat(self) -> os.stat_result:
        return await self.stat(follow_symlinks=False)

    async def _mode(self, follow: bool = True) -> int:
        """Return the mode, 0 if nothing is there."""
        try:
            return (await self.stat(follow_symlinks=follow)).st_mode
        except OSError as error:
            if error.errno not in paths.GONE:
                raise
            return 0

    async def exists(self, *, follow_symlinks: bool = True) -> bool:
        return await self._mode(follow_symlinks) != 0

    async def is_dir(self) -> bool:
        return stat.S_ISDIR(await self._mode())

    async def is_file(self) -> bool:
        return stat.S_ISREG(await self._mode())

    async def is_symlink(self) -> bool:
        return stat.S_ISLNK(await self._mode(False))

    async def is_fifo(self) -> bool:
        return stat.S_ISFIFO(await self._mode())

    async def is_socket(self) -> bool:
        return stat.S_ISSOCK(await self._mode())

    async def is_block_device(self) -> bool:
        return stat.S_ISBLK(await self._mode())

    async def is_char_device(self) -> bool:
        return stat.S_ISCHR(await self._mode())

    async def samefile(self, other: Any) -> bool:
        mine, its = await self.stat(), await self._other(other).stat()
        return (mine.st_dev, mine.st_ino) == (its.st_dev, its.st_ino)

    async def iterdir(self) -> AsyncIterator[RemotePath]:
        for path in self._paths(await self._do('names', bytes(self))):
            yield path

    async def glob(self, pattern: str) -> AsyncIterator[RemotePath]:
        for path in self._paths(await self._do('match', bytes(self), pattern_of(pattern))):
            yield path

    def rglob(self, pattern: str) -> AsyncIterator[RemotePath]:
        return self.glob('**/' + pattern)

    async def walk(
        self, top_down: bool = True, on_error: Any = None, follow_symlinks: bool = False,
    ) -> AsyncIterator[tuple[RemotePath, list[str], list[str]]]:
        todo: list[RemotePath | tuple[RemotePath, list[str], list[str]]] = [self]
        while todo:
            path = todo.pop()
            if isinstance(path, tuple):
                yield path
                continue
            try:
                found = list(path._entries(await path._do('statuses', bytes(path))))
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
    ) -> Opening:
        opening: Opening = self._home.open(self, mode, buffering, encoding, errors, newline)
        return opening

    async def read_bytes(self) -> bytes:
        answer = await self._do('brief', bytes(self))
        if answer is not None:
            return self._content(answer)
        async with self.open('rb') as file:
            content: bytes = await file.read()
        return content

    async def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        return decoded(await self.read_bytes(), encoding, errors)

    async def write_bytes(self, data: Any) -> int:
        view = memoryview(data)
        async with self.open('wb') as file:
            return await file.write(view)

    async def write_text(
        self, data: str, encoding: str | None = None, errors: str | None = None, newline: str | None = None,
    ) -> int:
        check_text(data)
        async with self.open('w', encoding=encoding, errors=errors, newline=newline) as file:
            return await file.write(data)

    async def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        await self._do('mkdir', bytes(self), mode, bool(parents), bool(exist_ok))

    async def rmdir(self) -> None:
        await self._do('rmdir', bytes(self))

    async def unlink(self, missing_ok: bool = False) -> None:
        await self._do('unlink', bytes(self), bool(missing_ok))

    async def rmtree(self) -> None:
        """Remove the folder with all that is in it; no link is followed."""
        await self._do('rmtree', bytes(self))

    async def rename(self, target: Any) -> RemotePath:
        other = self._other(target)
        await self._do('rename', bytes(self), bytes(other))
        return other

    replace = rename

    async def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:
        await self._do('touch', bytes(self), mode, bool(exist_ok))

    async def chmod(self, mode: int) -> None:
        await self._do('chmod', bytes(self), mode)

    async def symlink_to(self, target: Any, target_is_directory: bool = False) -> None:
        await self._do('symlink', os.fsencode(str(plain(self._home, target))), bytes(self))

    async def hardlink_to(self, target: Any) -> None:
        await self._do('link', os.fsencode(str(plain(self._home, target))), bytes(self))

    async def readlink(self) -> RemotePath:
        return self._new(self._text(await self._do('readlink', bytes(self))))

    async def resolve(self, strict: bool = False) -> RemotePath:
        return self._new(self._text(await self._do('resolve', bytes(self), bool(strict))))

    async def absolute(self) -> RemotePath:
        if self.is_absolute():
            return self
        return self._new(self._text(await self._do('cwd'))) / self

    async def expanduser(self) -> RemotePath:
        if not (self._pure.parts and self._pure.parts[0].startswith('~')):
            return self
        return self._in_home(await self._do('home', os.fsencode(self._pure.parts[0])))

    async def owner(self) -> str:
        return self._name_of(await self._do('owner', bytes(self)), 0)

    async def group(self) -> str:
        return self._name_of(await self._do('owner', bytes(self)), 1)


def told(home: Any, value: Any) -> Any:
    """Return `value`; a path as what blocks takes it: of `home`, a context or an errand, if of its context."""
    if not hasattr(value, '__econtext_path__'):
        return value
    context = getattr(value.context, 'blocking', value.context)
    own = home.context if isinstance(home, Errand) else home
    return paths.RemotePath(home if context is own else context, value.__econtext_path__)


def all_told(home: Any, words: Any) -> Any:
    """Return the words of a command, or its variables, each as told()."""
    if isinstance(words, Mapping):
        return {name: told(home, value) for name, value in words.items()}
    if isinstance(words, (str, bytes, bytearray, os.PathLike)) or not isinstance(words, Iterable):
        return told(home, words)
    return [told(home, word) for word in words]
