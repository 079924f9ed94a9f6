"""
A child on this machine, as the same user, or from root as another.

Where it is to have a user, a folder, a priority or processors of its own, a few
lines in front of the first stage see to that in the new process itself: so the
process that starts it need not fork, and no other program is needed.

Invariants:

* No shell is involved, unless the interpreter has to be searched for.
* What the other user may not execute is not executed as that user: the
  interpreter starts anew, and nothing of root's is left in the process.
* What cannot be had is said on standard error as ``econtext KIND: ...``, and ends it.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import sys

from econtext.child.labels import seen
from econtext.parent import command

OPTIONS = 'python', 'env', 'cwd', 'user', 'nice', 'cpus'
NEARBY = True
MISSING = 'no-python'
PROMPTS = ('', 'question'),
ANSWERS = 'question',
FAILURES = tuple([('econtext %s: ' % kind, kind) for kind in (
    'no-such-user', 'not-allowed', 'no-folder', 'no-processor', 'no-python')]) + command.FAILURES

# Arguments: the first stage, user, names of variables that stay, folder, priority, processors.
PREPARE = '''
import sys
first = sys.path.pop(0)
import os, errno
code, user, names, cwd, nice, cpus = sys.argv[1:]
def fail(kind, what):
    sys.stderr.write('econtext %s: %s: %s\\n' % (kind, what, sys.exc_info()[1]))
    sys.stderr.flush()
    os._exit(1)
def attempt(kind, what, func, *args):
    try:
        return func(*args)
    except (OSError, OverflowError, ValueError):
        if getattr(sys.exc_info()[1], 'errno', None) in (errno.EPERM, errno.EACCES) and kind != 'no-folder':
            kind = 'not-allowed'
        fail(kind, what)
if cpus:
    if not hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity = lambda *args: int('Python 3.3 on Linux is needed for that')
    attempt('no-processor', 'cpus', os.sched_setaffinity, 0, [int(cpu) for cpu in cpus.split()])
if nice:
    attempt('not-allowed', 'nice', os.nice, int(nice))
def switch():
    import pwd
    try:
        if user.isdigit():
            entry = pwd.getpwuid(int(user))
        else:
            entry = pwd.getpwnam(user)
    except KeyError:
        if not user.isdigit():
            fail('no-such-user', user)
        entry = ('', '', int(user), int(user), '', '/', '/bin/sh')
    uid, gid = entry[2:4]
    if os.getuid() == os.geteuid() == uid:
        return
    if not entry[0]:
        attempt('not-allowed', user, os.setgroups, [])
    elif hasattr(os, 'initgroups'):
        attempt('not-allowed', user, os.initgroups, entry[0], gid)
    else:
        import grp
        attempt('not-allowed', user, os.setgroups, [gid] + [
            group[2] for group in grp.getgrall() if entry[0] in group[3]])
    attempt('not-allowed', user, os.setgid, gid)
    attempt('not-allowed', user, os.setuid, uid)
    for name, value in (('HOME', entry[5]), ('USER', entry[0]), ('LOGNAME', entry[0]), ('SHELL', entry[6])):
        if name not in names.split('='):
            os.environ[name] = value
    return True
switched = user and switch()
if cwd:
    attempt('no-folder', 'cwd', os.chdir, os.path.expanduser(cwd))
if switched:
    try:
        os.execv(sys.executable, [sys.executable, '-Ec', code])
    except OSError:
        fail('no-python', user + ' cannot execute ' + sys.executable)
sys.path.insert(0, first)
sys.argv[1:] = []
exec(code)
'''.strip() + '\n'


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``python``  path of the interpreter, or a list of words that ends with it;
                our own by default
    ``env``     variables to set, or to remove (None)
    ``cwd``     the folder to start in
    ``user``    whom to become, a name or a number
    ``nice``    what is added to its priority, -20 to 19
    ``cpus``    the processors it may use, a list of numbers
    """
    command.check_options(options, OPTIONS)
    python = options.get('python') or sys.executable or None
    env = options.get('env') or {}
    command.check_environ('env', env)
    argv = command.argv(command.candidates(python))
    further = further_words(options, env)
    if [word for word in further if word]:
        # The first stage stands last.
        argv = argv[:-1] + [PREPARE] + argv[-1:] + further
    return argv, False, env


def further_words(options, env):
    # type: (dict[str, Any], dict[str, str | None]) -> list[str]
    """Return what PREPARE gets behind the first stage."""
    user, cwd, nice, cpus = [options.get(name) for name in ('user', 'cwd', 'nice', 'cpus')]
    names = ''
    if user is not None:
        names = '='.join(sorted(env))
        if not isinstance(user, int):
            command.check_name('user', user)
        elif isinstance(user, bool) or not 0 <= user < 1 << 32:
            raise ValueError('user= must be a name or a number, not %s' % seen(user))
    if cwd is not None and (not hasattr(cwd, 'encode') or not cwd or '\0' in cwd):
        raise ValueError('cwd= must be the path of a folder, not %s' % seen(cwd))
    if nice is not None and (not isinstance(nice, int) or not -20 <= nice <= 19):
        raise ValueError('nice= must be a number from -20 to 19, not %s' % seen(nice))
    if cpus is not None:
        if not isinstance(cpus, (list, tuple)) or not cpus or [
                cpu for cpu in cpus if not isinstance(cpu, int) or cpu < 0]:
            raise ValueError('cpus= must be a list of numbers, not %s' % seen(cpus))
        cpus = ' '.join([str(int(cpu)) for cpu in cpus])
    return [word(value) for value in (user, names, cwd, nice, cpus)]


def word(value):
    # type: (Any) -> str
    """Return a text, a number or None as a word."""
    if value is None:
        return ''
    if hasattr(value, 'encode'):
        return value  # type: ignore[no-any-return]
    return str(int(value))
