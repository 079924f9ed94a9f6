"""
``econtext run``: a script or a function of this machine, in a context, with our own streams.

Invariants:

* The program of one host has our own streams, and its exit status is ours.
* On many hosts each host ends by itself; the exit status is the highest of theirs.

Entered by the main thread; the programs of many hosts by a thread each.
"""

from __future__ import annotations

import ast
import concurrent.futures
import contextlib
import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import Any

import click

import econtext
from econtext.child import scripts
from econtext.command_line import options, output, session
from econtext.command_line.application import FAILED, said, status_of
from econtext.command_line.connecting import Way, fleet_of
from econtext.command_line.execute import summary
from econtext.controller.commands.lines import Splitter, decode
from econtext.controller.modules.imports import read_imports
from econtext.controller.modules.packer import parse

FUNCTION = re.compile(r'[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*\Z')
AT_A_TIME = 64
HELP = """\
Run a Python script, or a function of a module, of this machine on hosts.

The script finds its own modules beside it, as it does here: they go to the host ahead of it, and nothing is
written there. It has your standard input and output, its arguments, your Ctrl-C and its exit status. On many hosts each
line has the name of its host.

MODULE:FUNCTION calls a function and prints what it returns. Arguments are Python literals or else texts; NAME=VALUE is
one with a name.

\b
Examples:
  econtext run web1 script.py --dry-run
  econtext run web1,web2 --sudo script.py
  econtext run web1 -t menu.py
  econtext run web1 platform:node
  econtext run web1 os:listdir /etc
  econtext run --json 'web*' checks.disk:usage / percent=True
  econtext run web1 -c 'import os; print(os.uname())'
  echo 'import os; print(os.uname())' | econtext run web1 -
"""

Begin = Callable[[econtext.Context], Any]


def program_of(what: str, words: tuple[str, ...], as_json: bool) -> Begin:
    """Return what begins the program that `what` names in a context; raise click.UsageError if it names none."""
    if what == '-':
        find_modules(os.getcwd())
        return script('<stdin>', sys.stdin.buffer.read(), words)
    if FUNCTION.match(what) and not os.path.exists(what):
        return function(what, words, as_json)
    try:
        with open(what, 'rb') as file:
            source = file.read()
    except OSError as error:
        hint = '' if '.' in what or os.sep in what else ': write a file, or MODULE:FUNCTION'
        raise click.UsageError(f'{what}: {error.strerror}{hint}') from None
    find_modules(os.path.dirname(os.path.realpath(what)))
    return script(what, source, words)


def find_modules(folder: str) -> None:
    """Have modules of `folder` found, and sent, as those of a script that runs here."""
    sys.path.insert(0, folder)
    importlib.invalidate_caches()


def script(path: str, source: bytes, words: tuple[str, ...]) -> Begin:
    wanted = list(dict.fromkeys(read_imports('__main__', (False, path, source))))
    return lambda context: ahead(context, wanted).submit(scripts.run_file, path, source, list(words))


def function(what: str, words: tuple[str, ...], as_json: bool) -> Begin:
    find_modules(os.getcwd())
    module, _, name = what.partition(':')
    args, kwargs = arguments(words)
    return lambda context: ahead(context, [module]).submit(scripts.run_function, module, name, args, kwargs, as_json)


def ahead(context: econtext.Context, modules: list[str]) -> econtext.Context:
    """Send `modules`, and what they need, before the program asks for one after the other; return the context."""
    # What goes wrong here goes wrong where the program imports that, and is told there.
    with contextlib.suppress(Exception):
        context._node.push_ahead(modules)
    return context


