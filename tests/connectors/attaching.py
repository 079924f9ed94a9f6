"""Programs of their own that attach, and connections that say what no program would, for tests."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap

import econtext
from econtext.core.wire import pack
from econtext.parent.values import decode
from lab import eventually
from lab.leaks import alive

SRC = str(pathlib.Path(econtext.__file__).parents[1])
HERE = str(pathlib.Path(__file__).parent)
LONG = 60.0     # seconds for what normally takes none


def is_alive(pid: int) -> bool:
    """Does the process run? One that only waits for who is to reap it has ended."""
    return alive(pid)


def ends(pid: int) -> None:
    eventually(lambda: not is_alive(pid), LONG, f'process {pid} ends')


class Program:
    """A program of its own, which attaches as `other`."""

    def __init__(self, folder: pathlib.Path, path: str, code: str, **files: str) -> None:
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / f'{name}.py').write_text(textwrap.dedent(text))
        body = textwrap.indent(textwrap.dedent(code), '        ')
        (folder / 'tool.py').write_text(
            'import os, signal, sys, time, econtext\n'
            "if __name__ == '__main__' and not econtext.slave:\n"
            f'    with econtext.attach({path!r}) as other:\n{body}\n')
        self.process = subprocess.Popen(
            [sys.executable, str(folder / 'tool.py')], env={**os.environ, 'PYTHONPATH': f'{SRC}:{HERE}'},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def line(self) -> str:
        assert self.process.stdout is not None
        found = self.process.stdout.readline()
        assert found, self.process.communicate(timeout=LONG)[1]
        return found.rstrip('\n')

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write('\n')
        self.process.stdin.flush()

    def end(self) -> str:
        out, err = self.process.communicate(timeout=LONG)
        assert self.process.returncode == 0, err
        return out

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=LONG)


def connect(path: str) -> tuple[socket.socket, list[int]]:
    """Return a connection, and the handles of channels that it was given."""
    wild = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    wild.connect(path)
    data = b''
    while len(data) < 19 or len(data) < 19 + int.from_bytes(data[15:19], 'big'):
        data += wild.recv(4096)
    return wild, list(decode(data[19:])[2])


def frame(kind: int, dst: int, handle: int, body: bytes) -> bytes:
    return pack(kind, dst, 0, handle, len(body)) + body
