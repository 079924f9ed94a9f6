"""
A child on another machine, by the user's own OpenSSH client.

The user's configuration counts: of what it could say itself we pass only what
was asked for, and behind the user's own arguments, where the first one wins.

Invariants:

* What is to be a host or a user name cannot become an option.
* Every question ssh asks is on our terminal, never on the user's.
* A connection that the user's ssh shares (ControlPath) is used; ours is never one to be
  shared (ControlMaster), whatever configuration and arguments say, for then it would
  have to outlive us.  What ssh itself starts for a jump host follows the user's
  configuration alone.
* The remote command is one line that every login shell understands.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import os

from econtext.child.labels import seen
from econtext.parent import command

OPTIONS = ('hostname', 'username', 'port', 'identity_file', 'python',
           'ssh_args', 'ssh_path', 'one_trip')
ANSWERS = 'password', 'passphrase', 'host_key', 'question'
MISSING = 'not-found'

PROMPTS = (
    ('(yes/no', 'host_key'),
    ("please type 'yes'", 'host_key'),
    ('enter passphrase for', 'passphrase'),
    ('enter pin for', 'passphrase'),
) + command.NEW_PASSWORD + (
    ('password: ', 'password'),
    ('password for ', 'password'),
    ('', 'question'),
)

FAILURES = (
    ('cannot execute command-line and remote command', 'remote-command'),
    ('command execution via remote command', 'remote-command'),
    ('remote host identification has changed', 'changed-host-key'),
    ('has changed and you have requested strict', 'changed-host-key'),
    ('host key is known for', 'unknown-host-key'),
    ('host key verification failed', 'unknown-host-key'),
) + command.NETWORK_FAILURES + (
    ('you are required to change your password', 'expired-password'),
    ('password has expired', 'expired-password'),
    ('password change required', 'expired-password'),
    ('permission denied, please try again', 'wrong-password'),
    ('identity file*not accessible', 'no-identity'),
    ('permission denied (', 'refused-key'),
    ('too many authentication failures', 'refused-key'),
    ('account is currently not available', 'no-login'),
    ('account has expired', 'no-login'),
    # What stands between is no server, but ProxyCommand or the ssh of ProxyJump.
    ('by unknown port 65535', 'proxy-ended'),
    ('subsystem request failed', 'no-command'),
    ('connection closed by', 'hung-up'),
    ('connection reset by', 'hung-up'),
    ('closed by remote host', 'hung-up'),
) + command.FAILURES + (
    # Our line, echoed in an error: the login shell is an interpreter.
    ("exec sh -c 'for p in", 'no-login'),
    (" -ec 'import sys;del sys.path[0]", 'no-login'),
    # It returned what the login shell did, which did not run our command.
    ('', 'no-login'),
)


# As the configuration may say it: no input, as for -n; no command either, and no output, but no end, as for -N.
STATUSES = {command.NO_INPUT: 'no-command', None: 'no-command'}  # type: dict[int | None, str]

# Options of the client behind which a word of its own follows.
WITH_WORD = 'bcDeEFIiJLlmOopQRSWwB'


def plan(options, data=None):
    # type: (dict[str, Any], str | None) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``hostname``       where to, as ssh understands it
    ``username``, ``port``, ``identity_file``
                       of the user's configuration unless given
    ``python``         path of the interpreter there, or a list of words that
                       ends with it; searched for unless given
    ``ssh_args``       list of arguments, before our own
    ``ssh_path``       the client, 'ssh' unless given
    ``one_trip``       whether the command line carries what else would come on
                       standard input: `data`, in base64
    """
    command.check_options(options, OPTIONS)
    given = dict([(key, options[key]) for key in options
                  if options[key] is not None])
    check_host(given.get('hostname', ''))
    argv = [given.get('ssh_path', 'ssh')] + arguments(given)
    argv += ['-T', '-oControlMaster=no']
    command.check_word('ssh_path', argv[0])
    if 'port' in given:
        argv += ['-p', port(given['port'])]
    if 'username' in given:
        command.check_name('username', given['username'])
        argv += ['-l', given['username']]
    if 'identity_file' in given:
        command.check_word('identity_file', given['identity_file'])
        argv += ['-i', os.path.expanduser(given['identity_file'])]
    line = command.shell(command.candidates(given.get('python')), data)
    return argv + [given['hostname'], line], True, {}


