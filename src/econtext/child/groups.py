"""
The process groups that this context has started for calls, such as a command or an isolated call: none outlives it.

Invariants:

* Such a group is in GROUPS, and its guard knows of it, from before it does any work until it has ended.
* At the end of this process each group that is left is told to end (SIGTERM) and, after LAST, killed.
* If this process is killed, the guard, a process of a session of its own, does the same with more time.  The guard is
  a /bin/sh, and where there is none the interpreter that runs here.  It cannot end processes of another user (sudo),
  nor a process that has made a group of its own.
* The guard signals no later group that has the number of one that has ended.
* A process that is forked off this one has nothing to do with these groups, and does not keep the guard waiting.

Fetched with the first command, or the first isolated call.  Entered by whoever carries out calls.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Any

import atexit
import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

from econtext.child import ending, renewal
from econtext.core.loop import allocate_lock

LAST = 0.5          # seconds from SIGTERM to SIGKILL where this process ends, and has little time itself
SHELL = '/bin/sh'

now = getattr(time, 'monotonic', time.time)  # type: Callable[[], float]
# How a program gets a session of its own.
APART = {'start_new_session': True}  # type: dict[str, Any]
if sys.version_info < (3, 2):
    APART = {'preexec_fn': lambda: apart()}
# Two threads that start programs at once break each other before Python 3.2.
STARTING = allocate_lock()  # type: LockType
GROUPS = {}  # type: dict[int, bool]
HOOKED = []  # type: list[bool]
# Reads lines, "+ GROUP" and "- GROUP", until this process has ended, and ends the groups that are left then.  When the
# leader of a group started tells that group from a later one of the same number; a system without /proc does not say.
GUARD = """trap '' HUP INT TERM
born()
{
    stat=
    while read -r line; do stat="$stat $line"; done < "/proc/$1/stat"
    set -- ${stat##*) }
    born=${20}
}
look()
{
    left=
    for each in $groups
    do
        born "${each%%:*}"
        [ "$born" ] && [ "$born" != "${each#*:}" ] && continue
        kill -0 "-${each%%:*}" && left="$left $each"
    done
    groups=$left
}
tell()
{
    look
    for each in $groups; do kill "-$1" "-${each%%:*}"; done
}
groups=
while read -r word group
do
    left=
    for each in $groups; do [ "${each%%:*}" = "$group" ] || left="$left $each"; done
    groups=$left
    if [ "$word" = + ]; then born "$group"; groups="$groups $group:$born"; fi
done
tell TERM
tell CONT
for second in 1 2
do
    look
    [ "$groups" ] || exit 0
    sleep 1
done
tell KILL
"""
# The same where there is no shell.
OTHER_GUARD = """import os, signal, sys, time
for name in 'SIGHUP', 'SIGINT', 'SIGTERM':
    signal.signal(getattr(signal, name), signal.SIG_IGN)
def born(group):
    try:
        file = open('/proc/%d/stat' % group, 'rb')
        try:
            return file.read().split(')'.encode())[-1].split()[19]
        finally:
            file.close()
    except (IOError, OSError):
        return None
groups = {}
for line in iter(sys.stdin.readline, ''):
    word, group = line.split()
    groups.pop(int(group), None)
    if word == '+':
        groups[int(group)] = born(int(group))
def tell(number):
    for group in list(groups):
        try:
            if born(group) not in (None, groups[group]):
                raise OSError('a later one')
            os.killpg(group, number)
        except OSError:
            del groups[group]
tell(signal.SIGTERM)
tell(signal.SIGCONT)
for second in range(20):
    tell(0)
    if groups:
        time.sleep(0.1)
tell(signal.SIGKILL)
"""
# The one that runs and the pipe to it; or None, where there can be none.
GUARDS = []  # type: list[tuple[Any, int] | None]
# Those of the processes that this one was forked off: a Popen that nobody refers to would look for its process here.
FORMER = []  # type: list[Any]


def prepare():
    # type: () -> None
    """Have the groups that are entered from now on ended with this process. STARTING is held."""
    if not HOOKED:
        HOOKED.append(True)
        atexit.register(end_all)
    if not GUARDS:
        GUARDS.append(guard())


def enter(group):
    # type: (int) -> None
    """A group has begun. STARTING is held."""
    GROUPS[group] = True
    tell_guard('+', group)


def leave(group):
    # type: (int) -> None
    """A group has ended."""
    STARTING.acquire()
    try:
        GROUPS.pop(group, None)
        tell_guard('-', group)
    finally:
        STARTING.release()


def guard():
    # type: () -> Any
    """Start the process that ends the groups, if this one cannot."""
    read, write = os.pipe()
    # Before Python 3.4 whoever starts programs here would hand it on.
    fcntl.fcntl(write, fcntl.F_SETFD, fcntl.fcntl(write, fcntl.F_GETFD) | fcntl.FD_CLOEXEC)
    nothing = os.open('/dev/null', os.O_WRONLY)
    try:
        for words in (SHELL, '-c', GUARD, 'econtext-guard'), (sys.executable, '-E', '-S', '-c', OTHER_GUARD):
            try:
                return ending.apart(
                    subprocess.Popen, list(words), stdin=read, stdout=nothing,
                    stderr=nothing, close_fds=True, cwd='/', **APART), write
            except (OSError, TypeError, ValueError):
                # It is not there, or nobody knows where it is.
                pass
        os.close(write)
        return None
    finally:
        os.close(read)
        os.close(nothing)


def tell_guard(word, group):
    # type: (str, int) -> None
    """Tell the guard of a group; start another guard if somebody has ended it."""
    if not GUARDS or not GUARDS[0]:
        return
    process, pipe = GUARDS[0]
    try:
        os.write(pipe, line_of(word, group))
    except OSError:
        os.close(pipe)
        process.poll()
        del GUARDS[:]
        another = guard()
        GUARDS.append(another)
        if another:
            for each in list(GROUPS):
                os.write(another[1], line_of('+', each))


def line_of(word, group):
    # type: (str, int) -> bytes
    return ('%s %d\n' % (word, group)).encode('ascii')


@renewal.register
def after_fork():
    # type: () -> None
    """The groups are not those of this process; functions of ``atexit`` may have been forgotten."""
    global STARTING
    STARTING = allocate_lock()
    del HOOKED[:]
    GROUPS.clear()
    for each in GUARDS:
        if each:
            os.close(each[1])
    FORMER[:] = GUARDS
    del GUARDS[:]


def apart():
    # type: () -> None
    os.setsid()
    for name in 'SIGPIPE', 'SIGXFSZ':
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def tell(group, number):
    # type: (int, int) -> bool
    """Send a signal to a process group; tell whether there is one."""
    try:
        os.killpg(group, number)
        return True
    except OSError:
        # Of another user, or gone.
        return sys.exc_info()[1].errno == errno.EPERM  # type: ignore[union-attr]


def runs(group):
    # type: (int) -> bool
    """Tell whether a process of the group runs; one that has ended may wait long for its parent to see so."""
    if not tell(group, 0):
        return False
    seen = False
    for name in listed('/proc'):
        try:
            if os.getpgid(int(name)) == group and ending.runs(name):
                return True
        except (ValueError, OSError):
            # No process, or not any more.
            pass
        seen = seen or name == str(os.getpid())
    return not seen


def listed(folder):
    # type: (str) -> list[str]
    try:
        return os.listdir(folder)
    except OSError:
        return []


def end_all():
    # type: () -> None
    """This process ends: no group of it stays."""
    for number in signal.SIGTERM, signal.SIGKILL:
        groups = [group for group in list(GROUPS) if tell(group, number)]
        deadline = now() + LAST
        while number == signal.SIGTERM and now() < deadline and [each for each in groups if runs(each)]:
            time.sleep(0.02)
