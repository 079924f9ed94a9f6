"""Options of sudo, su and doas in the user's own words; and answers for each program that a connector starts."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import pytest

import econtext
from econtext.connectors import doas, su, sudo
from econtext.controller.connect import registry
from econtext.controller.connect.connectors import Connectors
from lab import require
from lab.accounts import Accounts, with_doas_rules


def become(broker: econtext.Broker, accounts: Accounts, kind: str, *before: str) -> econtext.Context:
    return broker.command([*before, *accounts[kind].argv()], name=kind)


def test_words_of_sudo(broker: econtext.Broker, accounts: Accounts) -> None:
    via = become(broker, accounts, 'nopw')
    child = via.sudo(accounts['target'].name, sudo_args=['-ng', accounts['plain'].name])
    assert child.call(os.getuid) == accounts['target'].uid
    assert child.call(os.getgid) == accounts['plain'].gid
    child = via.sudo(sudo_args=['--group=' + accounts['plain'].name, 'ECT_WORD=a b'], login=True)
    assert child.call(os.getgid) == accounts['plain'].gid
    assert child.call(os.getenv, 'ECT_WORD') == 'a b'
    asking = become(broker, accounts, 'sudo')
    with pytest.raises(econtext.ConnectError) as caught:
        asking.sudo(sudo_args=['-n'], password='pw-ect_sudo').wait_ready(60)
    assert caught.value.kind == 'password-required'


def test_words_of_su(broker: econtext.Broker, accounts: Accounts) -> None:
    child = broker.su(accounts['target'].name, su_args=['-g', accounts['plain'].name])
    assert (child.call(os.getuid), child.call(os.getgid)) == (accounts['target'].uid, accounts['plain'].gid)
    via = broker.local(env={'ECT_WORD': 'kept'})
    kept = via.su(accounts['target'].name, su_args=['-w', 'ECT_WORD'], login=True)
    assert kept.call(os.getenv, 'ECT_WORD') == 'kept'


def test_words_of_doas(broker: econtext.Broker, accounts: Accounts, tmp_path: Path) -> None:
    require('doas', 'unshare')
    rules = with_doas_rules(tmp_path)
    assert become(broker, accounts, 'doasnopw', *rules).doas(doas_args=['-n']).call(os.getuid) == 0
    asking = become(broker, accounts, 'doas', *rules)
    with pytest.raises(econtext.ConnectError) as caught:
        asking.doas(doas_args=['-n'], password='pw-ect_doas').wait_ready(60)
    assert caught.value.kind == 'password-required'
    assert asking.doas(answers=lambda question: 'pw-ect_doas').call(os.getuid) == 0
    plain = become(broker, accounts, 'plain')
    target = plain.su('ect_target', answers={'password': 'pw-ect_target'})
    assert target.call(os.getuid) == accounts['target'].uid


def test_they_precede_all_others() -> None:
    assert sudo.plan({'sudo_args': ['-A', '-g', 'x']})[0][:6] == ['sudo', '-A', '-g', 'x', '-H', '-u']
    assert doas.plan({'doas_args': ['-n']})[0][:4] == ['doas', '-n', '-u', 'root']
    words = su.plan({'su_args': ['-w', 'A,B']})[0]
    assert words[words.index(su.BEFORE) + 1:][:5] == ['su', '-w', 'A,B', '-s', '/bin/sh']


@pytest.mark.parametrize(('connector', 'words', 'message'), [
    (sudo, ['-S'], 'stdin_answers=True'), (sudo, ['-nS'], 'stdin_answers=True'), (sudo, ['--stdin'], 'stdin_answers='),
    (sudo, ['--std'], 'stdin_answers='), (sudo, ['-ki'], 'login=True'), (sudo, ['-b'], 'would not end'),
    (sudo, ['-Hs'], 'no shell'), (sudo, ['--'], 'no option'), (sudo, ['id'], 'no option'),
    (sudo, ['-n', 'id'], 'no option'),
    (sudo, ['-gx', 'id'], 'no option'), (sudo, ['-a\0'], 'control character'), (sudo, [''], 'must be a text'),
    (sudo, '-n', 'must be a list'), (sudo, [1], 'must be a text'), (sudo, {'-n': 1}, 'must be a list'),
    (su, ['-'], 'no option'), (su, ['-c', 'id'], 'no shell'), (su, ['-lP'], 'login=True'), (su, ['--pt'], 'terminal'),
    (su, ['root'], 'no option'), (doas, ['-ns'], 'no shell'), (doas, ['root'], 'no option'),
])  # fmt: skip
def test_words_that_make_no_sense(connector: Any, words: Any, message: str) -> None:
    name = connector.__name__.rpartition('.')[2]
    with pytest.raises(ValueError, match=message):
        connector.plan({name + '_args': words})


def test_values_of_options_may_look_like_options() -> None:
    for words in ['-g', '-S'], ['--group', '-S'], ['-p-S'], ['-pS']:
        sudo.plan({'sudo_args': words})


def test_nothing_is_started_for_words_that_make_no_sense(broker: econtext.Broker) -> None:
    via = broker.local()
    with pytest.raises(ValueError, match='stdin_answers'):
        via.sudo(sudo_args=['-S'])
    with pytest.raises(TypeError, match='sudo_args= must be a list of words'):
        via.sudo(sudo_args='-n')
    for given in {'su_args': ['--']}, {'su_args': ['a\0b']}:
        with pytest.raises(ValueError, match='su_args='):
            via.su(**given)
    assert not via._node.children


# Answers.

PATHS = {'bubblewrap': 'bwrap', 'systemd_nspawn': 'nspawn', 'jail': 'jexec'}
GIVEN: dict[str, dict[str, Any]] = {
    'docker': {'container': 'x'}, 'podman': {'container': 'x'}, 'kubectl': {'pod': 'x'}, 'lxc': {'container': 'x'},
    'lxd': {'container': 'x'}, 'incus': {'container': 'x'}, 'chroot': {'directory': '/'}, 'nsenter': {'pid': 1},
    'bubblewrap': {}, 'unshare': {}, 'systemd_nspawn': {'directory': '/'}, 'machinectl': {'machine': 'x'},
    'jail': {'jail': 'x'},
}  # fmt: skip
ASKING = """\
#!/bin/sh
test "$SILENT" || { printf 'Registry code %s ' "$ENDING" >/dev/tty && read -r code </dev/tty; }
test "$code" = right || exit 3
while test "$1" != sh; do shift; done
exec "$@"
"""


@pytest.fixture
def asking(tmp_path: Path) -> str:
    """Return the path of a program that asks on its terminal before it does what an engine does."""
    path = tmp_path / 'asking'
    path.write_text(ASKING)
    path.chmod(0o755)
    return str(path)


def test_each_connector_that_starts_a_program_takes_answers() -> None:
    for name in set(registry.ours()) - {'fork'}:
        assert 'answers' in inspect.signature(getattr(Connectors, name)).parameters, name
        assert 'question' in registry.find(name).ANSWERS, name


@pytest.mark.parametrize('name', GIVEN)
def test_programs_that_ask_have_a_terminal(broker: econtext.Broker, asking: str, name: str) -> None:
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return 'right'

    path = {PATHS.get(name, name) + '_path': asking}
    via = broker.local(env={'ENDING': 'please:'})
    context = getattr(via, name)(**GIVEN[name], **path, answers=answer)
    assert context.call(os.getppid) == via.call(os.getpid)
    assert asked == ['Registry code please: ']
    context = via.connect(name, **GIVEN[name], **path, answers={'registry code': 'right'})
    context.wait_ready(60)


def test_a_question_without_an_end(broker: econtext.Broker, asking: str) -> None:
    via = broker.local(env={'ENDING': 'now'})
    via.docker('x', docker_path=asking, answers={'registry': 'right'}).wait_ready(60)
    with pytest.raises(econtext.ConnectError) as caught:
        via.docker('x', docker_path=asking, answers={'colour': 'blue'}, connect_timeout=3).wait_ready(60)
    assert caught.value.kind == 'timeout'


def test_without_answers_there_is_no_terminal(broker: econtext.Broker, asking: str) -> None:
    with pytest.raises(econtext.ConnectError):
        broker.docker('x', docker_path=asking).wait_ready(60)


def test_local_and_command_take_answers(broker: econtext.Broker) -> None:
    stage = 'printf "Code? " >/dev/tty; read -r code </dev/tty; test "$code" = right && exec "$@"'
    for context in (broker.local(python=['sh', '-c', stage, 'sh', 'python3'], answers={'code': 'right'}),
                    broker.command(['sh', '-c', stage, 'sh'], answers={'code': 'right'})):  # fmt: skip
        assert isinstance(context.call(os.getpid), int)
    with pytest.raises(ValueError, match='question= and answers='):
        broker.command(['sh'], question='x', answers={})
    with pytest.raises(TypeError, match='answers= must be'):
        broker.docker('x', answers='right')  # type: ignore[arg-type]
