"""What a contender may be able to do; an adapter in `contenders/` overrides what its library can.

Each round runs in a process of its own, which makes one contender, calls `prepare`, lets one scenario
use it, and calls `close`. A child is whatever object `local` or `ssh` return.

Invariants:
* What is not overridden is something that the library lacks: the table says so, with the reason.
* An adapter uses its library as that library's documentation recommends, in the fastest way it offers.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from bench.ground import Ground


class Lacks(Exception):
    """The contender cannot do this."""


def lacks(why: str) -> NoReturn:
    raise Lacks(why)


class Contender:
    title = ''
    #: Packages that must be there, of the dependency group `bench`.
    packages: tuple[str, ...] = ()

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    def prepare(self) -> None:
        """Import the library, and start what a program starts once."""

    def close(self) -> None:
        """End all children."""

    # Children.

    def local(self) -> Any:
        """Start a child on this machine, which runs `ground.python`."""
        lacks('starts no children')

    def ssh(self) -> Any:
        """Start a child by `ssh -F ground.ssh_config lab`."""
        lacks('no children over ssh')

    def below(self, child: Any, how: str) -> Any:
        """Start a child of `child`: `how` is local or sudo."""
        lacks('no children of children')

    def connect_all(self, count: int) -> list[Any]:
        """Start `count` local children, and have each answer one call."""
        lacks('no mass start')

    # Calls.

    def call(self, child: Any, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function of `bench.far`, of a generated module, or a built-in one."""
        lacks('no calls')

    def burst(self, child: Any, function: Callable[..., Any], count: int) -> None:
        """Send `count` calls without waiting for answers, then take all of these."""
        lacks('one call at a time')

    # Files.

    def put(self, source: str, target: str) -> None:
        """Copy a file or folder to `target` on the server, by a connection of its own."""
        lacks('copies no files')

    def get(self, source: str, target: str) -> None:
        """Copy a file or folder from the server to `target`, by a connection of its own."""
        lacks('copies no files')

    def connected(self) -> Any:
        """Return what has `put` by a connection that is there before."""
        return self

    # Streams and lines.

    def stream_up(self, child: Any, size: int, count: int) -> int:
        """Have `count` blocks of `size` bytes sent here; return how many bytes came."""
        lacks('no streams')

    def stream_down(self, child: Any, size: int, count: int) -> int:
        """Send `count` blocks of `size` bytes there; return how many bytes arrived."""
        lacks('no streams')

    def lines(self, child: Any, count: int) -> None:
        """Have `count` lines printed there, each of which becomes a record of `logging` here."""
        lacks('what is printed is not forwarded')


class Program(Contender):
    """A program, which is started for each thing that it does."""

    program = ''

    def prepare(self) -> None:
        if shutil.which(self.program) is None:
            lacks(f'{self.program} is not installed on this machine')

    def run(self, *words: str) -> None:
        subprocess.run([self.program, *words], stdin=subprocess.DEVNULL, check=True)
