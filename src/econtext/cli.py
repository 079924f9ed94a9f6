"""The command ``econtext``, also as ``python -m econtext``: see ``econtext.command_line``."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    # First, and light: a session server may have the rest loaded already.
    from econtext.command_line.service import front
    status = front.run(sys.argv[1:] if argv is None else argv)
    if status is not None:
        return status
    try:
        import click  # noqa: F401
    except ImportError:
        if (sys.argv[1:] if argv is None else list(argv)) == ['--version']:
            import econtext

            sys.stdout.write(econtext.__version__ + '\n')
            return 0
        sys.stderr.write(
            'econtext: the command line needs the package click, which is not installed: '
            "pip install 'econtext[cli]'\n")
        return 1
    from econtext.command_line import application
    return application.run(argv)
