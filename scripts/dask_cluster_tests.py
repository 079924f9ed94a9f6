"""Runs distributed's own tests of clusters against `econtext.dask.Cluster`, and prints a table of what passed.

    python scripts/dask_cluster_tests.py --folder FOLDER [--source SOURCE] [--protocol PROTOCOL …] [TEST …]

SOURCE is a checkout of distributed in the version that is installed; without it, git fetches the tag of that version
into FOLDER.  (The source distributions of distributed have no tests.)  FOLDER keeps each result, so that a run that
was ended goes on; `--again` runs all anew.  PROTOCOL is `econtext` or `tcp`, both unless given.  A TEST is a part of a
name, such as `test_adaptive`; without one all run.

In the tests three classes stand for those of distributed: `LocalCluster` and `SpecCluster`, whose workers are contexts
on this machine, and `SSHCluster`, whose hosts are an ssh server of the laboratory.  Each test runs in a process of its
own.  Needs distributed, asyncssh and pytest here, git, sshd, and openssl, which makes the certificates of the tests.

Exit status: 0 if each test that applies passed, else 1.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ADDRESS = 'https://github.com/dask/distributed'
FILES = ('test_adaptive', 'test_cluster', 'test_local', 'test_spec_cluster', 'test_ssh')
PROTOCOLS = ('econtext', 'tcp')
LIMIT = 120  # seconds for one test
ROOM = 12  # workers at most
SETTINGS = 'ECONTEXT_DASK_TESTS'
NO_CLUSTER, NONE_MADE = 'does not apply', 'it makes no cluster that is ours'
OBJECTS = 'it reads Worker and Nanny objects in cluster.workers; workers of ours are in other processes'
SCHEME = 'it asks for the scheme of addresses that LocalCluster chooses'
CORES = 'it asks how LocalCluster divides the cores of one machine'
SPECS = 'it asks for the names of workers in a specification; a place of ours has the name of its host'
AWAITED = 'it awaits the cluster behind scale(); ours has not started the new workers then, as its page says'
SECOND = 'it counts on workers that start within a second, as they do within one process'
BUSY = 'it gives new processes 3 to 5 s to start, which on a busy machine those of LocalCluster take, too: run it alone'
# Tests that look at what only the classes of distributed have -> why these do not apply.
ELSEWHERE: dict[str, str] = {
    **dict.fromkeys((
        'test_adaptive_killed_worker', 'test_Client_kwargs', 'test_defaults_5', 'test_defaults_6',
        'test_io_loop_periodic_callbacks', 'test_logging', 'test_memory', 'test_memory_limit_none',
        'test_procs', 'test_remote_python', 'test_remote_python_as_dict', 'test_simple', 'test_worker_params',
    ), OBJECTS),
    **dict.fromkeys((
        'test_cluster_host_used_throughout_cluster', 'test_move_unserializable_data', 'test_protocol_tcp',
        'test_transports_inproc', 'test_transports_tcp', 'test_transports_tcp_port',
    ), SCHEME),
    **dict.fromkeys(('test_defaults', 'test_defaults_2', 'test_defaults_3', 'test_defaults_4'), CORES),
    **dict.fromkeys(('test_new_worker_spec', 'test_run_spec_cluster_worker_names', 'test_worker_keys'), SPECS),
    **dict.fromkeys(('test_adapt_then_manual', 'test_min_max'), SECOND),
    **dict.fromkeys(('test_get_logs', 'test_scale_up_and_down'), AWAITED),
    **dict.fromkeys(('test_adapt', 'test_scale', 'test_scale_retires_workers'), BUSY),
    'test_death_timeout_raises': 'a TimeoutError that a worker raises is a CallError here, which names it',
    'test_list_of_connect_options_raises': 'a host has options of its own in an inventory',
    'test_list_of_remote_python_raises': 'a host has a Python of its own in an inventory',
    'test_local_cluster_redundant_kwarg': 'it asks a Nanny for its RuntimeError; here the worker raises',
    'test_localcluster_start_exception': 'it hands an object to a Nanny, and asks for its words',
    'test_n_workers': 'it asks for one entry for all workers of a host; each of ours has an entry',
    'test_only_local_access': 'it connects to a port; there is none with protocol econtext',
    'test_ssh_cluster_raises_if_asyncssh_not_installed': 'ssh is a program here, and needs no asyncssh',
}

# In the process of a test: what stands for the classes of distributed.


def skip(reason: str) -> Any:
    import pytest

    pytest.skip(f'{NO_CLUSTER}: {reason}')


def options_of_servers(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the workers that SpecCluster is to start by `spec`."""
    kind = spec.get('cls')
    if getattr(kind, '__name__', kind) not in ('Worker', 'Nanny', 'dask.distributed.Worker') or 'group' in spec:
        skip('its servers are of classes of its own')
    return dict(spec.get('options') or {})


