"""
The options that commands share, as decorators for click.

Invariants:

* An option has the same long name, meaning and help in each command that has it.
* Words behind the last argument of a command of its own belong to the other program, whatever they look like.

Entered by the main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any

import click

from econtext.command_line.connecting import Way
from econtext.command_line.help import Context
from econtext.command_line.targets import BadTarget, Target, parse_hosts, parse_location
from econtext.controller.text import shown

Function = Callable[..., Any]
NAMES = tuple(Way.__dataclass_fields__)
COMPLETION = 5.0    # seconds that a host has to connect while somebody waits for its paths

REACH = (
    click.option('-J', '--via', metavar='HOST', multiple=True,
                 help='Go through this host. Repeat the option for further hops, or name them with commas.'),
    click.option('--sudo', metavar='[USER]', help='Become root there by sudo; --sudo=USER becomes USER.'),
    click.option('--python', metavar='PATH', help='The Python interpreter there. By default econtext finds one.'),
    click.option('-l', '--username', metavar='USER', help='Log in as USER by ssh.'),
    click.option('-p', '--port', metavar='PORT', type=click.IntRange(1, 65535), help='The port of the ssh server.'),
    click.option('-i', '--identity-file', metavar='FILE', help='A private key for ssh.'),
    click.option('-F', 'config', metavar='FILE', help='The configuration of ssh to use in place of your own.'),
    click.option('-o', 'ssh_options', metavar='KEY=VALUE', multiple=True,
                 help='An option for ssh, as in its configuration.'),
)
CONNECT = click.option('--connect-timeout', metavar='SECONDS', type=click.FloatRange(min=0, min_open=True),
                       default=30.0, show_default=True, help='How long a host may take to connect.')
INVENTORY = click.option('-I', '--inventory', metavar='FILE',
                         help='Take hosts and @groups from this inventory: a TOML file, or any inventory of Ansible.')
VERBOSE = click.option('-v', '--verbose', count=True, help='Log what econtext does. Repeat the option for more.')
NO_SERVER = click.option('--no-server', is_flag=True, help='Connect anew: use and start no session server.')
JSON = click.option('--json', 'as_json', is_flag=True, help='Print one JSON object a line, for other programs.')
COMPRESS = click.option('-C', '-z', '--compress', is_flag=True, help='Have ssh compress what it sends.')
TIMEOUT = click.option('--timeout', metavar='SECONDS', type=click.FloatRange(min=0, min_open=True),
                       help='How long the work may take on a host once that is connected.')


class Command(click.Command):
    """
    A command whose own options end where the words of another program begin.

    ``--sudo`` alone never takes the next word for a user.  `leading` is how many arguments stand before the
    words of the other program; None if there is no such program.  The value of the option `last` is that program.
    `habits` tells who types an option of another tool what to type.
    """

    context_class: type[click.Context] = Context

    def __init__(
        self, *args: Any, leading: int | None = None, last: str = '', habits: Mapping[str, str] = MappingProxyType({}),
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.leading = leading
        self.last = last
        self.habits: Mapping[str, str] = habits

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words behind the name of the command."""
        taking = {
            name for param in self.get_params(ctx)
            if isinstance(param, click.Option) and not (param.is_flag or param.count)
            for name in (*param.opts, *param.secondary_opts)}
        try:
            words = arranged(args, taking, self.leading, self.last)
            self.check_first(ctx, words)
            return super().parse_args(ctx, list(words))
        except click.MissingParameter as error:
            error.param = self.lacking(ctx, words, error.param)
            raise
        except click.NoSuchOption as error:
            hint = self.habits.get(error.option_name)
            if hint is None:
                raise
            raise click.UsageError(f'No such option {shown(error.option_name)}: {hint}', ctx) from None

    def check_first(self, ctx: click.Context, words: list[str]) -> None:
        """Raise MissingParameter where no host stands before the -- of a command, whose first word is none."""
        arguments = [param for param in self.get_params(ctx) if isinstance(param, click.Argument)]
        if ctx.resilient_parsing or '--' not in words or not any(
                (param.metavar or '').startswith('-- ') for param in arguments):
            return
        before = self.make_parser(ctx).parse_args(words[:words.index('--')])[0]
        # What is not given is no text, whatever else it is.
        helped = any(before.get(param.name or '') is True for param in self.get_params(ctx) if param.is_eager)
        if not helped and not isinstance(before.get(arguments[0].name or ''), str):
            raise click.MissingParameter(ctx=ctx, param=arguments[0])

    def lacking(self, ctx: click.Context, words: list[str], found: click.Parameter | None) -> click.Parameter | None:
        """Return the argument that lacks where click has `found` one: the last of few words is for the last."""
        arguments = [param for param in self.get_params(ctx) if isinstance(param, click.Argument)]
        if found is not arguments[0] or found.nargs != -1 or len(arguments) == 1:
            return found
        given = self.make_parser(ctx).parse_args(list(words))[0]
        return arguments[-1] if isinstance(given.get(arguments[-1].name or ''), str) else found


def arranged(words: Sequence[str], taking: Set[str], leading: int | None, last: str = '') -> list[str]:
    """
    Return `words` so that click reads them as meant; `taking` are the options that take a value.

    ``--sudo`` becomes ``--sudo=root``, and behind `leading` arguments, or the value of the option `last`, stands
    a ``--``.
    """
    found: list[str] = []
    rest = list(words)
    arguments = 0
    while rest:
        word = rest.pop(0)
        if word == '--':
            return [*found, word, *rest]
        if word == '--sudo':
            found.append('--sudo=root')
        elif word.startswith('-') and word != '-':
            found.append(word)
            if rest and takes_next(word, taking):
                found.append(rest.pop(0))
                if word == last and arguments == leading:
                    return [*found, '--', *rest]
        elif arguments == leading:
            return [*found, '--', word, *rest]
        else:
            arguments += 1
            found.append(word)
    return found


