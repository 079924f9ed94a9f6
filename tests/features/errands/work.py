"""Ways to be busy for longer than any test."""
import os
import subprocess
import sys
import time


def announce():
    sys.stdout.write('busy\n')
    sys.stdout.flush()


def sleep():
    announce()
    time.sleep(900)


def compute():
    announce()
    while 1:
        pass


def system():
    announce()
    os.system('sleep 901 & sleep 902; true')


def hold():
    """Hold the interpreter's lock without end."""
    import logging
    import re
    announce()
    # What was printed is sent when this returns: later nothing could be.
    logging.getLogger('work').warning('holds the lock')
    re.match('(a+)+$', 'a' * 60 + 'b')


def stubborn():
    """Programs that take no hint, and a call that takes none either."""
    subprocess.Popen(['sh', '-c', 'trap "" HUP INT TERM; echo busy; while :; do sleep 903; done'])
    while 1:
        try:
            time.sleep(900)
        except:
            pass


def wait_program():
    announce()
    subprocess.call(['sleep', '904'])


def be_patient(seconds):
    """Have this context wait so long for what cleans up at its end, as a machine with other work may need."""
    from econtext.child import life
    life.GRACE = seconds
    awaiting = sys.modules.get('econtext.child.awaiting')
    if awaiting:
        awaiting.PATIENCE = seconds


def careful(path):
    """Clean up when it is told to end."""
    be_patient(60)
    try:
        announce()
        time.sleep(900)
    finally:
        open(path, 'a').write('cleaned up\n')


def daemon():
    """Start a daemon as daemons do, and return its number."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.setsid()
        again = os.fork()
        if again:
            os.write(write, str(again).encode())
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in 0, 1, 2:
            os.dup2(null, fd)
        for fd in range(3, 256):
            try:
                os.close(fd)
            except OSError:
                pass
        os.execvp('sleep', ['sleep', '905'])
    os.waitpid(pid, 0)
    os.close(write)
    number = int(os.read(read, 20))
    os.close(read)
    return number


def orphaned_values():
    """Return how many channels this context keeps something for that no call has."""
    import gc
    return sum([len(thing.orphans) for thing in gc.get_objects() if type(thing).__name__ == 'Holders'])


def count_slowly():
    """Yield numbers that have no end."""
    number = 0
    while True:
        yield number
        number += 1
        time.sleep(0.05)
