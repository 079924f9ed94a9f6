"""
A child's life begins.

Its link arrives as standard input and output.  Behind the preamble come
frames: modules, and calls.  The first call is a *cast*, answered to nobody and
given this Child: ``life.settle``, which furnishes what a first step does not need,
and carries out the calls that follow.

Invariants:

* Standard input is at its end from the start; standard output and error lead to
  the controller.
* The main thread carries out calls; a second one leads the loop meanwhile.
* When the link ends, the process ends.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import fcntl
import os
import sys

from econtext.core.calls import Dispatcher
from econtext.core.importer import Importer
from econtext.core.logs import Logs
from econtext.core.loop import Link, Loop, start_new_thread
from econtext.core.router import Router
from econtext.core.wire import CALL, MARK, MODULE


class Child(object):
    """What a context begins with; `preamble` is the text that started it.  What follows is of ``life.Life``."""
    # Whether HELLO was sent: until then what fails is told as the reason why there is no context.
    greeted = False

    def __init__(self, preamble):
        # type: (bytes) -> None
        self.preamble = preamble
        self.loop = Loop()  # type: Loop
        self.router = Router()  # type: Router
        self.link = Link(self.loop, self.router, self)  # type: Link
        self.router.up = self.link
        self.logs = Logs(self.loop, self.router)  # type: Logs
        self.importer = Importer()  # type: Importer
        self.dispatcher = Dispatcher(self)  # type: Dispatcher
        self.router.handle({
            MODULE: self.importer.receive, CALL: self.dispatcher.receive})

    def live(self, read, write, first):
        # type: (int, int, bytes) -> None
        """Carry out calls till the link ends; `first` came behind the preamble."""
        self.link.open(read, write)
        sys.dont_write_bytecode = True
        sys.meta_path.insert(0, self.importer)
        self.link.write(MARK)
        self.link.decode(first)
        # Not earlier: it reads what follows, and a decoder takes one at a time.
        start_new_thread(self.loop.spare, ())
        self.dispatcher.serve()

    def lost(self, link, reason):
        # type: (Link, str) -> None
        """Nobody reaches us any more; ``life`` knows a better end than this."""
        os._exit(1)


def main(b, d):
    # type: (bytes, Any) -> None
    """Live. `b` is all that was read so far, `d` what inflated the preamble."""
    read, write = [fcntl.fcntl(fd, fcntl.F_DUPFD, 3) for fd in (0, 1)]
    end_of_file, other_end = os.pipe()
    os.close(other_end)
    os.dup2(end_of_file, 0)
    os.close(end_of_file)
    first = d.unused_data
    Child(b[:len(b) - len(first)]).live(read, write, first)
