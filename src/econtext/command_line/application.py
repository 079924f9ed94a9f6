"""
The command ``econtext``: finds the commands, and turns what goes wrong into a sentence and an exit status.

Invariants:

* A module of a command is imported when that command is wanted.
* No mistake of a user, and no failure of a host, ends in a traceback of ours.
* Nobody reads the output any more: the command ends at once, and says nothing.
* Output that cannot be written is told once.

Entered by the main thread.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import econtext
from econtext.command_line.help import Context, folded_sentences, output_width
from econtext.command_line.targets import BadTarget
from econtext.controller.text import harmless_lines, shown

#: Each command, its module and what it does, in the order of the help.
COMMANDS = {
    'run': ('run', 'Run a script or a function of this machine on hosts.'),
    'exec': ('execute', 'Run a command on one host or many.'),
    'shell': ('shell', 'Open a Python prompt on a host.'),
    'cp': ('cp', 'Copy files to, from and between hosts.'),
    'sync': ('sync', 'Make a folder on a host like one here, or the reverse.'),
    'ls': ('ls', 'List files of a host.'),
    'fleet': ('fleet', 'Show which hosts answer, with their Pythons and times.'),
    'serve': ('serve', 'Keep connections warm between commands.'),
    'doctor': ('doctor', 'Tell step by step what works on the way to a host.'),
    'completion': ('completion', 'Print the completion script for a shell.'),
}
UNREAD = 141        # what a shell says of a program that SIGPIPE ended
INTERRUPTED = 130
NO_CONNECTION = 255
LATE = 124
FAILED = 1

WELCOME = """\
econtext runs Python on other machines, which need nothing but Python and ssh.

First things to type:
  econtext exec local -- uname -a      run a command; 'local' is this machine
  econtext exec HOST -- uname -a       the same on HOST, if `ssh HOST` gets you in
  econtext shell HOST                  a Python prompt there
  econtext run HOST script.py          a script of yours, with its modules
  econtext doctor HOST                 if something does not work

econtext --help lists all commands.
"""
EPILOG = """\b
HOST is one of:
  web1, me@web1, me@web1:2222       by ssh, as your ssh configuration has it
  local                             this machine
  docker:NAME, podman:NAME, ...     a container, by its engine

HOSTS is a list with commas, and may have patterns of your ssh configuration
such as 'web*', or '@group' of an --inventory.

\b
Exit status:
  0    all is well
  N    what the command or script there returned; of several hosts the highest
  1    something failed, such as a copy
  2    the command line makes no sense
  124  --timeout is over
  126, 127  the program there may not be run, or is not there
  128+N  signal N ended the command or script there; 130 is Ctrl-C
  255  a host could not be connected, or was lost; or the session server ended
"""


class Commands(click.Group):
    """The commands, each imported when it is wanted."""

    context_class: type[click.Context] = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f'econtext.command_line.{COMMANDS[cmd_name][0]}').command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the words name; raise click.UsageError with what may have been meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith('-'):
            from difflib import get_close_matches
            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f'did you mean {near[0]}?' if near else (
                f'a host stands behind a command: econtext exec {args[0]} -- COMMAND')
            raise click.UsageError(f'No such command {shown(args[0])}: {hint}', ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does, and import none of them."""
        with formatter.section('Commands'):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the rest of the help."""
        formatter.write_paragraph()
        formatter.write_text(EPILOG)


application: Commands = Commands(
    'econtext', help='Run commands and your own Python on other machines.', epilog=EPILOG, invoke_without_command=True,
    params=[
        click.Option(['-V', '--version'], is_flag=True, is_eager=True, expose_value=False,
                     callback=lambda ctx, param, value: version(ctx) if value else None, help='Show the version.'),
    ],
    context_settings={'help_option_names': ['-h', '--help'], 'max_content_width': 100},
)


def version(ctx: click.Context) -> NoReturn:
    click.echo(econtext.__version__)
    ctx.exit(0)


def read(words: Sequence[str]) -> click.Context:
    """Return a command line that begins with the name of a command as ``run`` takes it, read ahead of its time."""
    name, *rest = words
    command = application.get_command(click.Context(application), name)
    assert command is not None, 'words that were run before name a command'
    group = application.make_context('econtext', [name], resilient_parsing=True)
    return command.make_context(name, rest, parent=group)


@application.result_callback()
def done(status: Any, **_: Any) -> Any:
    """Return the exit status of the command."""
    return status


def run(argv: Sequence[str] | None = None, known: click.Context | None = None) -> int:
    """Run the command line, of which `known` is what ``read`` has returned; return the exit status."""
    status = 0
    try:
        try:
            status = carry_out(list(sys.argv[1:] if argv is None else argv), known)
        finally:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Nobody reads any more (`| head`).
        status = UNREAD
    except OSError as error:
        # There is no room for the last of the output, say; of the rest ``carry_out`` has told.
        if not status:
            complain(said(error))
            status = FAILED
    # At its exit Python flushes once again, into nothing then.
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
    return status


def carry_out(words: list[str], known: click.Context | None = None) -> int:
    """Run the command line, as long as its output is read."""
    completing = os.environ.get('_ECONTEXT_COMPLETE')
    if completing:
        from click.shell_completion import shell_complete

        importlib.import_module('econtext.command_line.completion')
        return shell_complete(application, {}, 'econtext', '_ECONTEXT_COMPLETE', completing)
    try:
        if not words:
            sys.stderr.write(WELCOME)
            return 2
        if words[0] == 'help':
            words = [*words[1:2], '--help']
        if known is not None:
            with known:
                return int(known.command.invoke(known) or 0)
        with application.make_context('econtext', words) as ctx:
            return int(application.invoke(ctx) or 0)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        status = status_of(error)
        if status is None:
            raise
        complain(said(error))
        return status


def status_of(error: BaseException) -> int | None:
    """Return the exit status for what went wrong; None for a fault of ours."""
    for kinds, status in (
        ((econtext.ConnectError, econtext.ContextLost), NO_CONNECTION), (econtext.CallTimeout, LATE),
        ((econtext.EcontextError, OSError, EOFError), FAILED), (BadTarget, 2), ((TypeError, ValueError), 2),
    ):  # fmt: skip
        if isinstance(error, kinds):
            return status
    return None


def said(error: BaseException) -> str:
    """Return what went wrong, in words, with the names that options have here."""
    if isinstance(error, econtext.ConnectError):
        from econtext.command_line.remedies import with_remedy
        return with_remedy(str(error), error.kind)
    if isinstance(error, OSError) and not isinstance(error, econtext.EcontextError) and error.strerror:
        name = f': {os.fsdecode(error.filename)}' if error.filename is not None else ''
        return error.strerror.replace('the directory cwd=', 'the directory of --chdir') + name
    return str(error)


def complain(text: str) -> None:
    """Write a sentence to standard error."""
    sys.stderr.write(folded_sentences(harmless_lines(f'econtext: {text}\n'), output_width(2)))
    sys.stderr.flush()