def replace(settings: Mapping[str, Any]) -> None:
    """Put our classes in the place of those of distributed, for all that is imported from now on."""
    import dask.distributed
    import distributed
    from dask.system import CPU_COUNT
    from distributed import utils_test
    from distributed.deploy import local, spec, ssh
    from distributed.system import MEMORY_LIMIT

    import econtext.dask

    # Beside load a test may take longer than there.
    utils_test.gen_test.__defaults__ = (LIMIT - 10, *utils_test.gen_test.__defaults__[1:])
    # Where a package of distributed has none.
    utils_test.certs_dir = settings['certificates']
    protocol = settings['protocol']
    hosts = [str(number) for number in range(ROOM)]

    class Ours(econtext.dask.Cluster):
        made = 0

        def __init__(self, *args: Any, **options: Any) -> None:
            Ours.made += 1
            super().__init__(*args, **options)

    def kept(options: dict[str, Any], *names: str) -> dict[str, Any]:
        return {name: options[name] for name in names if options.get(name) is not None}

    class LocalCluster(Ours):
        def __init__(self, **options: Any) -> None:
            names = inspect.signature(Original.__init__).parameters
            workers = {name: value for name, value in options.items() if name not in names}
            for name in 'worker_class', 'host', 'ip', 'interface', 'services', 'worker_services', 'service_kwargs':
                if options.get(name) is not None:
                    skip(f'{name}= is for workers of this machine')
            if options.get('protocol') not in (None, 'tcp', 'tls', 'tcp://', 'tls://'):
                skip(f'protocol={options["protocol"]!r} is none of ours')
            given = options.get('protocol')
            chosen = given.removesuffix('://') if given else 'tls' if options.get('security') else protocol
            server = {'dashboard_address': options.get('dashboard_address', ':0')}
            server.update(options.get('scheduler_kwargs') or {})
            if options.get('blocked_handlers'):
                server['blocked_handlers'] = options['blocked_handlers']
            if options.get('scheduler_port'):
                server['port'] = options['scheduler_port']
            if options.get('worker_dashboard_address'):
                workers.update(dashboard=True, dashboard_address=options['worker_dashboard_address'])
            # As LocalCluster divides what the machine has.
            threads, count = options.get('threads_per_worker'), options.get('n_workers')
            if count:
                # Each has a host of its own here, and these are one machine.
                workers.setdefault('memory_limit', MEMORY_LIMIT // count)
            if count is None:
                count = 1 if options.get('processes') is False else max(1, CPU_COUNT // (threads or 1))
            super().__init__(
                hosts, connector='local', workers=count, nthreads=threads or max(1, CPU_COUNT // max(1, count)),
                memory_limit=workers.pop('memory_limit', 'auto'),
                protocol=chosen, worker_options=workers, scheduler_options={k: v for k, v in server.items() if v},
                **kept(options, 'asynchronous', 'loop', 'name', 'security', 'silence_logs'))

    class SpecCluster(Ours):
        def __init__(self, workers: Any = None, scheduler: Any = None, worker: Any = None, **options: Any) -> None:
            if options.pop('shutdown_scheduler', True) is not True:
                skip('shutdown_scheduler= is no option of ours')
            servers = [options_of_servers(each) for each in (workers or {}).values()]
            like = options_of_servers(worker) if worker else servers[0] if servers else {}
            if any(each != like for each in servers):
                skip('its workers differ')
            like = {name: value for name, value in like.items() if name != 'port'}
            super().__init__(
                hosts, connector='local', workers=len(servers), nthreads=like.pop('nthreads', 1), protocol=protocol,
                memory_limit=like.pop('memory_limit', 'auto'), worker_options=like,
                scheduler_options=dict((scheduler or {}).get('options') or {}), **options)

    class SSHCluster(Ours):
        _supports_scaling = False

        def __init__(self, hosts: Any = None, connect_options: Any = None, worker_options: Any = None,
                     scheduler_options: Any = None, remote_python: Any = None, **options: Any) -> None:
            names = [f'{host}-{number}' for number, host in enumerate(hosts or ())]
            workers = dict(worker_options or {})
            python = remote_python[0] if isinstance(remote_python, list) else remote_python
            super().__init__(
                names, workers=max(len(names) - 1, 0), workers_per_host=workers.pop('n_workers', 1),
                scheduler=names[-1] if names else None, protocol=protocol, python=python or sys.executable,
                nthreads=workers.pop('nthreads', 1), memory_limit=workers.pop('memory_limit', 'auto'),
                ssh_args=settings['ssh'], worker_options=workers,
                scheduler_options={'dashboard_address': '127.0.0.1:0', **(scheduler_options or {})}, **options)

    Original = local.LocalCluster
    for module in distributed, distributed.deploy, dask.distributed, local, spec, ssh:
        for ours in LocalCluster, SpecCluster, SSHCluster:
            if hasattr(module, ours.__name__):
                setattr(module, ours.__name__, ours)
    COUNTED.append(Ours)


COUNTED: list[Any] = []


def pytest_configure() -> None:
    if SETTINGS in os.environ:
        replace(json.loads(os.environ[SETTINGS]))


def pytest_runtest_logreport(report: Any) -> None:
    """Tell the last word on the test."""
    if SETTINGS not in os.environ:
        return
    text = ''
    if report.failed:
        text = str(report.longrepr).strip().splitlines()[-1] if report.longrepr else ''
    elif report.skipped:
        text = str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.wasxfail)
    outcome = report.outcome
    if outcome == 'passed' and report.when == 'call' and not any(kind.made for kind in COUNTED):
        outcome, text = 'none', NONE_MADE
    with Path(json.loads(os.environ[SETTINGS])['answer']).open('a') as file:
        file.write(json.dumps([report.when, outcome, text, str(report.longrepr or '')]) + '\n')


# In the process that runs them all.


def source(folder: Path, given: str | None) -> Path:
    """Return a folder with the source of the version that is installed."""
    from distributed import __version__ as version

    if given:
        return Path(given)
    there = folder / f'distributed-{version}'
    if not there.exists():
        subprocess.run(['git', 'clone', '-q', '--depth', '1', '--branch', version, ADDRESS, str(there)], check=True)
    return there


def prepare(folder: Path, source: Path) -> Path:
    """Return a folder with the tests alone, so that the distributed that is installed is the one that they import."""
    there = folder / 'tests'
    shutil.rmtree(there, ignore_errors=True)
    there.mkdir(parents=True)
    for name in FILES:
        shutil.copy(source / 'distributed' / 'deploy' / 'tests' / f'{name}.py', there)
    shutil.copy(source / 'conftest.py', there)
    (there / 'pytest.ini').write_text(
        '[pytest]\naddopts = -p no:asyncio -p no:cacheprovider\nmarkers =\n    slow: a slow test\n    leaking: leaks\n'
        '    workerstate: of a worker\n    ipython: of IPython\n    gpu: of GPUs\n    ci1: of a part\n')
    return there


def certificates(folder: Path) -> str:
    """Make the certificates that tests of distributed name, as its repository has them; return their folder."""
    there = folder / 'certificates'
    shutil.rmtree(there, ignore_errors=True)
    there.mkdir()
    new = ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '3650']
    for words in (
        ['-subj', '/CN=distributed', '-keyout', 'tls-ca-key.pem', '-out', 'tls-ca-cert.pem'],
        ['-subj', '/CN=localhost', '-keyout', 'tls-key.pem', '-out', 'tls-cert.pem', '-CA', 'tls-ca-cert.pem',
         '-CAkey', 'tls-ca-key.pem'],
    ):
        subprocess.run([*new, *words], cwd=there, check=True, capture_output=True)
    both = [(there / name).read_text() for name in ('tls-key.pem', 'tls-cert.pem')]
    (there / 'tls-key-cert.pem').write_text(''.join(both))
    return str(there)


def names_of(tests: Path, wanted: list[str]) -> list[str]:
    """Return the tests whose names have one of the parts that are wanted."""
    found = subprocess.run(
        [sys.executable, '-m', 'pytest', '--collect-only', '-q', *(f'{name}.py' for name in FILES)],
        cwd=tests, capture_output=True, text=True).stdout.splitlines()
    names = [line for line in found if '::' in line]
    if not names:
        raise SystemExit('no tests were found:\n' + '\n'.join(found))
    return [name for name in names if not wanted or any(part in name for part in wanted)]


def run(tests: Path, name: str, settings: dict[str, Any]) -> list[str]:
    """Run one test; return its outcome, the reason, and all that it printed."""
    with tempfile.TemporaryDirectory(prefix='econtext-dask-tests-') as folder:
        answer = Path(folder, 'answer')
        answer.touch()
        paths = os.pathsep.join([str(HERE), str(ROOT / 'src')])
        process = subprocess.Popen(
            [sys.executable, '-m', 'pytest', '-q', '-p', 'dask_cluster_tests', '--runslow', name], cwd=tests,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, 'PYTHONPATH': paths, SETTINGS: json.dumps({**settings, 'answer': str(answer)})})
        try:
            printed = process.communicate(timeout=LIMIT)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            return ['failed', f'it took more than {LIMIT} s', process.communicate()[0]]
        reports = [json.loads(line) for line in answer.read_text().splitlines()]
    for wanted in 'failed', 'skipped', 'none':
        for _, outcome, text, _ in reports:
            if outcome == wanted:
                return [outcome, text, printed]
    return ['passed' if reports else 'failed', '' if reports else 'pytest did not run it', printed]


