"""A server of Dask in a context: what comes before its event loop, and once that has ended."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from econtext.child.dask import Server, check_files, uncollected


class Channel:
    """Nothing comes, until it is closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        self.closed.wait()
        return iter(())

    def close(self) -> None:
        self.closed.set()


def test_a_connection_for_pages_that_comes_behind_the_end_is_closed() -> None:
    server = object.__new__(Server)
    server.loop = asyncio.new_event_loop()
    server.loop.close()
    channel = Channel()
    server.take('pages', None, channel)
    assert channel.closed.wait(60)


@pytest.mark.parametrize('collects', [True, False])
@pytest.mark.parametrize('ends', ['', 'raise ValueError'])
def test_a_large_module_is_loaded_without_looking_for_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collects: bool, ends: str
) -> None:
    (tmp_path / 'large_module.py').write_text(f'import gc\ncollects = gc.isenabled()\n{ends}\n')
    monkeypatch.syspath_prepend(tmp_path)
    before = gc.isenabled()
    try:
        (gc.enable if collects else gc.disable)()
        if ends:
            with pytest.raises(ValueError, match=r"^$"):
                uncollected('large_module')
        else:
            assert not uncollected('large_module').collects
        assert gc.isenabled() is collects
    finally:
        (gc.enable if before else gc.disable)()
        sys.modules.pop('large_module', None)


def test_files_of_certificates(tmp_path: Path) -> None:
    file = tmp_path / 'key.pem'
    file.touch()
    check_files([('a', None), ('b', str(file)), ('c', '-----BEGIN\n-----END\n')])
    with pytest.raises(FileNotFoundError, match=r'^security\.tls_worker_key is a path, .*its content') as caught:
        check_files([('a', str(file)), ('security.tls_worker_key', str(tmp_path / 'absent'))])
    assert str(tmp_path) not in str(caught.value)
