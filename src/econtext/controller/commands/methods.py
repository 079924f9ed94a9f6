"""
The methods of a context that run commands. What carries them out is imported when one is first used.

Any thread of the program may enter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Literal, overload

from econtext.controller.commands.options import one_command

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from econtext.controller.commands.lines import BytesLine, Line
    from econtext.controller.commands.running import RunLines
    from econtext.controller.files.paths import RemotePath
    from econtext.controller.session.contract import Home

    Word = str | bytes | os.PathLike[str] | RemotePath
    Argv = str | os.PathLike[str] | RemotePath | Sequence[Word]
    Input = str | bytes | IO[str] | IO[bytes] | Iterable[str] | Iterable[bytes] | None
    Env = Mapping[str, str | None] | None


class Commands:
    """Commands in a context."""

    @overload
    def run(
        self: Home, argv: Argv, /, *, check: bool = False, capture: bool | None = None, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None,
        timeout: float | None = None, text: Literal[True] = True,
        on_line: Callable[[Line], object] | None = None,
    ) -> CompletedProcess[str]: ...
    @overload
    def run(
        self: Home, argv: Argv, /, *, check: bool = False, capture: bool | None = None, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None,
        timeout: float | None = None, text: Literal[False],
        on_line: Callable[[BytesLine], object] | None = None,
    ) -> CompletedProcess[bytes]: ...

    @one_command
    def run(
        self: Home, argv: Argv, /, *, check: bool = False, capture: bool | None = None, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None,
        timeout: float | None = None, text: bool = True,
        on_line: Callable[[Any], object] | None = None,
    ) -> CompletedProcess[Any]:
        """
        Run a command there, wait for its end, and return a ``subprocess.CompletedProcess``.

        `argv` is a list of words, of which the first is the program, and which no shell reads; or a text, which
        ``/bin/sh`` reads; or a path, the program alone.  A path() of this context may be a word, or `cwd`.
        `input` is what the command reads: a text, bytes, a file that is open for reading, or an iterable of texts
        or bytes, sent as the command reads it; without `input`, the command reads nothing.  A file or an iterable
        is read in a thread of its own.  A command that ends before it has read all is no error.

        `env` is the whole environment of the command, as in ``subprocess.run()``.  With `extend_env`, `env` is
        what differs from the environment of the context.  A name whose value is None is not there.  `cwd` is the
        directory of the command; ``~`` is expanded there.

        `on_line` is called with each Line while the command runs; ``line.stream`` is ``'stdout'`` or
        ``'stderr'``.  A line longer than 1 MiB comes in pieces, see Line.  `capture` says whether the result has
        the output, by default if there is no `on_line`.  With `text` the output is text in UTF-8, in which other
        bytes are surrogates, as in names of files, and each line ends with a newline, whatever it ended with
        there; without `text` it is bytes.  The status of a command that a signal ended is negative.

        A command that is left by an exception, by Ctrl-C, or with its context, is ended there, with its whole
        process group: SIGTERM, and SIGKILL after 2 seconds.  So it is `timeout` seconds after its start, also
        while `on_line` runs; lines that were not handed over by then are dropped.  A context that does not say
        within 5 further seconds that the command has ended is not waited for.

        Raises FileNotFoundError and other OSErrors for a program or directory that cannot be used there;
        ``subprocess.CalledProcessError`` with `check`, for a status that is not 0; ``subprocess.TimeoutExpired``
        with the output so far; TypeError or ValueError before anything is sent; what call() raises if the
        context is gone.

        Example::

            done = web.run(['git', 'pull'], cwd='/srv/app', check=True)
            print(done.stdout)
        """
        from econtext.controller.commands import running
        kept = on_line is None if capture is None else capture
        request = running.Request(argv, check, kept, input, env, extend_env, cwd, timeout, text, self)
        return running.run(self, request, on_line)

    @overload
    def run_lines(
        self: Home, argv: Argv, /, *, check: bool = False, capture: bool = False, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None,
        timeout: float | None = None, text: Literal[True] = True,
    ) -> RunLines[Line]: ...
    @overload
    def run_lines(
        self: Home, argv: Argv, /, *, check: bool = False, capture: bool = False, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None,
        timeout: float | None = None, text: Literal[False],
    ) -> RunLines[BytesLine]: ...

    @one_command
    def run_lines(
        self: Home, argv: Argv, /, *, check: bool = False, capture: bool = False, input: Input = None,
        env: Env = None, extend_env: bool = False, cwd: Word | None = None,
        timeout: float | None = None, text: bool = True,
    ) -> RunLines[Any]:
        """
        Run a command there, and return its lines while it runs.

        `argv`, `check`, `input`, `env`, `extend_env`, `cwd`, `timeout` and `text` are those of run(); with
        `capture` the result has the output too, which else is not kept.  Each Line has ``stream``, ``'stdout'`` or
        ``'stderr'``.  Behind the last line ``result`` of what is returned is the ``subprocess.CompletedProcess``.
        The end of the block ends a command that still runs; a command whose lines are not read waits where it writes.

        Raises what run() does: for wrong arguments at once, all else behind the last line.

        Example::

            with web.run_lines(['tail', '-f', '/var/log/syslog']) as lines:
                for line in lines:
                    print(line.stream, line)
        """
        from econtext.controller.commands import running
        request = running.Request(argv, check, capture, input, env, extend_env, cwd, timeout, text, self)
        return running.RunLines(self, request)
