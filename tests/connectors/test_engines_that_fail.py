"""Engines that cannot start, cannot be reached or lack what was named are told as that: real programs say it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import econtext
from lab import need
from lab.sshd import Sshd

NOBODY = 65534


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """Where engines of that user keep what runs; the process is ended with which podman keeps a namespace."""
    folder = tmp_path / 'run'
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    for file in folder.rglob('pause.pid'):
        os.kill(int(file.read_text()), signal.SIGKILL)


@pytest.fixture
def nobody(broker: econtext.Broker, tmp_path: Path, run: Path) -> econtext.Context:
    """A context of a user who may do nothing, with a home of its own, in an environment of its own."""
    home = tmp_path / 'home'
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    return environment(broker, HOME=str(home), XDG_RUNTIME_DIR=str(run))


def environment(broker: econtext.Broker, **variables: str) -> econtext.Context:
    need('setpriv')
    words = [f'{key}={value}' for key, value in {'PATH': '/usr/local/bin:/usr/bin:/bin', **variables}.items()]
    context = broker.command(
        ['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups', 'env', '-i', *words],
        python='/usr/bin/python3')  # fmt: skip
    context.call(os.chdir, '/')
    return context


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Where nobody listens any more, where somebody listens whom one may not ask, and where there is nothing."""
    found = {}
    kept = []
    for name in 'dead', 'closed':
        path = tmp_path / name
        one = socket.socket(socket.AF_UNIX)
        one.bind(str(path))
        if name == 'closed':
            path.chmod(0o600)
            one.listen()
            kept.append(one)
        else:
            one.close()
        found[name] = f'unix://{path}'
    found['nothing'] = f'unix://{tmp_path}/nothing'
    yield found
    for one in kept:
        one.close()


def fails(context: econtext.Context, kind: str) -> econtext.ConnectError:
    with pytest.raises(econtext.ConnectError) as caught:
        context.wait_ready(60)
    assert caught.value.kind == kind, caught.value
    return caught.value


def test_the_client_of_docker_without_its_engine(
    broker: econtext.Broker, nobody: econtext.Context, sockets: dict[str, str]
) -> None:
    need('docker')
    for where in 'dead', 'nothing':
        for options in {'container': 'web'}, {'image': 'web'}:
            fails(broker.docker(**options, docker_args=['-H', sockets[where]]), 'engine-down')
    fails(nobody.docker('web', docker_args=['-H', sockets['closed']]), 'engine-refused')
    fails(broker.docker('web', docker_args=['-H', 'tcp://127.0.0.1:1']), 'engine-down')
    fails(broker.docker('web', docker_args=['--context', 'no-such']), 'engine-down')
    fails(broker.nsenter(container='web', engine='docker', pid=None), 'engine-down')


def test_podman_by_a_service_that_does_not_answer(
    broker: econtext.Broker, nobody: econtext.Context, sockets: dict[str, str]
) -> None:
    need('podman')
    for where in 'dead', 'nothing':
        fails(broker.podman('web', podman_args=['--url', sockets[where]]), 'engine-down')
    fails(nobody.podman('web', podman_args=['--url', sockets['closed']]), 'engine-refused')


@pytest.mark.parametrize('variables', [
    {'HOME': '/no/such/home'}, {'HOME': '{root}'}, {'HOME': '{home}', 'XDG_RUNTIME_DIR': '/root'},
    {'HOME': '{home}', 'CONTAINERS_CONF': '/no/such'}, {'HOME': '{home}', 'CONTAINERS_STORAGE_CONF': '/no/such'},
])  # fmt: skip
def test_rootless_podman_that_cannot_start(
    broker: econtext.Broker, nobody: econtext.Context, run: Path, tmp_path: Path, variables: dict[str, str]
) -> None:
    """No interpreter is at fault, nor the lack of one."""
    need('podman')
    root = tmp_path / 'closed'
    root.mkdir(mode=0o700)
    told = {key: value.format(home=tmp_path / 'home', root=root) for key, value in variables.items()}
    error = fails(environment(broker, **{'XDG_RUNTIME_DIR': str(run), **told}).podman('web'), 'engine-broken')
    assert 'podman info' in error.remedy


def test_rootless_podman_has_no_container_and_no_image_of_that_name(nobody: econtext.Context) -> None:
    need('podman')
    fails(nobody.podman('no-such'), 'no-such-box')
    fails(nobody.podman(image='localhost/no-such:1', args=['--pull=never']), 'no-such-image')


@pytest.mark.parametrize(('options', 'kind'), [
    ({'podman_args': ['--root=/proc/no-such']}, 'engine-broken'),
    ({'podman_args': ['--runtime=/no/such/runc']}, 'engine-broken'),
    ({'image': '/no/such', 'args': ['--rootfs']}, 'no-such-box'),
])  # fmt: skip
def test_podman_of_root_that_cannot_start(broker: econtext.Broker, options: dict[str, Any], kind: str) -> None:
    need('podman')
    if kind == 'engine-broken':
        options = {'container': 'web', **options}
    fails(broker.podman(**options), kind)


def test_kubectl_without_a_cluster(broker: econtext.Broker, tmp_path: Path) -> None:
    need('kubectl')
    empty = tmp_path / 'config'
    empty.touch()
    fails(broker.kubectl('web', kubectl_args=['--kubeconfig', str(empty)]), 'engine-down')
    fails(broker.kubectl('web', kubectl_args=['--kubeconfig', '/no/such']), 'engine-down')
    fails(broker.kubectl('web', kubectl_args=['--kubeconfig', str(empty)], kube_context='no-such'), 'no-such-box')


def test_lxc_without_that_container_or_the_right_to_it(broker: econtext.Broker, nobody: econtext.Context) -> None:
    need('lxc-attach')
    fails(broker.lxc('no-such-container'), 'not-running')
    fails(nobody.lxc('no-such-container'), 'not-privileged')


def test_a_remote_command_of_the_user_s_configuration(broker: econtext.Broker, sshd: Sshd) -> None:
    args = [*sshd.ssh_args(), '-o', 'RemoteCommand=true']
    error = fails(broker.ssh(sshd.address, ssh_args=args), 'remote-command')
    assert 'RemoteCommand=none' in error.remedy
