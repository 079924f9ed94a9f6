"""
A session server that a command starts for itself, in the background.

Invariants:

* The command that waits hears of the server, or of its end, by the end of one pipe.
* The server holds no folder, terminal or descriptor of the command.

Entered by the main thread.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Serve until the server has been idle; the one argument is a descriptor, closed as soon as the server listens."""
    ready = int(sys.argv[1])
    os.setsid()
    os.chdir('/')
    os.umask(0o077)
    sys.argv[:] = ['econtext', 'serve']
    from econtext.command_line.service import supervisor
    try:
        supervisor.Supervisor(supervisor.IDLE).serve(lambda: os.close(ready))
    except supervisor.CannotServe:
        # Another one was faster, or there is no place for a socket: the command finds out.
        return 1
    return 0