def lacking(options):
    # type: (dict[str, Any]) -> dict[str, str]
    """
    Return what it means when a question has no answer.

    A server that asks for a password has refused the key that was named.
    """
    if options.get('identity_file'):
        return {'password': 'refused-key'}
    return {}


def arguments(given):
    # type: (dict[str, Any]) -> list[str]
    """Return the user's own arguments."""
    args = given.get('ssh_args', ())
    if not isinstance(args, (list, tuple)):
        raise ValueError('ssh_args= must be a list, not %s' % seen(args))
    for word in args:
        command.check_word('ssh_args', word)
    # Not all that stands for a file in there is expanded by the client.
    args = [os.path.expanduser(word) for word in args]
    if 'M' in flags(args):
        raise ValueError(
            'ssh_args= holds -M: a connection that others share would stay behind when the context ends; '
            'start one by hand, and name it with ControlPath')
    for letter in 'nfNs':
        if letter in flags(args):
            raise ValueError(
                'ssh_args= holds -%s, with which no command, or no input, reaches the host: leave it out' % letter)
    if 'controlmaster' in ' '.join(args).lower():
        # The first one counts.
        args.insert(0, '-oControlMaster=no')
    return args


def flags(args):
    # type: (list[str]) -> list[str]
    """Return the letters of the options among the arguments of a client."""
    found = []
    words = iter(args)
    for word in words:
        letters = list(word[1:] * (word[:1] == '-'))
        while letters:
            found.append(letters.pop(0))
            if found[-1] in WITH_WORD:
                if not letters:
                    for _ in words:
                        break
                letters = []
    return found


def check_host(hostname):
    # type: (str) -> None
    """Raise ValueError where `hostname` is no host, or says more than ssh takes there."""
    command.check_name('hostname', hostname)
    rest, user = hostname, ''
    if '://' in rest:
        scheme, rest = rest.split('://', 1)
        rest = rest.split('/', 1)[0]
        host, user, number = parted(rest)
        raise wordy('is a URL', hostname, host, user, number)
    host, user, number = parted(rest)
    if '/' in host:
        raise ValueError('hostname= is a path, and no host: %s' % shown(hostname))
    if number or host[:1] == '[' or host != rest[len(rest) - len(host):]:
        raise wordy('is more than the name of a host', hostname, host.strip('[]'), user, number)
    if not host or rest[:1] == '@':
        raise ValueError('hostname= lacks the host or the user beside its @: %s' % shown(hostname))
    if host.count(':') == 1:
        raise ValueError(
            'hostname= is %s: give the host alone, and the port, a number, as port=' % shown(hostname))


def parted(text):
    # type: (str) -> tuple[str, str, str]
    """Return host, user and port in USER@HOST:PORT, with '' for what is not there."""
    user, number = '', ''
    at = text.rfind('@')
    if at >= 0:
        user, text = text[:at], text[at + 1:]
    end = text.rfind(':')
    # More colons than one are those of an address of IPv6, which a port can follow in brackets only.
    if end >= 0 and text[end + 1:].isdigit() and (text.count(':') == 1 or text[end - 1:end] == ']'):
        text, number = text[:end], text[end + 1:]
    return text, user, number


def shown(hostname):
    # type: (str) -> str
    """Return `hostname` for an error, without the password that a URL may hold."""
    user, host = hostname[:hostname.rfind('@') + 1], hostname[hostname.rfind('@') + 1:]
    begin = user.find('//') + 1
    if ':' in user[begin:]:
        user = user[:user.find(':', begin)] + ':...@'
    return seen(user + host)


def wordy(what, hostname, host, user, number):
    # type: (str, str, str, str, str) -> ValueError
    """Return the error that tells how to say `hostname` by options."""
    said = ['hostname=' + seen(host.strip('[]'))]
    if user:
        said.append('username=' + seen(user.split(':')[0]))
    if number:
        said.append('port=%s' % number)
    return ValueError('hostname= %s: %s; say %s' % (what, shown(hostname), ', '.join(said)))


def port(value):
    # type: (int | str) -> str
    """Return a port as a word."""
    text = ''
    if isinstance(value, int) or hasattr(value, 'encode'):
        text = str(value)
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError('port= must be a number from 1 to 65535, not %s'
                         % seen(value))
    return text
