"""pyinfra's own command, with the connector ``@econtext``, against a real ssh server: what it does there."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploying import Runs

from lab import open_to_all
from lab.accounts import Accounts

pytestmark = pytest.mark.deadline(300)

# What may differ between two connections, or is of the shell that read the line.
VARIES = re.compile(
    r'^(SSH_CLIENT|SSH_CONNECTION|SUDO_COMMAND|_|SHLVL|SigQ|SigIgn|XDG_SESSION_ID)[=:]|^pipe:|^/dev/null$')


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that every account can write to."""
    made = tmp_path / 'shared'
    made.mkdir()
    open_to_all(made)
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


def test_operations_change_once(pyinfra: Runs, accounts: Accounts, folder: Path) -> None:
    """Operations, facts, files both ways, as oneself and as root; the second run finds nothing to do."""
    text = f'''
from pyinfra.facts.files import File
base = {str(folder)!r}
files.directory(path=base + '/made', mode='750')
files.put(src=io.StringIO('of text'), dest=base + '/made/text')
files.put(src=io.BytesIO(bytes(range(256))), dest=base + '/made/bytes', mode='600')
files.line(path=base + '/lines', line='added')
files.link(path=base + '/link', target=base + '/made')
files.put(src=io.StringIO('of root'), dest=base + '/root', mode='640', _sudo=True)
server.shell(
    commands=['echo one >> {folder}/log', 'echo two >> {folder}/log'], _if=lambda: not os.path.exists(base + '/log'))
result(host.get_fact(File, path='/etc/passwd')['user'])
'''
    first = pyinfra.deploy(text, user=accounts['nopw'].name)
    assert first.status == 0, first.output
    assert first.results == ['root']
    assert (folder / 'made/text').read_text() == 'of text'
    assert (folder / 'lines').read_text() == 'added\n'
    assert (folder / 'made/bytes').read_bytes() == bytes(range(256))
    assert (folder / 'made/bytes').stat().st_uid == accounts['nopw'].uid
    assert (folder / 'root').read_text() == 'of root'
    assert ((folder / 'root').stat().st_uid, (folder / 'root').stat().st_mode & 0o777) == (0, 0o640)
    assert (folder / 'log').read_text() == 'one\ntwo\n'
    second = pyinfra.deploy(text, user=accounts['nopw'].name)
    assert second.status == 0, second.output
    assert re.search(r'Grand total +7 +- +- +7 ', second.output), second.output


def test_commands_find_what_ssh_and_sudo_would_give_them(pyinfra: Runs, accounts: Accounts) -> None:
    """The same environment, folder, mask, groups, limits, signals, terminal, name of the shell."""
    command = ('env | sort; pwd; umask; id; ulimit -a; tty; echo "${0##*/}"; readlink /proc/self/fd/0; '
               'grep -i "^sig\\|^Cap\\|^NoNew" /proc/self/status')  # fmt: skip
    text = f'''
for arguments in [{{}}, {{'_sudo': True}}, {{'_sudo': True, '_sudo_user': {accounts["target"].name!r}}},
        {{'_env': {{'A': "b c'd"}}, '_chdir': '/tmp'}}, {{'_shell_executable': None}}, {{'_shell_executable': 'bash'}},
        {{'_sudo': True, '_preserve_sudo_env': True}}, {{'_sudo': True, '_su_user': {accounts["target"].name!r}}},
        {{'_sudo': True, '_use_sudo_login': True}}]:
    for again in range(3):
        found = shell({command!r}, **arguments)
    result([str(arguments), found])
'''
    usual = pyinfra.deploy(text, '@ssh/127.0.0.1', user=accounts['nopw'].name)
    ours = pyinfra.deploy(text, user=accounts['nopw'].name)
    assert usual.status == ours.status == 0, (usual.output, ours.output)
    assert len(ours.results) == 9
    for theirs, found in zip(usual.results, ours.results, strict=True):
        assert [line for line in found[1][1] if not VARIES.match(line)] == [
            line for line in theirs[1][1] if not VARIES.match(line)], found[0]
        assert (found[1][0], found[1][2]) == (theirs[1][0], theirs[1][2])


