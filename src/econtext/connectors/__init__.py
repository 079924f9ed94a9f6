"""
Ring 2: the ways into a new context, one small module each.

A connector is data and one function:

``plan(options)``
    judges the options and returns what to start: ``(argv, tty, changes)``, the
    arguments of ``parent.process.spawn``.  What makes no sense raises
    ValueError before anything runs.
``lacking(options)``
    for each kind of prompt that nobody has an answer to, the failure it is.
``PROMPTS``, ``FAILURES``
    tables for ``parent.handshake``: what may be asked on the way, and what the
    lines mean that a failing program prints.
``MISSING``
    the failure it is when the program itself cannot be executed.
"""
