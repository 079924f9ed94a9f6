"""Forks, as programs do them."""
import os
import sys
import time


def wait_for(pid):
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return -os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


def state_of(pid):
    """Return what the kernel calls the state of a process: 'S' sleeps."""
    file = open('/proc/%d/stat' % pid)
    try:
        return file.read().split(')')[-1].split()[0]
    finally:
        file.close()


def statuses():
    """Return with what status forked processes end, by each way there is; one falls off the end."""
    found = []
    pid = os.fork()
    if not pid:
        return 'in the forked process'
    found.append(wait_for(pid))
    pid = os.fork()
    if not pid:
        sys.exit(3)
    found.append(wait_for(pid))
    pid = os.fork()
    if not pid:
        os._exit(5)
    found.append(wait_for(pid))
    pid = os.fork()
    if not pid:
        os.execvp('sh', ['sh', '-c', 'exit 7'])
    found.append(wait_for(pid))
    return found


def refused():
    """Return 0 if a forked process is told why it reaches nobody."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            try:
                __import__('stops.nowhere')
            except ImportError:
                status = 0
            sys.stdout.write('from the fork\n')
            sys.stdout.flush()
        finally:
            os._exit(status)
    return wait_for(pid)


def square(number):
    return number * number


def pool():
    import multiprocessing
    if hasattr(multiprocessing, 'get_context'):
        multiprocessing = multiprocessing.get_context('fork')
    workers = multiprocessing.Pool(2)
    try:
        return workers.map(square, range(4))
    finally:
        workers.terminate()
        workers.join()


def leave():
    """Leave two forked processes behind, the second a daemon."""
    found = [os.getpid()]
    for daemon in False, True:
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(read)
            if daemon:
                os.setsid()
                null = os.open(os.devnull, os.O_RDWR)
                for fd in 0, 1, 2:
                    os.dup2(null, fd)
            os.close(write)
            time.sleep(900)
            os._exit(0)
        os.close(write)
        # It has let go of its end: it is what it is to be.
        os.read(read, 1)
        os.close(read)
        found.append(pid)
    return found


def fail():
    raise ValueError('the true reason')


def said_by_fork(function):
    """Return what `function` returns in a forked process."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            try:
                text = function()
            except BaseException:
                text = 'raised %s: %s' % sys.exc_info()[:2]
            os.write(write, text.encode('utf-8'))
        finally:
            os._exit(0)
    os.close(write)
    found = os.fdopen(read, 'rb').read()
    os.waitpid(pid, 0)
    return found.decode('utf-8')


def format_failure():
    import traceback
    try:
        fail()
    except ValueError:
        return traceback.format_exc()


def traceback_in_fork():
    return said_by_fork(format_failure)


def import_what_was_sent():
    from stops import late0
    return late0.__name__


def import_what_was_not():
    __import__('stops.nowhere')


def optional():
    """As programs do with what they can do without."""
    try:
        import nowhere_at_all
    except ImportError:
        nowhere_at_all = None
    try:
        from importlib.util import find_spec
    except ImportError:
        return str(nowhere_at_all)
    return '%s %s' % (nowhere_at_all, find_spec('nowhere_at_all'))


def ask_the_program():
    import econtext
    econtext.program.call(fail)


def imports_in_fork():
    return [said_by_fork(function) for function in (
        import_what_was_sent, import_what_was_not, optional, ask_the_program)]


def executor():
    """Return what the failure of a function is called in a pool of processes."""
    import concurrent.futures
    import multiprocessing
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('fork')) as pool:
        error = pool.submit(fail).exception(20)
        return type(error).__name__, str(error), str(error.__cause__)


def terminated():
    """Return the statuses of forked processes that are told to end: the main thread's, and a thread's."""
    import threading
    found = []

    def fork_and_end():
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                os.close(read)
                os.close(write)
                time.sleep(900)
            finally:
                os._exit(7)
        os.close(write)
        # It has let go of its end: the cleanup is before it.
        os.read(read, 1)
        os.close(read)
        # Python hears of no signal that comes in the moment before it sleeps.
        while state_of(pid) != 'S':
            time.sleep(0.001)
        os.kill(pid, 15)
        found.append(wait_for(pid))

    fork_and_end()
    thread = threading.Thread(target=fork_and_end)
    thread.start()
    thread.join()
    return found
