"""
The conformance kit for connectors: our own pass it, and so should a third party's.

Invariants:

* Each finding is an AssertionError that says what to change.
* After it, nothing that it started is left.

Any thread may enter, one at a time.
"""

from __future__ import annotations

import ast
import copy
import inspect
import logging
import os
import shlex
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from econtext.controller.broker import Broker
from econtext.controller.connect import registry
from econtext.controller.connect.options import plain
from econtext.controller.context import Context
from econtext.controller.errors import ConnectError
from econtext.controller.failures import REMEDIES
from econtext.controller.modules import packer
from econtext.controller.raised import CallError
from econtext.parent import command

__all__ = ['check_connector']

SECONDS = 10.0
BULK = bytes(range(256)) * 1200     # more than a pipe holds
NOWHERE = '/nonexistent/econtext-program'


def check_connector(
    connector: str | ModuleType,
    options: Mapping[str, Any],
    *,
    nonsense: Iterable[Mapping[str, Any]] = (),
    program: str | None = None,
    start: bool = True,
    broker: Broker | None = None,
) -> None:
    """
    Hold a connector against all that is asked of one.

    `connector` is its name or module, `options` are those that a start takes,
    answers to prompts included.  `nonsense` are options that must be refused.
    `program` names the option that is the path of the program, if there is one:
    it is tried with a path where there is none.  With `start` contexts are really
    started by it, from `broker` or one of its own, and through another context;
    without, tables and command lines are looked at.

    Raises AssertionError for whatever is not as it should be.

    Example::

        def test_doorman():
            check_connector('doorman', {'machine': 'test1'}, nonsense=[{'machine': ''}])
    """
    module = registry.find(connector)
    answers = getattr(module, 'ANSWERS', ())
    planned = {key: plain(value) for key, value in options.items() if key not in answers}
    check_tables(module, planned)
    check_source(module)
    check_plan(module, planned)
    for wrong in nonsense:
        check_refused(module, dict(wrong))
    if start:
        if broker is not None:
            check_starts(broker, module, options, program)
        else:
            with Broker() as own:
                check_starts(own, module, options, program)


def demand(condition: object, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def check_tables(module: ModuleType, options: dict[str, Any]) -> None:
    """The tables are as ``parent.handshake`` reads them, and every kind has a remedy."""
    name = module.__name__
    for table in 'PROMPTS', 'FAILURES':
        rows = getattr(module, table)
        demand(isinstance(rows, tuple), f'{name}.{table} is no tuple of (part, kind)')
        for number, row in enumerate(rows):
            demand(
                isinstance(row, tuple) and len(row) == 2 and all(isinstance(text, str) for text in row),
                f'{name}.{table} has a row that is no (part, kind): {row!r}')
            demand(row[0] == row[0].lower(), f'{name}.{table}: {row[0]!r} never matches: write it in lower case')
            demand(
                row[0] or number == len(rows) - 1, f'{name}.{table}: the row that matches everything is not the last')
    more: Callable[[dict[str, Any]], Any] = getattr(module, 'lacking', lambda options: {})
    lacking = more(dict(options))
    demand(isinstance(lacking, dict), f'{name}.lacking() returns no dictionary')
    kinds = {module.MISSING, *lacking.values(), *(kind for _, kind in module.FAILURES)}
    unknown = sorted(kinds - set(REMEDIES))
    demand(not unknown, f'{name}: no remedy is known for {", ".join(unknown)}: use the kinds of the reference')
    asked = {key for _, key in module.PROMPTS}
    if asked:
        asked.add('question')  # answers whatever has no answer of its own
    for option in getattr(module, 'ANSWERS', ()):
        demand(option in asked, f'{name}.ANSWERS: no row of PROMPTS asks for {option!r}')


def check_source(module: ModuleType) -> None:
    """It can travel to contexts of any version: it imports nothing that is not there."""
    tree = packer.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or '']
            demand(not node.level, f'{module.__name__}: Python 2.4 has no relative imports')
        for name in names:
            inside = name.startswith(('econtext.parent', 'econtext.connectors', 'econtext.child', 'econtext.core'))
            demand(
                inside or name.partition('.')[0] != 'econtext',
                f'{module.__name__} imports {name}, which the controller alone has')
        demand(
            not isinstance(node, (ast.JoinedStr, ast.With, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef)),
            f'{module.__name__}: line {getattr(node, "lineno", 0)} is not the syntax of Python 2.4')


