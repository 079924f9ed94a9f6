"""The handshake, replayed on what real programs printed, whole and byte by byte."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.connectors import local, ssh, sudo
from econtext.parent.command import NO_INPUT
from econtext.parent.handshake import ASK, LIMIT, LINES, MOST, SCREEN, TEXT, Handshake

MARK = b'\0econtext\0\n'
Events = list[tuple[Any, ...]]


@dataclass
class Case:
    """What a program printed, in order, how it ended, and what that means."""

    name: str
    connector: ModuleType
    answers: dict[str, Any]
    said: list[tuple[str, bytes]]
    status: int | None
    verdict: str
    typed: int
    options: dict[str, Any] = field(default_factory=dict)

    def handshake(self, **options: Any) -> Handshake:
        lacking = self.connector.lacking(self.options) if hasattr(self.connector, 'lacking') else None
        tables = self.connector.PROMPTS, self.connector.FAILURES
        return Handshake(MARK, *tables, self.answers, lacking=lacking, **options)


# Recorded from OpenSSH 9.2, sudo 1.9.13 and sudo-rs 0.2 (names, addresses and paths changed).
# fmt: off
CASES = [
    Case('noisy start-up files', ssh, {}, [
        ('out', b'BANNER stdout\n'),
        ('err', b'BANNER stderr\n'),
        ('out', b'\x00econtext\x00\nhello'),
    ], None, 'ready', 0),
    Case('login shell nologin', ssh, {}, [
        ('out', b'This account is currently not available.\n'),
    ], 1, 'no-login', 0),
    Case('login shell /bin/false', ssh, {}, [], 1, 'no-login', 0),
    Case('login shell python', ssh, {}, [
        ('err', b'  File "<string>", line 1\n'
               b"    exec /usr/bin/python3 -Ec 'import sys;del sys.path[0];import os,zlib;d=zlib.decompressob"
               b'j();exec("b=s=d.unused_data\\nwhile not d.unused_data:c=os.read(0,4096)or os._exit(1);b+=c;s+'
               b'=d.decompress(c)");exec(s)\'\n'
               b'                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^'
               b'^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^'
               b'^^^^^^^^^^^^^^^^^^^^^^^^^^^\nSyntaxError: invalid syntax\n'),
    ], 1, 'no-login', 0),
    Case('expired key', ssh, {}, [
        ('err', b'You are required to change your password immediately (administrator enforced).\n'
               b'WARNING: Your password has expired.\nPassword change required but no TTY available.\n'),
    ], 1, 'expired-password', 0),
    Case('expired password', ssh, {'password': 'pw'}, [
        ('tty', b"\rexp@10.0.0.7's password: "),
        ('tty', b'\n'),
        ('err', b'You are required to change your password immediately (administrator enforced).\n'
               b'WARNING: Your password has expired.\nPassword change required but no TTY available.\n'),
    ], 1, 'expired-password', 1),
    Case('expired password, keyboard-interactive', ssh, {'password': 'pw'}, [
        ('err', b'Welcome. Enter your password: \nnow\n'),
        ('tty', b'\r(exp@10.0.0.7) Password: '),
        ('tty', b'\n\r'
               b'(exp@10.0.0.7) You are required to change your password immediately (administrator enforced).\n'
               b'Changing password for exp.\nCurrent password: '),
    ], None, 'expired-password', 1),
    Case('refused key', ssh, {}, [
        ('tty', b"\rplain@10.0.0.7's password: "),
    ], None, 'refused-key', 0, {'identity_file': 'key'}),
    Case('refused key batch', ssh, {}, [
        ('err', b'plain@10.0.0.7: Permission denied (publickey,password).\r\n'),
    ], 255, 'refused-key', 0),
    Case('unknown host strict', ssh, {}, [
        ('err', b'No ED25519 host key is known for [10.0.0.7]:36991 and you have requested strict checking.\r\n'
               b'Host key verification failed.\r\n'),
    ], 255, 'unknown-host-key', 0),
    Case('unknown host ask', ssh, {}, [
        ('tty', b"\rThe authenticity of host '[10.0.0.7]:36991 ([10.0.0.7]:36991)' can't be established.\n"
               b'ED25519 key fingerprint is SHA256:QWiSv2jtP60Fj3lt9O3RT76q7T+wCFfpL5qPwZi/CBQ.\n'
               b'This key is not known by any other names.\n'
               b'Are you sure you want to continue connecting (yes/no/[fingerprint])? '),
    ], None, 'unknown-host-key', 0),
    Case('changed host', ssh, {}, [
        ('err', b'@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n'
               b'@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n'
               b'@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n'
               b'IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r\n'
               b'Someone could be eavesdropping on you right now (man-in-the-middle attack)!\r\n'
               b'It is also possible that a host key has just been changed.\r\n'
               b'The fingerprint for the ED25519 key sent by the remote host is\n'
               b'SHA256:QWiSv2jtP60Fj3lt9O3RT76q7T+wCFfpL5qPwZi/CBQ.\r\n'
               b'Please contact your system administrator.\r\n'
               b'Add correct host key in /home/me/.ssh/bad_known to get rid of this message.\r\n'
               b'Offending ED25519 key in /home/me/.ssh/bad_known:1\r\n  remove with:\r\n'
               b'  ssh-keygen -f "/home/me/.ssh/bad_known" -R "[10.0.0.7]:36991"\r\n'
               b'Host key for [10.0.0.7]:36991 has changed and you have requested strict checking.\r\n'
               b'Host key verification failed.\r\n'),
    ], 255, 'changed-host-key', 0),
    Case('password', ssh, {'password': 'pw'}, [
        ('tty', b"\rplain@10.0.0.7's password: "),
        ('tty', b'\n'),
        ('out', b'\x00econtext\x00\nhello'),
    ], None, 'ready', 1),
    Case('wrong password', ssh, {'password': 'pw'}, [
        ('tty', b"\rplain@10.0.0.7's password: "),
        ('tty', b'\n'),
        ('err', b'Permission denied, please try again.\r\n'),
    ], None, 'wrong-password', 1),
    Case('wrong password one', ssh, {'password': 'pw'}, [
        ('tty', b"\rplain@10.0.0.7's password: "),
        ('tty', b'\n'),
        ('err', b'plain@10.0.0.7: Permission denied (publickey,password).\r\n'),
    ], 255, 'wrong-password', 1),
    Case('password required', ssh, {}, [
        ('tty', b"\rplain@10.0.0.7's password: "),
    ], None, 'password-required', 0),
    Case('keyboard interactive right', ssh, {'password': 'pw'}, [
        ('err', b'Welcome. Enter your password: \nnow\n'),
        ('tty', b'\r(plain@10.0.0.7) Password: '),
        ('tty', b'\n'),
        ('out', b'\x00econtext\x00\nhello'),
    ], None, 'ready', 1),
    Case('keyboard interactive wrong', ssh, {'password': 'pw'}, [
        ('err', b'Welcome. Enter your password: \nnow\n'),
        ('tty', b'\r(plain@10.0.0.7) Password: '),
        ('tty', b'\n\r(plain@10.0.0.7) Password: '),
    ], None, 'wrong-password', 1),
    Case('passphrase', ssh, {'password': 'pw'}, [
        ('tty', b"\rEnter passphrase for key '/home/me/.ssh/ppkey': "),
    ], None, 'passphrase-required', 0),
    Case('passphrase wrong', ssh, {'passphrase': 'pp'}, [
        ('tty', b"\rEnter passphrase for key '/home/me/.ssh/ppkey': "),
        ('tty', b"\n\rEnter passphrase for key '/home/me/.ssh/ppkey': "),
    ], None, 'wrong-password', 1),
    Case('passphrase right', ssh, {'passphrase': 'pp'}, [
        ('tty', b"\rEnter passphrase for key '/home/me/.ssh/ppkey': "),
        ('tty', b'\n'),
        ('out', b'\x00econtext\x00\nhello'),
    ], None, 'ready', 1),
    Case('no such host', ssh, {}, [
        ('err', b'ssh: Could not resolve hostname nowhere.invalid: Name or service not known\r\n'),
    ], 255, 'no-such-host', 0),
    Case('refused', ssh, {}, [
        ('err', b'ssh: connect to host 10.0.0.7 port 42283: Connection refused\r\n'),
    ], 255, 'connection-refused', 0),
    Case('no python bash', ssh, {}, [
        ('err', b'bash: line 1: exec: python9: not found\n'),
    ], 127, 'no-python', 0),
    Case('no python tcsh', ssh, {}, [
        ('err', b'python9: Command not found.\n'),
    ], 1, 'no-python', 0),
    Case('no python fish', ssh, {}, [
        ('err', b'fish: Unknown command: python9\nfish: \n'
               b'exec python9 -Ec \'import sys;del sys.path[0];import os,zlib;d=zlib.decompressobj();exec("b=s'
               b'=d.unused_data\\nwhile not d.unused_data:c=os.read(0,4096)or os._exit(1);b+=c;s+=d.decompress'
               b'(c)");exec(s)\'\n     ^~~~~~^\n'),
    ], 127, 'no-python', 0),
    Case('no exec python', ssh, {}, [
        ('err', b'bash: line 1: /etc/passwd: Permission denied\n'
               b'bash: line 1: exec: /etc/passwd: cannot execute: Permission denied\n'),
    ], 126, 'broken-python', 0),
    Case('connection refused behind a jump', ssh, {}, [
        ('err', b'ssh: connect to host 10.0.0.7 port 42283: Connection refused\r\n'
               b'kex_exchange_identification: Connection closed by remote host\r\n'
               b'Connection closed by UNKNOWN port 65535\r\n'),
    ], 255, 'connection-refused', 0),
    Case('no program of ProxyCommand', ssh, {}, [
        ('err', b'/bin/bash: line 1: exec: nc: not found\n'
               b'kex_exchange_identification: Connection closed by remote host\r\n'
               b'Connection closed by UNKNOWN port 65535\r\n'),
    ], 255, 'proxy-ended', 0),
    Case('a key refused by the host of ProxyJump', ssh, {}, [
        ('err', b'root@10.0.0.7: Permission denied (publickey).\r\n'
               b'kex_exchange_identification: Connection closed by remote host\r\n'
               b'Connection closed by UNKNOWN port 65535\r\n'),
    ], 255, 'refused-key', 0),
    Case('bash read the preamble', ssh, {}, [
        ('err', b"bash: line 1: $'x\\332\\275': command not found\n"
               b"bash: command substitution: line 1: syntax error near unexpected token `)'\n"),
    ], 127, 'eaten-input', 0),
    Case('zsh read the preamble', ssh, {}, [
        ('err', b"zsh: command not found: x\\M-Z\\M-=\nzsh: parse error near `)'\n"),
    ], 127, 'eaten-input', 0),
    Case('dash read the preamble', ssh, {}, [
        ('err', b'sh: 1: x\xda\xbd: not found\nsh: 2: Syntax error: ")" unexpected\n'),
    ], 2, 'eaten-input', 0),
    Case('Python read the preamble', ssh, {}, [
        ('err', b"SyntaxError: Non-UTF-8 code starting with '\\xe3' in file <stdin> on line 1, but no encoding "
               b'declared; see https://peps.python.org/pep-0263/ for details\n'),
    ], 1, 'eaten-input', 0),
    Case('bad option', ssh, {}, [
        ('err', b'command-line: line 0: Bad configuration option: nonsense\r\n'),
    ], 255, 'ended', 0),
    Case('sudo nopasswd', sudo, {}, [
        ('out', b'\x00econtext\x00\nhello'),
    ], None, 'ready', 0),
    Case('sudo password', sudo, {'password': 'pw'}, [
        ('tty', b'econtext password: '),
        ('tty', b'\n'),
        ('out', b'\x00econtext\x00\nhello'),
    ], None, 'ready', 1),
    Case('sudo lecture', sudo, {'password': 'pw'}, [
        ('tty', b'\nWe trust you have received the usual lecture from the local System\n'
               b'Administrator. It usually boils down to these three things:\n\n'
               b'    #1) Respect the privacy of others.\n    #2) Think before you type.\n'
               b'    #3) With great power comes great responsibility.\n\r\n'
               b'For security reasons, the password you type will not be visible.\n\r\necontext password: '),
        ('tty', b'\n'),
        ('out', b'\x00econtext\x00\nhello'),
    ], None, 'ready', 1),
    Case('sudo wrong', sudo, {'password': 'pw'}, [
        ('tty', b'econtext password: '),
        ('tty', b'\nSorry, try again.\r\necontext password: '),
    ], None, 'wrong-password', 1),
    Case('sudo lecture wrong', sudo, {'password': 'pw'}, [
        ('tty', b'\nWe trust you have received the usual lecture from the local System\n'
               b'Administrator. It usually boils down to these three things:\n\n'
               b'    #1) Respect the privacy of others.\n    #2) Think before you type.\n'
               b'    #3) With great power comes great responsibility.\n\r\n'
               b'For security reasons, the password you type will not be visible.\n\r\necontext password: '),
        ('tty', b'\nSorry, try again.\r\necontext password: '),
    ], None, 'wrong-password', 1),
    Case('sudo required', sudo, {}, [
        ('tty', b'econtext password: '),
    ], None, 'password-required', 0),
    Case('sudo not in sudoers', sudo, {'password': 'pw'}, [
        ('tty', b'econtext password: '),
        ('tty', b'\n'),
        ('err', b'plain is not in the sudoers file.\n'),
    ], 1, 'not-allowed', 1),
    Case('sudo unknown user', sudo, {}, [
        ('err', b'sudo: unknown user nobody-there\nsudo: error initializing audit plugin sudoers_audit\n'),
    ], 1, 'no-such-user', 0),
    Case('sudo no python', sudo, {}, [
        ('err', b'sudo: python9: command not found\n'),
    ], 1, 'no-python', 0),
    Case('sudo no python many', sudo, {}, [], 127, 'no-python', 0),
    Case('sudo expired', sudo, {'password': 'pw'}, [
        ('tty', b'econtext password: '),
        ('tty', b'\n'),
        ('err', b'sudo: Account or password is expired, reset your password and try again\n'),
        ('tty', b'Changing password for exp.\r\n[sudo] password for %p: '),
    ], None, 'expired-password', 1),
    Case('sudo-rs right', sudo, {'password': 'pw'}, [
        ('tty', b'[sudo: econtext password: ] Password: '),
        ('tty', b'******\x08 \x08\x08 \x08\x08 \x08\x08 \x08\x08 \x08\x08 \x08\x1b[0K\n'),
        ('out', b'\x00econtext\x00\nhello'),
    ], None, 'ready', 1),
    Case('sudo-rs wrong', sudo, {'password': 'pw'}, [
        ('tty', b'[sudo: econtext password: ] Password: '),
        ('tty', b'***\x08 \x08\x08 \x08\x08 \x08\x1b[0K\n'),
        ('err', b'sudo: Authentication failed, try again.\n'),
    ], None, 'wrong-password', 1),
    Case('sudo-rs required', sudo, {}, [
        ('tty', b'[sudo: econtext password: ] Password: '),
    ], None, 'password-required', 0),
    Case('sudo-rs nouser', sudo, {}, [
        ('err', b"sudo: user 'nobodyy' not found\n"),
    ], 1, 'no-such-user', 0),
    Case('sudo-rs not allowed', sudo, {}, [
        ('err', b"sudo: I'm sorry rsu. I'm afraid I can't do that\n"),
    ], 1, 'not-allowed', 0),
    Case('sudo-rs nopython', sudo, {'password': 'pw'}, [
        ('tty', b'[sudo: econtext password: ] Password: '),
        ('tty', b'******\x08 \x08\x08 \x08\x08 \x08\x08 \x08\x08 \x08\x08 \x08\x1b[0K\n'),
        ('err', b"sudo: 'python9': command not found\n"),
    ], 1, 'no-python', 1),
]
# fmt: on


def replay(handshake: Handshake, said: list[tuple[str, bytes]], size: int) -> Events:
    """Feed what was said in pieces of `size`; the terminal comes to rest at the end."""
    events: Events = []
    for source, data in said:
        for i in range(0, len(data), size):
            piece = data[i : i + size]
            if events and events[-1][0] == 'ready' and source == 'out':
                events[-1] = ('ready', events[-1][1] + piece)
            events += handshake.feed(source, piece)
    if handshake.pending():
        events += handshake.rested()
    return events


@pytest.mark.parametrize('size', [1, 7, 4096])
@pytest.mark.parametrize('case', CASES, ids=lambda case: case.name)
def test_real_programs(case: Case, size: int) -> None:
    handshake = case.handshake()
    events = replay(handshake, case.said, size)
    if not handshake.done:
        events.append(('failed', *handshake.ended(case.status)))
    *earlier, last = events
    assert [event[0] for event in earlier] == ['type'] * case.typed
    assert last[0 if case.verdict == 'ready' else 1] == case.verdict
    if last[0] == 'ready':
        assert last[1] == b'hello'
    else:
        assert last[2].isprintable() or '\n' in last[2]
        assert handshake.feed('out', MARK) == [], 'a verdict is final'


def test_details_are_the_last_lines_seen() -> None:
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {})
    handshake.feed('err', b'warn\xe9ing \x1b[31mred\x07\r\n\r\nlast')
    handshake.feed('out', ''.join('%d\n' % i for i in range(100)).encode())
    kind, detail = handshake.ended(1)
    assert kind == 'no-login'
    assert detail.splitlines() == ['%d' % i for i in range(101 - LINES, 100)] + ['last']

    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {})
    handshake.feed('err', b'warn\xe9ing \x1b[31mred\x07\x9b\r\n')
    assert handshake.ended(1)[1] == 'warn\ufffding \\x1b[31mred\\x07\ufffd'
    assert len(handshake.detail()) <= TEXT


def test_a_shell_that_took_the_preamble_for_commands_is_not_waited_for() -> None:
    """csh goes on with its next line for ever. What a terminal echoes is no such sign."""
    for line in b"xM-Z: Command not found.\n", b'x\xda\xbd;ko: not there\n':
        handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {})
        assert handshake.feed('out', b'x\xda\xbd: Command not found.\n') == []
        assert handshake.feed('err', line) == []
        assert handshake.feed('err', b'x\xda\xbd: Command not found.\n')[0][:2] == ('failed', 'eaten-input')


def test_what_ended_with_its_input_had_read_that() -> None:
    ends = {0: 'eaten-input', NO_INPUT: 'eaten-input', 255: 'timeout', -15: 'timeout', None: 'timeout'}
    for status, kind in ends.items():
        assert Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {}).ended(status, late=True)[0] == kind
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {})
    handshake.feed('err', b'Connection closed by h port 22\n')
    assert handshake.ended(255, late=True) == ('timeout', 'Connection closed by h port 22')
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {})
    handshake.feed('err', b"fish: Unexpected ')'\nx\xda\xbd)\n")
    assert handshake.ended(255, late=True)[0] == 'eaten-input'


def test_a_python_that_had_no_input_is_told_whatever_was_printed_before() -> None:
    for connector, kind in (ssh, 'no-command'), (sudo, 'no-input'):
        statuses = getattr(connector, 'STATUSES', None)
        handshake = Handshake(MARK, connector.PROMPTS, connector.FAILURES, {}, statuses=statuses)
        handshake.feed('err', b'fortune: command not found\n')
        assert handshake.ended(NO_INPUT)[0] == kind


def test_an_endless_line_is_cut() -> None:
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {})
    handshake.feed('err', b'x' * 100000)
    assert len(handshake.detail()) <= TEXT


@pytest.mark.parametrize('source', ['out', 'err', 'tty'])
@pytest.mark.parametrize('size', [1, 10, 1000])
def test_noise_without_end_is_a_failure(source: str, size: int) -> None:
    handshake = Handshake(MARK, (), (), {}, limit=100)
    assert replay(handshake, [(source, b'-' * 100)], size) == []
    assert handshake.feed(source, b'-')[0][:2] == ('failed', 'noise')
    assert handshake.feed('out', MARK) == []


@pytest.mark.parametrize('text', [b'a\n', b': ', b'\r'])
@pytest.mark.parametrize(('source', 'limit'), [('out', LIMIT), ('err', LIMIT), ('tty', SCREEN)])
def test_noise_is_cut_off_before_it_takes_long(text: bytes, source: str, limit: int) -> None:
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {'password': 'pw'})
    assert handshake.feed(source, text * (limit // len(text))) == []
    assert handshake.feed(source, b'x')[0][:2] == ('failed', 'noise')
    # A byte on the terminal costs four times one elsewhere.
    assert LIMIT + 4 * SCREEN <= 1 << 19


@pytest.mark.parametrize('first', ['out', 'err'])
def test_start_up_files_that_list_much_on_both_outputs_are_no_noise(first: str) -> None:
    """Whichever is read first: the mark may come behind all of both."""
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {})
    listing = b''.join(b'%d\n' % number for number in range(1, 20001))
    for source in (first, 'err' if first == 'out' else 'out'):
        assert handshake.feed(source, listing) == []
    assert handshake.feed('out', MARK) == [('ready', b'')]


def test_a_question_may_stand_behind_a_long_line() -> None:
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {'password': 'pw'})
    assert handshake.feed('tty', b'working: ' * 1000 + b'password: ') == [('type', b'pw\n')]


@pytest.mark.parametrize('size', [1, 1000])
def test_noise_up_to_the_limit_is_none(size: int) -> None:
    noise = b'\0econtext\0' * 5 + b'-' * 50
    for limit, verdict in ((len(noise + MARK), 'ready'), (len(noise + MARK) - 1, 'failed')):
        handshake = Handshake(MARK, (), (), {}, limit=limit)
        assert [event[0] for event in replay(handshake, [('out', noise + MARK + b'rest')], size)] == [verdict]


@pytest.mark.parametrize('given', [ASK, 'text'])
def test_questions_without_end_are_a_failure(given: object) -> None:
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {'password': given})
    for number in range(MOST):
        events = handshake.feed('tty', b'\r%d: password: ' % number)
        if given is ASK:
            events = handshake.answer('password', 'text')
        assert events == [('type', b'text\n')]
        assert handshake.feed('tty', b'\n') == []
    assert handshake.feed('tty', b'once more, password: ')[0][:2] == ('failed', 'endless-questions')
    assert handshake.feed('out', MARK) == []


def test_the_controller_is_asked() -> None:
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {'password': ASK})
    question = "me@host's password: "
    assert handshake.feed('tty', b'\r' + question.encode()) == [('ask', 'password', question)]
    assert handshake.rested() == [], 'one question, one answer'
    assert handshake.answer('password', 'gehe\xefm') == [('type', b'gehe\xc3\xafm\n')]
    assert handshake.answer('password', 'again') == []
    # A jump host's question comes first: another question, another answer.
    assert handshake.feed('tty', b"\n\rme@other's password: ")[0][0] == 'ask'
    assert handshake.answer('password', None)[0][:2] == ('failed', 'password-required')


def test_nobody_is_asked_the_same_twice() -> None:
    handshake = Handshake(MARK, sudo.PROMPTS, sudo.FAILURES, {'password': ASK})
    handshake.feed('tty', sudo.PROMPT.encode())
    handshake.answer('password', 'wrong')
    assert handshake.feed('tty', b'\r\n' + sudo.PROMPT.encode())[0][:2] == ('failed', 'wrong-password')


@pytest.mark.parametrize('prompt', [b"[corp] gimme U's secret> ", b'Password:', b'Passwort f\xc3\xbcr U?'])
def test_sudo_may_be_told_to_ask_anything(prompt: bytes) -> None:
    handshake = Handshake(MARK, sudo.PROMPTS, sudo.FAILURES, {'password': 'pw'})
    assert handshake.feed('tty', b'A lecture, in these words:\r\n' + prompt) == []
    assert handshake.pending()
    assert handshake.rested() == [('type', b'pw\n')]
    assert not handshake.pending()
    assert handshake.feed('tty', b'\r\n' + prompt) == []
    assert handshake.rested()[0][:2] == ('failed', 'wrong-password')


def test_a_password_is_no_answer_to_what_else_is_asked() -> None:
    handshake = Handshake(MARK, sudo.PROMPTS, sudo.FAILURES, {'password': 'pw'})
    assert handshake.feed('tty', sudo.PROMPT.encode()) == [('type', b'pw\n')]
    handshake.feed('tty', b'\r\nVerification code: ')
    assert handshake.rested()[0][:2] == ('failed', 'answer-required')

    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {'password': 'pw'})
    handshake.feed('tty', b'(me@host) Verification code: ')
    assert handshake.rested()[0][:2] == ('failed', 'answer-required')


@pytest.mark.parametrize('connector', [ssh, sudo])
def test_answers_are_for_what_has_none_of_its_own(connector: ModuleType) -> None:
    handshake = Handshake(MARK, connector.PROMPTS, connector.FAILURES, {'password': 'pw', 'question': ASK})
    assert handshake.feed('tty', b'econtext password: ')[0] == ('type', b'pw\n')
    handshake.feed('tty', b'\r\nVerification code: ')
    assert handshake.rested() == [('ask', 'question', 'Verification code: ')]
    assert handshake.answer('question', '123') == [('type', b'123\n')]
    assert handshake.feed('tty', b'\nNew password: ') == [('ask', 'question', 'New password: ')]
    assert handshake.answer('question', None)[0][:2] == ('failed', 'answer-required')


def test_no_answer_is_a_yes_to_a_strangers_key() -> None:
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {'question': 'yes'})
    found = handshake.feed('tty', b'Are you sure you want to continue connecting (yes/no/[fingerprint])? ')
    assert found[0][:2] == ('failed', 'unknown-host-key')


STRANGE = (b"\rThe authenticity of host '[10.0.0.7]:36991 ([10.0.0.7]:36991)' can't be established.\n"
           b'ED25519 key fingerprint is SHA256:QWiSv2jtP60Fj3lt9O3RT76q7T+wCFfpL5qPwZi/CBQ.\n'
           b'This key is not known by any other names.\n')
SURE = b'Are you sure you want to continue connecting (yes/no/[fingerprint])? '


def test_who_trusts_a_key_is_told_all_that_ssh_says_of_it_and_no_more() -> None:
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {'host_key': ASK, 'passphrase': 'pp'})
    assert handshake.feed('tty', b'Old news\r\nEnter passphrase for key k: ')[0] == ('type', b'pp\n')
    handshake.feed('tty', b'\r\n' + STRANGE)
    handshake.feed('err', b'ED25519 key fingerprint is SHA256:ofSomebodyElse.\r\n')
    found = handshake.feed('tty', SURE)
    assert found == [('ask', 'host_key', (STRANGE[1:] + SURE).decode())]
    assert handshake.answer('host_key', 'yes') == [('type', b'yes\n')]
    assert handshake.feed('out', MARK)[0][0] == 'ready'


@pytest.mark.parametrize('answer', [None, 'SHA256:another'])
def test_a_key_that_nobody_trusts_is_not_known(answer: str | None) -> None:
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {'host_key': ASK, 'question': 'yes'})
    handshake.feed('tty', STRANGE + SURE)
    found = handshake.answer('host_key', answer)
    again = b"Please type 'yes', 'no' or the fingerprint: "
    while answer is not None and found[0][0] == 'type':
        found = handshake.feed('tty', b'\n' + again)
        assert found[0] == ('ask', 'host_key', again.decode()) or found[0][0] == 'failed'
        if found[0][0] == 'ask':
            found = handshake.answer('host_key', answer)
    assert found[0][:2] == ('failed', 'unknown-host-key')


def test_what_is_no_question_is_not_pending() -> None:
    handshake = Handshake(MARK, sudo.PROMPTS, sudo.FAILURES, {'password': 'pw'})
    assert not handshake.pending()
    for text in b'Place your finger on the reader', b'\r\n', b'Two things:\r\n':
        handshake.feed('tty', text)
        assert not handshake.pending()
        assert handshake.rested() == []


def test_banners_ask_nothing() -> None:
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {'password': 'pw'})
    for source in 'out', 'err':
        assert handshake.feed(source, b'Enter your password: ') == []
        assert not handshake.pending()


def test_only_who_asked_can_turn_down_an_answer() -> None:
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {'password': 'pw'})
    handshake.feed('tty', b'password: ')
    assert handshake.feed('out', b'Permission denied, please try again.\n' + MARK) == [('ready', b'')]


def test_a_passphrase_that_was_right_leaves_the_key_to_blame() -> None:
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {'passphrase': 'pp'})
    assert handshake.feed('tty', b"\rEnter passphrase for key 'id': ") == [('type', b'pp\n')]
    handshake.feed('err', b'me@host: Permission denied (publickey).\r\n')
    assert handshake.ended(255)[0] == 'refused-key'


def test_what_is_typed_is_one_line() -> None:
    handshake = Handshake(MARK, ssh.PROMPTS, ssh.FAILURES, {'password': 'from a file\n'})
    assert handshake.feed('tty', b'password: ') == [('type', b'from a file\n')]


@pytest.mark.parametrize(('status', 'told'), [
    (-9, 'ended by signal 9'), (-(11 | 128), 'ended by signal 11'), (255, 'exit status 255, or unknown'), (None, ''),
    (3, 'exit status 3'),
])  # fmt: skip
def test_a_program_that_says_nothing(status: int | None, told: str) -> None:
    assert Handshake(MARK, local.PROMPTS, local.FAILURES, {}).ended(status) == ('ended', told)


@pytest.mark.parametrize(('status', 'kind'), [(127, 'no-python'), (126, 'broken-python')])
@pytest.mark.parametrize('connector', [local, ssh, sudo])
def test_what_shells_say_by_their_status(connector: ModuleType, status: int, kind: str) -> None:
    assert Handshake(MARK, connector.PROMPTS, connector.FAILURES, {}).ended(status)[0] == kind


# What could not be recorded here: of networks that fail, old versions, and machines without terminals.
LINES_OF_SSH = {
    'ssh: connect to host h port 22: Connection timed out': 'timeout',
    'ssh: connect to host h port 22: Operation timed out': 'timeout',
    'Connection timed out during banner exchange': 'timeout',
    'ssh: connect to host h port 22: No route to host': 'unreachable',
    'ssh: connect to host h port 22: Network is unreachable': 'unreachable',
    'Received disconnect from h port 22:2: Too many authentication failures': 'refused-key',
    'Permission denied (publickey).': 'refused-key',
    'kex_exchange_identification: read: Connection reset by peer': 'hung-up',
    'Connection closed by h port 22': 'hung-up',
    'Connection closed by UNKNOWN port 65535': 'proxy-ended',
    'Connection to h closed by remote host.': 'hung-up',
    'Your account has expired; please contact your system administrator.': 'no-login',
    'ssh: Could not resolve hostname h: nodename nor servname provided, or not known': 'no-such-host',
    'bash: /opt/python: /no/such: bad interpreter: No such file or directory': 'broken-python',
    'python3: error while loading shared libraries: libpython3.so: cannot open': 'broken-python',
    "ModuleNotFoundError: No module named 'encodings'": 'broken-python',
    'ImportError: No module named zlib': 'broken-python',
}
LINES_OF_SUDO = {
    'sudo: sorry, you must have a tty to run sudo': 'tty-required',
    'sudo: a terminal is required to read the password; either use the -S option to read from standard input': (
        'tty-required'
    ),
    'sudo: no tty present and no askpass program specified': 'tty-required',
    'sudo: a password is required': 'password-required',
    'sudo: interactive authentication is required': 'password-required',
    "Sorry, user me is not allowed to execute '/bin/sh' as root on host.": 'not-allowed',
    'Sorry, user me may not run sudo on host.': 'not-allowed',
    'sudo: The "no new privileges" flag is set, which prevents sudo from running as root.': 'not-allowed',
    'sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set': 'not-allowed',
    'sudo: unknown user: nobody-there': 'no-such-user',
    'sudo: account validation failure, is your account locked?': 'not-allowed',
    'sudo: Password expired, contact your system administrator': 'expired-password',
    'sudo: 3 incorrect password attempts': 'wrong-password',
}


@pytest.mark.parametrize(
    ('connector', 'line', 'kind'),
    [(ssh, *item) for item in LINES_OF_SSH.items()] + [(sudo, *item) for item in LINES_OF_SUDO.items()],
)
def test_known_last_words(connector: ModuleType, line: str, kind: str) -> None:
    watch = Handshake(MARK, connector.PROMPTS, connector.FAILURES, {})
    assert watch.feed('err', line.encode() + b'\r\n') == []
    assert watch.ended(255) == (kind, line)


WORDS = [MARK, MARK[:5], b'\n', b'\r', b' ', b': ', b'password', b'Password: ', sudo.PROMPT.encode(), b'noise', b'\xff']
WORDS += [part.encode() for part, _ in ssh.PROMPTS + sudo.FAILURES + ssh.FAILURES]
SAID = st.lists(st.tuples(st.sampled_from(['out', 'err', 'tty']), st.lists(st.sampled_from(WORDS)).map(b''.join)))


@given(
    said=SAID,
    size=st.integers(1, 20),
    limit=st.integers(1, 400),
    answer=st.sampled_from([None, 'pw', ASK]),
    connector=st.sampled_from([ssh, sudo]),
)
def test_pieces_do_not_matter(
    said: list[tuple[str, bytes]], size: int, limit: int, answer: object, connector: ModuleType
) -> None:
    def outcome(size: int) -> tuple[Any, ...]:
        handshake = Handshake(MARK, connector.PROMPTS, connector.FAILURES, {'password': answer}, limit=limit)
        events = replay(handshake, said, size)
        return events, None if handshake.done else handshake.ended(1)

    assert outcome(size) == outcome(10**6)
    typed = [event for event in outcome(size)[0] if event[0] == 'type']
    assert len(typed) <= sum(data.count(b'\n') for _, data in said) + 1


# -- What is a line -----------------------------------------------------------------------------


@pytest.mark.parametrize('cuts', [(), (3,), (len(MARK) + 2,), (5, len(MARK) + 8)])
def test_what_stands_behind_the_mark_is_no_line(cuts: tuple[int, ...]) -> None:
    said = b'hi\n' + MARK + b'first frame\nsecond\n'
    handshake = Handshake(MARK, (), (('frame', 'no-python'),), {})
    events: Events = []
    for start, end in zip((0, *cuts), (*cuts, len(said)), strict=True):
        events += handshake.feed('out', said[start:end])
    assert [event[0] for event in events] == ['ready']
    assert handshake.lines == ['hi']
    assert handshake.verdict(None) == 'ended'


def test_control_characters_are_written_out() -> None:
    handshake = Handshake(MARK, (), (), {})
    handshake.feed('err', b'\x1b[31mred\x7f\xc2\x85 caf\xc3\xa9 \xff\n')
    assert handshake.detail() == '\\x1b[31mred\\x7f\\x85 caf\xe9 \ufffd'


def test_the_texts_of_a_part_stand_in_order() -> None:
    for line, matches in (('a to b failed', True), ('failed a', False), ('a* failed', True)):
        handshake = Handshake(MARK, (), (('a*failed', 'no-python'),), {})
        handshake.feed('err', line.encode() + b'\n')
        assert (handshake.verdict(None) == 'no-python') is matches
