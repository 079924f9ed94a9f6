"""What contexts in containers and namespaces are asked. Travels to each of them."""

import os
import signal
import socket
import time


def place():
    """Return (pid, effective uid, what /etc/box says, name of the machine)."""
    name = None
    if os.path.exists('/etc/box'):
        with open('/etc/box') as file:
            name = file.read()
    return os.getpid(), os.geteuid(), name, socket.gethostname()


def echo(value):
    return value


def interfaces():
    """Return the names of the network's interfaces."""
    return sorted(line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:])


def may_write(path):
    try:
        open(path, 'w').close()
    except OSError:
        return False
    return True


def be_stubborn(channel):
    """Say that no signal that can be ignored ends this, and sleep."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel.send(os.getpid())
    time.sleep(1000)
