"""
Run by `test_reused_numbers` as the first process of a process namespace, where a process gets the number that it wants.

Its arguments: what is tried, and what that needs. Prints ``spared`` or how the innocent process was ended.
"""

from __future__ import annotations

import array
import fcntl
import subprocess
import sys
import termios
import time

from econtext.child import groups
from lab import leaks


def innocent(number: int) -> subprocess.Popen[bytes]:
    """Start a process that leads a process group of its own, and has that number."""
    while True:
        with open('/proc/sys/kernel/ns_last_pid', 'w', encoding='ascii') as file:
            file.write(str(number - 1))
        process = subprocess.Popen(['sleep', '600'], start_new_session=True)
        if process.pid == number:
            return process
        # Another thread has started something meanwhile.
        process.kill()
        process.wait()


def tell(process: subprocess.Popen[bytes]) -> None:
    status = process.poll()
    process.kill()
    process.wait()
    print('spared' if status is None else f'ended by signal {-status}')


def guard_of_groups(*words: str) -> None:
    """A group ends, as nobody tells its guard; another one has its number as the guard is to end what is left."""
    guard = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert guard.stdin is not None
    first = subprocess.Popen(['sleep', '600'], start_new_session=True)
    guard.stdin.write(groups.line_of('+', first.pid))
    guard.stdin.flush()
    # It has read the line once it waits for the next.
    while not heard(guard) or leaks.process(guard.pid).state != 'S':  # type: ignore[union-attr]
        time.sleep(0.01)
    first.kill()
    first.wait()
    process = innocent(first.pid)
    guard.stdin.close()
    guard.wait()
    tell(process)


def heard(guard: subprocess.Popen[bytes]) -> bool:
    """Has the guard read all that was written to it?"""
    assert guard.stdin is not None
    left = array.array('i', [0])
    fcntl.ioctl(guard.stdin, termios.FIONREAD, left)
    return left[0] == 0


if __name__ == '__main__':
    globals()[sys.argv[1]](*sys.argv[2:])
