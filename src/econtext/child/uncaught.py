"""
Tell of an exception that nobody has caught, as Python does at the end of a program.

Invariants:

* The program's own ``sys.excepthook`` tells of the exception.  Such a hook may end the program by a SystemExit: its
  status is then that of the program.
* Where a hook fails, both exceptions are told.

Sent with the modules that run programs.  Entered by the thread that runs the program.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

import sys

INTERRUPTED = 130    # as a shell has it: 128, and SIGINT


def end(error, show):
    # type: (Any, Callable[..., Any]) -> int
    """
    Tell of `error`, which is what ``sys.exc_info`` has returned; return the status with which Python ends.

    Call this behind the `except` clause: a hook sees no exception that is being handled.
    """
    if isinstance(error[1], SystemExit):
        return status_of(error[1])
    try:
        tell(error, show)
    except SystemExit:
        return status_of(sys.exc_info()[1])
    if issubclass(error[0], KeyboardInterrupt):
        return INTERRUPTED
    return 1


def tell(error, show):
    # type: (Any, Callable[..., Any]) -> None
    """Have the program's own hook tell of `error`, or else `show`; raise the SystemExit of such a hook."""
    try:
        hook = sys.excepthook
        if hook is sys.__excepthook__:
            hook = show
        hook(*error)
    except SystemExit:
        raise
    except:
        second = sys.exc_info()
        write('Error in sys.excepthook:\n')
        show(*second)
        write('\nOriginal exception was:\n')
        show(*error)


def status_of(error):
    # type: (Any) -> int
    """Return the status with which Python ends for a SystemExit, and print what Python would print."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xff
    write('%s\n' % (error.code,))
    return 1


def write(text):
    # type: (Any) -> None
    try:
        sys.stdout.flush()
    except:
        # Closed, or nobody reads it.
        pass
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except:
        # The same.
        pass
