"""Commands and files on each host of a fleet: what a context does alone, with results by host."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import econtext
from lab import SOON, eventually

NAMES = ['a', 'b', 'c']
WAIT = SOON


@pytest.fixture
def homes(tmp_path: Path) -> dict[str, Path]:
    """A home of its own for each host: all are processes of this machine."""
    made = {name: tmp_path / 'homes' / name for name in NAMES}
    for home in made.values():
        home.mkdir(parents=True)
    return made


@pytest.fixture
def hosts(broker: econtext.Broker, homes: dict[str, Path]) -> econtext.Fleet:
    return broker.fleet({name: {'env': {'HOME': str(home)}} for name, home in homes.items()}, connector='local')


# -- run -------------------------------------------------------------------------


def test_a_command_has_a_result_for_each_host(hosts: econtext.Fleet, homes: dict[str, Path]) -> None:
    done = hosts.run('echo "$HOME"; echo to them >&2').raise_for_failures()
    assert {host: (each.stdout, each.stderr, each.returncode) for host, each in done.items()} == {
        host: (f'{home}\n', 'to them\n', 0) for host, home in homes.items()
    }


def test_a_command_that_fails_is_that_hosts_failure(hosts: econtext.Fleet, homes: dict[str, Path]) -> None:
    (homes['b'] / 'broken').touch()
    results = hosts.run('test ! -e ~/broken || { echo why; exit 7; }', check=True)
    assert list(results.successes) == ['a', 'c']
    error = results.failures['b']
    assert isinstance(error, subprocess.CalledProcessError)
    assert (error.returncode, error.output) == (7, 'why\n')
    # Without check= a status is a result.
    assert hosts.run('test ! -e ~/broken')['b'].returncode == 1


def test_a_program_that_is_missing_or_late_is_a_failure(hosts: econtext.Fleet) -> None:
    missing = hosts.run(['no-such-program-of-ours']).failures
    assert {host: type(error) for host, error in missing.items()} == dict.fromkeys(NAMES, FileNotFoundError)
    late = hosts.run(['sleep', '600'], timeout=0.3).failures
    assert {host: type(error) for host, error in late.items()} == dict.fromkeys(NAMES, subprocess.TimeoutExpired)
    assert hosts.run(['true']).raise_for_failures()


@pytest.mark.parametrize('given', [b'one\ntwo\n', io.BytesIO(b'one\ntwo\n'), iter([b'one\n', b'two\n'])], ids=type)
def test_each_host_reads_the_whole_input(hosts: econtext.Fleet, given: Any) -> None:
    done = hosts.run(['cat'], input=given).raise_for_failures()
    assert [each.stdout for each in done.values()] == ['one\ntwo\n'] * 3


def test_a_large_input_reaches_each_host(hosts: econtext.Fleet) -> None:
    done = hosts.run(['wc', '-c'], input=b'x' * (3 << 20)).raise_for_failures()
    assert [int(each.stdout) for each in done.values()] == [3 << 20] * 3


def test_lines_of_all_hosts_come_one_at_a_time(hosts: econtext.Fleet) -> None:
    heard: list[tuple[str, str, str]] = []
    threads = set()

    def hear(line: Any) -> None:
        threads.add(threading.get_ident())
        heard.append((line.host, line.stream, str(line)))

    results = hosts.run('echo one; echo two; echo three >&2', on_line=hear)
    assert threads == {threading.get_ident()}
    for host in NAMES:
        mine = [each[1:] for each in heard if each[0] == host]
        assert [text for stream, text in mine if stream == 'stdout'] == ['one', 'two']
        assert [text for stream, text in mine if stream == 'stderr'] == ['three']
    # What was heard is not kept, unless asked for.
    assert [each.stdout for each in results.raise_for_failures().values()] == [None] * 3
    kept = hosts.run('echo one', on_line=hear, capture=True).raise_for_failures()
    assert [each.stdout for each in kept.values()] == ['one\n'] * 3


def test_each_host_is_told_at_its_end(hosts: econtext.Fleet, homes: dict[str, Path]) -> None:
    told: list[Any] = []

    def end(future: Any) -> None:
        told.append((future.host, threading.get_ident()))
        assert [str(line) for line in heard if line.host == future.host] == ['ready'], 'behind its last line'
        left = [home for name, home in homes.items() if all(name != host for host, _ in told)]
        if left:
            # The next one ends only when this one was told.
            (left[0] / 'go-on').touch()

    heard: list[Any] = []
    (homes[NAMES[0]] / 'go-on').touch()
    hosts.run('while ! test -e ~/go-on; do sleep 0.02; done; echo ready', on_line=heard.append, on_end=end)
    assert told == [(name, threading.get_ident()) for name in homes]


def test_ends_that_are_failures(hosts: econtext.Fleet) -> None:
    ends: dict[str, Any] = {}
    stopped = hosts.options(limit=1, stop_after=1)
    stopped.run(['false'], check=True, on_end=lambda future: ends.update({future.host: future}))
    assert sorted(ends) == NAMES
    (failed,) = [future for future in ends.values() if not future.cancelled()]
    assert isinstance(failed.exception(), subprocess.CalledProcessError)


def test_what_hears_lines_and_raises_ends_the_commands(hosts: econtext.Fleet, homes: dict[str, Path]) -> None:
    def fail(line: Any) -> None:
        raise KeyError('of the program')

    with pytest.raises(KeyError, match='of the program'):
        hosts.run('echo $$ > ~/pid; echo begun; exec sleep 600', on_line=fail)
    for home in homes.values():
        pid = home / 'pid'
        eventually(lambda pid=pid: not pid.exists() or not pid.read_text() or not alive(int(pid.read_text())), WAIT)  # type: ignore[misc]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(('argv', 'options', 'error'), [
    ([], {}, ValueError), (b'bytes', {}, TypeError), (['a\0b'], {}, ValueError),
    (['true'], {'env': 'A=1'}, TypeError), (['true'], {'timeout': 'soon'}, ValueError),
    (['true'], {'on_line': 'print'}, TypeError), (['true'], {'on_end': 'print'}, TypeError),
    (['true'], {'input': 7}, TypeError),
])  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_connected(
    broker: econtext.Broker, argv: Any, options: Any, error: type[Exception]
) -> None:
    fleet = broker.fleet(NAMES, connector='local')
    with pytest.raises(error):
        fleet.run(argv, **options)
    assert list(broker._tree.contexts) == []


def test_a_host_that_cannot_be_reached_holds_up_no_command(broker: econtext.Broker) -> None:
    fleet = broker.fleet({'a': {}, 'b': {'python': '/no/such/python'}}, connector='local')
    results = fleet.run(['echo', 'here'])
    assert results['a'].stdout == 'here\n'
    assert isinstance(results.failures['b'], econtext.ConnectError)


# -- put -------------------------------------------------------------------------


SOURCES: dict[str, Callable[[Path], Any]] = {
    'bytes': lambda path: b'hello', 'a file object': lambda path: io.BytesIO(b'hello'),
    'a path': lambda path: path, 'a text': str,
}  # fmt: skip


@pytest.mark.parametrize('kind', SOURCES)
def test_a_file_reaches_each_host(
    hosts: econtext.Fleet, homes: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    (tmp_path / 'here').write_bytes(b'hello')
    copied = hosts.put(SOURCES[kind](tmp_path / 'here'), '~/there', mode=0o640).raise_for_failures()
    for host, home in homes.items():
        assert (home / 'there').read_bytes() == b'hello'
        assert (home / 'there').stat().st_mode & 0o7777 == 0o640
        assert copied[host].bytes == 5


def test_a_folder_reaches_each_host_and_only_what_differs(
    hosts: econtext.Fleet, homes: dict[str, Path], tmp_path: Path
) -> None:
    site = tmp_path / 'site'
    (site / 'inner').mkdir(parents=True)
    (site / 'index').write_text('index')
    (site / 'inner' / 'page').write_text('page')
    assert [each.files for each in hosts.put(site, '~/site').raise_for_failures().values()] == [2] * 3
    (homes['b'] / 'site' / 'index').unlink()
    again = hosts.put(site, '~/site').raise_for_failures()
    assert {host: (each.files, each.unchanged) for host, each in again.items()} == {
        'a': (0, 2), 'b': (1, 1), 'c': (0, 2)
    }  # fmt: skip


def test_a_target_that_cannot_be_written_is_that_hosts_failure(
    hosts: econtext.Fleet, homes: dict[str, Path]
) -> None:
    for host in 'a', 'c':
        (homes[host] / 'folder').mkdir()
    results = hosts.put(b'x', '~/folder/file')
    assert list(results.successes) == ['a', 'c']
    assert isinstance(results.failures['b'], FileNotFoundError)


def test_what_is_not_there_to_put_is_said_before_anything_is_connected(
    broker: econtext.Broker, tmp_path: Path
) -> None:
    fleet = broker.fleet(NAMES, connector='local')
    with pytest.raises(FileNotFoundError):
        fleet.put(tmp_path / 'none', 'there')
    with pytest.raises(TypeError):
        fleet.put(7, 'there')  # type: ignore[arg-type]
    assert list(broker._tree.contexts) == []


# -- get -------------------------------------------------------------------------


@pytest.fixture
def filled(homes: dict[str, Path]) -> dict[str, Path]:
    for host, home in homes.items():
        (home / 'log').write_text(f'log of {host}')
    return homes


def test_each_host_has_a_folder_of_its_own(hosts: econtext.Fleet, filled: dict[str, Path], tmp_path: Path) -> None:
    copied = hosts.get('~/log', tmp_path / 'logs').raise_for_failures()
    for host in NAMES:
        assert (tmp_path / 'logs' / host / 'log').read_text() == f'log of {host}'
        assert copied[host].path == str(tmp_path / 'logs' / host / 'log')


def test_the_name_of_the_host_stands_where_it_is_asked_for(
    hosts: econtext.Fleet, filled: dict[str, Path], tmp_path: Path
) -> None:
    hosts.get('~/log', str(tmp_path / 'deep' / '{host}.log')).raise_for_failures()
    assert {each.name: each.read_text() for each in (tmp_path / 'deep').iterdir()} == {
        f'{host}.log': f'log of {host}' for host in NAMES
    }


def test_a_path_for_each_host(hosts: econtext.Fleet, filled: dict[str, Path], tmp_path: Path) -> None:
    hosts.get('~/log', {host: tmp_path / f'{host}-there' for host in NAMES}).raise_for_failures()
    assert [(tmp_path / f'{host}-there').read_text() for host in NAMES] == [f'log of {host}' for host in NAMES]


def test_a_file_that_one_host_lacks_is_its_failure(
    hosts: econtext.Fleet, filled: dict[str, Path], tmp_path: Path
) -> None:
    (filled['c'] / 'log').unlink()
    results = hosts.get('~/log', tmp_path / 'logs')
    assert list(results.successes) == ['a', 'b']
    assert isinstance(results.failures['c'], FileNotFoundError)
    assert not (tmp_path / 'logs' / 'c' / 'log').exists()


def test_no_two_hosts_are_copied_into_one_path(broker: econtext.Broker, tmp_path: Path) -> None:
    fleet = broker.fleet(NAMES, connector='local')
    (tmp_path / 'link').symlink_to(tmp_path / 'one')
    for places in dict.fromkeys(NAMES, tmp_path / 'x'), {'a': tmp_path / 'link', 'b': tmp_path / 'one', 'c': 'c'}:
        with pytest.raises(ValueError, match='one path'):
            fleet.get('log', places)
    with pytest.raises(ValueError, match='no path for'):
        fleet.get('log', {'a': tmp_path / 'a'})
    with pytest.raises(TypeError):
        fleet.get('log', io.BytesIO())  # type: ignore[arg-type]
    assert list(broker._tree.contexts) == []
