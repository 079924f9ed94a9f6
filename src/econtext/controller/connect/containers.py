"""
Contexts in what an engine calls by a name: containers, pods, instances. Any thread may enter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from econtext.controller.connect.options import Answers, C, Python, Starter, asked

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from econtext.controller.connect.options import Common


class ContainerConnectors(Starter[C]):
    """Contexts in containers, pods and instances."""

    def docker(
        self,
        container: str | None = None,
        *,
        image: str | None = None,
        user: str | None = None,
        answers: Answers = None,
        python: Python = None,
        args: Sequence[str] = (),
        docker_args: Sequence[str] = (),
        docker_path: str = 'docker',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context in a container of Docker.

        `container` is one that runs, by name or number.  With `image` in its place
        a new container is made from that image; it is removed when the context
        ends, also where your program is killed.  `user` is whom to be there, as
        the engine understands it.  `python` is the path of the interpreter there,
        or a list of words that ends with it; by default one is searched for, which
        takes a shell.  `args`, a list, are further arguments of ``docker exec``,
        or of ``docker run`` for a new container, such as ``['--network', 'none']``;
        `docker_args` stand before that word.  `docker_path` is the client.
        `common` are the options of every connector.

        `answers` is for what the program asks, as for ssh(): with it the program
        has a terminal to ask on.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            web = host.docker('web', user='www-data')
            print(web.call(os.listdir, '/etc/nginx'))
            fresh = host.docker(image='python:3.12-slim', args=['--network', 'none'])
        """
        return self._start_in('docker', container or image, {
            'container': container, 'image': image, 'user': user, 'python': python, 'args': args,
            'docker_args': docker_args, 'docker_path': docker_path}, common, asked(answers))  # fmt: skip

    def podman(
        self,
        container: str | None = None,
        *,
        image: str | None = None,
        user: str | None = None,
        answers: Answers = None,
        python: Python = None,
        args: Sequence[str] = (),
        podman_args: Sequence[str] = (),
        podman_path: str = 'podman',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context in a container of Podman.

        All is as for docker(): `container` or `image`, `user`, `python`, `args`,
        `podman_args`, `podman_path` and `common`.  Beyond that, `image` may be the path
        of a folder, with ``args=['--rootfs']``.

        `answers` is for what the program asks, as for ssh(): with it the program
        has a terminal to ask on.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            box = host.sudo('postgres').podman('box')
            host_files = root.podman(image='/:O', args=['--rootfs'])
        """
        return self._start_in('podman', container or image, {
            'container': container, 'image': image, 'user': user, 'python': python, 'args': args,
            'podman_args': podman_args, 'podman_path': podman_path}, common, asked(answers))  # fmt: skip

    def kubectl(
        self,
        pod: str,
        *,
        container: str | None = None,
        namespace: str | None = None,
        kube_context: str | None = None,
        answers: Answers = None,
        python: Python = None,
        kubectl_args: Sequence[str] = (),
        kubectl_path: str = 'kubectl',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context in a container of a pod, by kubectl.

        `pod` is its name, or a word such as ``'deployment/web'``.  Of its containers
        `container` names one; by default it is the first, or what the pod says.
        `namespace` and `kube_context` are those of the user's configuration unless
        given.  `python` is the path of the interpreter there, or a list of words
        that ends with it; by default one is searched for, which takes a shell.
        `kubectl_args`, a list, precede all other arguments.  `kubectl_path` is the
        client.  `common` are the options of every connector.

        `answers` is for what the program asks, as for ssh(): with it the program
        has a terminal to ask on.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            web = broker.kubectl('web-0', namespace='shop', container='app')
            print(web.call(os.getloadavg))
        """
        return self._start_in('kubectl', pod, {
            'pod': pod, 'container': container, 'namespace': namespace, 'kube_context': kube_context,
            'python': python, 'kubectl_args': kubectl_args, 'kubectl_path': kubectl_path,
        }, common, asked(answers))  # fmt: skip

    def lxc(
        self,
        container: str,
        *,
        user: str | None = None,
        answers: Answers = None,
        python: Python = None,
        lxc_args: Sequence[str] = (),
        lxc_path: str = 'lxc-attach',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context in a container of LXC, by lxc-attach.

        `container` is one that runs, by name.  `user` is whom to be there,
        ``'UID'`` or ``'UID:GID'``.  `python` is the path of the interpreter there,
        or a list of words that ends with it; by default one is searched for, which
        takes a shell.  `lxc_args`, a list, are further arguments, `lxc_path` is the
        program.  `common` are the options of every connector.

        `answers` is for what the program asks, as for ssh(): with it the program
        has a terminal to ask on.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            web = root.lxc('web')
            print(web.call(os.listdir, '/srv'))
        """
        return self._start_in('lxc', container, {
            'container': container, 'user': user, 'python': python,
            'lxc_args': lxc_args, 'lxc_path': lxc_path}, common, asked(answers))  # fmt: skip

    def lxd(
        self,
        container: str,
        *,
        project: str | None = None,
        user: str | None = None,
        answers: Answers = None,
        python: Python = None,
        lxd_args: Sequence[str] = (),
        lxd_path: str = 'lxc',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context in an instance of LXD, by its client ``lxc``.

        `container` is one that runs, by name, or ``'REMOTE:NAME'``.  `project` is
        the user's current one unless given.  `user` is whom to be there, ``'UID'``
        or ``'UID:GID'``.  `python` is the path of the interpreter there, or a list
        of words that ends with it; by default one is searched for, which takes a
        shell.  `lxd_args`, a list, precede all other arguments, `lxd_path` is the
        client.  `common` are the options of every connector.

        `answers` is for what the program asks, as for ssh(): with it the program
        has a terminal to ask on.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            web = broker.lxd('web', project='shop')
            print(web.call(os.listdir, '/srv'))
        """
        return self._start_in('lxd', container, {
            'container': container, 'project': project, 'user': user, 'python': python,
            'lxd_args': lxd_args, 'lxd_path': lxd_path}, common, asked(answers))  # fmt: skip

    def incus(
        self,
        container: str,
        *,
        project: str | None = None,
        user: str | None = None,
        answers: Answers = None,
        python: Python = None,
        incus_args: Sequence[str] = (),
        incus_path: str = 'incus',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context in an instance of Incus, by its client ``incus``.

        All is as for lxd(): `container`, `project`, `user`, `python`, `incus_args`,
        `incus_path` and `common`.

        `answers` is for what the program asks, as for ssh(): with it the program
        has a terminal to ask on.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            web = broker.incus('server:web', user='33')
            print(web.call(os.listdir, '/srv'))
        """
        return self._start_in('incus', container, {
            'container': container, 'project': project, 'user': user, 'python': python,
            'incus_args': incus_args, 'incus_path': incus_path}, common, asked(answers))  # fmt: skip
