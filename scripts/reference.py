"""Writes docs/reference.md from the docstrings of the public names.

    python3 scripts/reference.py

A test holds the page to what this would write (tests/rules/test_reference.py).
"""

from __future__ import annotations

import inspect
import math
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'src'))

import econtext  # noqa: E402 -- found through the line above
import econtext.joblib  # noqa: E402
from econtext import aio, dask, testing  # noqa: E402
from econtext.controller import failures  # noqa: E402
from econtext.controller.aio import commands as aio_commands  # noqa: E402
from econtext.controller.aio import files as aio_files  # noqa: E402
from econtext.controller.aio import forks as aio_forks  # noqa: E402
from econtext.controller.commands.methods import Commands  # noqa: E402
from econtext.controller.connect import (  # noqa: E402
    connectors,
    containers,
    hosts,
    local,
    namespaces,
    registry,
    users,
)
from econtext.controller.files.methods import Files  # noqa: E402
from econtext.controller.fleet.work import FleetWork  # noqa: E402
from econtext.controller.session import callbacks, calls, forks  # noqa: E402

PAGE = ROOT / 'docs' / 'reference.md'
WIDTH = 100

INTRODUCTION = """\
# Reference

All names are available after `import econtext`, but those of `econtext.dask` and `econtext.joblib`, which are to be
imported. Anything not listed here is private, and may change. Every error of econtext is one of these
[exceptions](#exceptions). `scripts/reference.py` writes the reference from the docstrings.

CONTENTS

"""


# The methods of a path that ask for files.
OF_PATHS = tuple(name for name, value in vars(econtext.RemotePath).items()
                 if name[0] != '_' and inspect.isfunction(value))


def connectors_of(family: type) -> tuple[str, ...]:
    """Return the names of the connectors whose methods the class `family` defines."""
    return tuple(name for name in vars(family) if name in registry.ours())


