"""What runs in a fork of a context, and how such a process may behave."""
import os
import signal
import subprocess
import sys
import time

STATE = []


def speak(value=None):
    """Write by all ways; return `value`."""
    sys.stdout.write('printed\n')
    sys.stderr.write('warned\n')
    os.write(1, 'written\n'.encode('ascii'))
    os.system('echo echoed; echo complained >&2')
    sys.stdout.write('unfinished')
    return value


def note(word):
    STATE.append(word)
    os.environ['ECONTEXT_ISOLATED'] = word
    return list(STATE)


def noted():
    return list(STATE), os.environ.get('ECONTEXT_ISOLATED')


def fail():
    sys.stdout.write('before\n')
    sys.stderr.write('also before\n')
    raise ValueError('it failed', 3)


def end_itself(status):
    sys.stdout.write('last words\n')
    sys.stdout.flush()
    os._exit(status)


def leave(status):
    sys.stdout.write('left\n')
    sys.exit(status)


def kill_itself(number):
    os.write(2, 'dying\n'.encode('ascii'))
    os.kill(os.getpid(), number)
    time.sleep(60)


def execute(*words):
    sys.stdout.write('first\n')
    sys.stdout.flush()
    os.execvp(words[0], words)


def flood(size):
    block = ('x' * 1000 + '\n').encode('ascii') * 100
    while size > 0:
        size -= os.write(1, block)
    return 'written'


def bytes_of(size, fd=1):
    """Write so many bytes of all values."""
    data = bytes(bytearray(range(256))) * (size // 256 + 1)
    at = 0
    while at < size:
        at += os.write(fd, data[at:size])
    return at


def leave_a_daemon():
    """Leave a process that holds all descriptors of this one; return its number."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.setsid()
        os.write(write, '.'.encode('ascii'))
        time.sleep(900)
        os._exit(0)
    os.read(read, 1)
    sys.stdout.write('daemon begun\n')
    return pid


def return_twice():
    """Return in two processes."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return 'parent'
    return 'child'


def close_all():
    os.closerange(3, 256)
    return 'lost'


def close_and_open(path):
    """Give all descriptors to a file."""
    os.closerange(3, 256)
    for _ in range(20):
        os.dup(os.open(path, os.O_CREAT | os.O_WRONLY))
    return 'lost'


def close_output():
    os.close(1)
    os.close(2)
    return 'silent'


def unfit():
    return object()


def numbers():
    return os.getpid(), os.getpgrp(), os.getsid(0), os.getppid()


def say_and_wait(path):
    """Write who this is into the file at `path`, and wait."""
    tell(path, os.getpid())
    time.sleep(900)


def stubborn(path):
    """The same, whatever it is told."""
    for name in 'SIGTERM', 'SIGHUP', 'SIGINT':
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    say_and_wait(path)


def blocked(path):
    """The same in C code that holds the lock of the interpreter."""
    import ctypes
    signal.signal(signal.SIGTERM, lambda *args: None)
    tell(path, os.getpid())
    ctypes.PyDLL(None).sleep(900)


def with_programs(path):
    """The same with programs of its own, one of which ignores signals."""
    other = subprocess.Popen(['sh', '-c', "trap '' TERM HUP INT; sleep 900 & sleep 901; sleep 902"])
    tell(path, os.getpid(), other.pid)
    other.wait()


def become(path):
    """The same as another program."""
    tell(path, os.getpid())
    os.execvp('sh', ['sh', '-c', "trap '' TERM HUP INT; sleep 903; sleep 904"])


def cleans_up(path, done):
    """Clean up when told to end."""
    def stop(*args):
        tell(done, 'cleaned')
        os.write(1, 'cleaned\n'.encode('ascii'))
        os._exit(5)
    signal.signal(signal.SIGTERM, stop)
    say_and_wait(path)


def tell(path, *words):
    file = open(path + '.new', 'w')  # noqa: SIM115 -- Python 2.4 has no with
    file.write(' '.join([str(word) for word in words]))
    file.close()
    os.rename(path + '.new', path)
