"""Which paths name the interpreter of a context."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import econtext
from econtext import aio


@pytest.fixture(scope='module')
def environments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the interpreters of two virtual environments: links to one file."""
    made = [tmp_path_factory.mktemp(name) for name in ('one', 'two')]
    for folder in made:
        venv.create(folder, symlinks=True)
    return [str(folder / 'bin' / 'python') for folder in made]


def test_a_name_for_the_same_file(broker: econtext.Broker, tmp_path: Path) -> None:
    real = os.path.realpath(sys.executable)
    # Links beside the file itself: the way to its own library is the same.
    context = broker.local(python=real)
    assert context.same_interpreter(real)
    assert context.same_interpreter(Path(real))
    link = tmp_path / 'python3'
    link.symlink_to(real)
    further = tmp_path / 'python'
    further.symlink_to(link)
    for path in link, further, f'{tmp_path}/../{tmp_path.name}/python3', real.replace('/bin/', '/./bin/'):
        assert context.same_interpreter(path), path
    named = broker.local(python=real, env={'PATH': f'/nowhere:{tmp_path}', 'HOME': str(tmp_path)})
    assert named.same_interpreter('python3')
    assert named.same_interpreter('~/python3')
    assert not named.same_interpreter('python3.nothing')


def test_what_is_another(broker: econtext.Broker, tmp_path: Path) -> None:
    context = broker.local(python=os.path.realpath(sys.executable))
    script = tmp_path / 'script'
    script.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    copied = tmp_path / 'copied'
    shutil.copy(os.path.realpath(sys.executable), copied)
    broken = tmp_path / 'broken'
    broken.symlink_to('nowhere')
    for path in script, copied, broken, tmp_path, '/bin/sh', '/nowhere/python', 'python-of-nobody':
        assert not context.same_interpreter(path), path


def test_environments_are_interpreters_of_their_own(broker: econtext.Broker, environments: list[str]) -> None:
    one, two = environments
    base = os.path.realpath(sys.executable)
    within, outside = broker.local(python=one), broker.local(python=base)
    assert within.same_interpreter(one)
    assert within.same_interpreter(one + '3')
    for path in two, base:
        assert not within.same_interpreter(path), path
    assert not outside.same_interpreter(one)
    assert outside.same_interpreter(base)


def test_every_python_knows_itself(broker: econtext.Broker, python: str) -> None:
    context = broker.local(python=python)
    assert context.same_interpreter(context.call(os.path.realpath, python))
    assert context.same_interpreter(python)
    assert not context.same_interpreter('/bin/sh')
    printed = subprocess.check_output([python, '-c', 'import sys;print(sys.executable)'], text=True)
    assert context.same_interpreter(printed.strip())


@pytest.mark.parametrize('path', ['', 'a\0b', b'/usr/bin/python3', 3, None])
def test_what_is_no_path(broker: econtext.Broker, path: object) -> None:
    context = broker.local()
    with pytest.raises((TypeError, ValueError)):
        context.same_interpreter(path)  # type: ignore[arg-type]


def test_awaited() -> None:
    async def main() -> None:
        async with aio.Broker() as broker:
            context = broker.local()
            assert await context.same_interpreter((await context.wait_ready()).executable)
            assert not await context.same_interpreter('/bin/sh')
            with pytest.raises(ValueError, match='python='):
                await context.same_interpreter('')

    asyncio.run(main())
