"""
What the ways into containers, pods and namespaces have in common.

Each of them is a program that executes another one elsewhere, with our pipes as
its standard input and output.  It has options of its own, words that name the
place, and behind these the words that look for an interpreter there.

Invariants:

* What is to be the name of a place or a user cannot become an option.
* None of these programs gets a terminal for its output, which would change bytes.  Only
  where there are answers it has one at all, to ask on.
* They speak English, whatever the locale; the child's locale is untouched.

Pure: no descriptors, threads or clocks.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

from econtext.child.labels import seen
from econtext.parent import command

# Whatever is asked: only the user knows what.
PROMPTS = ('', 'question'),
ANSWERS = 'question',

# What runs the command says, in whichever place.  Rows of a connector's own come
# before these.  That no interpreter is there it says of what it was to execute: a file
# that is not there can be one of its own, and then the engine is at fault.
FAILURES = (
    ('exec format error', 'exec-format'),
    ('"sh": executable file not found', 'no-shell'),
    ('execvp sh:', 'no-shell'),
    ('failed to execute sh:', 'no-shell'),
    ('executable file not found', 'no-python'),
    ('oci permission denied', 'broken-python'),
    ('": permission denied', 'broken-python'),
    ('failed to run command', 'no-python'),
) + command.FAILURES + (
    ('permission denied', 'not-privileged'),
    ('not permitted', 'not-privileged'),
    ('exec*no such file or directory', 'no-python'),
)

# What podman says, or what is below it, where it does not get as far as to any container.
# Warnings speak of the same things, and it goes on.
BROKEN = tuple([(part, 'engine-broken') for part in (
    'cannot resolve /', 'level=error*stat /', 'level=error*_conf file', 'level=error*xdg_runtime_dir',
    'level=error*uid_map', 'level=error*gid_map', 'level=error*newuidmap', 'level=error*newgidmap',
    'level=error*invalid internal status', 'level=error*cannot set up namespace',
    'error: cannot set up namespace', 'error: cannot re-exec', 'cannot clone: ', 'not enough ids available',
    'insufficient uids or gids', 'error: creating runtime', 'error: creating tmpdir',
    'error: creating events', 'error: error creating', 'error: mkdir ', 'error: remount ',
    'error: configuring storage', 'error: *storage driver', 'error: *graph driver',
    'executable found for oci runtime', 'outdated conmon',
    'find a working conmon', 'conmon binary', 'rootless*requires cgroup')])

# The same for Docker, and for what took over its command line and its words.
ENGINE_FAILURES = (
    ('unable to connect to podman*permission denied', 'engine-refused'),
    ('connect to the docker api*permission denied', 'engine-refused'),
    ('failed to connect to the docker api', 'engine-down'),
    ('unable to resolve docker endpoint', 'engine-down'),
    ('docker endpoint for', 'engine-down'),
    ('create option: stat ', 'no-such-box'),
    ('permission denied while trying to connect', 'engine-refused'),
    ('got permission denied', 'engine-refused'),
    ('cannot connect to the docker daemon', 'engine-down'),
    ('error during connect', 'engine-down'),
    ('unable to connect to podman', 'engine-down'),
    ('no such container', 'no-such-box'),
    ('no such image', 'no-such-image'),
    ('image not known', 'no-such-image'),
    ('pull access denied', 'no-such-image'),
    ('manifest unknown', 'no-such-image'),
    ('did not resolve to an alias', 'no-such-image'),
    ('initializing source', 'no-such-image'),
    ('daemon: get "http', 'no-such-image'),
    ('is paused', 'paused'),
    ('is not running', 'not-running'),
    ('container state improper', 'not-running'),
    ('unable to find user', 'no-such-user'),
    ('no matching entries in', 'no-such-user'),
    ('exec: *stat /*no such file', 'no-python'),
    ('exec: *permission denied', 'broken-python'),
) + BROKEN + FAILURES + (
    # Of its own files, then.
    ('no such file or directory', 'engine-broken'),
    ('level=error', 'engine-broken'),
)

# The same for LXD, and for Incus, which was LXD.
INSTANCE_FAILURES = (
    ('connect: permission denied', 'engine-refused'),
    ('unix.socket', 'engine-down'),
    ('instance not found', 'no-such-box'),
    ('remote "', 'no-such-box'),
    ('project not found', 'no-such-box'),
    ('instance is not running', 'not-running'),
    ('instance is frozen', 'paused'),
    ('command not found', 'no-python'),
) + FAILURES

NAMESPACES = 'mount', 'uts', 'ipc', 'net', 'pid', 'cgroup', 'user', 'time'

ENGINE_OPTIONS = 'container', 'image', 'user', 'python', 'args'
INSTANCE_OPTIONS = 'container', 'project', 'user', 'python'


def program(options, known, name, path=None):
    # type: (dict[str, Any], Sequence[str], str, str | None) -> list[str]
    """
    Check `options`; return the program's own words: its path, and the user's.

    Beside those `known` there are NAME_path and NAME_args for program `name`,
    whose path is `path` where that differs from its name.
    """
    ways = name + '_path', name + '_args'
    command.check_options(options, tuple(known) + ways)
    first = options.get(ways[0]) or path or name
    command.check_word(ways[0], first)
    return [first] + words(ways[1], options.get(ways[1]))


def words(name, value):
    # type: (str, Sequence[str] | None) -> list[str]
    """Return a list of the user's own arguments; raise ValueError."""
    if not isinstance(value or [], (list, tuple)):
        raise ValueError('%s= must be a list, not %s' % (name, seen(value)))
    for word in value or ():
        command.check_word(name, word)
    return list(value or ())


