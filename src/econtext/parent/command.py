"""
The command that turns a fresh interpreter into a child.

What the command line carries is the first stage: a program short enough to
pass through every login shell.  It reads from standard input one compressed
stream, the preamble, and executes it.

The strategy: the stream knows its own end, so the first stage needs no length
and is a constant.  It reads in large pieces and therefore beyond the end; the
preamble finds all that was read in ``b``, and what already belongs to the
frames behind it in ``d.unused_data``.

Invariants:

* CODE holds no single quote and no newline: no login shell can mangle it.
* End of file ends the first stage, wherever it comes, with the status NO_INPUT.
* Nothing that lies in the working directory or that PYTHON* variables name is
  imported, neither by the first stage nor after it.
* ``shell()`` means the same to sh, bash, dash, zsh, csh, tcsh and fish.
* ``~`` and ``~USER`` before the first slash of a path of an interpreter mean there what they
  mean to a shell there: a POSIX shell expands them, as the user who runs the interpreter.
* Exit status 127 says that there is no interpreter, or none by that name.

Pure: no descriptors, threads or clocks.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

from econtext.child.labels import seen

# The status of a first stage whose input ended before the preamble had: EX_NOINPUT of sysexits.h.
NO_INPUT = 66

CODE = (
    r'import sys;del sys.path[0];import os,zlib;d=zlib.decompressobj();'
    r'exec("b=s=d.unused_data\n'
    r'while not d.unused_data:'
    r'c=os.read(0,4096)or os._exit(66);b+=c;s+=d.decompress(c)");exec(s)')

# The same for a preamble that stands in the command line itself, in base64, with
# the frames behind it: the first result then costs one round trip less.
IN_LINE = (
    r'import sys;del sys.path[0];import zlib,binascii;'
    r'b=binascii.a2b_base64(sys.argv[1]);d=zlib.decompressobj();'
    r'exec(d.decompress(b))')

# Where an interpreter is looked for, the best first.
PYTHONS = 'python3', 'python', 'python2', '/usr/libexec/platform-python'

# Runs CODE, its $0, by the first of the candidates that can be executed.
FINDER = ('for p in %s;do command -v "$p">/dev/null&&exec "$p" -Ec "$0" "$@";done;'
          'exit 127')

# What no shell gives a meaning to, wherever it stands in a word.
LETTERS = 'abcdefghijklmnopqrstuvwxyz'
ALNUM = LETTERS + LETTERS.upper() + '0123456789'
PLAIN = ALNUM + '_./-+,:'

# What programs are given that ask questions; ``parent.children`` keeps what was there, ``child.undone`` takes it back.
ENGLISH = {'LANGUAGE': 'C'}  # type: dict[str, str | None]

# What an interpreter that cannot run the first stage says.
FAILURES = (
    # MicroPython, which knows no -E; the second of older ones.
    ('invalid command line arguments. use -h option', 'unsupported-python'),
    ('[-x <implopt>] [-c <command>', 'unsupported-python'),
    # The first stage got something else than was sent, or less.
    ('incorrect header check', 'eaten-input'),
    # A shell took the preamble for a command: as bash writes that, and zsh; `handshake` spells it as bash does.
    ('x\\332', 'eaten-input'),
    ('not found: x\\m-z', 'eaten-input'),
    # Python did, without the first stage.
    ('in file <stdin>', 'eaten-input'),
    ("can't start new thread", 'limits'),
    ("can't allocate lock", 'limits'),
    ('memoryerror', 'limits'),
    ('cannot allocate memory', 'limits'),
    ('too many open files', 'limits'),
    ('resource temporarily unavailable', 'limits'),
    ('failed to map segment', 'limits'),
    ('error while loading shared libraries', 'broken-python'),
    ('fatal python error', 'broken-python'),
    ('traceback (most recent call last)', 'broken-python'),
    ('no module named', 'broken-python'),
    ('bad interpreter', 'broken-python'),
    ('exec format error', 'broken-python'),
    ('cannot execute', 'broken-python'),
    ('command not found', 'no-python'),
    ('unknown command', 'no-python'),
)

# What programs say that go over a network.
NETWORK_FAILURES = (
    ('could not resolve hostname', 'no-such-host'),
    ('name or service not known', 'no-such-host'),
    ('connection refused', 'connection-refused'),
    ('connection timed out', 'timeout'),
    ('operation timed out', 'timeout'),
    ('no route to host', 'unreachable'),
    ('network is unreachable', 'unreachable'),
    ('host is down', 'unreachable'),
)

# How whoever has to change a password is asked for the old one and the new one.
NEW_PASSWORD = (
    ('new password', 'new-password'),
    ('new unix password', 'new-password'),
    ('current password', 'new-password'),
    ('current) unix password', 'new-password'),
)


def candidates(python):
    # type: (str | Sequence[str] | None) -> Sequence[str | Sequence[str]]
    """
    Return the interpreters to try where the user said `python`.

    That is a path, or a list whose first word is a path or another program
    that runs the interpreter, or None.  Raise ValueError where it cannot be.
    """
    if python is None:
        return PYTHONS
    words = words_of(python)
    if not words:
        raise ValueError('python= is empty')
    for word in words:
        check_word('python', word)
        if word[0] == '~' and (home(word)[1:2] == '-' or home(word).strip(ALNUM + '~_.-')):
            raise ValueError('python= begins with ~, and no name of a user follows: %s' % seen(word))
    if len(words) == 1 and ' -' in words[0]:
        raise ValueError('python= is one path: give a list of words to have others beside it')
    return (words,)


def home(word):
    # type: (str) -> str
    """Return what of `word`, which begins with ~, stands for the folder of a user."""
    return word.split('/')[0]


def expanded(word):
    # type: (str) -> str
    """Return `word` for a POSIX shell: quoted, but for what stands for the folder of a user."""
    if word[:1] != '~':
        return quote(word)
    rest = word[len(home(word)) + 1:]
    if rest:
        # The slash ends what is expanded, if no quote stands before it.
        rest = '/' + quote(rest)
    return home(word) + rest


def tried(python):
    # type: (str | Sequence[str] | None) -> str
    """Say which interpreters were tried where the user said `python`."""
    names = [words_of(words)[-1] for words in candidates(python)]
    return 'tried: ' + ', '.join(names)


def argv(pythons, data=None):
    # type: (Sequence[str | Sequence[str]], str | None) -> list[str]
    """
    Return the words that execute the first stage by one of `pythons`.

    A single one may be a list of words; no shell sees it.  `data`, in base64, is
    what would else come on standard input.
    """
    stage = [CODE]
    if data:
        stage = [IN_LINE, data]
    if len(pythons) == 1:
        words = words_of(pythons[0])
        if [word for word in words if word[:1] == '~']:
            # Quoted it is a name like others; and bash, which expands it all the same behind exec,
            # gives the program the name as it was, by which it does not find its own files.
            return ['sh', '-c', 'exec %s -Ec "$0" "$@"' % ' '.join([expanded(word) for word in words])] + stage
        return words + ['-Ec'] + stage
    return ['sh', '-c', FINDER % ' '.join([quote(p) for p in pythons])] + stage  # type: ignore[arg-type]


def shell(pythons, data=None):
    # type: (Sequence[str | Sequence[str]], str | None) -> str
    """Return the same as one line for a login shell, whichever that is."""
    return line(argv(pythons, data))


def line(words):
    # type: (list[str]) -> str
    """Return `words` as one line for a login shell, which they replace."""
    return 'exec ' + ' '.join([quote(word) for word in words])


def quote(word):
    # type: (str) -> str
    """
    Return `word` as every login shell reads it back unharmed.

    Single quotes protect from all of them, but for what csh does to ``!`` and
    fish to a backslash even there: those stand outside, behind a backslash.
    """
    if word and not word.strip(PLAIN):
        return word
    # Not letter by letter: each start quotes the first stage.
    parts = [part.replace("'", "'\\''").replace('!', "'\\!'") for part in word.split('\\')]
    found = parts[0]
    for part in parts[1:]:
        if part[:1] and part[0] in ALNUM:
            found += '\\' + part
        else:
            found += "'\\\\'" + part
    return "'" + found + "'"


def encoded(word):
    # type: (str) -> bytes
    """Return a word as bytes, in UTF-8 whatever the locale says."""
    if isinstance(word, type(''.encode())):
        return word
    try:
        return word.encode('utf-8')
    except UnicodeError:
        return word.encode('utf-8', 'surrogateescape')


def words_of(value):
    # type: (str | Sequence[str]) -> list[str]
    """Return `value` as a list of words, be it one or several."""
    if isinstance(value, (list, tuple)):
        return list(value)
    return [value]  # type: ignore[list-item]


def check_word(name, word):
    # type: (str, str) -> None
    """Raise ValueError where option `name` can be no word of a command line."""
    if not hasattr(word, 'encode') or not word:
        raise ValueError('%s= must be a text, not %s' % (name, seen(word)))
    if not word.strip(PLAIN):
        # As most words: each start checks some, and letter by letter takes long.
        return
    for c in word:
        if c < ' ' or c == '\x7f':
            raise ValueError('%s= holds a control character' % name)


def check_name(name, word):
    # type: (str, str) -> None
    """Raise ValueError where `word` could be taken for an option, or for two."""
    check_word(name, word)
    if word[0] == '-' or len(word.split()) != 1 or word.strip() != word:
        raise ValueError('%s= is no name: %s' % (name, seen(word)))


def check_options(options, known):
    # type: (dict[str, Any], Sequence[str]) -> None
    """Raise ValueError where `options` has a key that is not `known`."""
    for key in options:
        if key not in known:
            raise ValueError('unknown option %s; there are: %s'
                             % (seen(key), ', '.join(known)))


def check_environ(name, environ):
    # type: (str, dict[str, str | None]) -> None
    """Raise ValueError where option `name` holds no variables (None: to remove)."""
    if not isinstance(environ, dict):
        raise ValueError('%s= must be a dictionary, not %s' % (name, seen(environ)))
    for key, value in environ.items():
        check_word(name, key)
        if '=' in key:
            raise ValueError('%s= holds a name with "=": %s' % (name, seen(key.split('=')[0])))
        if value is not None and (not hasattr(value, 'encode') or '\0' in value):
            # The value of a variable may be secret.
            raise ValueError('%s= has a value that is not text, or has a null character, for %s' % (name, seen(key)))
