"""
The command line: ``econtext doctor HOST``, also as ``python -m econtext``.

Uses rich where that is installed (the extra ``econtext[cli]``), and does without.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import getpass
import importlib
import json
import logging
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any

import econtext
from econtext.controller.doctor.examination import Report, Step, doctor
from econtext.controller.text import harmless_lines

EPILOG = """\
examples:
  econtext doctor web1                       the way to a host by ssh
  econtext doctor web1 --sudo                the same, and then sudo on it
  econtext doctor db1 --via bastion          a host behind another
  econtext doctor --by podman NAME           another connector, and its argument

Exit status: 0 if all works, 1 if something does not, 2 for a command line that makes no sense,
130 for Ctrl-C, 141 if nobody read the output to its end.
"""
COLOURS = {'ok': 'green', 'note': 'yellow', 'failed': 'bold red'}


# What a shell says of a program that SIGPIPE ended.
UNREAD = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    try:
        try:
            return run(argv)
        finally:
            # Also of what argparse has printed, before it raises SystemExit.
            sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads any more (`| head`).  At its exit Python flushes once again, into nothing then.
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
        return UNREAD


def run(argv: Sequence[str] | None) -> int:
    """Run the command line, as long as its output is read."""
    arguments = parser().parse_args(argv)
    # What contexts print and log is the doctor's affair; what it found is shown once.
    logging.getLogger('econtext').addHandler(logging.NullHandler())
    logging.getLogger('econtext').propagate = False
    screen = Screen(arguments.json)
    try:
        return examine(arguments, screen)
    except econtext.EcontextError as error:
        screen.close()
        sys.stderr.write(harmless_lines(f'{error}\n'))
        return 1
    except (TypeError, ValueError) as error:
        screen.close()
        sys.stderr.write(harmless_lines(f'econtext: {error}\n'))
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        screen.close()


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    top = argparse.ArgumentParser(
        prog='econtext', description='Run the functions of a Python program in other processes and on other machines.')
    top.add_argument('--version', action='version', version=econtext.__version__)
    commands = top.add_subparsers(required=True, metavar='COMMAND')
    found = commands.add_parser(
        'doctor', help='tell step by step what works on the way to a host', epilog=EPILOG,
        description='Try the way to a host: what works, how long it takes, and the remedy for what does not.',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument('target', metavar='HOST', nargs='?', help='as ssh understands it, or what --by wants')
    found.add_argument('--by', metavar='CONNECTOR', default='ssh', help='another connector than ssh')
    found.add_argument('--via', metavar='HOST', action='append', default=[], help='begin at this host; may be repeated')
    found.add_argument('--sudo', metavar='USER', nargs='?', const='root', help='then become USER, or root')
    found.add_argument('-l', '--username', help='who to be there')
    found.add_argument('-p', '--port', type=int, help='of the ssh server')
    found.add_argument('-i', '--identity-file', metavar='FILE', help='a private key')
    found.add_argument('--python', metavar='PATH', help='the interpreter there')
    found.add_argument('-F', dest='config', metavar='FILE', help='the configuration of ssh')
    found.add_argument('-o', dest='ssh_option', metavar='KEY=VALUE', action='append', default=[], help='for ssh')
    found.add_argument('--timeout', metavar='SECONDS', type=float, default=60.0, help='for a start; 60 unless given')
    found.add_argument('--json', action='store_true', help='print the report as JSON')
    return top


def examine(arguments: argparse.Namespace, screen: Screen) -> int:
    """Do what the arguments of ``doctor`` say."""
    target = [arguments.target] if arguments.target else []
    if not (target or arguments.sudo or arguments.by != 'ssh'):
        raise ValueError('doctor needs the name of a host')
    reports: list[Report] = []
    with econtext.Broker() as broker:
        via: Any = broker
        for host in arguments.via:
            via = via.ssh(host, **of_ssh(arguments, screen))
        if target or arguments.by != 'ssh':
            options = of_ssh(arguments, screen) if arguments.by == 'ssh' else of_others(arguments)
            reports.append(doctor(via, *target, connector=arguments.by, progress=screen.show, **options))
            if arguments.sudo and reports[0].ok:
                via = getattr(via, arguments.by)(*target, **options)
        if arguments.sudo and all(report.ok for report in reports):
            screen.title(f'sudo to {arguments.sudo}')
            reports.append(doctor(
                via, arguments.sudo, connector='sudo', progress=screen.show,
                password=screen.ask, answers=screen.ask, connect_timeout=arguments.timeout))
    if arguments.json:
        sys.stdout.write(json.dumps([dataclasses.asdict(report) for report in reports], indent=2) + '\n')
    return 0 if all(report.ok for report in reports) else 1


def of_ssh(arguments: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Return the options for ssh; what is asked on the way, the user is asked."""
    args = ['-F', arguments.config] if arguments.config else []
    for option in arguments.ssh_option:
        args += ['-o', option]
    return {
        **of_others(arguments), 'username': arguments.username, 'port': arguments.port,
        'identity_file': arguments.identity_file, 'ssh_args': args,
        'password': screen.ask, 'passphrase': screen.ask, 'answers': screen.ask,
    }


def of_others(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that every connector has."""
    return {'python': arguments.python, 'connect_timeout': arguments.timeout}


class Screen:
    """Shows steps as they come; on a terminal the one that runs, too."""

    def __init__(self, silent: bool) -> None:
        self.silent = silent
        self.live: bool | Any = not silent and sys.stdout.isatty()
        self.lock: threading.Lock = threading.Lock()
        self.running: str = ''
        self.console: Any = None
        if self.live:
            with contextlib.suppress(ImportError):
                rich = importlib.import_module('rich.console')
                self.console = rich.Console(highlight=False, soft_wrap=True)

    def show(self, step: Step) -> None:
        """Show a step that begins or has ended."""
        with self.lock:
            if self.silent:
                return
            if step.outcome == 'running':
                self.begin(f'        {step.name} ...')
                return
            self.begin('')
            text = str(step)
            if self.console is None:
                sys.stdout.write(text + '\n')
                sys.stdout.flush()
            else:
                self.console.print(text, style=COLOURS.get(step.outcome), markup=False)

    def begin(self, text: str) -> None:
        """Write `text` where the line of the running step stood; it is no line of its own."""
        if self.live and (self.running or text):
            sys.stdout.write('\r' + ' ' * len(self.running) + '\r' + text)
            sys.stdout.flush()
            self.running = text

    def title(self, text: str) -> None:
        """Begin another examination."""
        if not self.silent:
            sys.stdout.write(text + '\n')

    def ask(self, question: str) -> str:
        """Ask the user what a program asks on the way."""
        with self.lock:
            self.begin('')
            return getpass.getpass(question)

    def close(self) -> None:
        """End the line of a step that still runs."""
        with self.lock:
            self.begin('')