def inside(argv, options):
    # type: (list[str], dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """Return the plan that has the words `argv` start a child there."""
    pythons = command.candidates(options.get('python'))
    return argv + command.argv(pythons), False, command.ENGLISH


def named(options, *flags):
    # type: (dict[str, Any], tuple[str, str]) -> list[str]
    """Return FLAG and value for each (option, flag) that is given; raise ValueError."""
    argv = []
    for option, flag in flags:
        value = options.get(option)
        if value is not None:
            command.check_name(option, value)
            if flag[-1] == '=':
                argv.append(flag + value)
            else:
                argv += [flag, value]
    return argv


def namespaces(options):
    # type: (dict[str, Any]) -> list[str]
    """Return the namespaces that are named, in the words of util-linux; raise ValueError."""
    kinds = words('namespaces', options.get('namespaces'))
    for kind in kinds:
        if kind not in NAMESPACES:
            raise ValueError('namespaces= holds %s; there are: %s'
                             % (seen(kind), ', '.join(NAMESPACES)))
    return kinds


def directory(name, value):
    # type: (str, str | None) -> str
    """Return the path of a folder, which may hold spaces; raise ValueError."""
    command.check_word(name, value)  # type: ignore[arg-type]
    assert value
    if value[0] == '-':
        raise ValueError('%s= is no path: %s' % (name, seen(value)))
    return value


def engine(options, name):
    # type: (dict[str, Any], str) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return the plan for Docker, or an engine with its command line.

    A new container is removed by the engine when its program ends, and that ends
    with its standard input: also where our own client was killed.
    """
    argv = program(options, ENGINE_OPTIONS, name)
    container, image = options.get('container'), options.get('image')
    if (container is None) == (image is None):
        raise ValueError('either container= or image= must be given')
    if image is None:
        argv += ['exec', '-i']
    else:
        argv += ['run', '--rm', '-i']
    argv += named(options, ('user', '--user=')) + words('args', options.get('args'))
    if image is None:
        command.check_name('container', container)  # type: ignore[arg-type]
        argv.append(container)  # type: ignore[arg-type]
    else:
        command.check_name('image', image)
        argv.append(image)
    return inside(argv, options)


def instance(options, name, path):
    # type: (dict[str, Any], str, str) -> tuple[list[str], bool, dict[str, str | None]]
    """Return the plan for LXD, or what has its command line."""
    argv = program(options, INSTANCE_OPTIONS, name, path)
    command.check_name('container', options.get('container', ''))
    argv += ['exec', options['container'], '-T']
    argv += named(options, ('project', '--project='))
    return inside(argv + identity(options, '--user=', '--group=') + ['--'], options)


def identity(options, user, group):
    # type: (dict[str, Any], str, str) -> list[str]
    """Return what `user=` is in numbers, behind the flags `user` and `group`; raise ValueError."""
    value = options.get('user')
    if value is None:
        return []
    numbers = str(value).split(':')
    if len(numbers) > 2 or [number for number in numbers if not number.isdigit()]:
        raise ValueError("user= must be 'UID' or 'UID:GID', not %s" % seen(value))
    return [flag + number for flag, number in zip((user, group), numbers)]