# Each class with its public methods. Those that a Broker and a Context have in common come once.
CLASSES: tuple[tuple[Any, str, tuple[str, ...]], ...] = (
    (econtext.Broker, 'econtext.Broker', ('fleet', 'listen', 'close')),
    (local.LocalConnectors, 'Connectors: methods of Broker and of Context', connectors_of(local.LocalConnectors)),
    (hosts.HostConnectors, 'Connectors to other machines', connectors_of(hosts.HostConnectors)),
    (users.UserConnectors, 'Connectors to other users', connectors_of(users.UserConnectors)),
    (containers.ContainerConnectors, 'Connectors into containers', connectors_of(containers.ContainerConnectors)),
    (namespaces.NamespaceConnectors, 'Connectors into namespaces', connectors_of(namespaces.NamespaceConnectors)),
    (connectors.Connectors, 'Connectors by name', ('connect',)),
    (
        econtext.Context,
        'econtext.Context',
        ('call', 'submit', 'options', 'channel', 'stream', 'wait_ready', 'same_interpreter',
         'shutdown', 'close'),
    ),
    (Commands, 'Commands: methods of Context', ('run', 'run_lines')),
    (econtext.RunLines, 'econtext.RunLines', ('close',)),
    (econtext.Line, 'econtext.Line', ()),
    (econtext.BytesLine, 'econtext.BytesLine', ()),
    (Files, 'Files: methods of Context', ('put', 'get', 'open', 'path')),
    (econtext.Copied, 'econtext.Copied', ()),
    (econtext.TransferProgress, 'econtext.TransferProgress', ()),
    (econtext.RemotePath, 'econtext.RemotePath', OF_PATHS),
    (calls.Options, 'econtext.Context.options(…)', ('call', 'submit', 'stream')),
    (forks.ForkOptions, 'econtext.Context.options(fork=True, …)', ('call', 'submit')),
    (econtext.ForkResult, 'econtext.ForkResult', ()),
    (econtext.Attachment, 'econtext.Attachment', ('context', 'call', 'fleet', 'close')),
    (econtext.Channel, 'econtext.Channel', ('send', 'get', 'open', 'keep', 'close')),
    (econtext.Stream, 'econtext.Stream', ('close',)),
    (econtext.Selection, 'econtext.Selection', ('add', 'remove', 'close')),
    (
        econtext.Future,
        'econtext.Future',
        ('result', 'exception', 'done', 'cancel', 'cancelled', 'interrupt'),
    ),
    (econtext.Fleet, 'econtext.Fleet',
     ('call', 'submit', 'map', 'stream', 'filter', 'options', 'connect_all', 'context', 'executor',
      'shutdown', 'close')),
    (FleetWork, 'Commands and files: methods of Fleet', ('run', 'put', 'get')),
    (econtext.Results, 'econtext.Results', ('raise_for_failures',)),
    (econtext.Futures, 'econtext.Futures', ('as_completed', 'results', 'interrupt')),
    (econtext.HostFuture, 'econtext.HostFuture', ('interrupt',)),
    (econtext.FleetExecutor, 'econtext.FleetExecutor', ('submit', 'shutdown')),
    (econtext.FleetStream, 'econtext.FleetStream', ('close',)),
    (econtext.Host, 'econtext.Host', ('matches',)),
    (econtext.Progress, 'econtext.Progress', ()),
    (econtext.Secret, 'econtext.Secret', ('reveal',)),
    (callbacks.Program, 'econtext.program', ('call',)),
    (callbacks.Allows, 'Calls from contexts: methods of Broker and of Context', ('allow',)),
    (econtext.Report, 'econtext.Report', ()),
    (econtext.Step, 'econtext.Step', ()),
)
# Those of econtext.aio, each under the name of its home there.
CLASSES += (
    (aio.Broker, 'econtext.aio.Broker', ('fleet', 'allow', 'listen', 'close')),
    (aio.Context, 'econtext.aio.Context',
     ('call', 'submit', 'options', 'channel', 'stream', 'allow', 'wait_ready', 'same_interpreter',
      'shutdown', 'close')),
    (aio.Attachment, 'econtext.aio.Attachment', ('contexts', 'context', 'call', 'fleet', 'close')),
    (aio_commands.Commands, 'Commands: methods of aio.Context', ('run', 'run_lines')),
    (aio_files.Files, 'Files: methods of aio.Context', ('put', 'get', 'open', 'path')),
    (aio.RemotePath, 'econtext.aio.RemotePath', OF_PATHS),
    (aio.Options, 'econtext.aio.Context.options(…)', ('call', 'submit', 'stream')),
    (aio_forks.ForkOptions, 'econtext.aio.Context.options(fork=True, …)', ('call', 'submit')),
    (aio.Future, 'econtext.aio.Future', ('cancel', 'interrupt')),
    (aio.Channel, 'econtext.aio.Channel', ('send', 'get', 'open', 'keep', 'close')),
    (aio.Stream, 'econtext.aio.Stream', ('aclose',)),
    (aio.Selection, 'econtext.aio.Selection', ('add', 'remove', 'close')),
    (aio.RunLines, 'econtext.aio.RunLines', ('aclose',)),
    (aio.File, 'econtext.aio.File', ('read', 'readline', 'write', 'seek', 'flush', 'close')),
    (aio.Fleet, 'econtext.aio.Fleet',
     ('call', 'submit', 'map', 'stream', 'run', 'put', 'get', 'filter', 'options', 'connect_all', 'context',
      'shutdown', 'close')),
    (aio.HostResult, 'econtext.aio.HostResult', ('cancel',)),
    (aio.HostStream, 'econtext.aio.HostStream', ('aclose',)),
)
# Behind an extra.
CLASSES += ((dask.Cluster, 'econtext.dask.Cluster', ('scale', 'adapt')),)
MODULES: tuple[tuple[types.ModuleType, tuple[str, ...]], ...] = (
    (econtext, ('register', 'select', 'attach', 'doctor')),
    (aio, ('attach', 'select')),
    (econtext.local, ('connect',)),
    (econtext.ssh, ('connect',)),
    (econtext.sudo, ('connect',)),
    (testing, ('check_connector',)),
    (econtext.joblib, ('register',)),
    (econtext.inventory, ('ssh_config', 'ansible', 'toml')),
    (econtext.utils, ('run_with_broker', 'log_to_stderr')),
)
ERRORS = tuple(
    (
        'EcontextError ConnectError ContextLost CorruptStream CallError ForkExited CallTimeout Interrupted '
        'NotAllowed FleetError InternalError'
    ).split()
)
RESERVED = ('InternalError',)
# What a docstring cannot say: what is inherited, and attributes.
MORE = {
    'Connectors: methods of Broker and of Context': '''\
Types of the signatures, for all connectors:

| type | is |
|---|---|
| `Python` | `str \\| Sequence[str] \\| None` |
| `Secret` | `str \\| econtext.Secret \\| Callable[[str], str \\| econtext.Secret] \\| None` |
| `Answers` | `Callable[[str], str \\| None] \\| Mapping[str, str \\| Callable[[str], str]] \\| None` |
| `Folder` | `str \\| os.PathLike[str]` |

`common`, the options of every connector, are these keywords:

| option | default | |
|---|---|---|
| `name` | the host's or user's name, or a number | what logs and errors call the context |
| `argv0` | whose it is | what `ps` shows there |
| `connect_timeout` | 30 | how many seconds it may take to start |
| `threads` | 1 | how many calls run there at once; one alone runs in its main thread |
| `heartbeat` | 15; 0 where the link cannot go silent | seconds of silence after which one end asks; 0 for never |
| `gil_limit` | 6 | seconds of processor time that its code may hold the interpreter lock; 0 for any |
| `output_window` | 1,048,576 | bytes of its output that may be on their way, or wait for handlers of `logging` |''',
    'Connectors by name': '`econtext.NAME.connect(via, …)` is `via.NAME(…)`; NAME is `local`, `ssh` or `sudo`.',
    'econtext.Context': '''\
As a `concurrent.futures.Executor` it also has `map`.

| attribute | |
|---|---|
| `name` | what logs and errors call it |
| `via` | the context that started it; None if this program did |
| `python_version` | of the interpreter there, `(3, 11, 2)`; empty until it is ready |
| `executable` | the path of that interpreter |
| `pid` | the number of the process there |

Values that cross, as arguments and results, are listed in [Old Pythons](howto/old-pythons.md#which-values). A context
can be an argument too. The function can call `call` of it, if it lies below there, and return it.''',
    'econtext.Attachment': '''\
`contexts` is the list of those there are now. `path` is where it is attached. All connectors are methods, as of a
broker.''',
    'econtext.Channel': '`context` is the one it was opened with. It is an iterator.',
    'econtext.Report': '`ok` tells whether no step failed; `failed` is the step that did, or None.',
    'econtext.Fleet': '''\
`hosts` are its Hosts. All connectors are methods that return a fleet of what they start on each.

| type | is |
|---|---|
| `Hosts` | a name, pattern, `econtext.Host` or mapping from names to options; a function or list of these |
| `Connector` | a name, or `Callable[[Broker, econtext.Host], Context]` |
| `Amount` | `int \\| str`, such as `10` or `'10%'` |
| `Wanted` | `bool \\| Callable[[econtext.Progress], object] \\| None` |''',
    'econtext.Futures': 'It is a mapping: `futures[host]`, `futures.items()`.',
    'econtext.Progress':
        '`total`, `ended`, `rate`, in hosts per second, and `remaining`, in seconds or None, are computed from these.',
    'econtext.TransferProgress':
        '`rate`, in bytes per second, and `remaining`, in seconds or None, are computed from these.',
    'econtext.RemotePath': '''\
`context` is the context that has the file. It is no `os.PathLike`, so no file of this machine is taken for it; `put`,
`get`, `open` and `run` of its context take it.

| as in `pathlib.Path` | |
|---|---|
| names | `/`, `joinpath`, `parts`, `drive`, `root`, `anchor`, `name`, `stem`, `suffix`, `suffixes`, \
`parent`, `parents`, `with_name`, `with_stem`, `with_suffix`, `relative_to`, `is_relative_to`, \
`is_absolute`, `match`, `as_posix` |
| what is there | `stat`, `lstat`, `exists`, `is_dir`, `is_file`, `is_symlink`, `is_fifo`, `is_socket`, \
`is_block_device`, `is_char_device`, `samefile`, `owner`, `group`, `iterdir`, `glob`, `rglob`, `walk` |
| content | `open`, `read_bytes`, `read_text`, `write_bytes`, `write_text`, `touch` |
| changes | `mkdir`, `rmdir`, `unlink`, `rename`, `replace`, `chmod`, `symlink_to`, `hardlink_to` |
| other places | `readlink`, `resolve`, `absolute`, `expanduser` |

`rmtree()` removes a folder with all that is in it.''',
    'econtext.aio.RemotePath': '''\
The names of [econtext.RemotePath](#econtextremotepath): what asks for files is awaited, `iterdir`, `glob`, `rglob` and
`walk` are for `async for`, `open` is for `async with` or awaited.''',
    'econtext.Future': '`add_done_callback` and the functions of `concurrent.futures` work as with any future.',
}
IN_A_CONTEXT = """\
## econtext in a context

Code that runs in a context gets a small module from `import econtext`, on any Python:

| name | there |
|---|---|
| `slave` | True |
| `Context`, `Channel`, `Secret` | the types of what was handed over as arguments |
| `program` | the program, for functions that it allowed |
| `EcontextError` and its subclasses, `Interrupted` | exceptions, the same names |
| all else, such as `Broker`, `Future`, `select`, `ssh` | good for imports and annotations; an EcontextError when used |
| `utils`, after `import econtext.utils` | the same, when its functions are called |

`Channel` has `send`, `open`, `keep`, `close` and iteration there. `Context` has `name` and `call`.
"""


