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
        """
        Return what the system says of the file: the ``os.stat_result`` of pathlib, times in seconds, the size in bytes.

        With `follow_symlinks` the file that a link leads to, else the link.  Raises FileNotFoundError if nothing is
        there, other OSErrors as pathlib does, and what a call does.

        Example::

            size = (await web.path('/etc/hosts').stat()).st_size
        """
        return status(self._home, await self._do('stat', bytes(self), follow_symlinks))

    async def lstat(self) -> os.stat_result:
        """
        Return what stat() says of the path itself, even if the path is a link.

        Raises OSError as pathlib does, and what a call does.

        Example::

            is_old = (await web.path('/etc/mtab').lstat()).st_mtime < time.time() - 86400
        """
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
        """
        Return whether something is there; with `follow_symlinks`, whether it is where a link leads.

        Raises OSError if that cannot be found out, for lack of rights for one, and what a call does.

        Example::

            if not await web.path('/etc/motd').exists():
                ...
        """
        return await self._mode(follow_symlinks) != 0

    async def is_dir(self) -> bool:
        """
        Return whether a folder is there, or a link to one.

        Raises OSError as pathlib does, and what a call does.

        Example::

            await web.path('/srv').is_dir()
        """
        return stat.S_ISDIR(await self._mode())

    async def is_file(self) -> bool:
        """
        Return whether a regular file is there, or a link to one.

        Raises OSError as pathlib does, and what a call does.

        Example::

            await web.path('/etc/hosts').is_file()
        """
        return stat.S_ISREG(await self._mode())

    async def is_symlink(self) -> bool:
        """
        Return whether the path is a link, wherever that leads.

        Raises OSError as pathlib does, and what a call does.

        Example::

            await web.path('/etc/mtab').is_symlink()
        """
        return stat.S_ISLNK(await self._mode(False))

    async def is_fifo(self) -> bool:
        """
        Return whether a pipe with a name is there, or a link to one.

        Raises OSError as pathlib does, and what a call does.

        Example::

            await web.path('/run/initctl').is_fifo()
        """
        return stat.S_ISFIFO(await self._mode())

    async def is_socket(self) -> bool:
        """
        Return whether a Unix socket is there, or a link to one.

        Raises OSError as pathlib does, and what a call does.

        Example::

            await web.path('/dev/log').is_socket()
        """
        return stat.S_ISSOCK(await self._mode())

    async def is_block_device(self) -> bool:
        """
        Return whether a block device, such as a disk, is there, or a link to one.

        Raises OSError as pathlib does, and what a call does.

        Example::

            await web.path('/dev/sda').is_block_device()
        """
        return stat.S_ISBLK(await self._mode())

    async def is_char_device(self) -> bool:
        """
        Return whether a character device, such as a terminal, is there, or a link to one.

        Raises OSError as pathlib does, and what a call does.

        Example::

            await web.path('/dev/null').is_char_device()
        """
        return stat.S_ISCHR(await self._mode())

    async def samefile(self, other: Any) -> bool:
        """
        Return whether this path and `other`, a path of the same context or a text, lead to one file.

        Raises FileNotFoundError if either is not there, ValueError for a path of another context, and what a call does.

        Example::

            await web.path('/etc/mtab').samefile('/proc/self/mounts')
        """
        mine, its = await self.stat(), await self._other(other).stat()
        return (mine.st_dev, mine.st_ino) == (its.st_dev, its.st_ino)

    async def iterdir(self) -> AsyncIterator[RemotePath]:
        """
        Iterate over the paths in the folder, in no order, without ``.`` and ``..``.

        Raises OSError as pathlib does, and what a call does, as the loop begins.

        Example::

            async for path in web.path('/etc').iterdir():
                print(path.name)
        """
        for path in self._paths(await self._do('names', bytes(self))):
            yield path

    async def glob(self, pattern: str) -> AsyncIterator[RemotePath]:
        """
        Iterate over the paths below this one that fit `pattern`, where ``**`` stands for any folders.

        Raises ValueError or NotImplementedError for a pattern that pathlib refuses, and what a call does, as the loop
        begins.

        Example::

            async for path in web.path('/etc').glob('*.conf'):
                print(path)
        """
        for path in self._paths(await self._do('match', bytes(self), pattern_of(pattern))):
            yield path

    def rglob(self, pattern: str) -> AsyncIterator[RemotePath]:
        """
        Iterate over the paths that fit `pattern` in this folder, and in all below: glob() with ``**/`` before it.

        Raises what glob() does.

        Example::

            async for path in web.path('/var/log').rglob('*.gz'):
                print(path)
        """
        return self.glob('**/' + pattern)

    async def walk(
        self, top_down: bool = True, on_error: Any = None, follow_symlinks: bool = False,
    ) -> AsyncIterator[tuple[RemotePath, list[str], list[str]]]:
        """
        Iterate over this folder and all below: the path of each, the names of its folders, those of its other files.

        `top_down` has a folder before those in it, which can then be removed from the list so that they are left out.
        `on_error` is called with the OSError of a folder that cannot be listed; without one the folder is left out.
        With `follow_symlinks` links to folders count as folders.  Raises what a call does, as the loop begins.

        Example::

            async for folder, folders, files in web.path('/srv').walk():
                print(folder, len(files))
        """
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
        """
        Open the file: for ``async with``, or to be awaited.

        `mode`, `buffering`, in bytes, `encoding`, `errors` and `newline` are as for the open() of a context, which
        tells what is raised.  Raises OSError as pathlib does, once it is awaited, or its block begins.

        Example::

            async with web.path('/etc/hosts').open() as file:
                first = await file.readline()
        """
        opening: Opening = self._home.open(self, mode, buffering, encoding, errors, newline)
        return opening

    async def read_bytes(self) -> bytes:
        """
        Return the whole content of the file. Raises OSError as pathlib does, and what a call does.

        Example::

            content = await web.path('/etc/hosts').read_bytes()
        """
        answer = await self._do('brief', bytes(self))
        if answer is not None:
            return self._content(answer)
        async with self.open('rb') as file:
            content: bytes = await file.read()
        return content

    async def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """
        Return the whole content of the file as text.

        `encoding`, UTF-8 unless given, and `errors` are as for the open() of Python.  Raises UnicodeDecodeError for
        what is no such text, OSError as pathlib does, and what a call does.

        Example::

            text = await web.path('/etc/hosts').read_text()
        """
        return decoded(await self.read_bytes(), encoding, errors)

    async def write_bytes(self, data: Any) -> int:
        """
        Write `data`, bytes or a buffer, as the whole content of the file; return how many bytes there are.

        Raises TypeError for what is neither, OSError as pathlib does, and what a call does.

        Example::

            await web.path('/tmp/key').write_bytes(b'secret')
        """
        view = memoryview(data)
        async with self.open('wb') as file:
            return await file.write(view)

    async def write_text(
        self, data: str, encoding: str | None = None, errors: str | None = None, newline: str | None = None,
    ) -> int:
        """
        Write `data` as the whole content of the file; return how many characters there are.

        `encoding`, UTF-8 unless given, `errors` and `newline` are as for the open() of Python.  Raises TypeError for
        what is no text, OSError as pathlib does, and what a call does.

        Example::

            await web.path('/etc/motd').write_text('Welcome.')
        """
        check_text(data)
        async with self.open('w', encoding=encoding, errors=errors, newline=newline) as file:
            return await file.write(data)

    async def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """
        Make a folder with the permissions `mode`, less those that the umask of the context takes away.

        With `parents`, also the folders above that are not there; with `exist_ok` a folder that is there is no error.
        Raises FileExistsError, other OSErrors as pathlib does, and what a call does.

        Example::

            await web.path('/srv/app/releases').mkdir(parents=True, exist_ok=True)
        """
        await self._do('mkdir', bytes(self), mode, bool(parents), bool(exist_ok))

    async def rmdir(self) -> None:
        """
        Remove the folder, which must be empty. Raises OSError as pathlib does, and what a call does.

        Example::

            await web.path('/srv/old').rmdir()
        """
        await self._do('rmdir', bytes(self))

    async def unlink(self, missing_ok: bool = False) -> None:
        """
        Remove the file or link.

        With `missing_ok` nothing there is no error.  Raises FileNotFoundError, other OSErrors as pathlib does, and what
        a call does.

        Example::

            await web.path('/tmp/lock').unlink(missing_ok=True)
        """
        await self._do('unlink', bytes(self), bool(missing_ok))

    async def rmtree(self) -> None:
        """
        Remove the folder with all that is in it; no link is followed.

        Raises OSError as pathlib does, and what a call does.

        Example::

            await web.path('/srv/old').rmtree()
        """
        await self._do('rmtree', bytes(self))

    async def rename(self, target: Any) -> RemotePath:
        """
        Give the file the name `target`, a path of the same context or a text; return that path.

        A file that has the name is replaced.  Raises OSError as pathlib does, ValueError for a path of another context,
        and what a call does.

        Example::

            await web.path('/srv/app.new').rename('/srv/app')
        """
        other = self._other(target)
        await self._do('rename', bytes(self), bytes(other))
        return other

    replace = rename

    async def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:
        """
        Set the times of the file to now; make the file, with the permissions `mode`, if it is not there.

        Without `exist_ok` a file that is there is a FileExistsError.  Raises other OSErrors as pathlib does, and what a
        call does.

        Example::

            await web.path('/run/app.stamp').touch()
        """
        await self._do('touch', bytes(self), mode, bool(exist_ok))

    async def chmod(self, mode: int) -> None:
        """
        Give the file the permissions `mode`, a number.

        Raises OSError as pathlib does, and what a call does.

        Example::

            await web.path('/etc/app.key').chmod(0o600)
        """
        await self._do('chmod', bytes(self), mode)

    async def symlink_to(self, target: Any, target_is_directory: bool = False) -> None:
        """
        Make this path a link to `target`, a path of the same context or a text.

        `target_is_directory` means nothing on Unix.  Raises FileExistsError, other OSErrors as pathlib does, ValueError
        for a path of another context, and what a call does.

        Example::

            await web.path('/srv/current').symlink_to('/srv/releases/7')
        """
        await self._do('symlink', os.fsencode(str(plain(self._home, target))), bytes(self))

    async def hardlink_to(self, target: Any) -> None:
        """
        Make this path another name of the file `target`, a path of the same context or a text.

        Raises FileExistsError, other OSErrors as pathlib does, ValueError for a path of another context, and what a
        call does.

        Example::

            await web.path('/srv/copy').hardlink_to('/srv/original')
        """
        await self._do('link', os.fsencode(str(plain(self._home, target))), bytes(self))

    async def readlink(self) -> RemotePath:
        """
        Return the path that the link names, as it names it.

        Raises OSError as pathlib does, and what a call does.

        Example::

            target = await web.path('/srv/current').readlink()
        """
        return self._new(self._text(await self._do('readlink', bytes(self))))

    async def resolve(self, strict: bool = False) -> RemotePath:
        """
        Return the absolute path without links and ``..``.

        With `strict` a part that is not there is a FileNotFoundError.  Raises other OSErrors as pathlib does, and what
        a call does.

        Example::

            real = await web.path('/srv/current').resolve()
        """
        return self._new(self._text(await self._do('resolve', bytes(self), bool(strict))))

    async def absolute(self) -> RemotePath:
        """
        Return the absolute path: one that is relative is so to the working folder of the context.

        Raises what a call does.

        Example::

            path = await web.path('app.log').absolute()
        """
        if self.is_absolute():
            return self
        return self._new(self._text(await self._do('cwd'))) / self

    async def expanduser(self) -> RemotePath:
        """
        Return the path with the home of a user in place of ``~`` or ``~name`` at its beginning.

        Raises RuntimeError if there is no such home, and what a call does.

        Example::

            keys = await web.path('~/.ssh').expanduser()
        """
        if not (self._pure.parts and self._pure.parts[0].startswith('~')):
            return self
        return self._in_home(await self._do('home', os.fsencode(self._pure.parts[0])))

    async def owner(self) -> str:
        """
        Return the name of the user who owns the file.

        Raises KeyError if the user has none, OSError as pathlib does, and what a call does.

        Example::

            await web.path('/srv').owner()
        """
        return self._name_of(await self._do('owner', bytes(self)), 0)

    async def group(self) -> str:
        """
        Return the name of the group that the file has.

        Raises KeyError if the group has none, OSError as pathlib does, and what a call does.

        Example::

            await web.path('/srv').group()
        """
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