def judged(name: str, outcome: str, text: str) -> tuple[str, str]:
    """Return the word of the table for an outcome, and the reason."""
    reason = ELSEWHERE.get(name.split('::')[1].split('[')[0])
    if outcome == 'passed':
        return 'pass', ''
    if outcome == 'failed' and reason is None:
        return 'FAIL', text
    return NO_CLUSTER, reason or text.removeprefix('Skipped: ').removeprefix(f'{NO_CLUSTER}: ')


@contextlib.contextmanager
def server() -> Iterator[list[str]]:
    """Have an ssh server; give the options by which it is reached."""
    sys.path += [str(ROOT), str(ROOT / 'tests')]
    from lab.sshd import Sshd

    with tempfile.TemporaryDirectory(prefix='econtext-dask-tests-') as folder, Sshd(Path(folder) / 'sshd') as sshd:
        yield ['-F', str(sshd.config), '-o', f'HostName={sshd.address}']


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--folder', type=Path, required=True)
    parser.add_argument('--source')
    parser.add_argument('--protocol', action='append', choices=PROTOCOLS)
    parser.add_argument('--again', action='store_true')
    parser.add_argument('tests', nargs='*', metavar='TEST')
    options = parser.parse_args()
    folder = options.folder.resolve()
    protocols = options.protocol or list(PROTOCOLS)
    tests = prepare(folder, source(folder, options.source))
    results = folder / 'results'
    results.mkdir(exist_ok=True)
    made = certificates(folder)
    rows: dict[str, dict[str, tuple[str, str]]] = {}
    with server() as ssh:
        for name in names_of(tests, options.tests):
            for protocol in protocols:
                kept = results / f'{name.replace("/", "_")}.{protocol}.json'
                if options.again or not kept.exists():
                    settings = {'protocol': protocol, 'ssh': ssh, 'certificates': made}
                    kept.write_text(json.dumps(run(tests, name, settings)))
                outcome, text, _ = json.loads(kept.read_text())
                rows.setdefault(name, {})[protocol] = judged(name, outcome, text)
            told = [': '.join(filter(None, rows[name][protocol])) for protocol in protocols]
            print(name, *told, sep=' | ', flush=True)
    print(f'\n| test | {" | ".join(protocols)} | reason |\n|---|{"---|" * len(protocols)}---|')
    for name, row in rows.items():
        reason = next((text for _, text in row.values() if text), '')
        print(f'| {name} | {" | ".join(word for word, _ in row.values())} | {reason} |')
    words = [word for row in rows.values() for word, _ in row.values()]
    print(f'\n{words.count("pass")} passed, {words.count("FAIL")} failed, {words.count(NO_CLUSTER)} do not apply')
    return int('FAIL' in words)


if __name__ == '__main__':
    sys.exit(main())