def arguments(words: tuple[str, ...]) -> tuple[list[Any], dict[str, Any]]:
    """Return what `words` give a function, by place and by name."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition('=')
        if equals and name.isidentifier():
            kwargs[name] = literal(value)
        else:
            args.append(literal(word))
    return args, kwargs


def literal(word: str) -> Any:
    """Return `word` as the Python literal that it is, else as a text."""
    try:
        return ast.literal_eval(parse(word, 'eval'))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return word


def run_one(context: econtext.Context, begin: Begin, terminal: bool, reads: bool, timeout: float | None) -> int:
    """Run a program with our own streams; return its exit status."""
    with session.Controls(terminal) as controls, session.with_own_streams(terminal):
        return status_from(lambda: session.run_program(
            context, begin, session.own, controls, terminal, reads, timeout))


def status_from(run: Callable[[], Any]) -> int:
    """Return the exit status of a program that `run` runs."""
    try:
        return int(run())
    except session.Ended as end:
        return end.status


class Tagged:
    """Cuts what a program on one of many hosts prints into lines."""

    def __init__(self, host: str, shown: output.Output) -> None:
        self.host = host
        self.shown = shown
        self.splitters: dict[str, Splitter] = {'stdout': Splitter(True), 'stderr': Splitter(True)}

    def hear(self, stream: str, data: bytes) -> None:
        """Show the lines that end in `data`."""
        for line, _ in self.splitters[stream].feed(data):
            self.shown.line(self.host, stream, decode(line))

    def finish(self) -> None:
        """Show a last line that has no end."""
        for stream, splitter in self.splitters.items():
            for line, _ in splitter.flush():
                self.shown.line(self.host, stream, decode(line))


def run_many(fleet: econtext.Fleet, begin: Begin, style: str, limit: int, timeout: float | None) -> int:
    """Run a program on each host; return the highest exit status."""
    shown = output.Output(fleet, style)
    statuses: dict[str, int] = {}
    with session.Controls(False) as controls, concurrent.futures.ThreadPoolExecutor(limit) as pool:
        def work(host: str) -> None:
            tagged = Tagged(host, shown)
            error = ''
            try:
                statuses[host] = status_from(lambda: session.run_program(
                    fleet.context(host), begin, tagged.hear, controls, False, False, timeout))
            except Exception as failure:
                statuses[host] = status_of(failure) or FAILED
                error = said(failure)
            tagged.finish()
            shown.end(host, statuses[host], error)

        try:
            for future in [pool.submit(work, host) for host in fleet]:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            fleet.close()
            raise
    ordered = {host: statuses[host] for host in fleet}
    summary(ordered, style)
    return max(ordered.values())


def program_in(code: str, words: tuple[str, ...]) -> Begin:
    """Return what begins the program that the command line itself holds, as ``python -c`` does."""
    find_modules(os.getcwd())
    return script('-c', os.fsencode(code), words)


def called(
    hosts: str, what: str | None, words: tuple[str, ...], code: str | None, way: Way, style: str | None,
    as_json: bool, terminal: bool, no_stdin: bool, limit: int, timeout: float | None,
) -> int:
    if code is not None:
        # As for Python: all that follows is for the program.
        words = (*([] if what is None else [what]), *words)
        what = '-c'
    if what is None:
        if os.path.isfile(hosts) or hosts == '-':
            raise click.UsageError('name the HOSTS, such as local, before the script')
        raise click.UsageError('name a SCRIPT, MODULE:FUNCTION, - or -c CODE')
    begin: Begin | None = None
    if code is not None:
        begin = program_in(code, words)
    elif what != '-':
        begin = program_of(what, words, as_json)
    alone = style is None and not (as_json and not FUNCTION.match(what))
    with fleet_of(hosts, way, alone) as fleet:
        # Not earlier: a session server has decided by now whether the command runs there.
        terminal = session.can_have_terminal(terminal)
        begin = begin or program_of(what, words, as_json)
        if len(fleet) == 1 and alone:
            with session.only(fleet[0]):
                return run_one(fleet.context(fleet[0]), begin, terminal, not no_stdin and what != '-', timeout)
        if terminal:
            raise click.UsageError('-t is for one host')
        return run_many(fleet, begin, 'json' if as_json else style or 'tagged', limit, timeout)


command: click.Command = click.command('run', cls=options.Command, leading=1, last='-c', help=HELP)(options.reach(
    click.argument('hosts', metavar='HOSTS', shell_complete=options.complete_hosts),
    click.argument('what', metavar='SCRIPT|MODULE:FUNCTION', type=click.Path(), required=False),
    click.argument('words', metavar='[ARGS]...', nargs=-1, type=click.UNPROCESSED),
    click.option('-c', 'code', metavar='CODE', help='Run this code in place of a script.'),
    click.option('-t', '--tty', 'terminal', is_flag=True,
                 help='Give the program a terminal, if standard input is one.'),
    click.option('-n', 'no_stdin', is_flag=True, help='Give the program no standard input.'),
    click.option('--tag', 'style', flag_value='tagged', help='Begin each line with the name of its host.'),
    click.option('--group', 'style', flag_value='grouped', help='Print the lines of each host together, as it ends.'),
    options.JSON,
    options.TIMEOUT,
    click.option('--limit', metavar='N', type=click.IntRange(1), default=AT_A_TIME, show_default=True,
                 help='On at most N hosts at a time.'),
    options.INVENTORY,
    served=True,
)(called))
