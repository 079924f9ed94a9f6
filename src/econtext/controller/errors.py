"""
Every exception of econtext, by who has to act.

Below the controller a failure is data; here it becomes an exception that names
the context, what was seen, and the remedy.

Invariants:

* The text of an error of econtext names types and places, and shows no value or repr of the application's.

Any thread may enter.
"""

from __future__ import annotations

import contextlib
import sys
from concurrent.futures import BrokenExecutor
from typing import NoReturn

MOST_TRACE = 1 << 14    # characters of our own traceback, the last ones

class EcontextError(Exception):
    """The base of the errors of econtext."""


class ConnectError(EcontextError):
    """
    A context could not be started: mend the options, or the machine.

    `context` is its name, `kind` one of a fixed set of words such as
    ``'refused-key'``, `lines` what was last seen, `remedy` what to do.  `command`
    is what was started, quoted for a shell, where it is worth running by hand;
    an ellipsis stands in it for what starts Python.
    """

    def __init__(
        self, context: str, kind: str, what: str, lines: str, remedy: str, command: str = ''
    ) -> None:
        super().__init__(context, kind, what, lines, remedy, command)
        self.context = context
        self.kind = kind
        self.what = what
        self.lines = lines
        self.remedy = remedy
        self.command = command

    def __str__(self) -> str:
        text = f'{self.context}: {self.what}. {self.remedy}'
        if self.command:
            text += f'\nThe command:\n    {self.command}'
        if self.lines:
            text += '\nLast lines seen:\n' + '\n'.join(
                '    ' + line for line in self.lines.splitlines()
            )
        return text


class ContextLost(EcontextError, BrokenExecutor):
    """
    The context ended, or its link broke, before the answer came.

    Whether the function ran is not known.  A new context is to be started.  To code
    that knows executors it is a ``concurrent.futures.BrokenExecutor``.
    """


class CallTimeout(EcontextError, TimeoutError):
    """
    What was waited for did not come within the time that the caller gave.

    A call whose time is over is interrupted in its context.
    """


class ForkExited(EcontextError):
    """
    The process of an isolated call ended before its function returned or raised.

    The function has ended the process (``os._exit``, another program by ``os.exec…``), somebody has killed it, or it
    wrote more than ``max_output=``.  `context` is the name of the context, `returncode` the status as `subprocess`
    has it, below 0 for a signal, None if somebody else in the context was told the status.  `stdout` and `stderr`
    are the bytes that the process has written.
    """

    def __init__(
        self, context: str, what: str, returncode: int | None, stdout: bytes = b'', stderr: bytes = b''
    ) -> None:
        super().__init__(context, what, returncode, stdout, stderr)
        self.context = context
        self.what = what
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr

    def __str__(self) -> str:
        return f'{self.context}: {self.what}'


class Interrupted(KeyboardInterrupt):
    """
    Raised in a context, where the function stands whose call was given up.

    No ``except Exception`` catches it: it is there so that cleanup runs.
    """


class NotAllowed(EcontextError):
    """
    Something that policy forbids.

    A module was to be sent that may not leave the program, or a context called a
    function of the program that was not allowed to it.
    """


class CorruptStream(ContextLost):
    """
    What a context sent makes no sense; it was ended.

    Something wrote into its link, or somebody tampers with it there.
    """


class InternalError(EcontextError):
    """
    A defect of econtext itself, or a lack of memory or descriptors that it did not expect.

    The text ends with the traceback.  No context is to blame, and none was ended for that.
    """



def internal_error(what: str, error: BaseException) -> InternalError:
    """Return the InternalError for an `error` of ours, which came while `what`."""
    import traceback  # rarely needed, and it imports much

    trace = ''.join(traceback.format_exception(error))[-MOST_TRACE:]
    return InternalError(f'{what}; this is a defect of econtext, or of the machine:\n{trace}'.rstrip())


def show_exception() -> None:
    """Show the exception that is being handled by the program's own hook; a hook that fails ends no thread of ours."""
    with contextlib.suppress(Exception, SystemExit):
        sys.excepthook(*sys.exc_info())


def lacks(owner: object, name: str, context: type) -> AttributeError:
    """Return the error for what `owner`, which starts contexts, does not have, and class `context` may have."""
    kind = type(owner).__name__
    text = f"'{kind}' object has no attribute '{name}'"
    if name[:1] != '_' and callable(getattr(context, name, None)):
        text += f": a context has that method, such as {kind.lower()}.local() or {kind.lower()}.ssh('web1')"
    return AttributeError(text, name=name, obj=owner)


def stays(self: object, protocol: object) -> NoReturn:
    """Refuse to copy or to pickle `self`: the ``__reduce_ex__`` of what is bound to this process."""
    raise TypeError(
        f'{self!r} is bound to this process, and cannot be copied or pickled: '
        'use it here, or make another one there'
    )