def test_arguments_of_commands(pyinfra: Runs, accounts: Accounts) -> None:
    done = pyinfra.deploy(r'''
result(shell('cat', _stdin=['one', 'two']))
result(shell('cat; cat', _stdin='three'))
result(shell('echo out; sleep 0.1; echo err >&2; sleep 0.1; printf "last\r\n"; printf unended'))
result(host.run_shell_command('echo a; sleep 0.1; echo b >&2; sleep 0.1; echo c')[1].output_lines)
result(shell('exit 3'))
result(shell('exit 3', _success_exit_codes=[0, 3]))
result(shell('tty; stty size; echo $TERM >&2; cat', _get_pty=True, _stdin='typed'))
result(shell('exit 5', _get_pty=True, _success_exit_codes=[5])[0])
result(shell('echo $0 $A', _shell_executable='no-such-shell'))
result(shell(r"printf 'caf\303\251 \377\n'"))
good, output = host.run_shell_command('head -c 20000000 /dev/zero | tr "\\0" x | fold -w 99; echo; echo end')
result([good, len(output.stdout), output.stdout_lines[-1]])
try:
    shell('echo $$ > /tmp/econtext-pyinfra-$$ ; rm /tmp/econtext-pyinfra-$$; exec sleep 987', _timeout=1)
except TimeoutError:
    result('late')
try:
    shell('sleep 986', _timeout=1, _get_pty=True)
except TimeoutError:
    result('late')
result(shell('pgrep -f "sleep 98[67]" -u $(id -u) | grep -v $$')[1])
''', user=accounts['plain'].name)  # fmt: skip
    assert done.status == 0, done.output
    results = done.results
    assert results[0] == [True, ['one', 'two'], []]
    assert results[1] == [True, ['three'], []]
    assert results[2] == [True, ['out', 'last\r', 'unended'], ['err']]
    assert results[3] == ['a', 'b', 'c']
    assert results[4] == [False, [], []]
    assert results[5] == [True, [], []]
    good, lines, errors = results[6]
    assert good
    assert errors == []
    seen = [line.strip() for line in lines]
    # Echoed by the terminal at any moment, and by cat.
    assert seen.count('typed') == 2
    terminal, *others = [line for line in seen if line != 'typed']
    assert terminal.startswith('/dev/pts/')
    assert others == ['24 80', 'vt100']
    assert results[7] is True
    good, lines, (error,) = results[8]
    assert not good
    assert 'no-such-shell' in error
    assert results[9] == [True, ['café \\xff'], []]
    assert results[10][0] is True
    assert results[10][1] > 20_000_000
    assert results[10][2] == 'end'
    assert results[11:] == ['late', 'late', []]


def test_files_both_ways(pyinfra: Runs, accounts: Accounts, folder: Path, tmp_path: Path) -> None:
    content = bytes(range(256)) * 80_000
    (tmp_path / 'large').write_bytes(content)
    (folder / 'kept').write_text('before')
    (folder / 'kept').chmod(0o602)
    (folder / 'secret').write_text('of root')
    (folder / 'secret').chmod(0o600)
    done = pyinfra.deploy(f'''
base = {str(folder)!r}
host.put_file('large', base + '/large')
with open('large', 'rb') as file:
    host.put_file(file, base + "/it's large too")
host.put_file(io.StringIO('after'), base + '/kept')
host.put_file(io.StringIO('at home'), 'relative')
result(shell('cat ~/relative; rm ~/relative'))
host.get_file(base + '/large', 'back')
back = io.BytesIO()
result(host.get_file(base + "/it's large too", back))
result(hashlib.sha256(back.getvalue()).hexdigest())
for name in 'missing', 'secret':
    try:
        host.get_file(base + '/' + name, name)
    except OSError as error:
        result(type(error).__name__)
try:
    host.put_file(io.StringIO('x'), '/missing/folder')
except OSError as error:
    result(type(error).__name__)
for again in range(3):
    back = io.BytesIO()
    result(host.get_file(base + '/secret', back, _sudo=True))
    result(back.getvalue().decode())
    result(host.put_file(io.StringIO(str(again)), base + '/by root', _sudo=True))
    result(host.put_file(io.StringIO(str(again)), '/root/econtext/missing', _sudo=True))
    result(host.put_file(
        io.StringIO(str(again)), base + '/by target', _sudo=True, _su_user={accounts["target"].name!r}))
''', user=accounts['nopw'].name)  # fmt: skip
    assert done.status == 0, done.output
    digest = hashlib.sha256(content).hexdigest()
    assert done.results[0] == [True, ['at home'], []]
    assert done.results[1:6] == [True, digest, 'FileNotFoundError', 'PermissionError', 'FileNotFoundError']
    for begin in 6, 11, 16:
        assert done.results[begin:begin + 4] == [True, 'of root', True, False]
    assert not (tmp_path / 'missing').exists()
    assert (tmp_path / 'back').read_bytes() == content == (folder / 'large').read_bytes()
    assert (folder / "it's large too").read_bytes() == content
    assert ((folder / 'kept').read_text(), (folder / 'kept').stat().st_mode & 0o777) == ('after', 0o602)
    assert ((folder / 'by root').read_text(), (folder / 'by root').stat().st_uid) == ('2', 0)


