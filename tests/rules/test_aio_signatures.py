"""What is awaited has the parameters of what blocks: the same names, kinds, defaults and annotations.

The classes of `econtext.aio` write them down once more, since an editor, a type checker and `help()` read them there.
So nothing but this test keeps the two alike.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, overload

import pytest

import econtext
from econtext import aio
from econtext.controller import broker, context
from econtext.controller.aio import attach as aio_attach
from econtext.controller.aio import broker as aio_broker
from econtext.controller.aio import calls as aio_calls
from econtext.controller.aio import channels as aio_channels
from econtext.controller.aio import commands as aio_commands
from econtext.controller.aio import context as aio_context
from econtext.controller.aio import fleet as aio_fleet
from econtext.controller.aio import forks as aio_forks
from econtext.controller.aio import paths as aio_paths
from econtext.controller.aio import selection as aio_selection
from econtext.controller.aio import streams as aio_streams
from econtext.controller.attach import client
from econtext.controller.commands import running
from econtext.controller.connect.connectors import Connectors
from econtext.controller.files import paths
from econtext.controller.fleet import fleet
from econtext.controller.fleet import streams as fleet_streams
from econtext.controller.session import calls, channels, forks, selection, streams

#: What is awaited -> what blocks.
TWINS: dict[str, tuple[Any, Any]] = {
    'Broker': (aio_broker.Broker, broker.Broker),
    'Context': (aio_context.Context, context.Context),
    'Options': (aio_calls.Options, calls.Options),
    'Attachment': (aio_attach.Attachment, client.Attachment),
    'ForkOptions': (aio_forks.ForkOptions, forks.ForkOptions),
    'RemotePath': (aio_paths.RemotePath, paths.RemotePath),
    'Selection': (aio_selection.Selection, selection.Selection),
    'Channel': (aio_channels.Channel, channels.Channel),
    'Stream': (aio_streams.Stream, streams.Stream),
    'RunLines': (aio_commands.RunLines, running.RunLines),
    'Fleet': (aio_fleet.Fleet, fleet.Fleet),
    'HostStream': (aio_fleet.HostStream, fleet_streams.FleetStream),
}
#: Awaited methods whose parameters are others -> why.
OTHERS = {
    'Broker.__init__': 'also takes an econtext.Broker, whose contexts it shares',
    'Context.shutdown': 'always waits, as tasks do; a task that is cancelled withdraws its own calls',
    'Fleet.get': 'hands its options on',
    'Fleet.put': 'hands its options on',
    'Fleet.run': 'hands its options on',
}
#: Methods that only one of the two has -> why.
ALONE = {
    'Attachment.contexts': 'is a property of what blocks: the other program is asked',
    'Fleet.executor': 'an Executor blocks by its nature',
    'HostStream.aclose': 'the name that asyncio has for close()',
    'HostStream.close': 'is aclose()',
    'RunLines.aclose': 'the name that asyncio has for close()',
    'RunLines.close': 'is aclose()',
    'Stream.aclose': 'the name that asyncio has for close()',
    'Stream.close': 'is aclose()',
}
#: Public names of econtext that `econtext.aio` has under another name -> which.
RENAMED = {'FleetStream': 'HostStream', 'HostFuture': 'HostResult'}
#: Public names of econtext that `econtext.aio` has not -> why.
SAME = {
    **dict.fromkeys((
        'CallError CallTimeout ConnectError ContextLost CorruptStream EcontextError FleetError ForkExited '
        'InternalError Interrupted NotAllowed').split(), 'an error, which both raise'),
    **dict.fromkeys(
        'BytesLine Copied ForkResult Host Line Progress Report Results Secret Step TransferProgress'.split(),
        'a value that waits for nothing'),
    'FleetExecutor': 'an Executor blocks by its nature',
    'Futures': 'Fleet.submit() returns a dict of awaited futures',
    'aio': 'itself',
    'doctor': 'examines a host while a person waits, and prints: nothing runs beside it',
    'inventory': 'reads files of this machine',
    'program': 'is for code in contexts',
    'register': 'waits for nothing',
    'testing': 'is for tests of connectors',
    'utils': 'owns a broker for a main function that blocks',
    **dict.fromkeys(('local', 'ssh', 'sudo'), 'modules of a connector, whose connect() takes an awaited broker, too'),
}
#: Classes that a program makes itself.
MADE = {'Broker'}


def methods(name: str, kind: Any) -> dict[str, Any]:
    """Return the public methods of a class of ours, but those of connectors, which both inherit."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith(('econtext.', __name__)) and base not in Connectors.__mro__:
            found.update((each, member) for each, member in vars(base).items() if inspect.isfunction(member)
                         and (not each.startswith('_') or (each == '__init__' and name in MADE)))
    return found


