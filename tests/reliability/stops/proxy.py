"""
Stands between the two ends of a link: proxy.py DOWN UP -- program … (or: -- tcp HOST PORT).

It passes bytes on, and ends after DOWN bytes on their way down, or UP on their way up (-1: never).
After SIGUSR1 it passes nothing on, and says nothing: a silent partition. It does not heed SIGTERM.
"""
import os
import select
import signal
import socket
import subprocess
import sys


class Proxy:
    def __init__(self, down, up, command):
        self.silent = False
        signal.signal(signal.SIGUSR1, self.fall_silent)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if command[0] == 'tcp':
            self.sock = socket.create_connection((command[1], int(command[2])))
            there = back = self.sock.fileno()
        else:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
            there, back = self.process.stdin.fileno(), self.process.stdout.fileno()
        self.back = back
        self.left = {0: down, back: up}
        self.ways = {0: there, back: 1}

    def fall_silent(self, *_):
        self.silent = True

    def run(self):
        watched = [0, self.back]
        while 0 not in self.left.values():
            if self.silent:
                signal.pause()
                continue
            for fd in select.select(watched, [], [])[0]:
                if self.silent:
                    break
                data = self.take(fd)
                if not data and fd == self.back:
                    return
                if not data:
                    watched.remove(fd)
                    os.close(self.ways[fd])
                while data:
                    data = data[os.write(self.ways[fd], data):]

    def take(self, fd):
        """Read what may still pass."""
        left = self.left[fd]
        if left == 0:
            return b''
        data = os.read(fd, 65536 if left < 0 else min(left, 65536))
        if left > 0:
            self.left[fd] -= len(data)
        return data


if __name__ == '__main__':
    at = sys.argv.index('--')
    try:
        Proxy(int(sys.argv[1]), int(sys.argv[2]), sys.argv[at + 1:]).run()
    except OSError:
        pass
    os._exit(0)
