"""
Contexts on the same machine, as the same user. Any thread may enter.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from econtext.controller.connect.options import (
    Answers,
    C,
    ConnectRequest,
    Python,
    Secret,
    Starter,
    answering,
    asked,
    words,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from econtext.controller.connect.options import Common


class LocalConnectors(Starter[C]):
    """Contexts beside the one that starts them."""

    def local(
        self,
        *,
        python: Python = None,
        env: Mapping[str, str | None] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        user: str | int | None = None,
        nice: int | None = None,
        cpus: Sequence[int] | None = None,
        answers: Answers = None,
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context on the same machine.

        `python` is the path of its interpreter, or a list of words that ends
        with it; by default the one that starts it.  `env` sets variables, or
        removes them (None).  `cwd` is the folder where it starts.  From root,
        `user` is whom it becomes, a name or a number, with that user's groups and
        home; a number that no account has comes with the group of that number.
        `nice` is added to its priority, from -20 to 19.  `cpus` are the numbers of
        the processors it may use, on Linux with Python 3.3 or newer.  `answers` is
        for what the words of `python` ask, as for ssh().  `common` are the options
        of every connector.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            old = broker.local(python='/usr/bin/python2.7')
            print(old.call(os.getpid))
            quiet = broker.local(cwd='/var/tmp', nice=10)
        """
        options = {
            'python': python,
            'env': dict(env) if env else None,
            'cwd': cwd,
            'user': user,
            'nice': nice,
            'cpus': None if cpus is None else list(cpus),
        }
        return self._start(ConnectRequest('local', options, asked(answers), common))

    def fork(self, **common: Unpack[Common]) -> C:
        """
        Start a context as a copy of this one: it is forked, which takes a moment.

        What is loaded and computed there is there in the copy as well: so load
        once what takes long, and fork for each job.  It happens between two calls, in
        the main thread; until then it waits for the call that runs.  Files, sockets
        and pipes that are open there are not open in the copy, and threads of the
        application do not run in it.  `common` are the options of every connector.

        Returns at once.  Raises ValueError for a broker, for the program itself is
        not forked; TypeError for options that no connector has.  That it could not
        be forked is a ConnectError from its first use.

        Example::

            base = broker.local()
            base.call(load_everything)
            results = [base.fork().submit(work, job) for job in jobs]
        """
        return self._start(ConnectRequest('fork', {}, {}, common))

    def command(
        self,
        argv: Sequence[str],
        *,
        shell: bool = False,
        python: Python = None,
        env: Mapping[str, str | None] | None = None,
        tty: bool = True,
        stdin_answers: bool = False,
        password: Secret = None,
        passphrase: Secret = None,
        question: Secret = None,
        answers: Answers = None,
        **common: Unpack[Common],
    ) -> C:
        """
        Start a context by any command that passes on standard input and output.

        `argv` are its words, a list.  The interpreter and its arguments are put
        behind them, as words that the command executes; with `shell` as one word,
        a line that a shell there reads, as ssh takes it.  `python` is the path of
        the interpreter there, or a list of words that ends with it; by default one
        is found by ``sh``.  `env` sets variables for the command, or removes them
        (None).  Unless `tty` is False the command has a terminal for what it asks.
        `password`, `passphrase`, and `question` for all that is neither, are what
        to type there: texts, or functions that get the prompt and return one.
        `answers`, in the place of `question`, is as for ssh(): a function, or a
        mapping of parts of questions to texts or such functions.  `common` are the options of every connector.

        With `stdin_answers` the command may also ask on standard error, and read
        the answers on standard input, as ``sudo -S`` does.  What the context is
        sent is held back until the interpreter is about to start: never does the
        command read any of that as an answer, nor the interpreter an answer.

        Where the line must stand elsewhere than at the end, a shell here puts it
        there: ``['sh', '-c', 'exec tool --run "$0" --wait']`` with `shell`.

        Returns at once.  Raises TypeError or ValueError for options that make no
        sense; that it could not be started is a ConnectError from its first use.

        Example::

            box = broker.command(['lima', 'shell', 'default', '--'], name='box')
            print(box.call(os.uname))
        """
        options = {
            'argv': list(words('argv', argv)),
            'shell': bool(shell),
            'python': python,
            'env': dict(env) if env else None,
            'tty': bool(tty),
        }
        if stdin_answers:
            options['stdin_answers'] = True
        if question is not None and answers is not None:
            raise ValueError('question= and answers= are for the same questions: give one of them')
        secrets = {'password': password, 'passphrase': passphrase, 'question': question or answering(answers)}
        return self._start(ConnectRequest('command', options, secrets, common))
