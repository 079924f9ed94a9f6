"""Runs in contexts: leaves processes behind."""
import atexit
import os
import time


def leave_one():
    """Fork a process that sleeps; return its number."""
    pid = os.fork()
    if not pid:
        try:
            os.setsid()
            time.sleep(600)
        finally:
            os._exit(0)
    return pid


def fork_and_exit():
    """Fork a process that ends as a program does; return its status."""
    pid = os.fork()
    if not pid:
        try:
            atexit._run_exitfuncs()
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]


def hurry(path):
    """From now on the timeout of each command here, if it has one, is over as soon as there is a file `path`."""
    from econtext.child import groups, running
    plain = running.Running

    class Hurried(plain):
        def keep_time(self):
            while not self.over and not os.path.exists(path):
                time.sleep(0.01)
            self.deadline = groups.now()
            plain.keep_time(self)

    running.Running = Hurried


def start_slowly(path):
    """Have each command that starts here note its process, and wait before anything knows of that process."""
    import subprocess
    begin = subprocess.Popen.__init__

    def start(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        if kwargs.get('stdout') == subprocess.PIPE:
            file = open(path, 'w')  # noqa: SIM115 -- Python 2.4 has no with
            file.write('%d\n' % self.pid)
            file.close()
            time.sleep(1)

    subprocess.Popen.__init__ = start