def check_plan(module: ModuleType, options: dict[str, Any]) -> None:
    """It says what to start: always the same, and such that the first stage arrives."""
    name = module.__name__
    before = copy.deepcopy(options)
    found = module.plan(options)
    demand(options == before, f'{name}.plan() changes the options that it is given')
    demand(found == module.plan(copy.deepcopy(before)), f'{name}.plan() says something else the second time')
    demand(isinstance(found, tuple) and len(found) == 3, f'{name}.plan() returns no (argv, tty, environment)')
    argv, tty, environ = found
    demand(
        isinstance(argv, list) and argv and all(isinstance(word, str) and '\0' not in word for word in argv),
        f'{name}.plan(): argv is no list of words: {argv!r}')
    demand(isinstance(tty, bool), f'{name}.plan(): tty is not True or False')
    command.check_environ('environment', environ)
    demand(arrives(argv), f'{name}.plan(): the first stage is not in {argv!r}: use command.argv() or command.shell()')
    check_refused(module, {**before, 'no_such_option': 1})
    for option in getattr(module, 'OPTIONS', ()):
        if option not in before:
            # What the program leaves out is None.
            module.plan({**before, option: None})


def arrives(argv: list[str]) -> bool:
    """Is the first stage a word of `argv`, or one of a line that a shell is given?"""
    for word in argv:
        if word == command.CODE:
            return True
        try:
            words = shlex.split(word)
        except ValueError:
            continue
        if len(words) > 1 and arrives(words):
            return True
    return False


def check_refused(module: ModuleType, options: dict[str, Any]) -> None:
    try:
        module.plan(options)
    except ValueError:
        return
    raise AssertionError(f'{module.__name__}.plan() takes {options!r}: it must raise ValueError')


def check_starts(broker: Broker, module: ModuleType, options: Mapping[str, Any], program: str | None) -> None:
    """Contexts that it starts behave, from here and from another context."""
    hop = broker.local().wait_ready()
    for via in broker, hop:
        # What a first start leaves for the next, and both ends keep, is no leak.
        try:
            via.connect(module, **options).wait_ready(timeout=60).close()
        except ConnectError as error:
            raise AssertionError(f'{module.__name__} does not start: {error}') from error
        before = descriptors(via)
        context = via.connect(module, **options)
        check_behaviour(context)
        context.close()
        until(lambda via=via, before=before: descriptors(via) <= before,  # type: ignore[misc]
              f'{context.name}: after close() there are descriptors that were not there before')
        if program is not None:
            check_missing(via, module, {**options, program: NOWHERE})
    hop.close()


def descriptors(via: Broker | Context) -> int:
    """Return how many descriptors are open where contexts are started."""
    return len(os.listdir('/dev/fd') if isinstance(via, Broker) else via.call(os.listdir, '/dev/fd'))


def check_behaviour(context: Context) -> None:
    """Calls, errors, output, bulk and contexts below work."""
    pid = context.call(os.getpid)
    demand(isinstance(pid, int), f'{context.name}: os.getpid() returned {pid!r}')
    crc = context.call(zlib.crc32, BULK) & 0xFFFFFFFF
    demand(crc == zlib.crc32(BULK), f'{context.name}: its input does not arrive as it was sent')
    data = context.call(zlib.decompress, zlib.compress(BULK))
    demand(data == BULK, f'{context.name}: its output is altered on the way')
    try:
        context.call(os.rmdir, NOWHERE)
    except CallError as error:
        demand(isinstance(error, OSError), f'{context.name}: an OSError arrived as {error!r}')
    else:
        raise AssertionError(f'{context.name}: an exception was lost')
    said = Heard(context)
    context.call(os.system, 'echo to-stdout; echo to-stderr >&2')
    for line in 'stdout: to-stdout', 'stderr: to-stderr':
        until(lambda line=line: line in said.lines, f'{context.name}: what it prints is not heard: {line}')  # type: ignore[misc]
    said.end()
    demand(context.local().call(os.getppid) == pid, f'{context.name}: no context can be started from it')


def check_missing(via: Broker | Context, module: ModuleType, options: dict[str, Any]) -> None:
    """A program that is not there is the failure that MISSING says."""
    try:
        via.connect(module, **options).wait_ready(timeout=60)
    except ConnectError as error:
        kind = error.kind
        demand(kind == module.MISSING, f'{module.__name__}: a missing program is {kind}, not {module.MISSING}')
    else:
        raise AssertionError(f'{module.__name__}: it starts without its program')


class Heard(logging.Handler):
    """Keeps the lines that a context prints."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.logger: logging.Logger = context._node.lines.logger
        self.level_before: int = self.logger.level
        self.logger.addHandler(self)
        self.logger.setLevel(logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def end(self) -> None:
        self.logger.removeHandler(self)
        self.logger.setLevel(self.level_before)


def until(condition: Callable[[], bool], message: str) -> None:
    """Wait for `condition`, with an end."""
    end = time.monotonic() + SECONDS
    while not condition():
        demand(time.monotonic() < end, message)
        time.sleep(0.01)