def main() -> None:
    PAGE.write_text(page())


def page() -> str:
    text = INTRODUCTION + '\n\n'.join(part.strip('\n') for part in parts()) + '\n'
    return text.replace('CONTENTS', contents(text))


def contents(text: str) -> str:
    """Return a list of the page's sections, each with what is in it, as links."""
    text = re.sub(r'```.*?```', '', text, flags=re.DOTALL)
    lines = []
    seen: dict[str, int] = {}
    for level, title in re.findall(r'^(##|###) (.*)$', text, re.MULTILINE):
        # As the usual renderers make them of a heading.
        anchor = re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-')
        seen[anchor] = seen.get(anchor, 0) + 1
        if seen[anchor] > 1:
            anchor = f'{anchor}-{seen[anchor] - 1}'
        name = re.sub(r'\(.*\)$', '', title).rpartition('.')[2] if level == '###' else title
        lines.append(f'* [{title}](#{anchor})' if level == '##' else f'[{name}](#{anchor})')
    return re.sub(r'\n(?=\[)', ' · ', '\n'.join(lines))


def parts() -> Iterator[str]:
    for kind, title, methods in CLASSES:
        yield '## ' + title
        yield text_of(kind)
        if title in MORE:
            yield MORE[title]
        for name in methods:
            prefix = title.removeprefix('econtext.') + '.' if title.startswith('econtext.') else ''
            yield from entry(prefix, getattr(kind, name))
    for module, names in MODULES:
        yield '## ' + module.__name__ if module is not econtext else '## Functions'
        for name in names:
            yield from entry(module.__name__ + '.', getattr(module, name))
    yield '## Exceptions'
    for name in ERRORS:
        kind = getattr(econtext, name)
        bases = ', '.join(base.__name__ for base in kind.__bases__)
        yield f'### {name}({bases})'
        yield text_of(kind)
        if name in RESERVED:
            yield 'The name is reserved: nothing raises it yet.'
    yield '## Kinds of ConnectError'
    yield '| kind | what happened | remedy |\n|---|---|---|\n' + '\n'.join(
        f'| `{kind}` | {what} | {remedy} |' for kind, (what, remedy) in failures.REMEDIES.items()
    )
    yield '## Constants'
    yield '`econtext.slave` is False in your program and True in a context. `econtext.__version__` is a text.'
    yield IN_A_CONTEXT


