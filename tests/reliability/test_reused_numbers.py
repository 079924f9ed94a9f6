"""A number that the kernel has given to another process is no target: chosen in a process namespace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import econtext
import lab
from econtext.child import groups
from lab import pythons

LAST = '/proc/sys/kernel/ns_last_pid'
SHELL = '-c', groups.GUARD, 'econtext-guard'
OTHER = '-S', '-c', groups.OTHER_GUARD


def outcome(*words: str) -> str:
    """Run a function of ``reused`` where it can choose numbers; return what became of the innocent process."""
    lab.require('unshare')
    if not os.path.exists(LAST):
        lab.unavailable(f'the kernel has no {LAST}')
    here = Path(__file__).parent
    source = Path(econtext.__file__).parents[1]
    done = subprocess.run(
        [lab.need('unshare'), '-pf', '--kill-child', '--mount-proc', sys.executable, '-m', 'reused', *words],
        env={**os.environ, 'PYTHONPATH': f'{source}:{here.parent}:{here}'}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize('guard', ['sh', 'bash', '2.7', 'this'])
def test_the_guard_of_groups_spares_a_later_group_of_that_number(guard: str) -> None:
    words = {
        'sh': ('/bin/sh', *SHELL), 'bash': ('bash', *SHELL), 'this': (sys.executable, *OTHER),
        '2.7': () if guard != '2.7' else (pythons.interpreter('2.7'), *OTHER),
    }[guard]
    assert outcome('guard_of_groups', *words) == 'spared'
