"""What runs in contexts that are forked, on any Python."""

import atexit
import logging
import os
import sys
import threading
import time

STATE = {}
KEPT = []


def keep(key, value):
    STATE[key] = value


def kept(key):
    return STATE.get(key)


def occupy(path):
    """Hold what a copy must not have: an open file, a thread, a hook for the exit, and a handler of signals."""
    handle = open(path, 'w')  # noqa: SIM115 -- it is to stay open
    KEPT.append(handle)
    atexit.register(write, path, 'exit ')
    thread = threading.Thread(target=time.sleep, args=(900,))
    thread.setDaemon(True)
    thread.start()
    return handle.fileno()


def write(path, text):
    with open(path, 'a') as file:
        file.write(text)


def named(fd):
    """Return what descriptor `fd` is, and how many there are that are not /dev/null."""
    names = []
    for number in os.listdir('/proc/self/fd'):
        try:
            names.append(os.readlink('/proc/self/fd/' + number))
        except OSError:
            pass
    return os.readlink('/proc/self/fd/%d' % fd), len([name for name in names if name != '/dev/null'])


def lost_in_a_fork(count):
    """Return which of `count` open files a process that is forked off here does not have."""
    held = [os.open('/dev/null', os.O_RDONLY) for _ in range(count)]
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        missing = [fd for fd in held if not os.path.exists('/proc/self/fd/%d' % fd)]
        os.write(write, repr(missing).encode())
        os._exit(0)
    os.close(write)
    missing = os.read(read, 65536).decode()
    os.waitpid(pid, 0)
    for fd in held + [read]:
        os.close(fd)
    return missing


def speak(text):
    print(text)
    sys.stdout.flush()
    logging.getLogger('copies').warning('logged ' + text)
    return threading.active_count()


def nap(seconds):
    time.sleep(seconds)


def wait_for_file(path):
    while not os.path.exists(path):
        time.sleep(0.01)


def wait_for(channel):
    channel.send('begun')
    time.sleep(900)
