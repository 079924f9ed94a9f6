"""Forks, as programs do them."""
import os
import sys
import time


def wait_for(pid):
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return -os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


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
        error = pool.submit(fail).exception(60)
        return type(error).__name__, str(error), str(error.__cause__)


def sleep_or_clean(cleans):
    """Be there until SIGTERM comes; exit with 7 where a handler of the application's own has the cleanup run."""
    import signal
    try:
        if cleans:
            signal.signal(signal.SIGTERM, lambda *args: sys.exit(1))
        sys.stdout.write('there\n')
        sys.stdout.flush()
        while cleans:
            # No long sleep: Python hears of no signal that comes in the moment before it.
            time.sleep(0.01)
            # Since 3.13 Python does not look by itself whether there was a signal, where another thread than the
            # main one forked.
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        time.sleep(900)
    finally:
        os._exit(7)


def terminated(cleans):
    """Return the statuses of forked processes that get SIGTERM: the main thread's, and a thread's."""
    import threading
    found = []

    def fork_and_end():
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.dup2(write, 1)
            sleep_or_clean(cleans)
        os.close(write)
        # It is there, and has its handler.
        os.read(read, 1)
        os.close(read)
        os.kill(pid, 15)
        found.append(wait_for(pid))

    fork_and_end()
    thread = threading.Thread(target=fork_and_end)
    thread.start()
    thread.join()
    return found


def exit_codes():
    """Return how processes of multiprocessing end that are told to, each in the moment before it waits."""
    import multiprocessing
    if hasattr(multiprocessing, 'get_context'):
        multiprocessing = multiprocessing.get_context('fork')
    found = []
    for _ in range(20):
        queue = multiprocessing.Queue()
        process = multiprocessing.Process(target=queue.get)
        process.start()
        process.terminate()
        process.join()
        found.append(process.exitcode)
    return found


# -- What other threads had locked, and signals in the moment of a fork --------


def attempts(below, channel):
    import econtext
    return [
        lambda: below.call(os.getpid), lambda: econtext.program.call(fail), lambda: channel.send(1),
        lambda: channel.send('x'.encode() * 100000), lambda: channel.next(),
    ]


def refused_though_locked(below, channel):
    """Return which locks, held as by another thread, keep a forked process from hearing that it reaches nobody."""
    import econtext
    home = below.home
    loop, link = home.loop, home.link
    locks = {
        'loop': loop.lock, 'link': link.lock, 'writing': link.writing, 'flow': home.flow.lock,
        'supervisor': home.supervisor.lock, 'channels': home.holders.lock, 'channel': channel.end.lock,
        'below': home.router.links[below.id].writing, 'none': None,
    }
    wrong = []
    for name in sorted(locks):
        lock = locks[name]
        if not lock:
            while not loop.relief.leads:
                # The thread that leads is not there in the forked process.
                time.sleep(0.001)
        else:
            lock.acquire()
        pid = os.fork()
        if not pid:
            import signal
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            status = 0
            for number, attempt in enumerate(attempts(below, channel)):
                try:
                    attempt()
                    status = 10 + number
                except econtext.EcontextError:
                    if 'reaches nobody' not in str(sys.exc_info()[1]):
                        status = 20 + number
                except BaseException:
                    status = 30 + number
            os._exit(status)
        if lock:
            lock.release()
        status = wait_for(pid)
        if status:
            wrong.append((name, status))
    return wrong


def linger(seconds):
    """Be there, and exit with 9 if nothing ends this process."""
    try:
        time.sleep(seconds)
    finally:
        os._exit(9)


def killed_at_once(number, times):
    """Return the statuses of forked processes that are told to end as soon as anybody knows of them."""
    found = set()
    for _ in range(times):
        pid = os.fork()
        if not pid:
            linger(20)
        os.kill(pid, number)
        found.add(wait_for(pid))
    return sorted(found)


def in_a_thread(name, *args):
    import threading
    found = []
    thread = threading.Thread(target=lambda: found.append(globals()[name](*args)))
    thread.start()
    thread.join()
    return found[0]


def killed_within(number):
    """Return the statuses of forked processes that are told to end before the context's hook, in it, and behind it."""
    from econtext.child import forks
    found = []
    renew, let_through = forks.renew, forks.let_through
    context = os.getpid()

    def kill():
        if os.getpid() != context:
            os.kill(os.getpid(), number)

    def killed(function, first):
        def changed(*args):
            if first:
                kill()
            try:
                return function(*args)
            finally:
                if not first:
                    kill()
        return changed

    def child():
        pid = os.fork()
        if not pid:
            linger(20)
        found.append(wait_for(pid))

    try:
        for first in True, False:
            forks.renew = killed(renew, first)
            child()
        forks.renew = renew
        for first in True, False:
            forks.let_through = killed(let_through, first)
            child()
    finally:
        forks.renew, forks.let_through = renew, let_through
    if hasattr(os, 'register_at_fork'):
        wanted = [True]
        os.register_at_fork(after_in_child=lambda: wanted and kill())
        try:
            child()
        finally:
            del wanted[:]
    return found


# -- What modules of econtext keep for one process alone -------------------------

HELD = []
CLOSED = []


def our_locks():
    """Return the locks at the top level of modules of econtext that are loaded here, by names without `econtext`."""
    try:
        from _thread import allocate_lock
    except ImportError:
        from thread import allocate_lock
    kind = type(allocate_lock())
    found = {}
    for name, module in list(sys.modules.items()):
        if name[:9] == 'econtext.':
            for attribute, value in list(getattr(module, '__dict__', {}).items()):
                if type(value) is kind:
                    found[name[9:] + '.' + attribute] = value
    return found


def lock_all(but=()):
    """Hold all of them, as threads do that are in the middle of something; return their names."""
    locks = our_locks()
    # One lock may have two names.
    HELD.extend([locks[name] for name in sorted(locks) if name not in but and locks[name].acquire(0)])
    return sorted(locks)


def unlock_all():
    while HELD:
        HELD.pop().release()


def locked():
    """Return which of them somebody holds."""
    locks = our_locks()
    return [name for name in sorted(locks) if locks[name].locked()]


def numbers():
    try:
        number = 0
        while 1:
            yield number
            number += 1
    finally:
        CLOSED.append(True)


def closed():
    return len(CLOSED)


def answer_with(channel, value):
    channel.send(value)


def wait_in_fork():
    """Return what a forked process finds locked; it closes an iterator, as a stream does at its end."""
    def look():
        import signal
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)
        from econtext.child import streams
        values = numbers()
        next(values)
        streams.clean_up(values)
        return repr((locked(), len(CLOSED)))

    return said_by_fork(look)


def draft_left(folder):
    """Return whether a draft is still there when a process has ended that was forked off meanwhile."""
    from econtext.child import drafts, folders
    opened = folders.open_folder(folder)
    draft = drafts.new_draft(opened, 'name'.encode('ascii'))
    pid = os.fork()
    if not pid:
        sys.exit(0)
    status = wait_for(pid)
    left = os.path.exists(draft.path)
    draft.give_up()
    return status, left


def begin(folder):
    """Leave a draft and a command to the end of this process; return the path of one and the number of the other."""
    from econtext.child import drafts, folders, groups, running
    # The guard of commands would end it too.
    groups.GUARDS[:] = [None]
    command = running.start(['sleep'.encode('ascii'), '900'.encode('ascii')], None, None, False)
    return drafts.new_draft(folders.open_folder(folder), 'name'.encode('ascii')).path, command.pid
