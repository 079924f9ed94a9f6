"""
Files of a context, awaited.

Invariants:

* Each piece of work has a thread while it lasts.
* A transfer whose task is cancelled breaks off: at its target there is the old file or the new one, whole.

The thread of the event loop enters.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Literal

from econtext.controller.aio import errands
from econtext.controller.aio.opened import File, Opening
from econtext.controller.aio.paths import RemotePath, told
from econtext.controller.files import methods

if TYPE_CHECKING:
    from typing import BinaryIO

    from econtext.controller.files.copying import Copied
    from econtext.controller.files.progress import Callback

    Local = str | os.PathLike[str]
    Remote = str | os.PathLike[str]


class Files:
    """Files of a context."""

    blocking: Any

    async def put(
        self, local: Local | bytes | BinaryIO | RemotePath, remote: Remote | RemotePath, *,
        mode: int | None = None, times: bool = True,
        owner: bool | str | None = None, symlinks: Literal['keep', 'follow', 'skip'] = 'keep',
        compare: Literal['time', 'content', 'always'] | None = None, delete: bool = False, resume: bool = False,
        durable: bool | None = None, progress: Callback | bool | None = None,
    ) -> Copied:
        """
        Copy a file or a folder of this program to the context; return what was done.

        `local`, `remote`, `mode`, `times`, `owner`, `symlinks`, `compare`, `delete`, `resume`, `durable` and `progress`
        are those of the put() of econtext.Context; a function as `progress` is called in a thread of the transfer.  If
        the task is cancelled, the transfer breaks off.  Raises what that does.

        Example::

            await web.put('site', '/srv/site', delete=True)
        """
        return await errands.run(self.blocking, lambda context: methods.Files.put(
            context, told(context, local), told(context, remote), mode=mode, times=times, owner=owner,
            symlinks=symlinks, compare=compare, delete=delete, resume=resume, durable=durable, progress=progress))

    async def get(
        self, remote: Remote | RemotePath, local: Local | BinaryIO | RemotePath, *,
        mode: int | None = None, times: bool = True,
        owner: bool | str | None = None, symlinks: Literal['keep', 'follow', 'skip'] = 'keep',
        compare: Literal['time', 'content', 'always'] | None = None, delete: bool = False, resume: bool = False,
        durable: bool | None = None, progress: Callback | bool | None = None,
    ) -> Copied:
        """
        Copy a file or a folder of the context to this program; return what was done.

        `remote`, `local`, `mode`, `times`, `owner`, `symlinks`, `compare`, `delete`, `resume`, `durable` and `progress`
        are those of the get() of econtext.Context; a function as `progress` is called in a thread of the transfer.  If
        the task is cancelled, the transfer breaks off.  Raises what that does.

        Example::

            await web.get('/var/log/syslog', 'logs/')
        """
        return await errands.run(self.blocking, lambda context: methods.Files.get(
            context, told(context, remote), told(context, local), mode=mode, times=times, owner=owner,
            symlinks=symlinks, compare=compare, delete=delete, resume=resume, durable=durable, progress=progress))

    def open(
        self, path: Remote | RemotePath, mode: str = 'r', buffering: int = -1, encoding: str | None = None,
        errors: str | None = None, newline: str | None = None,
    ) -> Opening:
        """
        Open a file of the context; return a file object whose methods are awaited.

        Use it in ``async with``, or await it: ``file = await web.open(path)``.  `path`, `mode`, `buffering`,
        `encoding`, `errors` and `newline` are those of the open() of econtext.Context.  Raises what that does, when
        awaited.

        Example::

            async with web.open('/etc/hosts') as hosts:
                names = [line.split() async for line in hosts]
        """
        async def opened() -> File:
            kept = errands.Kept(self.blocking)
            found: list[Any] = []

            def work(errand: Any) -> None:
                found.append(methods.Files.open(
                    errand, told(errand, path), mode, buffering, encoding, errors, newline))
                if kept.cancelled:
                    close()

            def close() -> None:
                # Nobody takes it any more.
                while found:
                    found.pop().close()

            try:
                await errands.run(kept, work)
            except asyncio.CancelledError:
                if found:
                    errands.begin(close)
                raise
            return File(kept, found.pop())

        return Opening(opened())

    def path(self, *parts: Remote | RemotePath) -> RemotePath:
        """
        Return a path in the context, with the methods of ``pathlib.Path``, which run there and are awaited.

        `parts` are those of the path() of econtext.Context.  ``iterdir``, ``glob``, ``rglob`` and ``walk`` are for
        ``async for``; ``open`` is as that of the context; names, such as ``name`` and ``parent``, are not awaited.  If
        the task is cancelled, what runs there is interrupted.  Raises what that does.

        Example::

            async for path in web.path('/etc').glob('*.conf'):
                print(path.name, (await path.stat()).st_size)
        """
        # One that another program has not answered for says so here.
        assert self.blocking is not None
        return RemotePath(self, *parts)
