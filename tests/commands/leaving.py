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