def takes_next(word: str, taking: Set[str]) -> bool:
    """Is the word behind `word` the value of an option?"""
    if word.startswith('--'):
        return word in taking
    # Of several letters the first that takes a value takes the rest of the word, or the next one.
    for at, letter in enumerate(word[1:], 1):
        if '-' + letter in taking:
            return at == len(word) - 1
    return False


def with_short(param: Any, letters: Mapping[str, str]) -> Any:
    """Return a decorator that adds what `param` adds, with other short forms; '' for none."""
    def add(command: Function) -> Function:
        command = param(command)
        found: list[click.Parameter] = command.__click_params__  # type: ignore[attr-defined]
        found[-1].opts = [name for name in (letters.get(name, name) for name in found[-1].opts) if name]
        return command
    return add


def reach(
    *more: Any, taken: Mapping[str, str] = MappingProxyType({}), served: bool = False, connect: Any = CONNECT,
) -> Callable[[Function], Function]:
    """Add the options that say how to reach a host, and `more`; they come as one keyword, `way`.

    `taken` are short forms that `more` uses, and what the options of all commands have in their place; '' for none.
    With `served` it is a command that a session server may run.  `connect` is the option for the time to connect.
    """
    def add(command: Function) -> Function:
        def called(**given: Any) -> Any:
            # The front reads this option: see ``service.front``.
            given.pop('no_server', None)
            if given.get('verbose'):
                log(given['verbose'])
            own = {name: given.pop(name) for name in NAMES if name in given}
            own['attended'] = not given.get('as_json')
            own['via'] = tuple(hop for word in own.get('via', ()) for hop in word.split(','))
            if given.pop('compress', False):
                own['ssh_options'] = (*own['ssh_options'], 'Compression=yes')
            way = Way(**{name: value for name, value in own.items() if value is not None})
            return command(way=way, **given)

        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__click_params__ = list(getattr(command, '__click_params__', ()))  # type: ignore[attr-defined]
        shared = [with_short(option, taken) for option in REACH]
        for option in reversed((*more, *shared, connect, VERBOSE, *([NO_SERVER] if served else []))):
            called = option(called)
        return called
    return add


def log(verbose: int) -> None:
    """Log to standard error."""
    import logging

    from econtext import utils
    utils.log_to_stderr(logging.DEBUG if verbose > 1 else logging.INFO)
    if verbose > 1:
        logging.getLogger('econtext').setLevel(logging.DEBUG)


def host(ctx: click.Context, param: click.Parameter, value: str) -> Target:
    """Return the one host that an argument of the command line names."""
    try:
        found = parse_hosts(value)
    except BadTarget as error:
        raise click.BadParameter(str(error), ctx, param) from None
    if len(found) != 1 or not isinstance(found[0], Target):
        raise click.BadParameter(f'{shown(value)} may name several hosts, and this command is for one', ctx, param)
    return found[0]


def complete_hosts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Return the hosts of the ssh configuration that begin with what stands behind the last comma."""
    from click.shell_completion import CompletionItem

    from econtext import inventory
    before, comma, last = incomplete.rpartition(',')
    # The user stays, and may be known to the host alone.
    user, at, name = last.rpartition('@')
    try:
        names = [host.name for host in inventory.ssh_config('*', config=ctx.params.get('config'))]
    except (OSError, ValueError):
        names = []
    if not at:
        names = ['local', *names]
    return [CompletionItem(before + comma + user + at + each) for each in names if each.startswith(name)]


def complete_locations(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Return what begins so: files of this machine, hosts or, but for fish, paths on the host that is named."""
    import os

    from click.shell_completion import CompletionItem
    try:
        location = parse_location(incomplete)
    except BadTarget:
        return []
    if location.target is not None:
        if os.environ.get('_ECONTEXT_COMPLETE', '').startswith('fish'):
            # It asks with each character that is typed, and each question would be one more login.
            return []
        path = '' if incomplete.endswith(':') else location.path
        head = incomplete[:len(incomplete) - len(path.rpartition('/')[2])]
        return [CompletionItem(head + name) for name in paths_on(location.target, path, ctx.params)]
    hosts = [] if '/' in incomplete else complete_hosts(ctx, param, incomplete)
    return [*(CompletionItem(f'{each.value}:') for each in hosts), CompletionItem(incomplete, type='file')]


def paths_on(target: Target, path: str, params: Mapping[str, Any]) -> list[str]:
    """Return the names there that complete `path`; none if the host cannot be reached without a question."""
    import os

    import econtext
    from econtext.child import listings
    from econtext.command_line.connecting import Asker, fleet_from, host_of

    given = {name: params[name] for name in NAMES if params.get(name)}
    given['via'] = tuple(hop for word in given.get('via', ()) for hop in word.split(','))
    given['ssh_options'] = (*given.get('ssh_options', ()), 'BatchMode=yes')
    way = Way(**{**given, 'connect_timeout': COMPLETION, 'attended': False})
    asker = Asker()
    asker.over = True   # who presses Tab is asked nothing
    try:
        with econtext.Broker() as broker:
            context = fleet_from(broker, [host_of(target, way, asker)], way, asker).context(str(target))
            return [os.fsdecode(name) for name in context.call(listings.beginning, path)]
    except (econtext.EcontextError, OSError, ValueError):
        return []
