"""Every controller against every child: all that crosses, by one start of each pair.

What a pair has passed stands in docs/reference/reach.md.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import importlib
import ipaddress
import logging
import math
import os
import pathlib
import platform
import pwd
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from crossing import far

import econtext
from lab import eventually, pythons, reach

CHILDREN = pythons.everything()
TEXT = 'Grüße, 世界 😀'
FIXED = datetime.timezone(datetime.timedelta(hours=-3, minutes=-30))
VALUES: list[Any] = [
    None, True, False, 0, -1, 2**31, -2**63, 10**300, 0.0, -0.0, 5e-324, math.inf, 1 + 2j, '', TEXT, '\ud800', 'a\0b\n',
    b'', bytes(range(256)), (), (1, (2,)), [], [[3]], {}, {1: 'i', None: 'n', (1, 2): 't', 'ä': {}}, set(), {1, 'a'},
    frozenset({(4,)}), datetime.datetime(2024, 2, 29, 23, 59, 59, 999999, FIXED), datetime.datetime.min,
    datetime.date.max, datetime.time(1, 2, 3, 4), datetime.timedelta.min, decimal.Decimal('1.10'),
    decimal.Decimal('-Infinity'), uuid.UUID(int=5), pathlib.PurePosixPath('/ä/b c'),
]  # fmt: skip


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    found: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = found.append  # type: ignore[method-assign]
    logger = logging.getLogger('econtext.ctx')
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def shape(value: Any) -> Any:
    """Return `value` with all its types, and -0.0 apart from 0.0."""
    if isinstance(value, (list, tuple)):
        return type(value), [shape(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(map(repr, map(shape, value)))
    if isinstance(value, dict):
        return dict, sorted((repr(shape(key)), repr(shape(item))) for key, item in value.items())
    if isinstance(value, datetime.datetime):
        return type(value), value.replace(tzinfo=None), value.utcoffset()
    return type(value), repr(value)


def of_python2(value: Any, version: tuple[int, int] = (2, 7)) -> Any:
    """Return what comes back from Python 2, whose str is text and bytes, and which has no paths; UUID is of 2.5."""
    if isinstance(value, (bytes, bytearray)):
        return value.decode('utf-8', 'surrogateescape')
    if isinstance(value, uuid.UUID) and version < (2, 5):
        return value.hex
    return str(value) if isinstance(value, pathlib.PurePath) else value


class Pair:
    """The checks of one pair, each of which a child's whole life allows."""

    def __init__(self, child: econtext.Context, python: pythons.Interpreter, records: list[logging.LogRecord]) -> None:
        self.child = child
        self.version = python.version
        self.old = python.version < (3, 0)
        self.records = records

    def back(self, value: Any) -> Any:
        """Return what a value is that has been there."""
        if self.version < (3, 4) and isinstance(value, pathlib.PurePath):
            return str(value)
        return of_python2(value, self.version) if self.old else value

    def seen(self, text: str) -> bool:
        return any(text in record.getMessage() for record in self.records)

    def values(self, tmp_path: pathlib.Path) -> None:
        expected = [self.back(value) for value in VALUES]
        args, kwargs = self.child.call(far.echo, *VALUES, key=VALUES)
        assert shape(list(args)) == shape(expected)
        assert shape(kwargs) == shape({'key': expected})
        names = [type(value).__name__ for value in VALUES]
        if self.version < (3, 4):
            names[-1] = 'str'
        if self.version < (2, 5):
            names[-2] = 'str'
        assert self.child.call(far.kinds, VALUES) == names
        made = [bytes(value) if isinstance(value, bytearray) else value for value in far.made()]
        if self.version < (2, 6):
            made = [of_python2(value) for value in made if self.version >= (2, 5) or not isinstance(value, uuid.UUID)]
        assert shape(self.child.call(far.made)) == shape(made)
        assert math.isnan(self.child.call(far.echo, math.nan)[0][0])

    def library(self, tmp_path: pathlib.Path) -> None:
        found = self.child.call(os.stat, str(tmp_path))
        here = os.stat(tmp_path)
        assert (type(found), found, found.st_blksize) == (os.stat_result, here, here.st_blksize)
        assert found.st_mtime == pytest.approx(here.st_mtime, abs=1e-5 if self.version > (2, 4) else 1)
        assert found.st_mtime_ns == (None if self.version < (3, 3) else here.st_mtime_ns)
        assert self.child.call(time.gmtime, 0) == time.gmtime(0)
        assert self.child.call(pwd.getpwuid, 0).pw_dir == pwd.getpwuid(0).pw_dir
        assert type(self.child.call(os.statvfs, '/')) is os.statvfs_result
        if not self.old:
            assert type(self.child.call(os.uname)) is os.uname_result
            assert self.child.call(platform.uname) == platform.uname()
            assert self.child.call(shutil.disk_usage, '/').total == shutil.disk_usage('/').total
            done = self.child.call(subprocess.run, ['echo', 'x'], stdout=subprocess.PIPE)
            assert (type(done), vars(done)) == (subprocess.CompletedProcess, {
                'args': ['echo', 'x'], 'returncode': 0, 'stdout': b'x\n', 'stderr': None})
        plain = ('10.0.0.0/8', 'fe80::1', ('x', 1, None, None))
        sent = (ipaddress.ip_network('10.0.0.0/8'), ipaddress.ip_address('fe80::1'),
                subprocess.CompletedProcess('x', 1), fractions.Fraction(1, 3), here, time.gmtime(0))
        args, _ = self.child.call(far.echo, *sent)
        ratio = (1, 3) if self.version < (2, 6) else sent[3]
        assert shape(args[:2] + args[3:]) == shape((plain[:2] if self.old else sent[:2]) + (ratio,) + sent[4:])
        assert shape(args[2]) == shape(plain[2] if self.old else sent[2])
        assert self.child.call(far.echo, range(1, 9, 3))[0] == (range(1, 9, 3),)

    def exceptions(self, tmp_path: pathlib.Path) -> None:
        with pytest.raises(ValueError, match='Grüße') as caught:
            self.child.call(far.fail, TEXT)
        assert isinstance(caught.value, econtext.CallError)
        assert caught.value.type_name == 'crossing.far.Odd'
        assert 'raise Odd(text)  # the line that fails' in str(caught.value)
        with pytest.raises(OSError, match='where') as missing:
            self.child.call(far.missing, '/no/where')
        assert (missing.value.errno, missing.value.filename) == (2, '/no/where')
        with pytest.raises(econtext.CallError, match='SystemExit'):
            self.child.call(far.leave)

    def texts(self, tmp_path: pathlib.Path) -> None:
        folder = tmp_path / TEXT
        folder.mkdir()
        assert self.child.call(far.path_facts, str(folder / 'ä€')) == ['ä€']
        names = {'ect_plain': 'def f():\n    raise ValueError(1)  # here\n'}
        if not self.old:
            names['ect_größe'] = 'def zähle(größe):\n    raise ValueError(größe)  # hier\n'
        for name, source in names.items():
            (folder / f'{name}.py').write_text(source, 'utf-8')
            importlib.invalidate_caches()
            module = importlib.import_module(name)
            function = getattr(module, 'f', None) or module.zähle
            with pytest.raises(ValueError, match=r'\d') as caught:
                self.child.call(function, *(['größe'] if name == 'ect_größe' else []))
            assert str(folder) in str(caught.value)

    def modules(self, tmp_path: pathlib.Path) -> None:
        assert self.child.call(far.travelled) == ('über', 'crossing.below.leaf', 'econtext.child.pull', False)

    def output(self, tmp_path: pathlib.Path) -> None:
        self.child.call(far.speak, TEXT)
        said = sorted(record.getMessage() for record in self.records)
        assert said == sorted([f'stdout: {TEXT}', f'stderr: {TEXT}', 'stdout: plain', 'stdout: from a program'])

    def logs(self, tmp_path: pathlib.Path) -> None:
        self.child.call(far.log, TEXT)
        eventually(lambda: self.seen('failed'))
        assert [record.getMessage() for record in self.records][-2:] == [f'crossing: {TEXT}', 'crossing: failed']
        assert 'KeyError' in str(self.records[-1].exc_text)

    def channels(self, tmp_path: pathlib.Path) -> None:
        channel = self.child.channel()
        done = self.child.submit(far.talk, channel)
        sent = [*VALUES[1:], None]
        for value in sent:
            channel.send(value)
        expected = [self.back(value) for value in sent]
        assert shape(list(channel)) == shape([*expected, 'end'])
        done.result(60)


CHECKS: tuple[Callable[[Pair, pathlib.Path], None], ...] = (
    Pair.modules, Pair.values, Pair.library, Pair.exceptions, Pair.texts, Pair.output, Pair.logs, Pair.channels,
)  # fmt: skip


@pytest.mark.controller_matrix
@pytest.mark.parametrize('name', CHILDREN)
def test_pair(
    broker: econtext.Broker, name: str, records: list[logging.LogRecord], tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path / TEXT))
    before = set(sys.modules)
    python = pythons.interpreter(name)
    child = broker.local(python=python, name='kind')
    try:
        for check in CHECKS:
            check(Pair(child, python, records), tmp_path)
    finally:
        for new in set(sys.modules) - before:
            if new.startswith('ect_'):
                del sys.modules[new]
    here = '%d.%d' % sys.version_info[:2]
    reach.record('python', here + reach.ARROW + name.replace('pypy', 'PyPy '), 'all')
