"""
Every exception of econtext, by who has to act.

Below the controller a failure is data; here it becomes an exception that names
the context, what was seen, and the remedy.
"""

from __future__ import annotations

import builtins
import functools
from typing import Any, NoReturn

from econtext.controller.records import harmless_lines

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


class ContextLost(EcontextError):
    """
    The context ended, or its link broke, before the answer came.

    Whether the function ran is not known.  A new context is to be started.
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
    the built-in exception it stands for: ``except FileNotFoundError`` works.
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

    def __reduce__(self) -> Any:
        return CallError, (
            self.context, self.type_name, self.message, self.remote_traceback, self.hint
        )


def internal_error(what: str, error: BaseException) -> InternalError:
    """Return the InternalError for an `error` of ours, which came while `what`."""
    import traceback  # rarely needed, and it imports much

    trace = ''.join(traceback.format_exception(error))[-MOST_TRACE:]
    return InternalError(f'{what}; this is a defect of econtext, or of the machine:\n{trace}'.rstrip())


def stays(self: object, protocol: object) -> NoReturn:
    """Refuse to copy or to pickle `self`: the ``__reduce_ex__`` of what is bound to this process."""
    raise TypeError(
        f'{self!r} is bound to this process, and cannot be copied or pickled: '
        'use it here, or make another one there'
    )


# Raised through a call these would be taken for something else: the end of an
# iteration, or that the caller's own time is up.
NEVER = StopIteration, StopAsyncIteration, TimeoutError


def call_error_type(names: tuple[str, ...]) -> type[CallError]:
    """Return the CallError that is also the first of the built-in types `names`."""
    for name in names:
        base = getattr(builtins, name, None)
        if base is Exception or base is BaseException:
            break
        if isinstance(base, type) and issubclass(base, Exception):
            if issubclass(base, NEVER):
                break
            if 'Group' not in name:
                # A group would want the exceptions that it is made of.
                return made_of(name)
    return CallError


@functools.cache
def made_of(name: str) -> type[CallError]:
    """Return the CallError that is also the built-in type `name`."""
    return type('CallError', (CallError, getattr(builtins, name)), {'__module__': 'econtext'})


def call_error(context: str, described: Any, hint: str = '') -> CallError:
    """Return the exception for what ``core.failure.describe`` sent."""
    type_name, message, trace, names, arguments = described
    kind = call_error_type(tuple(str(name) for name in names[:50]))
    error = kind(context, str(type_name), str(message), str(trace), hint)
    if isinstance(error, SyntaxError):
        # All that Python shows of a SyntaxError that nobody caught.
        error.msg = str(error)
    if isinstance(error, OSError) and len(arguments) == 3:
        error.errno, error.strerror, error.filename = arguments
    return error
