"""Contexts in pods, by the real kubectl; what it speaks to is no real server (lab/kubestub.py)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boxed
import pytest

import econtext
import lab
from econtext.testing import check_connector
from lab import eventually, leaks, reach, roots
from lab.kubestub import KubeStub, Pod


@pytest.fixture(scope='module')
def client() -> str:
    """Version of kubectl, one that speaks what the server does."""
    lab.require('kubectl')
    said = subprocess.run([lab.need('kubectl'), 'version', '--client'], capture_output=True, text=True).stdout
    version = said.split()[2].lstrip('v').split('-')[0]
    if tuple(map(int, version.split('.')[:2])) < (1, 30):
        pytest.skip(f'kubectl {version} speaks SPDY only')
    return version


@pytest.fixture(scope='module')
def server(tmp_path_factory: pytest.TempPathFactory, client: str) -> Iterator[KubeStub]:
    lab.require('roots')
    folder = tmp_path_factory.mktemp('kubernetes')
    app = ['chroot', str(roots.make(folder / 'app', name='app'))]
    web = ['chroot', str(roots.make(folder / 'web', name='web', shell=False))]
    pods = {('shop', 'web-0'): Pod({'app': app, 'web': web}), ('other', 'web-0'): Pod({'web': web}),
            ('shop', 'done'): Pod({'app': app}, 'Succeeded'), ('shop', 'new'): Pod({'app': None})}  # fmt: skip
    with KubeStub(folder, pods) as running:
        yield running


def start(broker: econtext.Broker, server: KubeStub, pod: str, **options: Any) -> econtext.Context:
    return broker.kubectl(pod, **{'kubectl_args': ['--kubeconfig', str(server.config)], **options})


def fails(context: econtext.Context, kind: str, *words: str) -> None:
    with pytest.raises(econtext.ConnectError) as caught:
        context.wait_ready(timeout=60)
    assert caught.value.kind == kind, str(caught.value)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_pods(broker: econtext.Broker, server: KubeStub, client: str) -> None:
    app = start(broker, server, 'web-0')
    assert app.name == 'kubectl.web-0'
    assert app.call(boxed.place)[2] == 'app'
    assert app.call(boxed.echo, b'\0\r\n\x04\x1b' * 300_000) == b'\0\r\n\x04\x1b' * 300_000
    below = app.local()
    assert below.call(boxed.place)[2] == 'app'
    python = '/usr/bin/python3'
    web = start(broker, server, 'pod/web-0', container='web', python=python, name='web')
    other = start(broker, server, 'web-0', namespace='other', kube_context='lab', python=python)
    assert web.call(boxed.place)[2] == other.call(boxed.place)[2] == 'web'
    via = start(broker.local(), server, 'web-0')
    assert via.call(boxed.place)[2] == 'app'
    options = {'pod': 'web-0', 'kubectl_args': ['--kubeconfig', str(server.config)]}
    check_connector('kubectl', options, program='kubectl_path', broker=broker)
    reach.record('connector', 'kubectl', f'kubectl {client} to a stub of the API server')


def test_a_pods_context_ends_with_its_client(broker: econtext.Broker, server: KubeStub) -> None:
    app = start(broker, server, 'web-0')
    pid = app.call(os.getpid)  # the pod's processes are ours to see
    app.close()
    eventually(lambda: not leaks.alive(pid), what='it ends')


def test_failures(broker: econtext.Broker, server: KubeStub, tmp_path: Path) -> None:
    fails(start(broker, server, 'no-such'), 'no-such-box', 'no-such', 'Correct the name')
    fails(start(broker, server, 'web-0', container='no-such'), 'no-such-box', 'no-such')
    fails(start(broker, server, 'web-0', namespace='no-such'), 'no-such-box')
    fails(start(broker, server, 'web-0', kube_context='no-such'), 'no-such-box', 'no-such')
    fails(start(broker, server, 'web-0', namespace='closed'), 'engine-refused', 'forbidden')
    fails(start(broker, server, 'web-0', kube_context='stranger'), 'engine-refused', 'access')
    fails(start(broker, server, 'web-0', kube_context='down'), 'engine-down', 'kube context')
    fails(start(broker, server, 'done'), 'not-running', 'Start it')
    fails(start(broker, server, 'new'), 'not-running')
    fails(start(broker, server, 'web-0', container='web'), 'no-shell', 'python=')
    fails(start(broker, server, 'web-0', python='no-such-python'), 'no-python', 'python=')
    fails(start(broker, server, 'web-0', python=['sh', '-c', 'exit 127']), 'no-python')
    fails(start(broker, server, 'web-0', kubectl_path='no-such-kubectl'), 'not-found', 'no-such-kubectl')
