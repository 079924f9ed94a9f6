"""A cluster of Dask whose workers are contexts: `econtext.dask.Cluster`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import econtext
from lab import eventually, leaks, require
from lab.pythons import interpreter
from lab.sshd import Sshd

pytest.importorskip('distributed')
import distributed  # noqa: E402
from dask import config as configuration  # noqa: E402
from dask import system  # noqa: E402
from distributed.system import MEMORY_LIMIT  # noqa: E402

from econtext import dask  # noqa: E402
from econtext.controller import frames  # noqa: E402
from econtext.controller.dask import server  # noqa: E402

WAIT = 60
MODULE = '''
    import logging, os, time
    from parts import inner

    def double(x):
        return inner.times(x, 2)

    def where(x):
        return os.getpid()

    def say(x):
        print('printed by a task')
        logging.getLogger('app').warning('logged by a task')
        return x

    def once(path, x):
        """End the worker at the first call, with its process."""
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return x
        os.kill(os.getpid(), 9)

    def slowly(x, seconds):
        time.sleep(seconds)
        return x
'''
SHOWN = """
    from tornado import web, websocket

    class Page(web.RequestHandler):
        def get(self):
            self.write({'path': self.request.uri, 'own': self.request.headers.get('X-Own', '')})

        def post(self):
            self.set_status(201)
            self.write(bytes(reversed(self.request.body)))

    class Echo(websocket.WebSocketHandler):
        def on_message(self, message):
            self.write_message(message, binary=isinstance(message, bytes))

    def show(dask_worker):
        dask_worker.http_application.add_handlers('.*', [('/page/.*', Page), ('/echo', Echo)])
