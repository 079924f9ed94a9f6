"""Ends that a process comes to."""
import os
import signal


def end_by(number):
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_signal(channel):
    channel.send('here')
    signal.pause()


def leave(status):
    os._exit(status)


def close_all():
    for descriptor in range(3, 256):
        try:
            os.close(descriptor)
        except OSError:
            pass