def written(function: Any) -> list[str]:
    """Return the parameters as they are written: of each overload, or of the function that has none."""
    owner = getattr(inspect.getmodule(function), function.__qualname__.split('.')[0])
    tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    found = [node for node in ast.walk(tree)
             if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == function.__name__]
    overloads = [node for node in found if any('overload' in ast.unparse(each) for each in node.decorator_list)]
    return [text_of(node) for node in overloads or found]


def text_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    # Without `self`.
    (node.args.posonlyargs or node.args.args).pop(0)
    return ast.unparse(node.args)


def defaults(function: Any) -> list[Any]:
    return [each.default for each in inspect.signature(function).parameters.values()][1:]


def is_other(awaited: Any, blocking: Any) -> bool:
    """Does what is awaited take other parameters? It may have overloads for coroutine functions before them."""
    texts = written(blocking)
    return written(awaited)[-len(texts):] != texts or defaults(awaited) != defaults(blocking)


def differences(name: str, awaited: Any, blocking: Any) -> list[str]:
    """Return the methods of the twins that differ, as ``Class.method``."""
    first, second = methods(name, awaited), methods(name, blocking)
    return sorted(f'{name}.{each}' for each in first.keys() & second.keys() if is_other(first[each], second[each]))


def listed(name: str, table: dict[str, str]) -> list[str]:
    return sorted(each for each in table if each.split('.')[0] == name)


@pytest.mark.parametrize('name', TWINS)
def test_what_is_awaited_takes_what_blocks_takes(name: str) -> None:
    assert differences(name, *TWINS[name]) == listed(name, OTHERS)


@pytest.mark.parametrize('name', TWINS)
def test_what_blocks_has_a_twin(name: str) -> None:
    awaited, blocking = (methods(name, kind) for kind in TWINS[name])
    assert sorted(f'{name}.{each}' for each in awaited.keys() ^ blocking.keys()) == listed(name, ALONE)


def test_an_awaited_broker_takes_one_thing_more() -> None:
    awaited, blocking = (inspect.signature(kind.__init__).parameters for kind in TWINS['Broker'])
    assert [each for name, each in awaited.items() if name != 'blocking'] == list(blocking.values())


def test_each_public_name_has_a_twin_or_a_reason() -> None:
    names = set(vars(econtext)['_HOMES'])
    assert sorted(names - set(aio.__all__) - SAME.keys() - RENAMED.keys()) == []
    assert sorted(SAME.keys() - names) == [], 'these are public no more'
    assert sorted(SAME.keys() & set(aio.__all__)) == [], 'these have a twin by now'
    assert RENAMED.keys() <= names
    assert set(RENAMED.values()) <= set(aio.__all__)


def test_select_takes_what_blocks_takes() -> None:
    assert not is_other(aio_selection.select, selection.select)


class Blocking:
    def get(self, timeout: float | None = None) -> int: ...  # type: ignore[empty-body]
    def put(self, value: int, *, mode: int = 0) -> None: ...
    def add(self, value: int) -> None: ...
    def call(self, function: Callable[..., int], /) -> int: ...  # type: ignore[empty-body]


class Awaited:
    async def get(self, timeout: float | None = 1.0) -> int: ...  # type: ignore[empty-body]
    async def put(self, value: int, *, mode: int = 0) -> None: ...
    async def add(self, value: str) -> None: ...
    @overload
    async def call(self, function: Iterator[int], /) -> int: ...
    @overload
    async def call(self, function: Callable[..., int], /) -> int: ...
    async def call(self, function: Any, /) -> Any: ...


def test_a_difference_is_found() -> None:
    assert differences('Made', Awaited, Blocking) == ['Made.add', 'Made.get']
