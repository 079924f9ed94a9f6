"""Writes docs/reference.md from the docstrings of the public names.

    python3 scripts/reference.py

A test holds the page to what this would write (tests/rules/test_reference.py).
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'src'))

import econtext  # noqa: E402 -- found through the line above
from econtext.controller import connect, context, remedies  # noqa: E402

PAGE = ROOT / 'docs' / 'reference.md'
WIDTH = 100

INTRODUCTION = """\
# Reference

Written from the docstrings by `scripts/reference.py`; change those, and run it. All names here are had by
`import econtext` alone. What is not named here may change.

"""

# Each class with its public methods. Those that a Broker and a Context have in common come once.
CLASSES: tuple[tuple[Any, str, tuple[str, ...]], ...] = (
    (econtext.Broker, 'econtext.Broker', ('close',)),
    (connect.Origin, 'Connectors: methods of Broker and of Context', ('local', 'ssh', 'sudo')),
    (
        econtext.Context,
        'econtext.Context',
        ('call', 'submit', 'options', 'channel', 'wait_ready', 'shutdown', 'close'),
    ),
    (context.Options, 'econtext.Context.options(…)', ('call', 'submit')),
    (econtext.Channel, 'econtext.Channel', ('send', 'get', 'open', 'close')),
    (econtext.Future, 'econtext.Future', ('result', 'exception', 'done')),
)
MODULES: tuple[tuple[types.ModuleType, tuple[str, ...]], ...] = (
    (econtext, ('select',)),
    (econtext.local, ('connect',)),
    (econtext.ssh, ('connect',)),
    (econtext.sudo, ('connect',)),
    (econtext.utils, ('run_with_broker', 'log_to_stderr')),
)
ERRORS = tuple(
    'EcontextError ConnectError ContextLost CorruptStream CallError CallTimeout NotAllowed InternalError'.split()
)
RESERVED = ('NotAllowed', 'InternalError')
# What a docstring cannot say: what is inherited, and attributes.
MORE = {
    'Connectors: methods of Broker and of Context': '''\
`Python` is `str | Sequence[str] | None`, `Secret` is `str | Callable[[str], str] | None`.''',
    'econtext.Context': '''\
As a `concurrent.futures.Executor` it also has `map`.

| attribute | |
|---|---|
| `name` | what logs and errors call it |
| `via` | the context that started it; None if this program did |
| `python_version` | of the interpreter there, `(3, 11, 2)`; empty until it is ready |
| `executable` | the path of that interpreter |
| `pid` | the number of the process there |

A context can be an argument of a call. The function can call `call` of it, if it lies below there, and return it.''',
    'econtext.Channel': '`context` is the one it was opened with. It is an iterator.',
    'econtext.Future': '`add_done_callback` and the functions of `concurrent.futures` work as with any future.',
}
IN_A_CONTEXT = """\
## econtext in a context

Code that runs in a context gets a small module from `import econtext`, on any Python:

| name | there |
|---|---|
| `slave` | True |
| `Context`, `Channel` | the types of contexts and channels that were handed over as arguments |
| `EcontextError` and its subclasses | exceptions, the same names |
| `Broker`, `Future`, `select`, `local`, `ssh`, `sudo` | an EcontextError when they are used |
| `utils`, after `import econtext.utils` | the same, when its functions are called |

`Channel` has `send`, `open`, `close` and iteration there. `Context` has `name` and `call`.
"""


def main() -> None:
    PAGE.write_text(page())


def page() -> str:
    return INTRODUCTION + '\n\n'.join(part.strip('\n') for part in parts()) + '\n'


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
        f'| `{kind}` | {what} | {remedy} |' for kind, (what, remedy) in remedies.REMEDIES.items()
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
    found = inspect.signature(function)
    parameters = [p for p in found.parameters.values() if p.name != 'self']
    found = found.replace(parameters=parameters)
    text = f'def {function.__name__}{found}: ...'.replace("'", '')
    text = re.sub(r"=(ssh|sudo|root)\b", r"='\1'", text.replace(' = ', '=')).replace('=', ' = ')
    if len(text) <= WIDTH:
        return text
    shown = [str(parameter).replace("'", '') for parameter in parameters]
    shown = [re.sub(r' = (ssh|sudo|root)$', r" = '\1'", each) for each in shown]
    keyword = [index for index, p in enumerate(parameters) if p.kind is p.KEYWORD_ONLY]
    if keyword:
        shown.insert(keyword[0], '*')
    lines = ''.join(f'    {each},\n' for each in shown)
    returns = str(found.return_annotation).replace("'", '')
    return f'def {function.__name__}(\n{lines}) -> {returns}: ...'


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
