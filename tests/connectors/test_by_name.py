"""Any command as a way in, and connectors by name: our own, and third parties'."""

from __future__ import annotations

import importlib
import os
import pathlib
import sys
import types
from collections.abc import Iterator

import pytest

import econtext
from econtext.connectors import command as connector
from econtext.controller.connect import registry
from econtext.parent import command
from lab import pythons, reach

THIRD = '''
from econtext.parent import command

OPTIONS = 'greeting', 'python'
ANSWERS = 'password',
PROMPTS = ('magic word: ', 'password'),
FAILURES = (('no magic', 'not-allowed'),) + command.FAILURES
MISSING = 'not-found'

ASK = ('exec 3<&0 </dev/tty;printf "Magic word: ">/dev/tty;read w;'
       'test "$w" = please||{ echo no magic>&2;exit 1;};exec "$@" <&3 3<&-')


def plan(options):
    command.check_options(options, OPTIONS)
    greeting = options.get('greeting', 'hello')
    command.check_word('greeting', greeting)
    return (['sh', '-c', ASK, 'sh'] + command.argv(command.candidates(options.get('python'))),
            True, {'GREETING': greeting})

'''


@pytest.fixture
def third(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A module `ect_doorman`, installed as a package would be, with an entry point `doorman`."""
    (tmp_path / 'ect_doorman.py').write_text(THIRD)
    info = tmp_path / 'ect_doorman-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: ect-doorman\nVersion: 1.0\n')
    (info / 'entry_points.txt').write_text(
        '[econtext.connectors]\ndoorman = ect_doorman\nbroken = ect_doorman:plan\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield importlib.import_module('ect_doorman')
    sys.modules.pop('ect_doorman', None)


def test_any_command(broker: econtext.Broker) -> None:
    plain = broker.command(['env', 'A=hello', 'sh', '-c', 'exec "$@"', 'sh'], env={'B': 'there', 'HOME': None})
    assert [plain.call(os.getenv, name) for name in 'AB'] == ['hello', 'there']
    assert plain.call(os.getenv, 'HOME') is None
    line = plain.command(['sh', '-c'], shell=True, python=sys.executable, name='line')
    assert line.call(os.getenv, 'A') == 'hello'
    last = line.command(['sh', '-c', 'echo noise;exec sh -c "$0" wait'], shell=True, python=sys.executable, tty=False)
    assert last.call(os.getenv, 'B') == 'there'
    assert last.name.startswith('line.command.')
    reach.record('connector', 'command', 'env, sh')


def test_a_command_that_asks(broker: econtext.Broker) -> None:
    ask = 'exec 3<&0 </dev/tty;printf "%s">/dev/tty;read w;test "$w" = please||exit 3;exec "$@" <&3 3<&-'
    for prompt, key in (('Password: ', 'password'), ('passphrase for key: ', 'passphrase'), ('Code > ', 'question')):
        asked: list[str] = []
        child = broker.connect('command', argv=['sh', '-c', ask % prompt, 'sh'],
                               **{key: lambda text, asked=asked: asked.append(text) or 'please'})  # fmt: skip
        assert child.call(os.getppid) == os.getpid()
        assert asked == [prompt]
    with pytest.raises(econtext.ConnectError) as caught:
        broker.command(['sh', '-c', ask % 'Code > ', 'sh']).call(os.getpid)
    assert caught.value.kind == 'answer-required'


@pytest.mark.parametrize(('argv', 'kind'), [
    (['no-such-program'], 'not-found'), (['false'], 'ended'), (['env', 'PATH=/nowhere'], 'no-python'),
    (['sh', '-c', 'echo "x: Connection refused">&2;exit 255'], 'connection-refused'),
])  # fmt: skip
def test_a_command_that_fails(broker: econtext.Broker, argv: list[str], kind: str) -> None:
    with pytest.raises(econtext.ConnectError) as caught:
        broker.command(argv).call(os.getpid)
    assert caught.value.kind == kind, str(caught.value)


@pytest.mark.parametrize('options', [
    {}, {'argv': []}, {'argv': 'ls'}, {'argv': ['']}, {'argv': ['a', 'b\0']}, {'argv': ['a', 3]},
    {'argv': ['a'], 'env': {'A=': 'b'}}, {'argv': ['a'], 'env': ['A']}, {'argv': ['a'], 'python': []},
])  # fmt: skip
def test_a_command_that_makes_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match='='):
        connector.plan(options)


def test_a_command_keeps_its_words() -> None:
    odd = ['a', '', '-x', 'b c', "'\n"]
    assert connector.plan({'argv': odd, 'python': 'p'})[0] == [*odd, 'p', '-Ec', command.CODE]
    assert connector.plan({'argv': odd, 'python': 'p', 'shell': True})[0] == [*odd, command.shell(['p'])]


def test_our_connectors_by_name(broker: econtext.Broker) -> None:
    child = broker.connect('local', env={'A': 'b'}, name='me')
    assert child.call(os.getenv, 'A') == 'b'
    assert child.name == 'me'
    assert econtext.local.connect(child).call(os.getenv, 'A') == 'b'
    with pytest.raises(ValueError, match='unknown option'):
        broker.connect('local', hotsname='me')
    with pytest.raises(TypeError, match='a name or a module'):
        broker.connect(5)  # type: ignore[arg-type]


def test_every_name_has_its_method() -> None:
    for name in registry.ours():
        assert callable(getattr(econtext.Broker, name))


@pytest.mark.parametrize('version', [None, '2.7'])
def test_a_third_party(broker: econtext.Broker, third: types.ModuleType, version: str | None) -> None:
    python = pythons.interpreter(version) if version else None
    hop = broker.local(python=python)
    for via, how in ((broker, 'doorman'), (broker, third), (hop, 'doorman'), (hop, third)):
        child = via.connect(how, greeting='hi', password='please', python=python)
        assert child.call(os.getenv, 'GREETING') == 'hi'
        assert '.ect_doorman.' in '.' + child.name
    with pytest.raises(econtext.ConnectError) as caught:
        hop.connect('doorman', password='gimme').call(os.getpid)
    assert caught.value.kind == 'not-allowed'


def test_what_is_no_connector(broker: econtext.Broker, third: types.ModuleType) -> None:
    with pytest.raises(ValueError, match=r"no connector 'nowhere'; there are: .*doorman, .*local"):
        broker.connect('nowhere')
    with pytest.raises(TypeError, match='names a module'):
        broker.connect('broken')
    with pytest.raises(ValueError, match='os is no connector: it has no plan, PROMPTS'):
        broker.connect(os)
    stranger = types.ModuleType('ect_doorman')
    vars(stranger).update({name: getattr(third, name) for name in registry.NEEDED})
    with pytest.raises(ValueError, match='a module of its own'):
        broker.connect(stranger)
