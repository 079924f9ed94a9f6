"""
Commands in a context, awaited.

Invariants:

* A command has a thread while it runs.  Its lines wait here, no more than AHEAD of them: a command whose lines are not
  read waits where it writes.
* However the wait for a command is left, the command is ended there, with its process group.

The thread of the event loop enters.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from econtext.controller.aio import errands
from econtext.controller.aio.paths import all_told, told
from econtext.controller.aio.pumps import Pump
from econtext.controller.commands import methods, running
from econtext.controller.commands.lines import BytesLine, Line
from econtext.controller.commands.options import one_command

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from econtext.controller.commands.methods import Env, Input
    from econtext.controller.files.names import PathNames

    Word = str | bytes | os.PathLike[str] | PathNames
    Argv = str | os.PathLike[str] | PathNames | Sequence[Word]

AHEAD = 1000    # lines
AnyLine = TypeVar('AnyLine', Line, BytesLine)
# Of whatever has calls and channels.
run: Any = methods.Commands.run
run_lines: Any = methods.Commands.run_lines


class Commands:
    """Commands in a context."""

    blocking: Any

    @overload
    async def run(
        self, argv: Argv, /, *, check: bool = False, capture: bool | None = None, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None,
        timeout: float | None = None, text: Literal[True] = True,
        on_line: Callable[[Line], object] | None = None,
    ) -> CompletedProcess[str]: ...
    @overload
    async def run(
        self, argv: Argv, /, *, check: bool = False, capture: bool | None = None, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None,
        timeout: float | None = None, text: Literal[False],
        on_line: Callable[[BytesLine], object] | None = None,
    ) -> CompletedProcess[bytes]: ...

    @one_command
    async def run(
        self, argv: Argv, /, *, check: bool = False, capture: bool | None = None, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None,
        timeout: float | None = None, text: bool = True,
        on_line: Callable[[Any], object] | None = None,
    ) -> CompletedProcess[Any]:
        """
        Run a command there, wait for its end, and return a ``subprocess.CompletedProcess``.

        `argv`, `check`, `capture`, `input`, `env`, `extend_env`, `cwd`, `timeout`, `text` and `on_line` are those of
        the run() of econtext.Context.  `on_line` is called in the thread of the event loop.  If the task is cancelled,
        the command is ended there, with its process group.  Raises what that does.

        Example::

            done = await web.run(['git', 'pull'], cwd='/srv/app', check=True)
            print(done.stdout)
        """
        if on_line is None:
            done: CompletedProcess[Any] = await errands.run(self.blocking, lambda context: run(
                context, all_told(context, argv), check=check, capture=capture, input=input,
                env=all_told(context, env), extend_env=extend_env, cwd=told(context, cwd), timeout=timeout, text=text))
            return done
        choose: Any = self.run_lines
        lines: RunLines[Any] = choose(
            argv, check=check, capture=bool(capture), input=input, env=env, extend_env=extend_env, cwd=cwd,
            timeout=timeout, text=text)
        async with lines:
            async for line in lines:
                on_line(line)
        assert lines.result is not None, 'the lines have ended'
        return lines.result

    @overload
    def run_lines(
        self, argv: Argv, /, *, check: bool = False, capture: bool = False, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None,
        timeout: float | None = None, text: Literal[True] = True,
    ) -> RunLines[Line]: ...
    @overload
    def run_lines(
        self, argv: Argv, /, *, check: bool = False, capture: bool = False, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None,
        timeout: float | None = None, text: Literal[False],
    ) -> RunLines[BytesLine]: ...

    @one_command
    def run_lines(
        self, argv: Argv, /, *, check: bool = False, capture: bool = False, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None,
        timeout: float | None = None, text: bool = True,
    ) -> RunLines[Any]:
        """
        Run a command there, and return its lines while it runs, for ``async for``.

        `argv`, `check`, `capture`, `input`, `env`, `extend_env`, `cwd`, `timeout` and `text` are those of the
        run_lines() of econtext.Context.  Use ``async with``: the end of the block ends a command that still runs.
        Raises what that does.

        Example::

            async with web.run_lines(['tail', '-f', '/var/log/syslog']) as lines:
                async for line in lines:
                    print(line.stream, line)
        """
        errand = errands.Errand(self.blocking)
        lines: running.RunLines[Any] = run_lines(
            errand, all_told(errand, argv), check=check, capture=capture, input=input,
            env=all_told(errand, env), extend_env=extend_env, cwd=told(errand, cwd), timeout=timeout, text=text)
        return RunLines(errand, lines)


class RunLines(AsyncIterator[AnyLine], Generic[AnyLine]):
    """
    The lines of a command while it runs, made by ``context.run_lines()``.

    An asynchronous iterator of Line, or of BytesLine with ``text=False``.  Behind the last one ``result`` is the
    ``subprocess.CompletedProcess``; before, it is None.  The end of the ``async with`` block ends a command that still
    runs.
    """

    def __init__(self, errand: errands.Errand, lines: running.RunLines[AnyLine]) -> None:
        #: The ``subprocess.CompletedProcess``, once the command has ended.
        self.result: CompletedProcess[Any] | None = None
        self._errand = errand
        self._lines: running.RunLines[AnyLine] = lines
        self._pump: Pump[AnyLine] = Pump(lines, AHEAD)

    async def __anext__(self) -> AnyLine:
        try:
            return await self._pump.get()
        except StopAsyncIteration:
            self.result = self._lines.result
            raise

    def _leave(self) -> None:
        """Have the command ended, and its thread."""
        self._errand.cancel()
        self._pump.leave()

    async def aclose(self) -> None:
        """
        End the command, if it still runs: its whole process group. Raises nothing.

        Example::

            await lines.aclose()
        """
        self._leave()
        await errands.finish(self._lines.close)

    async def __aenter__(self) -> RunLines[AnyLine]:
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None or isinstance(error, Exception):
            await self.aclose()
        else:
            self._leave()