"""
FILES = {'jobs.py': MODULE, 'shown.py': SHOWN, 'parts/__init__.py': '',
         'parts/inner.py': 'def times(x, n):\n    return x * n\n'}


@pytest.fixture(autouse=True, scope='module')
def threads_of_dask() -> None:
    """Start what distributed starts once for a process, and leaves; load what makes certificates, for good."""
    distributed.Security.temporary()
    options = {'processes': False, 'threads_per_worker': 1, 'dashboard_address': ':0'}
    with distributed.LocalCluster(1, **options) as cluster, distributed.Client(cluster) as client:
        assert client.submit(len, b'x' * (1 << 21)).result() == 1 << 21


@pytest.fixture
def jobs(program: Callable[..., Any]) -> Any:
    return program(FILES, 'jobs')


def hosts(broker: econtext.Broker, count: int) -> list[econtext.Context]:
    return [broker.local(python=sys.executable, name=f'host{number}') for number in range(count)]


def start(where: Any, **options: Any) -> Any:
    return dask.Cluster(where, scheduler_options={'dashboard_address': '127.0.0.1:0'}, nthreads=1, **options)


def workers(client: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.scheduler_info(n_workers=-1)['workers']
    return found


def folders(client: Any) -> list[str]:
    return [worker['local_directory'] for worker in workers(client).values()]


# -- How it starts ----------------------------------------------------------------


def test_workers_load_while_the_scheduler_starts(broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = threading.Semaphore(0)
    load = server.Server.load

    def loads(worker: server.Server) -> None:
        load(worker)
        loaded.release()

    class Waits(distributed.Scheduler):  # type: ignore[misc]
        async def start_unsafe(self) -> Any:
            for _ in range(2):
                assert await asyncio.to_thread(loaded.acquire, timeout=WAIT), 'a worker waits for the scheduler'
            return await super().start_unsafe()

    monkeypatch.setattr(server.Server, 'load', loads)
    monkeypatch.setattr(distributed, 'Scheduler', Waits)
    with start(hosts(broker, 2)) as cluster, distributed.Client(cluster) as client:
        assert len(workers(client)) == 2


def test_a_worker_asks_the_program_for_none_of_the_modules_that_its_host_has(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    answer = frames.Frames.answer

    def answers(self: Any, context: Any, handle: int, name: str, here: Any, ask: Any) -> None:
        asked.append(name)
        answer(self, context, handle, name, here, ask)

    monkeypatch.setattr(frames.Frames, 'answer', answers)
    with start(hosts(broker, 1)) as cluster, distributed.Client(cluster) as client:
        assert len(workers(client)) == 1
    assert {'distributed', 'dask', 'numpy', 'tornado', 'msvcrt'} & set(asked) == set()
    assert len(asked) < 10, 'each question is a trip to the program'


def test_an_own_module_of_the_program_goes_before_one_that_the_host_has(
    broker: econtext.Broker, program: Callable[..., Any]
) -> None:
    own = program({'pynvml.py': 'raise ImportError("of the program")\n', 'uses.py': '''
        def why():
            try:
                import pynvml
            except ImportError as error:
                return str(error)
    '''}, 'uses')
    with start(hosts(broker, 1)) as cluster, distributed.Client(cluster) as client:
        assert client.submit(own.why).result(WAIT) == 'of the program'


def test_a_client_starts_a_cluster_within_its_event_loop(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = server.Server.load

    def noted(worker: server.Server) -> None:
        loads.append(worker.name)
        load(worker)

    async def made(places: Any) -> Any:
        return await start(places, loop=loop.loop)

    monkeypatch.setattr(server.Server, 'load', noted)
    loop = distributed.utils.LoopRunner()
    loop.start()
    try:
        with loop.run_sync(made, hosts(broker, 2)) as cluster, distributed.Client(cluster) as client:
            assert len(client.nthreads()) == 2, 'the workers have started'
            assert sorted(loads) == ['host0.dask', 'host1.dask'], 'each once'
    finally:
        loop.stop()


def test_what_was_prepared_for_nothing_is_ended(broker: econtext.Broker) -> None:
    places = hosts(broker, 2)

    def left() -> set[str]:
        return {context.name for context in broker._tree.contexts.values() if context.name.endswith('.dask')}

    async def fewer() -> None:
        async with start(places, asynchronous=True) as cluster:
            assert len(cluster.workers) == 2
        cluster = start(places, asynchronous=True)
        cluster.scale(1)
        async with cluster:
            assert len(cluster.workers) == 1
            await asyncio.to_thread(eventually, lambda: len(left()) == 1)

    async def never() -> None:
        cluster = start(places, asynchronous=True)
        await cluster.close()

    asyncio.run(fewer())
    asyncio.run(never())
    eventually(lambda: left() == set())


# -- What it computes -------------------------------------------------------------


def test_functions_of_the_program_with_their_imports(broker: econtext.Broker, jobs: Any) -> None:
    with start(hosts(broker, 2)) as cluster, distributed.Client(cluster) as client:
        assert sorted(worker['name'] for worker in workers(client).values()) == ['host0', 'host1']
        assert all(address.startswith('econtext://') for address in workers(client))
        doubled = client.map(jobs.double, range(20))
        assert client.submit(sum, doubled).result(WAIT) == 2 * sum(range(20))
        assert os.getpid() not in client.gather(client.map(jobs.where, range(4)))
        # Between workers, and large.
        addresses = list(workers(client))
        far = client.submit(bytes, 105 << 20, workers=addresses[0])
        assert client.submit(len, far, workers=addresses[1]).result(WAIT) == 105 << 20
        assert client.run(os.getpid).keys() == set(addresses)
        gone = folders(client)
        assert all(map(os.path.isdir, gone))
    assert not any(map(os.path.exists, gone))


def test_over_ssh_with_the_scheduler_on_a_host(broker: econtext.Broker, jobs: Any, sshd: Sshd) -> None:
    fleet = broker.fleet(['lab', 'lab2'], ssh_args=['-F', str(sshd.config), '-o', f'HostName={sshd.address}'],
                         python=sys.executable)
    with start(fleet, scheduler='lab', workers_per_host=2) as cluster, distributed.Client(cluster) as client:
        assert sorted(worker['name'] for worker in workers(client).values()) == ['lab', 'lab#2', 'lab2', 'lab2#2']
        assert client.run_on_scheduler(os.getpid) != os.getpid()
        with urllib.request.urlopen(cluster.dashboard_link.replace('/status', '/health'), timeout=WAIT) as answer:
            assert answer.read() == b'ok'
        assert client.submit(sum, client.map(jobs.double, range(20))).result(WAIT) == 2 * sum(range(20))
    assert fleet.call(os.getpid).failures == {}


def test_hosts_by_name_are_of_the_cluster_alone(jobs: Any) -> None:
    names = ['a', 'b']
    options = {'dashboard_address': '127.0.0.1:0'}
    with dask.Cluster(
        names, connector='local', python=sys.executable, workers_per_host=2, workers=3, scheduler_options=options,
    ) as cluster, distributed.Client(cluster) as client:
        assert client.submit(jobs.double, 4).result(WAIT) == 8
        assert sorted(worker['name'] for worker in workers(client).values()) == ['a', 'a#2', 'b']
        share = max(1, system.CPU_COUNT // 2)
        assert {worker['nthreads'] for worker in workers(client).values()} == {share}


@pytest.mark.parametrize('nthreads', [None, 1])
def test_the_workers_of_a_host_share_its_memory(broker: econtext.Broker, nthreads: int | None) -> None:
    count = system.CPU_COUNT + 1
    with dask.Cluster(
        hosts(broker, 1), workers_per_host=count, nthreads=nthreads,
        scheduler_options={'dashboard_address': '127.0.0.1:0'},
    ) as cluster, distributed.Client(cluster) as client:
        limits = [worker['memory_limit'] for worker in workers(client).values()]
    assert len(limits) == count
    assert 0.9 * MEMORY_LIMIT < sum(limits) <= MEMORY_LIMIT


def test_ports_where_hosts_reach_each_other(broker: econtext.Broker, jobs: Any) -> None:
    options = {'dashboard_address': '127.0.0.1:0', 'host': '127.0.0.1'}
    with dask.Cluster(
        hosts(broker, 1), protocol='tls', security=True, scheduler_options=options,
    ) as cluster, distributed.Client(cluster) as client:
        assert all(address.startswith('tls://') for address in workers(client))
        assert client.submit(jobs.double, 4).result(WAIT) == 8


def test_output_comes_as_records(
    broker: econtext.Broker, jobs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with start(hosts(broker, 1)) as cluster, distributed.Client(cluster) as client:
        assert client.submit(jobs.say, 1).result(WAIT) == 1

        def said() -> set[tuple[str, str]]:
            return {(record.getMessage(), record.levelname) for record in caplog.records
                    if record.name == 'econtext.ctx.host0.dask'}

        eventually(lambda: {('stdout: printed by a task', 'INFO'), ('app: logged by a task', 'WARNING')} <= said())
        assert any(text.startswith('distributed.worker: ') for text, _ in said())


def test_servers_keep_what_they_log(broker: econtext.Broker, caplog: pytest.LogCaptureFixture) -> None:
    with start(hosts(broker, 1)) as cluster, distributed.Client(cluster) as client:
        (kept,) = client.get_worker_logs().values()
    assert any('Registered to' in text for _, text in kept)
    assert 'Registered to' not in caplog.text, 'what is below the level of the program is not sent'


def test_configuration_is_that_of_the_program(broker: econtext.Broker) -> None:
    name = 'distributed.worker.memory.target'
    with configuration.set({name: 0.125}), start(hosts(broker, 1)) as cluster, distributed.Client(cluster) as client:
        assert list(client.run(configuration.get, name).values()) == [0.125]


# -- What it shows ----------------------------------------------------------------


def pages(cluster: Any, path: str = '') -> list[str]:
    """Return the addresses of `path` at each worker, as the scheduler's pages name the workers."""
    base = cluster.dashboard_link.removesuffix('status')
    with urllib.request.urlopen(base + 'info/main/workers.html', timeout=WAIT) as answer:
        found = re.findall(r'href="../../(proxy/[0-9]+/[^/"]+/)status"', answer.read().decode())
    return [base + each + path for each in found]


