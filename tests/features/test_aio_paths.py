"""context.path() of econtext.aio: what pathlib has for files here, awaited, for those there."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
import warnings
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from errands import awaited

import econtext
from econtext import aio
from econtext.controller.files import methods
from lab import pythons

ENOUGH = 100.0  # seconds for anything
LARGE = 3 << 18
A_WHILE = 0.2   # seconds after which a task gives up; any number will do


def run(main: Callable[[aio.Broker], Coroutine[Any, Any, Any]]) -> Any:
    """Run `main` with a broker; hold that it leaves no task."""

    async def whole() -> Any:
        async with aio.Broker() as broker:
            result = await asyncio.wait_for(main(broker), ENOUGH)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(whole())


def test_files(python: pythons.Interpreter, tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        root = broker.local(python=python).path(tmp_path)
        await (root / 'a' / 'b').mkdir(parents=True)
        file = root / 'a' / 'x.txt'
        assert await file.write_text('Grüße\n') == 6
        assert await file.read_text() == 'Grüße\n'
        assert (await file.stat()).st_size == 8
        assert (await file.lstat()).st_size == 8
        assert await file.write_bytes(b'x' * LARGE) == LARGE
        assert await file.read_bytes() == b'x' * LARGE
        assert await file.exists()
        assert await file.is_file()
        assert not await file.is_dir()
        assert await file.parent.is_dir()
        assert sorted([path.name async for path in file.parent.iterdir()]) == ['b', 'x.txt']
        assert [path async for path in root.glob('*/*.txt')] == [file]
        assert [path async for path in root.rglob('x.*')] == [file]
        assert [(str(path), folders, files) async for path, folders, files in root.walk()] == [
            (str(tmp_path), ['a'], []), (str(tmp_path / 'a'), ['b'], ['x.txt']), (str(tmp_path / 'a' / 'b'), [], [])]
        assert [path.name async for path, _, _ in root.walk(top_down=False)] == ['b', 'a', tmp_path.name]
        other = await file.rename(root / 'y')
        assert not await file.exists()
        await other.chmod(0o600)
        assert stat.S_IMODE((tmp_path / 'y').stat().st_mode) == 0o600
        link, hard = root / 'link', root / 'hard'
        await link.symlink_to('y')
        await hard.hardlink_to(other)
        assert await link.is_symlink()
        assert str(await link.readlink()) == 'y'
        assert await link.resolve() == await other.resolve()
        assert await hard.samefile(other)
        assert await hard.samefile(str(tmp_path / 'link'))
        await link.unlink()
        with pytest.raises(FileNotFoundError) as caught:
            await link.unlink()
        assert caught.value.filename == str(link)
        await link.unlink(missing_ok=True)
        await (root / 'new').touch()
        with pytest.raises(FileExistsError):
            await (root / 'new').touch(exist_ok=False)
        await (root / 'a' / 'b').rmdir()
        await (root / 'a').rmtree()
        assert sorted(os.listdir(tmp_path)) == ['hard', 'new', 'y']
        assert not any([await other.is_fifo(), await other.is_socket(), await other.is_block_device(),
                        await other.is_char_device()])
        assert await other.owner() == Path(tmp_path, 'y').owner()
        assert await other.group() == Path(tmp_path, 'y').group()
        assert (await (await root.context.path('x').absolute()).parent.resolve()) == await root.context.path().resolve()
        assert str(await root.context.path('~').expanduser()) == str(Path.home())
        assert await other.expanduser() is other

    run(main)


def test_open_files(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        path = broker.local().path(tmp_path, 'file')
        async with path.open('w') as file:
            await file.write('one\ntwo\n')
        async with path.open() as file:
            assert [line async for line in file] == ['one\n', 'two\n']
        with pytest.raises(FileNotFoundError):
            await (path / 'x').parent.with_name('missing').open()

    run(main)


def test_names_are_not_awaited(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web, other = broker.local(name='web'), broker.local(name='other')
        path = web.path('/srv/site.tar.gz')
        assert isinstance(path, aio.RemotePath)
        assert (path.name, path.suffixes, str(path.parent)) == ('site.tar.gz', ['.tar', '.gz'], '/srv')
        assert path.context is web
        assert path == web.path('/srv') / 'site.tar.gz'
        assert path == aio.Context(web.blocking).path('/srv/site.tar.gz'), 'another object stands for the same context'
        assert len({path, web.path('/srv', 'site.tar.gz')}) == 1
        assert path != other.path('/srv/site.tar.gz')
        assert repr(path) == '<econtext path web:/srv/site.tar.gz>'
        with pytest.raises(ValueError, match='none of other'):
            other.path(path)
        with pytest.raises(ValueError, match='NUL'):
            web.path('a\0b')
        with pytest.raises(TypeError):
            os.fspath(path)  # type: ignore[call-overload]

    run(main)


def test_paths_as_arguments(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web, other = broker.local(name='web'), broker.local(name='other')
        root = web.path(tmp_path)
        await web.put(b'content', root / 'put')
        await web.get(root / 'put', tmp_path / 'got')
        assert (tmp_path / 'got').read_bytes() == b'content'
        await web.put(root / 'put', root / 'within')
        await other.put(root / 'put', tmp_path / 'across')
        await web.get(root / 'put', other.path(tmp_path, 'back'))
        assert {name for name in os.listdir(tmp_path) if (tmp_path / name).read_bytes() == b'content'} == {
            'put', 'got', 'within', 'across', 'back'}
        async with web.open(root / 'put') as file:
            assert await file.read() == 'content'
        done = await web.run(['cat', root / 'put'], cwd=root)
        assert done.stdout == 'content'
        done = await web.run('cat "$PLACE"', env={'PLACE': root / 'put'})  # type: ignore[dict-item]
        assert done.stdout == 'content'
        async with web.run_lines(['pwd'], cwd=root) as lines:
            assert [str(line) async for line in lines] == [str(tmp_path)]
        blocks = web.blocking.path(tmp_path, 'put')
        assert (await web.run(['cat', blocks])).stdout == 'content'
        async with web.open(blocks) as file:
            assert await file.read() == 'content'
        with pytest.raises(ValueError, match='a path of web is none of other'):
            await other.run(['cat', root / 'put'])
        with pytest.raises(ValueError, match='a path of web is none of other'):
            await other.open(root / 'put')
        with pytest.raises(ValueError, match='a path of web is none of other'):
            await other.put(b'', root / 'put')

    run(main)


def test_questions_take_no_thread(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        root = (await broker.local()).path(tmp_path)
        await root.exists()
        before = set(threading.enumerate())
        assert await asyncio.gather(*((root / str(number)).exists() for number in range(100))) == [False] * 100
        assert set(threading.enumerate()) <= before

    run(main)


def test_a_lost_context_is_told(tmp_path: Path) -> None:
    async def main(broker: aio.Broker) -> None:
        web = await broker.local()
        path = web.path(tmp_path)
        await web.close()
        with pytest.raises(econtext.ContextLost):
            await path.exists()
        with pytest.raises(econtext.ContextLost):
            await anext(aiter(path.iterdir()))

    run(main)


@pytest.mark.parametrize(('python', 'options'), [
    ('2.7', {}), ('3.6', {'threads': 2}), ('3.13', {}), ('3.13', {'threads': 2}), ('pypy3.11', {}),
], indirect=['python'])
def test_a_cancelled_task_leaves_a_read_or_write_that_waits(
    python: pythons.Interpreter, options: dict[str, Any], tmp_path: Path,
) -> None:
    """What waits at a pipe is interrupted there, and what is endless is left; the context and the file go on."""
    os.mkfifo(tmp_path / 'pipe')
    other_end = os.open(tmp_path / 'pipe', os.O_RDWR)

    async def main(broker: aio.Broker) -> None:
        web = broker.local(python=python, **options)
        number, path = await web.call(os.getpid), web.path(tmp_path, 'pipe')
        async with path.open('rb') as file:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(file.read(2), A_WHILE)
            os.write(other_end, b'ab')
            assert await file.read(2) == b'ab'
        for work in path.read_bytes(), path.write_bytes(bytes(1 << 21)), web.path('/dev/zero').read_bytes():
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(work, A_WHILE)
        assert await web.call(os.getpid) == number
        assert await web.call(awaited.open_files) == 0

    try:
        run(main)
    finally:
        os.close(other_end)


def test_what_was_opened_for_a_task_that_was_cancelled_is_closed(tmp_path: Path) -> None:
    (tmp_path / 'x').touch()

    async def main(broker: aio.Broker) -> None:
        web = await broker.local().wait_ready()
        opened = methods.Files.open
        come = asyncio.Event()
        loop = asyncio.get_running_loop()
        with pytest.MonkeyPatch.context() as patch:
            # The file is there, and its task does not know yet.
            def slow(*args: Any) -> Any:
                file = opened(*args)
                loop.call_soon_threadsafe(come.set)
                return file

            patch.setattr(methods.Files, 'open', slow)
            task = asyncio.ensure_future(web.open(tmp_path / 'x'))
            await come.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        while await web.call(awaited.open_files):
            pass

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('always')
        run(main)
    assert not told, 'it was left to whoever collects garbage'
