"""
Contexts in namespaces and folders of the same machine. Any thread may enter.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from econtext.controller.connect.options import Answers, C, Python, Starter, asked

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from econtext.controller.connect.options import Common

Folder = str | os.PathLike[str]


class NamespaceConnectors(Starter[C]):
    """Contexts in namespaces and folders."""

    def chroot(
        self,
        directory: Folder,
        *,
        user: str | None = None,
        answers: Answers = None,
        python: Python = None,
        chroot_args: Sequence[str] = (),
        chroot_path: str = 'chroot',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context that takes a folder for the root of all files; root may.

        `directory` is that folder.  `user` is whom to be there, ``'USER'`` or
        ``'USER:GROUP'``.  `python` is the path of the interpreter there, or a list
        of words that ends with it; by default one is searched for, which takes a
        shell.  `chroot_args`, a list, are further arguments, `chroot_path` is the
        program.  `common` are the options of every connector.

        `answers` is for what the program asks, as for ssh(): with it the program
        has a terminal to ask on.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            image = root.chroot('/srv/images/bookworm')
            print(image.call(os.listdir, '/'))
        """
        path = os.fspath(directory)
        return self._start_in('chroot', path, {
            'directory': path, 'user': user, 'python': python,
            'chroot_args': chroot_args, 'chroot_path': chroot_path}, common, asked(answers))  # fmt: skip

    def nsenter(
        self,
        pid: int | None = None,
        *,
        container: str | None = None,
        engine: str = 'docker',
        namespaces: Sequence[str] = (),
        answers: Answers = None,
        python: Python = None,
        nsenter_args: Sequence[str] = (),
        nsenter_path: str = 'nsenter',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context in the namespaces of another process of the machine; root may.

        `pid` is the number of that process.  With `container` in its place it is
        the first process of that container of `engine`: ``'docker'``, ``'podman'``,
        ``'lxc'``, ``'lxd'``, ``'incus'`` or ``'machinectl'``.  `namespaces`, a list,
        are those to enter, of ``mount uts ipc net pid cgroup user time``; by default
        all.  `python` is the path of the interpreter there, or a list of words that
        ends with it; by default one is searched for.  `nsenter_args`, a list, are
        further arguments, `nsenter_path` is the program.  `common` are the options
        of every connector.

        `answers` is for what the program asks, as for ssh(): with it the program
        has a terminal to ask on.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            # The container's network, with the host's files and Python:
            net = root.nsenter(container='web', namespaces=['net'])
            net.call(os.system, 'ss -tln')
        """
        label = container if pid is None else f'{pid:d}' if type(pid) is int else None
        return self._start_in('nsenter', label, {
            'pid': pid, 'container': container, 'engine': engine, 'namespaces': namespaces,
            'python': python, 'nsenter_args': nsenter_args, 'nsenter_path': nsenter_path,
        }, common, asked(answers))  # fmt: skip

    def bubblewrap(
        self,
        *,
        answers: Answers = None,
        python: Python = None,
        bwrap_args: Sequence[str] = (),
        bwrap_path: str = 'bwrap',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context in a sandbox of Bubblewrap; every user may.

        `bwrap_args`, a list, say what the sandbox is like.  By default the context
        sees all files and can change none, and has no network, a /tmp and processes
        of its own.  `python` is the path of the interpreter there, or a list of
        words that ends with it; by default one is searched for.  `bwrap_path` is
        the program.  `common` are the options of every connector.

        `answers` is for what the program asks, as for ssh(): with it the program
        has a terminal to ask on.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            sandbox = broker.bubblewrap()
            print(sandbox.call(parse_untrusted, data))
        """
        return self._start_in('bubblewrap', None, {
            'python': python, 'bwrap_args': bwrap_args, 'bwrap_path': bwrap_path}, common, asked(answers))  # fmt: skip

    def unshare(
        self,
        *,
        namespaces: Sequence[str] = (),
        map_root: bool = False,
        answers: Answers = None,
        python: Python = None,
        unshare_args: Sequence[str] = (),
        unshare_path: str = 'unshare',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context in namespaces of its own.

        `namespaces`, a list, are those that are to be new, of ``mount uts ipc net
        pid cgroup user time``; by default the first five.  With `map_root` the
        context is root of a user namespace of its own, which plain users may too;
        otherwise it takes root.  `python` is the path of the interpreter, or a list
        of words that ends with it; by default one is searched for.  `unshare_args`,
        a list, are further arguments, `unshare_path` is the program.  `common` are
        the options of every connector.

        `answers` is for what the program asks, as for ssh(): with it the program
        has a terminal to ask on.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            offline = broker.unshare(map_root=True)
            offline.call(os.system, 'ip link')
        """
        return self._start_in('unshare', None, {
            'namespaces': namespaces, 'map_root': map_root, 'python': python,
            'unshare_args': unshare_args, 'unshare_path': unshare_path}, common, asked(answers))  # fmt: skip

    def systemd_nspawn(
        self,
        directory: Folder,
        *,
        user: str | None = None,
        answers: Answers = None,
        python: Python = None,
        nspawn_args: Sequence[str] = (),
        nspawn_path: str = 'systemd-nspawn',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context in a new container of systemd-nspawn; root may.

        `directory` is its root; no two containers may have the same at a time, but
        each may have a copy, with ``nspawn_args=['--ephemeral']``.  The container
        lasts as long as the context.  `user` is whom to be there, by name.
        `python` is the path of the interpreter there, or a list of words that ends
        with it; by default one is searched for, which takes a shell.  `nspawn_args`,
        a list, are further arguments, `nspawn_path` is the program.  `common` are
        the options of every connector.

        `answers` is for what the program asks, as for ssh(): with it the program
        has a terminal to ask on.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            image = root.systemd_nspawn('/srv/images/bookworm', nspawn_args=['--private-network'])
            print(image.call(os.listdir, '/'))
        """
        path = os.fspath(directory)
        return self._start_in('systemd_nspawn', path, {
            'directory': path, 'user': user, 'python': python,
            'nspawn_args': nspawn_args, 'nspawn_path': nspawn_path}, common, asked(answers))  # fmt: skip

    def machinectl(
        self,
        machine: str,
        *,
        user: str | None = None,
        answers: Answers = None,
        python: Python = None,
        machinectl_args: Sequence[str] = (),
        machinectl_path: str = 'systemd-run',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context in a machine that ``machinectl list`` shows.

        `machine` is its name; it must have been booted with systemd.  `user` is
        whom to be there, by name or number; root by default.  `python` is the path of the interpreter
        there, or a list of words that ends with it; by default one is searched for,
        which takes a shell.  What is started is ``systemd-run --machine``, since
        ``machinectl shell`` has no pipes to offer; `machinectl_args`, a list, are
        further arguments of it, and `machinectl_path` is that program.  `common` are
        the options of every connector.

        `answers` is for what the program asks, as for ssh(): with it the program
        has a terminal to ask on.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            web = root.machinectl('web')
            print(web.call(os.listdir, '/srv'))
        """
        return self._start_in('machinectl', machine, {
            'machine': machine, 'user': user, 'python': python,
            'machinectl_args': machinectl_args, 'machinectl_path': machinectl_path,
        }, common, asked(answers))  # fmt: skip

    def jail(
        self,
        jail: str,
        *,
        user: str | None = None,
        answers: Answers = None,
        python: Python = None,
        jexec_args: Sequence[str] = (),
        jexec_path: str = 'jexec',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context in a jail of FreeBSD, by jexec; root may.

        `jail` is its name or number.  `user` is whom to be there, by a name of the
        jail's.  `python` is the path of the interpreter there, or a list of words
        that ends with it; by default one is searched for, which takes a shell.
        `jexec_args`, a list, are further arguments, `jexec_path` is the program.
        `common` are the options of every connector.

        `answers` is for what the program asks, as for ssh(): with it the program
        has a terminal to ask on.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            web = root.jail('web', user='www')
            print(web.call(os.listdir, '/usr/local/www'))
        """
        return self._start_in('jail', jail, {
            'jail': jail, 'user': user, 'python': python,
            'jexec_args': jexec_args, 'jexec_path': jexec_path}, common, asked(answers))  # fmt: skip
