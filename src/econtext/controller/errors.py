"""
Every exception of econtext, by who has to act.

Below the controller a failure is data; here it becomes an exception that names
the context, what was seen, and the remedy.
"""

from __future__ import annotations

import contextlib
import sys
from concurrent.futures import BrokenExecutor
from typing import Any, NoReturn

from econtext.controller.text import harmless_lines

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


class CallError(EcontextError):
    """
    The function that was called raised an exception.

    `type_name` names its type, `message` is its text, `remote_traceback` the
    traceback as the other Python wrote it.  A CallError is also an instance of
    the exception it stands for, where that is a built-in one, one of the standard
    library that the program has imported, or registered: ``except
    subprocess.CalledProcessError as error`` works.  `args` and what else that
    exception has by name are attributes, so far as these are plain values: each up
    to 1 MiB, without the middle of a longer text.
    """

    def __init__(
        self, context: str, type_name: str, message: str, remote_traceback: str, hint: str = ''
    ) -> None:
        BaseException.__init__(self, context, type_name, message, remote_traceback, hint)
        self.context = context
        self.type_name = type_name
        self.message = message
        self.remote_traceback = remote_traceback
        self.hint = hint

    def __str__(self) -> str:
        text = harmless_lines(f'{self.type_name}: {self.message}')
        if self.hint:
            text += '\n' + self.hint
        trace = harmless_lines(self.remote_traceback)
        return f'{text}\n\nIn context {self.context}:\n{trace}'.rstrip()

    def __reduce_ex__(self, protocol: Any) -> Any:
        from econtext.controller import raised

        return raised.again, raised.taken_apart(self)

    def __reduce__(self) -> Any:
        return self.__reduce_ex__(2)


def internal_error(what: str, error: BaseException) -> InternalError:
    """Return the InternalError for an `error` of ours, which came while `what`."""
    import traceback  # rarely needed, and it imports much

    trace = ''.join(traceback.format_exception(error))[-MOST_TRACE:]
    return InternalError(f'{what}; this is a defect of econtext, or of the machine:\n{trace}'.rstrip())


def show_exception() -> None:
    """Show the exception that is being handled by the program's own hook; a hook that fails ends no thread of ours."""
    with contextlib.suppress(Exception, SystemExit):
        sys.excepthook(*sys.exc_info())


def stays(self: object, protocol: object) -> NoReturn:
    """Refuse to copy or to pickle `self`: the ``__reduce_ex__`` of what is bound to this process."""
    raise TypeError(
        f'{self!r} is bound to this process, and cannot be copied or pickled: '
        'use it here, or make another one there'
    )
