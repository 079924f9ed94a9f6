"""What runs in a fork of a context, and how such a process may behave."""
import os
import signal
import struct
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
    data = struct.pack('256B', *range(256)) * (size // 256 + 1)
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


def close_above():
    for fd in range(3, 256):
        try:
            os.close(fd)
        except OSError:
            pass


def close_all():
    close_above()
    return 'lost'


def close_and_open(path):
    """Give all descriptors to a file."""
    close_above()
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
    signal.signal(signal.SIGTERM, lambda *args: None)
    tell(path, os.getpid())
    return None in iter(object, 0)


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


def programs_fail():
    getattr(subprocess, 'check_call')(['sh', '-c', 'echo of the program; exit 3'])  # noqa: B009 -- 2.4 has none


def failing_program():
    error = getattr(subprocess, 'CalledProcessError')(3, 'cmd')  # noqa: B009 -- 2.4 has none
    error.stderr = 'its own'
    raise error


def late_words():
    """Leave words to a thread, and to the end of the process."""
    import atexit
    import threading

    def wait_and_write():
        time.sleep(0.05)
        sys.stdout.write('thread\n')
    atexit.register(sys.stdout.write, 'atexit\n')
    threading.Thread(target=wait_and_write).start()
    sys.stdout.write('function\n')


def hold_back(text):
    """Leave the beginning of a line, and something to the end of this process."""
    import atexit
    atexit.register(sys.stdout.write, 'end of the context\n')
    sys.stdout.write(text)


def kept_stream(text):
    """Write by a stream that was taken before."""
    KEPT[0].write(text)


def keep_stream():
    KEPT.append(sys.stdout)


KEPT = []


def chatter(path):
    """Print without end, until there is a file at `path`."""
    while not os.path.exists(path):
        sys.stdout.write('chatter ' * 100 + '\n')


def threads_of():
    import threading
    return len(threading.enumerate())


def disposition():
    """Return what signals do here, and what is open."""
    found = [signal.getsignal(getattr(signal, name)) == signal.SIG_DFL for name in ('SIGTERM', 'SIGHUP', 'SIGURG')]
    fds = [fd for fd in range(3, 64) if is_open(fd)]
    return found, fds


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def without_shell():
    """From now on this context finds no shell for its guard."""
    from econtext.child import groups
    groups.SHELL = '/no/shell'


def die_on_enter():
    """Have this context be killed as soon as it knows of a group."""
    from econtext.child import groups

    def die(group):
        os.kill(os.getpid(), signal.SIGKILL)
    groups.enter = die


def guards():
    from econtext.child import groups
    return [guard and guard[0].pid for guard in groups.GUARDS]


def steal():
    """Wait for whatever child there is, again and again, in a thread: as careless programs do."""
    import threading

    def wait():
        while 1:
            try:
                os.wait()
            except OSError:
                time.sleep(0.0005)
    thread = threading.Thread(target=wait)
    thread.setDaemon(True)
    thread.start()


def below_limit(count):
    """Return whether so many forks left a descriptor here."""
    return len([fd for fd in range(3, 256) if is_open(fd)])


def use_channel(channel):
    channel.send('never')


def ask(program):
    return program.call(os.getpid)


def tell(path, *words):
    file = open(path + '.new', 'w')  # noqa: SIM115 -- Python 2.4 has no with
    file.write(' '.join([str(word) for word in words]))
    file.close()
    os.rename(path + '.new', path)
