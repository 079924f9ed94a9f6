"""
Open files of a context, awaited.

Invariants:

* Each piece of work has a thread while it lasts.
* What was begun on a file is not left before its end: the file stands where its methods say.  If the task is
  cancelled, the read or write that is under way is interrupted there, and what was written may be there in part.
* Of a file that is closed because its task was cancelled no error is raised: the task ends as cancelled.

The thread of the event loop enters.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any

from econtext.controller.aio import errands


class Opening(Coroutine[Any, Any, 'File']):
    """A file that is being opened, made by ``context.open()``: await it for the File, or use it in ``async with``."""

    def __init__(self, opened: Coroutine[Any, Any, File]) -> None:
        self._opened = opened
        self._file: File | None = None

    def __await__(self) -> Generator[Any, Any, File]:
        return self._opened.__await__()

    # So that it may become a task.

    def send(self, value: Any) -> Any:
        return self._opened.send(value)

    def throw(self, *error: Any) -> Any:
        return self._opened.throw(*error)

    def close(self) -> None:
        self._opened.close()

    async def __aenter__(self) -> File:
        self._file = await self._opened
        return self._file

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._file is not None, 'it was entered'
        await self._file.__aexit__(*exc_info)


class File:
    """
    An open file of a context, awaited; made by ``context.open()``.

    One task at a time may use it.  Use ``async for`` for its lines, and ``async with`` to close it.
    """

    def __init__(self, kept: errands.Kept, file: Any) -> None:
        self._kept = kept
        self._file = file

    async def _do(self, work: Callable[[], Any]) -> Any:
        return await errands.finish(work, self._kept)

    async def read(self, size: int = -1) -> Any:
        """
        Return the rest of the file, or `size` bytes or characters of it. Raises OSError.

        Example::

            text = await file.read()
        """
        return await self._do(lambda: self._file.read(size))

    async def readline(self) -> Any:
        """
        Return the next line, empty at the end. Raises OSError.

        Example::

            line = await file.readline()
        """
        return await self._do(self._file.readline)

    async def write(self, data: Any) -> int:
        """
        Write `data`, a text or bytes; return how much that is. Raises OSError.

        Example::

            await file.write('127.0.0.1 localhost\\n')
        """
        size: int = await self._do(lambda: self._file.write(data))
        return size

    async def seek(self, offset: int, whence: int = 0) -> int:
        """
        Go to `offset`, counted from where `whence` says, as in ``io``; return the position. Raises OSError.

        Example::

            await file.seek(0)
        """
        position: int = await self._do(lambda: self._file.seek(offset, whence))
        return position

    async def flush(self) -> None:
        """
        Wait until what was written is there. Raises OSError.

        Example::

            await file.flush()
        """
        await self._do(self._file.flush)

    async def close(self) -> None:
        """
        Write what is left, and close the file. Raises OSError.

        Example::

            await file.close()
        """
        await self._do(self._file.close)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._lines()

    async def _lines(self) -> AsyncIterator[Any]:
        while line := await self.readline():
            yield line

    async def __aenter__(self) -> File:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            await self.close()
        except Exception:
            if not isinstance(exc_info[1], asyncio.CancelledError):
                raise