def read(address: str, data: bytes | None = None, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, data, headers), timeout=WAIT) as answer:
        text: bytes = answer.read()
    return text


def status_of(address: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        read(address)
    with caught.value as error:
        return error.code


@pytest.fixture(params=['here', 'on a host', 'tcp', 'tls', 'tls on a host'])
def shown(request: pytest.FixtureRequest, broker: econtext.Broker) -> Iterator[Any]:
    """A cluster of two workers whose scheduler is here or on a host; no host has a name that anybody resolves."""
    places = hosts(broker, 2)
    options: dict[str, Any] = {'scheduler_options': {'dashboard_address': '127.0.0.1:0'}}
    if request.param.endswith('on a host'):
        options['scheduler'] = places[0]
    if request.param == 'tcp':
        # The workers' pages are at an address that is not the one that the scheduler has of them.
        options['protocol'] = 'tcp'
        options['scheduler_options']['host'] = '127.0.0.1'
        options['worker_options'] = {'dashboard_address': '127.0.0.2:0'}
    if request.param.startswith('tls'):
        options.update(protocol='tls', security=True)
        options['scheduler_options']['host'] = '127.0.0.1'
    with dask.Cluster(places, nthreads=1, **options) as cluster:
        yield cluster


def test_pages_of_workers_are_behind_those_of_the_scheduler(shown: Any, program: Callable[..., Any]) -> None:
    with distributed.Client(shown) as client:
        client.run(program(FILES, 'shown').show)
        assert [read(page) for page in pages(shown, 'health')] == [b'ok', b'ok']
        page, other = pages(shown)
        answer = json.loads(read(page + 'page/a%20b?c=d%2F', **{'X-Own': 'é'}))
        assert answer == {'path': '/page/a%20b?c=d%2F', 'own': 'é'}
        sent = os.urandom(3 << 20)
        kind = {'Content-Type': 'application/octet-stream'}
        assert read(other + 'page/', sent, **kind) == sent[::-1]
        assert read(other + 'page/', b'', **kind) == b''
        assert status_of(page + 'nothing') == 404
        # A browser keeps its connection to the scheduler for as long as it wants.
        assert read(shown.dashboard_link.replace('status', 'health')) == b'ok'

        async def echo() -> list[Any]:
            from tornado.websocket import websocket_connect

            line = await websocket_connect(page.replace('http:', 'ws:') + 'echo')
            answers = []
            for message in 'text', bytes(1 << 20):
                await line.write_message(message, binary=isinstance(message, bytes))
                answers.append(await line.read_message())
            line.close()
            # The other end closes too.
            answers.append(await line.read_message())
            return answers

        assert asyncio.run(echo()) == ['text', bytes(1 << 20), None]


def test_pages_of_no_worker(broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    with start(hosts(broker, 2)) as cluster, distributed.Client(cluster) as client:
        page, other = pages(cluster)
        port, host = page.split('/')[-3:-1]
        scheduler = cluster.dashboard_link.split(':')[-1].split('/')[0]
        for wrong in f'{scheduler}/{host}', f'{scheduler}/127.0.0.1', f'{port}/127.0.0.1', f'0/{host}':
            assert status_of(page.replace(f'{port}/{host}', wrong) + 'health') == 404
        client.retire_workers(names=['host0'])
        eventually(lambda: len(workers(client)) == 1)
        left = [host for host in ('host0', 'host1') if f'/{host}/' in ''.join(pages(cluster))]
        assert left == ['host1']
        assert [status_of(each + 'health') for each in (page, other) if '/host0/' in each] == [404]
        # The link of a worker is gone, and the scheduler has not heard of that yet.
        cluster._hub.members.clear()
        assert status_of(pages(cluster, 'health')[0]) == 502


def test_pages_where_each_host_has_a_network_of_its_own(broker: econtext.Broker) -> None:
    require('unshare')
    places = [broker.unshare(namespaces=['net'], name=name, python=sys.executable) for name in ('left', 'right')]
    with start(places) as cluster, distributed.Client(cluster):
        assert [read(page) for page in pages(cluster, 'health')] == [b'ok', b'ok']


def test_the_dashboard_of_a_scheduler_that_listens_elsewhere(broker: econtext.Broker) -> None:
    places = hosts(broker, 1)
    for address in '127.0.0.2:0', ':0':
        options = {'dashboard_address': address, 'http_prefix': '/under/proxy/this'}
        with dask.Cluster(places, scheduler=places[0], nthreads=1, scheduler_options=options) as cluster:
            base = cluster.dashboard_link.removesuffix('status')
            assert base.startswith('http://127.0.0.1:')
            assert read(base + 'under/proxy/this/health') == b'ok'
            with distributed.Client(cluster) as client:
                [worker] = workers(client).values()
            path = f'under/proxy/this/proxy/{worker["services"]["dashboard"]}/host0/health'
            assert read(base + path) == b'ok'


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A file with a certificate and its key."""
    made = distributed.Security.temporary()
    file = tmp_path / 'certificate.pem'
    file.write_text(made.tls_scheduler_cert + made.tls_scheduler_key)
    return file


PAGES_TLS = 'distributed.scheduler.dashboard.tls'


def test_pages_by_https(broker: econtext.Broker, certificate: Path) -> None:
    trust = ssl.create_default_context(cafile=str(certificate))
    trust.check_hostname = False
    places = hosts(broker, 1)
    with certificate.open() as file:
        # For this program alone there is such a file: no worker needs one.
        own = f'/proc/self/fd/{file.fileno()}'
        for path, scheduler in (own, None), (str(certificate), places[0]):
            with configuration.set({f'{PAGES_TLS}.cert': path, f'{PAGES_TLS}.key': path}), start(
                    places, scheduler=scheduler) as cluster, distributed.Client(cluster) as client:
                [worker] = workers(client).values()
                assert cluster.dashboard_link.startswith('https://127.0.0.1:')
                page = f'proxy/{worker["services"]["dashboard"]}/host0/health'
                with urllib.request.urlopen(
                        cluster.dashboard_link.replace('status', page), timeout=WAIT, context=trust) as answer:
                    assert answer.read() == b'ok'


def test_a_certificate_that_is_not_on_the_host(broker: econtext.Broker, certificate: Path) -> None:
    with certificate.open() as file:
        own = f'/proc/self/fd/{file.fileno()}'
        fitting = {f'tls_{kind}_{what}': own for kind in ('scheduler', 'client', 'worker') for what in ('cert', 'key')}
        security = distributed.Security(tls_ca_file=str(certificate), **fitting)
        options = {'dashboard_address': '127.0.0.1:0', 'host': '127.0.0.1'}
        with pytest.raises(FileNotFoundError, match=(
                r'security\.tls_worker_cert is a path, and this host has no file there(.|\n)*In context host0\.dask')):
            dask.Cluster(hosts(broker, 1), protocol='tls', security=security, scheduler_options=options)
        with configuration.set({f'{PAGES_TLS}.cert': own}), pytest.raises(
                FileNotFoundError, match=re.escape(f'{PAGES_TLS}.cert is a path')):
            start(hosts(broker, 1), worker_options={'dashboard_address': ':0'})


def test_no_worker_has_the_key_of_the_scheduler(broker: econtext.Broker) -> None:
    options = {'dashboard_address': '127.0.0.1:0', 'host': '127.0.0.1'}
    places = hosts(broker, 1)
    with dask.Cluster(
        places, protocol='tls', security=True, scheduler=places[0], scheduler_options=options,
    ) as cluster, distributed.Client(cluster) as client:
        def keys(server: Any) -> list[bool]:
            return [bool(getattr(server.security, f'tls_{kind}_key')) for kind in ('scheduler', 'worker')]

        assert client.run(lambda dask_worker: keys(dask_worker)).popitem()[1] == [False, True]
        assert client.run_on_scheduler(lambda dask_scheduler: keys(dask_scheduler)) == [True, False]


def test_pages_of_workers_that_dask_is_configured_not_to_show(broker: econtext.Broker) -> None:
    name = 'distributed.scheduler.http.routes'
    routes = [each for each in configuration.get(name) if each != 'distributed.http.proxy']
    with configuration.set({name: routes}), start(hosts(broker, 1)) as cluster, distributed.Client(cluster):
        assert status_of(pages(cluster, 'health')[0]) == 404


# -- How many workers there are ---------------------------------------------------


def test_scale_up_and_down_and_adapt(broker: econtext.Broker, jobs: Any) -> None:
    with start(hosts(broker, 2), workers=1) as cluster, distributed.Client(cluster) as client:
        kept = client.submit(jobs.double, 21)
        assert kept.result(WAIT) == 42
        cluster.scale(2)
        client.wait_for_workers(2, timeout=WAIT)
        with pytest.raises(ValueError, match='3 workers are wanted, and there are places for 2'):
            cluster.scale(3)
        with pytest.raises(ValueError, match='3 workers are wanted'):
            cluster.scale(cores=3)
        cluster.scale(1)
        eventually(lambda: len(workers(client)) == 1)
        assert kept.result(WAIT) == 42
        del kept
        cluster.scale(0)
        eventually(lambda: len(workers(client)) == 0)
        adaptive = cluster.adapt(minimum=0, interval='50ms', wait_count=2)
        assert adaptive.maximum == 2
        assert client.submit(jobs.double, 4).result(WAIT) == 8
        eventually(lambda: len(workers(client)) == 0)


def test_scale_by_cores_and_memory(broker: econtext.Broker) -> None:
    with start(hosts(broker, 2), workers=0, memory_limit='1 GB') as cluster, distributed.Client(cluster) as client:
        with pytest.raises(ValueError, match='places for 2'):
            cluster.scale(memory='3 GB')
        with pytest.raises(ValueError, match='places for 2'):
            cluster.scale(cores=3)
        assert not cluster.worker_spec
        cluster.scale(memory='1.5 GB')
        client.wait_for_workers(2, timeout=WAIT)
        cluster.scale(cores=1)
        assert len(cluster.worker_spec) == 1


def test_a_worker_that_is_closed_counts_no_more_and_is_started_when_asked(broker: econtext.Broker, jobs: Any) -> None:
    with start(hosts(broker, 2)) as cluster, distributed.Client(cluster) as client:
        before = set(workers(client))
        cluster.sync(cluster.workers['host0'].close)
        eventually(lambda: set(cluster.workers) == {'host1'})
        assert set(cluster.worker_spec) == {'host0', 'host1'}
        cluster.scale(2)
        eventually(lambda: len(workers(client)) == 2 and set(workers(client)) != before)
        assert client.submit(jobs.double, 4, workers='host0').result(WAIT) == 8


def test_a_worker_that_is_closed_before_it_has_started(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    load = server.Server.load

    def waits(worker: server.Server) -> None:
        assert goes_on.wait(WAIT)
        load(worker)

    with start(hosts(broker, 1), workers=0) as cluster, distributed.Client(cluster) as client:
        monkeypatch.setattr(server.Server, 'load', waits)
        try:
            cluster.scale(1)
            eventually(lambda: list(cluster.workers) == ['host0'])
            cluster.sync(cluster.workers['host0'].close)
            assert not cluster.workers
        finally:
            goes_on.set()
        cluster.scale(1)
        client.wait_for_workers(1, timeout=WAIT)


def test_a_worker_that_is_killed(broker: econtext.Broker, jobs: Any, tmp_path: Path) -> None:
    with start(hosts(broker, 2)) as cluster, distributed.Client(cluster) as client:
        before = client.run(os.getpid)
        left = dict(zip(workers(client), folders(client), strict=True))
        assert client.submit(jobs.once, str(tmp_path / 'once'), 7).result(WAIT) == 7
        eventually(lambda: len(workers(client)) == 2 and set(workers(client)) != set(before))
        after = client.run(os.getpid)
        assert len(set(before.values()) & set(after.values())) == 1
        [lost] = set(before) - set(after)
        eventually(lambda: not os.path.exists(left[lost]))


def test_restart(broker: econtext.Broker, jobs: Any) -> None:
    with start(hosts(broker, 2)) as cluster, distributed.Client(cluster) as client:
        before = set(client.run(os.getpid).values())
        client.restart(timeout=WAIT)
        client.wait_for_workers(2, timeout=WAIT)
        assert not before & set(client.run(os.getpid).values())
        assert client.submit(jobs.double, 4).result(WAIT) == 8


def test_a_host_that_is_lost_is_connected_again(broker: econtext.Broker, jobs: Any) -> None:
    fleet = broker.fleet(['a', 'b'], connector='local', python=sys.executable)
    with start(fleet) as cluster, distributed.Client(cluster) as client:
        before = client.run(os.getpid)
        os.kill(fleet.context('a').pid, signal.SIGKILL)
        eventually(lambda: len(set(client.run(os.getpid, on_error='ignore').values()) - set(before.values())) == 1)
        assert client.submit(jobs.double, 4, workers='a').result(WAIT) == 8


# -- How it ends ------------------------------------------------------------------


def test_the_workers_end_with_a_scheduler_that_is_killed(
    broker: econtext.Broker, jobs: Any, caplog: pytest.LogCaptureFixture,
) -> None:
    places = hosts(broker, 2)
    with start(places, scheduler=places[0]) as cluster:
        with distributed.Client(cluster) as client:
            pids = [*client.run(os.getpid).values(), client.run_on_scheduler(os.getpid)]
            gone = folders(client)
            os.kill(pids[-1], 9)
            eventually(lambda: not any(map(leaks.alive, pids)), what='the workers have ended')
        eventually(lambda: 'the scheduler of the cluster has ended' in caplog.text)
        assert not any(map(os.path.exists, gone))
        # None is started again.
        assert 'started again' not in caplog.text
    assert [place.call(len, 'free') for place in places] == [4, 4]


def test_close_ends_a_task_that_runs(broker: econtext.Broker, jobs: Any) -> None:
    with start(hosts(broker, 1)) as cluster, distributed.Client(cluster) as client:
        [pid] = client.run(os.getpid).values()
        future = client.submit(jobs.slowly, 1, 600)
        eventually(lambda: client.processing() and any(client.processing().values()))
        del future
    assert not leaks.alive(pid)


PROGRAM = '''
import sys, time
import distributed, econtext, econtext.dask, jobs

with econtext.Broker() as broker:
    fleet = broker.fleet(['a', 'b'], connector='local', python=sys.executable)
    with econtext.dask.Cluster(fleet, scheduler_options={'dashboard_address': '127.0.0.1:0'}) as cluster:
        with distributed.Client(cluster) as client:
            folders = [worker['local_directory'] for worker in client.scheduler_info(n_workers=-1)['workers'].values()]
            task = client.submit(jobs.slowly, 1, 600)
            print(*folders, flush=True)
            time.sleep(600)
'''


def test_nothing_is_left_after_the_program_was_killed(jobs: Any, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, '-c', PROGRAM], cwd=tmp_path / 'application', stdout=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(tmp_path / 'application'), *sys.path])})
    assert process.stdout is not None
    left = process.stdout.readline().split()
    below = leaks.descendants(process.pid)
    # Two hosts, and two workers.
    assert len(below) >= 4
    assert len(left) == 2
    assert all(map(os.path.isdir, left))
    process.kill()
    process.wait()
    process.stdout.close()
    eventually(lambda: not any(leaks.alive(each.pid) for each in below), 10, 'all processes have ended')
    assert not any(map(os.path.exists, left))


# -- What is refused --------------------------------------------------------------


def test_a_python_that_does_not_fit(broker: econtext.Broker) -> None:
    with pytest.raises(econtext.EcontextError, match='needs the same version; name such a Python with python='):
        start([broker.local(python=interpreter('2.7'), name='old')])


def test_a_python_without_distributed(broker: econtext.Broker, tmp_path: Path) -> None:
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', tmp_path / 'bare'], check=True)
    with pytest.raises(econtext.EcontextError, match=r'distributed is not installed for .*bare/bin/python: run there'):
        start([broker.local(python=str(tmp_path / 'bare' / 'bin' / 'python'), name='bare')])


def test_wrong_use(broker: econtext.Broker) -> None:
    [context] = hosts(broker, 1)
    for error, options in (
        (ValueError, {'workers': 2}), (ValueError, {'workers_per_host': 0}), (ValueError, {'protocol': 'ucx'}),
        (ValueError, {'start_timeout': 'soon'}), (ValueError, {'scheduler': 'elsewhere'}),
        (TypeError, {'username': 'me'}),
    ):
        with pytest.raises(error):
            dask.Cluster([context], **options)
    with pytest.raises(ValueError, match='needs a host'):
        dask.Cluster([])
    with pytest.raises(TypeError):
        dask.Cluster([context, 'web1'])
    with pytest.raises(econtext.ConnectError):
        dask.Cluster(['a'], connector='local', python='/nothing/python')


def test_without_distributed(tmp_path: Path) -> None:
    code = (
        'import sys\nsys.modules["distributed"] = None\n'
        'try:\n    import econtext.dask\nexcept ImportError as error:\n    print(error)\n')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True,
                          env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    assert "run pip install 'econtext[dask]'" in done.stdout


def test_econtext_imports_no_distributed() -> None:
    code = 'import sys, econtext; econtext.Broker, econtext.Fleet; sys.exit("distributed" in sys.modules)'
    subprocess.run([sys.executable, '-c', code], check=True,
                   env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})


def test_threads_end() -> None:
    assert not [thread for thread in threading.enumerate() if thread.name.startswith('econtext way')]
