"""
Contexts on the same machine as another user. Any thread may enter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from econtext.controller.connect.options import Answers, C, Python, Secret, Starter, answering, words

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from econtext.controller.connect.options import Common


class UserConnectors(Starter[C]):
    """Contexts as another user."""

    def sudo(
        self,
        username: str = 'root',
        *,
        password: Secret = None,
        answers: Answers = None,
        login: bool = False,
        preserve_env: bool | Sequence[str] = False,
        stdin_answers: bool = False,
        python: Python = None,
        sudo_args: Sequence[str] = (),
        sudo_path: str = 'sudo',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context on the same machine as another user, by sudo.

        `username` is whom to become.  `password` is a text, or a function that
        gets the prompt and returns one; it is typed only if sudo asks, and never
        shows in arguments or logs.  `answers` is for all else that is asked, such
        as a second factor: a function that gets each question and returns what to
        type, or a mapping of parts of questions to texts or such functions.  With
        `login` the user's login shell starts the interpreter (``sudo -i``): in the
        home directory, after what its profile sets.  `preserve_env` keeps the
        environment (``sudo -E``), or the variables of a list, where the sudo rules
        allow it.  With `stdin_answers` sudo asks on standard error and reads the
        password on standard input (``sudo -S``), for where there is no terminal; what
        the context is sent is held back until sudo has run its command.
        `python` is the path of the interpreter, or a list of words that ends with
        it; by default the one that starts it, or another that is found.  `sudo_args`,
        a list, are further options of sudo, which precede all others, such as
        ``['-g', 'www-data']``.  `sudo_path` is the program.  `common` are the options of every connector.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            root = web.sudo(password=getpass.getpass)
            root.call(os.mkdir, '/srv/app')
        """
        options = {
            'username': username,
            'login': bool(login),
            'preserve_env': preserve_env if isinstance(preserve_env, bool) else list(
                words('preserve_env', preserve_env)),
            'own_prompt': answers is None,
            'python': python,
            'sudo_args': sudo_args, 'sudo_path': sudo_path,
        }
        if stdin_answers:
            options['stdin_answers'] = True
        secrets = {'password': password, 'question': answering(answers)}
        return self._start_in('sudo', username, options, common, secrets)

    def su(
        self,
        username: str = 'root',
        *,
        password: Secret = None,
        answers: Answers = None,
        python: Python = None,
        login: bool = False,
        su_args: Sequence[str] = (),
        su_path: str = 'su',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context on the same machine as another user, by su.

        `username` is whom to become, `password` that user's: a text, or a function
        that gets the prompt and returns one; it is typed only if su asks.  `python`
        and `answers` are as for sudo.  With `login` it begins as a login does, with
        the user's own environment and folder.  `su_args`, a list, are further options
        of su, which precede all others.  `su_path` is the program.  `common` are the
        options of every connector.  Where root asks, the user's login shell does
        not matter; else it must be one of /etc/shells.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            database = web.sudo().su('postgres')
            database.call(os.getuid)
        """
        options = {'username': username, 'python': python, 'login': bool(login), 'su_args': su_args, 'su_path': su_path}
        secrets = {'password': password, 'question': answering(answers)}
        return self._start_in('su', username, options, common, secrets)

    def doas(
        self,
        username: str = 'root',
        *,
        password: Secret = None,
        answers: Answers = None,
        python: Python = None,
        doas_args: Sequence[str] = (),
        doas_path: str = 'doas',
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context on the same machine as another user, by doas.

        `username` is whom to become, `password` that of the user who asks: a text,
        or a function that gets the prompt and returns one; it is typed only if
        doas asks.  `python` and `answers` are as for sudo.  `doas_args`, a list, are
        further options of doas, which precede all others.  `doas_path` is the
        program.  `common` are the options of every connector.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            root = web.doas(password=getpass.getpass)
            root.call(os.mkdir, '/srv/app')
        """
        options = {'username': username, 'python': python, 'doas_args': doas_args, 'doas_path': doas_path}
        secrets = {'password': password, 'question': answering(answers)}
        return self._start_in('doas', username, options, common, secrets)
