"""Files and folders over ssh, to a server on this machine and from it, each contender with a connection of its own.

Every time begins before the connection and ends when the contender says that all is done.  Where all was copied, the
target was not there before.  What was written earlier is on disk by then, so that nobody waits for another's bytes.
No folder is removed before all rounds are over: before ext4 takes an inode it looks at those that were freed within the
last minutes, and whoever copies behind a quick contender would pay for what that one left.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import far
from bench.scenario import Row, pick, seconds

CONTENDERS = 'econtext scp rsync'.split()
NEED = 'ssh'
ROUNDS = 5, 1
FILE = 4000     # bytes of a small file
FOLDER = 100    # files in one folder
ROWS = [
    Row('a file of 1 GiB (quick: 64 MiB) to a server', "rate / scp's", 'put', 'x', '>= 1', ('scp', 'put'), high=True),
    Row('', "rate / rsync's", 'put', 'x', '>= 1', ('rsync', 'put'), high=True),
    Row('', 'rate', 'put', 'MB/s', high=True),
    Row('', "the same, on disk: rate / scp's", 'durable', 'x', '', ('scp', 'put'), high=True),
    Row('from a server', "rate / scp's", 'get', 'x', '>= 1', ('scp', 'get'), high=True),
    Row('', "rate / rsync's", 'get', 'x', '>= 1', ('rsync', 'get'), high=True),
    Row('10,000 files of 4 kB (quick: 1,000) to a server', "rate / scp -r's", 'put_many', 'x', '>= 5',
        ('scp', 'put_many'), high=True),
    Row('', "rate / rsync -a's", 'put_many', 'x', '>= 1.5', ('rsync', 'put_many'), high=True),
    Row('', 'rate', 'put_many', '1/s', high=True),
    Row('from a server', "rate / scp -r's", 'get_many', 'x', '>= 5', ('scp', 'get_many'), high=True),
    Row('', "rate / rsync -a's", 'get_many', 'x', '>= 1.5', ('rsync', 'get_many'), high=True),
    Row('the same files, unchanged, to a server', "time / rsync's", 'put_same', 'x', '<= 1', ('rsync', 'put_same')),
    Row('', 'time', 'put_same', 'ms'),
    Row('from a server', "time / rsync's", 'get_same', 'x', '<= 1', ('rsync', 'get_same')),
]  # fmt: skip


def measure(contender: Any, size: str) -> dict[str, float]:
    total = pick(size, 1 << 30, 1 << 26, 1 << 16)
    count = pick(size, 10000, 1000, 20)
    ground = Path(contender.ground.folder)
    large, many, target = ground / 'large', ground / f'many-{count}', ground / 'target'
    make_file(large, total)
    make_folder(many, count)
    contender.prepare()
    numbers: dict[str, float] = {}
    for name, copy in (('put', contender.put), ('get', contender.get)):
        for metric, source, amount in ((name, large, total / 1e6), (f'{name}_many', many, count)):
            clear(target)
            numbers[metric] = amount / seconds(lambda: copy(str(source), str(target)))  # noqa: B023
            check(source, target)
        if hasattr(contender, 'unchanged'):
            numbers[f'{name}_same'] = seconds(lambda: copy(str(many), str(target))) * 1e3  # noqa: B023
    if hasattr(contender, 'put_durable'):
        clear(target)
        numbers['durable'] = total / 1e6 / seconds(lambda: contender.put_durable(str(large), str(target)))
    clear(target)
    return numbers


def make_file(path: Path, size: int) -> None:
    if path.exists() and path.stat().st_size == size:
        return
    data = far.block(1 << 20)
    with path.open('wb') as file:
        while size:
            size -= file.write(data[:size])


def make_folder(path: Path, count: int) -> None:
    if path.exists():
        return
    for number in range(count):
        folder = path / f'{number // FOLDER:03}'
        if not number % FOLDER:
            folder.mkdir(parents=True)
        (folder / f'file-{number:05}.txt').write_bytes(os.urandom(FILE))


def clear(target: Path) -> None:
    """Have nothing at the target, and all that is written on disk."""
    if target.is_dir():
        target.rename(Path(tempfile.mkdtemp(prefix='copied-', dir=target.parent)) / target.name)
    else:
        target.unlink(missing_ok=True)
    os.sync()


def check(source: Path, target: Path) -> None:
    """Hold that all is there."""
    files: Callable[[Path], list[tuple[str, int]]] = lambda top: sorted(  # noqa: E731
        (str(path.relative_to(top)), path.stat().st_size) for path in [top, *top.rglob('*')] if path.is_file()
    )
    assert files(source) == files(target)
