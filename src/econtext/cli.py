"""
The command ``econtext``, also as ``python -m econtext``: see ``econtext.command_line``.

Invariants:

* Before the session server was asked, nothing is imported that takes a moment.

Entered by the main thread.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: 'Sequence[str] | None' = None) -> int:
    """Run the command line; return the exit status."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        open_missing()
    # First, and light: a session server may have the rest loaded already.
    from econtext.command_line.service import front
    status = front.run(sys.argv[1:] if argv is None else argv)
    if status is not None:
        if argv is None:
            # This process has done nothing: what Python does at its end takes as long as all that came before.
            sys.stderr.flush()
            os._exit(status)
        return status
    try:
        import click  # noqa: F401
    except ImportError:
        if (sys.argv[1:] if argv is None else list(argv)) in (['-V'], ['--version']):
            import econtext

            sys.stdout.write(econtext.__version__ + '\n')
            return 0
        sys.stderr.write(
            'econtext: the command line needs the package click, which is not installed: '
            "pip install 'econtext[cli]'\n")
        return 1
    from econtext.command_line import application
    return application.run(argv)


def open_missing() -> None:
    """Have nothing in the place of standard streams that were closed, or files of ours would get their numbers."""
    for number, name in enumerate(('stdin', 'stdout', 'stderr')):
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, os.O_RDWR)
            if fd == number:
                os.set_inheritable(fd, True)
            setattr(sys, name, open(fd, 'w' if number else 'r', closefd=False))  # noqa: SIM115 -- for the life of the process