def test_one_sudo_serves_many_commands(pyinfra: Runs, accounts: Accounts) -> None:
    """The first runs as it is, the others in a context; what unsettles users starts anew."""
    done = pyinfra.deploy('''
def session():
    return shell('echo "$SUDO_COMMAND"', _sudo=True)[1][0]
commands = [session() for _ in range(4)]
result(['echo' in each for each in commands])
server = shell('command -v userdel; echo "$SUDO_COMMAND"', _sudo=True)[1][-1]
result('userdel' in server)
result('echo' in session())
result('echo' in session())
''', user=accounts['nopw'].name)  # fmt: skip
    assert done.results == [[True, False, False, False], True, False, False], done.output


def test_passwords_of_sudo(pyinfra: Runs, accounts: Accounts) -> None:
    """The login has a password, sudo another question each time; the wrong one fails, nothing of it stays there."""
    account = accounts['sudo']
    text = '''
for password in sys.argv_passwords:
    for again in range(2):
        good, lines, errors = shell('id -u', _sudo=True, _sudo_password=password)
        result([good, lines, any('password' in line for line in errors)])
result(shell('find /tmp -maxdepth 1 -name "pyinfra-sudo-askpass*" -user $(id -u)')[1])
'''.replace('sys.argv_passwords', repr([account.password, 'wrong', account.password]))
    done = pyinfra.deploy(
        text, user=account.name, ssh_key='', ssh_password=account.password)
    assert done.status == 0, done.output
    assert [each[:2] for each in done.results[:2] + done.results[4:6]] == [[True, ['0']]] * 4, done.output
    assert [each[0] for each in done.results[2:4]] == [False, False]
    assert done.results[6] == []


def test_su_and_doas(pyinfra: Runs, accounts: Accounts) -> None:
    target = accounts['target']
    done = pyinfra.deploy(f'''
for again in range(3):
    result(shell('id -un', _su_user={target.name!r}, _su_password={target.password!r})[:2])
    result(shell('id -un', _su_user={target.name!r}, _su_password='wrong')[0])
''', user=accounts['plain'].name)  # fmt: skip
    assert done.results == [[True, [target.name]], False] * 3, done.output


def test_who_may_not_is_told_what_the_program_says(pyinfra: Runs, accounts: Accounts) -> None:
    text = 'result([shell("id -u", _doas=True) for again in range(2)])'
    usual = pyinfra.deploy(text, '@ssh/127.0.0.1', user=accounts['plain'].name)
    ours = pyinfra.deploy(text, user=accounts['plain'].name)
    assert ours.results == usual.results
    assert [each[0] for each in ours.results[0]] == [False, False]


def test_the_password_of_sudo_is_asked_for(pyinfra: Runs, accounts: Accounts) -> None:
    account = accounts['sudo']
    done = pyinfra.deploy(
        'result([shell("id -u", _sudo=True)[:2] for again in range(3)])', user=account.name,
        typed=account.password + '\n')
    assert done.results == [[[True, ['0']]] * 3], done.output


def test_what_is_shown(pyinfra: Runs, accounts: Accounts) -> None:
    """-vvv shows commands and output line by line, and no password."""
    account = accounts['sudo']
    done = pyinfra.run(
        '@econtext/127.0.0.1', '-vvv', 'server.shell', 'echo heard', '_sudo=True', f'_sudo_password={account.password}',
        user=account.name)
    assert done.status == 0, done.output
    assert re.search(r">>> .*sudo -H .*sh -c 'echo heard'", done.output), done.output
    assert '[@econtext/127.0.0.1] heard' in done.output
    assert account.password not in done.output.partition('Connecting')[2]
