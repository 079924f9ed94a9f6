"""
Contexts on other machines. Any thread may enter.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from econtext.child.labels import seen
from econtext.controller.connect.options import (
    Answers,
    C,
    ConnectRequest,
    HostKey,
    Python,
    Secret,
    Starter,
    answering,
    words,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from econtext.controller.connect.options import Common


class HostConnectors(Starter[C]):
    """Contexts on other machines."""

    def ssh(
        self,
        hostname: str,
        *,
        username: str | None = None,
        port: int | None = None,
        identity_file: str | os.PathLike[str] | None = None,
        password: Secret = None,
        passphrase: Secret = None,
        host_key: HostKey = None,
        answers: Answers = None,
        python: Python = None,
        ssh_args: Sequence[str] = (),
        ssh_path: str = 'ssh',
        one_trip: bool = False,
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context on another machine, by the OpenSSH client.

        `hostname` is a name as ``ssh`` understands it.  The user's ssh
        configuration counts for all of `username`, `port` and `identity_file`
        that is not given; `ssh_args`, a list, precedes all other arguments.
        `password` is for the account, `passphrase` for the private key: texts, or
        functions that get the prompt and return one.  `host_key` is for the question whether
        to trust a host whose key is not recorded: a function that gets all that ssh says about
        that, with the fingerprint, and returns ``'yes'``, the fingerprint that it knows, or None
        to give up.  Without `host_key` such a host is a ConnectError.  `answers` is for all else
        that is asked, such as a second factor: a function that gets each question
        and returns what to type, or a mapping of parts of questions to texts or
        such functions.  `python` is the path of the
        interpreter there, or a list of words that ends with it; by default
        python3, python, python2 or platform-python is found.  `ssh_path` is the
        client.  `common` are the options of every connector.

        With `one_trip` ssh is started by the first call, and the command line
        carries all that it needs: the result comes one round trip sooner.  The
        command line, some 14 kB, shows in ``ps`` there until the context is ready.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            web = broker.ssh('web1.example.com', username='deploy')
            print(web.call(os.uname))
        """
        if not (host_key is None or callable(host_key)):
            raise TypeError(
                'host_key= must be a function that gets what ssh says of the key, and returns "yes", the fingerprint '
                f'or None; not {seen(host_key)}')
        options = {
            'hostname': hostname,
            'username': username,
            'port': port,
            'identity_file': None if identity_file is None else os.fspath(identity_file),
            'python': python,
            'ssh_args': list(words('ssh_args', ssh_args)),
            'ssh_path': ssh_path,
        }
        if one_trip:
            options['one_trip'] = True
        secrets = {'password': password, 'passphrase': passphrase, 'host_key': host_key, 'question': answering(answers)}
        return self._start(ConnectRequest('ssh', options, secrets, common, hostname))
