"""Other implementations of Python: PyPy serves, what we cannot serve is refused by name."""

from __future__ import annotations

import pathlib
import sys
import textwrap

import pytest

import econtext
from lab import pythons, reach

# GraalPy is in no package registry of a distribution. This says what it says of itself, and is CPython otherwise.
GRAALPY = """\
    import sys
    sys.version = '3.11.7 (Wed Sep 04 15:44:26 UTC 2024)\\n[Graal, GraalVM CE, Java 23 (amd64)]'
    del sys.argv[:2]
    code, sys.argv[0] = sys.argv[0], '-c'
    exec(code)
"""


def test_micropython_is_refused(broker: econtext.Broker) -> None:
    child = broker.local(python=pythons.micropython())
    with pytest.raises(econtext.ConnectError, match='neither CPython nor PyPy') as caught:
        child.call(abs, -1)
    assert caught.value.kind == 'unsupported-python'
    assert 'python=' in caught.value.remedy
    reach.record('host', 'MicroPython as the interpreter', 'ConnectError unsupported-python')


def test_graalpy_is_refused_before_a_call_runs(broker: econtext.Broker, tmp_path: pathlib.Path) -> None:
    program = tmp_path / 'graalpy.py'
    program.write_text(textwrap.dedent(GRAALPY))
    for origin in (broker, broker.local()):
        child = origin.local(python=[sys.executable, str(program)])
        with pytest.raises(econtext.ConnectError, match='Graal') as caught:
            child.call(pathlib.Path.mkdir, tmp_path / 'made')
        assert caught.value.kind == 'unsupported-python'
        assert 'python=' in caught.value.remedy
    assert not (tmp_path / 'made').exists()
    reach.record('host', 'GraalPy as the interpreter', 'ConnectError unsupported-python (a stand-in)')
