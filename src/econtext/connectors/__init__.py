"""
Ring 2: the ways into a new context, one small module each.

A connector is data and one function:

``plan(options)``
    judges the options and returns what to start: ``(argv, tty, changes)``, the
    arguments of ``parent.process.spawn``.  What makes no sense raises
    ValueError before anything runs.
``PROMPTS``, ``FAILURES``
    tables for ``parent.handshake``: what may be asked on the way, and what the
    lines mean that a failing program prints.
``MISSING``
    the failure it is when the program itself cannot be executed.

It may have more:

``OPTIONS``
    names what ``plan`` takes; each may also be None, which is as if it were not given.
    With ``stdin_answers`` among them, and true, the program reads its answers on standard
    input: then ``plan`` puts ``parent.gate.behind`` before the words of the interpreter.
``ANSWERS``
    names options that are no concern of ``plan``: what to type where a prompt of
    that kind comes, texts or functions.  With ``question`` among them it has `answers`,
    and with these a terminal, whatever ``plan`` says, unless its option ``tty`` is given.
``NEARBY``
    True where the link cannot go silent, so that it needs no heartbeat.
``lacking(options)``
    for a kind of prompt that nobody has an answer to, the failure it is where that
    is another than ``parent.handshake.LACKING`` says.
``STATUSES``
    the failures that exit statuses of the program stand for where it has printed nothing
    that ``FAILURES`` knows, beside ``parent.handshake.STATUSES``; None stands for a program
    that closed its output and did not end.
``begin(home)``
    only where no program is started: returns the ``parent.process.Process`` of
    the new child of `home`, a context, or raises OSError.

What a family has in common is in ``parent``: ``command`` for all, ``users`` for the
ways to another user, ``boxes`` for those into containers and namespaces.
``econtext.testing.check_connector`` holds one against all this.

A connector but for ``begin`` is pure; any thread may enter.
"""
