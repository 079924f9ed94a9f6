"""The process that waits for a command rehearses one, and touches nothing of a user."""

from __future__ import annotations

import subprocess
import sys

import pytest

from econtext.command_line.service import front, worker

PROGRAM = """
import os, signal, sys
from econtext.command_line.service import worker
from econtext.command_line.service.requests import RUN, Request

seen = []
handlers = [signal.getsignal(number) for number in signal.valid_signals()]
before = Request(RUN, b'', os.getcwdb(), 0o27, (), [os.fsencode(each) for each in sys.path],
                 [b'run', b'lab', b'script.py'], [b'NAME=value'])
answers = os.dup(1)
sys.addaudithook(lambda event, args: seen.append(args[0]) if event == 'open' else None)
worker.rehearse(before, sys.argv[1])
streams = [os.readlink(f'/proc/self/fd/{number}') for number in range(3)]
same = handlers == [signal.getsignal(number) for number in signal.valid_signals()]
opened = [os.fsdecode(each) for each in seen if not isinstance(each, int)]
files = sorted({each for each in opened if not each.endswith(('.py', '.pyc', '.so'))})
os.write(answers, repr((streams, same, files, os.getcwd())).encode())
os._exit(0)
"""


def test_each_command_of_a_server_is_rehearsed() -> None:
    assert set(worker.REHEARSED) == set(front.SERVED)


@pytest.mark.parametrize('name', worker.REHEARSED)
def test_a_rehearsal_touches_nothing_of_a_user(name: str) -> None:
    done = subprocess.run([sys.executable, '-c', PROGRAM, name], input=b'typed', capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b'')
    streams, same, files, folder = eval(done.stdout)  # noqa: S307 -- of our own program
    assert streams == ['/dev/null'] * 3
    assert (same, files, folder) == (True, ['/dev/null'], '/')