def entry(prefix: str, function: Callable[..., Any]) -> Iterator[str]:
    yield f'### {prefix}{function.__name__}'
    yield '```python\n' + signature(function) + '\n```'
    yield text_of(function)


def signature(function: Callable[..., Any]) -> str:
    """Return what a call looks like, as a definition that Python can read."""
    # The last overload is the plainest.
    found = inspect.signature((typing.get_overloads(function) or [function])[-1])
    parameters = [p for p in found.parameters.values() if p.name != 'self']
    found = found.replace(parameters=parameters)
    if found.return_annotation == 'C':
        # Of connectors: their methods are generic in the context that they return, and users have only one kind.
        found = found.replace(return_annotation='Context')
    shown = [shown_as(parameter) for parameter in parameters]
    keyword = [index for index, p in enumerate(parameters) if p.kind is p.KEYWORD_ONLY]
    if keyword and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        shown.insert(keyword[0], '*')
    alone = [p for p in parameters if p.kind is p.POSITIONAL_ONLY]
    if alone:
        shown.insert(len(alone), '/')
    returns = annotation_of(found.return_annotation)
    text = f'def {function.__name__}({", ".join(shown)}) -> {returns}: ...'
    if len(text) <= WIDTH:
        return text
    lines = ''.join(f'    {each},\n' for each in shown)
    return f'def {function.__name__}(\n{lines}) -> {returns}: ...'


def annotation_of(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def shown_as(parameter: inspect.Parameter) -> str:
    """Return a parameter as it stands in a definition."""
    stars = {parameter.VAR_POSITIONAL: '*', parameter.VAR_KEYWORD: '**'}.get(parameter.kind, '')
    value = 'math.inf' if parameter.default == math.inf else repr(parameter.default)
    default = '' if parameter.default is parameter.empty else f' = {value}'
    return f'{stars}{parameter.name}: {annotation_of(parameter.annotation)}{default}'


def text_of(thing: Any) -> str:
    """Return a docstring as Markdown."""
    text = inspect.cleandoc(thing.__doc__ or '')
    prose, _, example = text.partition('Example::')
    prose = prose.strip().replace('``', '`')
    if not example:
        return prose
    return prose + '\n\n```python\n' + textwrap.dedent(example).strip('\n') + '\n```'


if __name__ == '__main__':
    main()
