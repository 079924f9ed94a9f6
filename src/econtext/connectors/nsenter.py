"""
A child in the namespaces of another process, by nsenter.

The process is given by its number, or as a container, whose engine is asked for
the number of its first process.  That way no program of the engine is between us
and the child, and it works where the engine refuses to execute anything.

Invariants:

* What is to be a container cannot become an option, nor part of the script.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.child.labels import seen
from econtext.parent import boxes, command

OPTIONS = 'pid', 'container', 'engine', 'namespaces', 'python'
NEARBY = True
MISSING = 'not-found'
PROMPTS, ANSWERS = boxes.PROMPTS, boxes.ANSWERS

# How an engine tells the number of the first process of container $1.
ENGINES = {
    'docker': "docker inspect --type=container -f '{{.State.Pid}}' -- \"$1\"",
    'podman': "podman inspect --type=container -f '{{.State.Pid}}' -- \"$1\"",
    'lxc': 'lxc-info -pHn "$1"',
    'lxd': "lxc info \"$1\"|sed -n 's/^P[Ii][Dd]: *//p'",
    'incus': "incus info \"$1\"|sed -n 's/^P[Ii][Dd]: *//p'",
    'machinectl': 'machinectl show -p Leader --value -- "$1"',
}
# $0 is nsenter, $1 the container; of one that does not run the number is 0, or none.
SCRIPT = ('p=`%s`||exit 1;[ "${p:-0}" -gt 0 ]||{ echo "econtext: not running: $1">&2;'
          'exit 1;};shift;exec "$0" -t "$p" "$@"')

FAILURES = tuple([
    (name + said, 'not-found') for said in (': not found', ': command not found')
    for name in ('nsenter', 'lxc-info') + tuple(ENGINES)]) + (
    ('permission denied', 'not-privileged'),
    ('not permitted', 'not-privileged'),
    ('/ns/', 'no-such-box'),
    ('no such object', 'no-such-box'),
    ('instance not found', 'no-such-box'),
    ("doesn't exist", 'no-such-box'),
    ('no machine', 'no-such-box'),
    ('econtext: not running', 'not-running'),
) + boxes.ENGINE_FAILURES


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``pid``           number of the process; or
    ``container``     whose first process is meant, in the words of
    ``engine``        one of ENGINES
    ``namespaces``    list of ``boxes.NAMESPACES`` to enter; all unless given
    ``python``        path of the interpreter there, or a list of words that ends
                      with it; searched for unless given
    ``nsenter_args``  list of further arguments of nsenter
    ``nsenter_path``  the program, 'nsenter' unless given
    """
    argv = boxes.program(options, OPTIONS, 'nsenter')
    flags = ['--' + kind for kind in boxes.namespaces(options)] or ['--all']
    container, pid = options.get('container'), options.get('pid')
    if (container is None) == (pid is None):
        raise ValueError('either pid= or container= must be given')
    if container is None:
        number = ''
        if isinstance(pid, int) or hasattr(pid, 'encode'):
            number = str(pid)
        if not number.isdigit() or not int(number):
            raise ValueError('pid= must be the number of a process, not %s' % seen(pid))
        return boxes.inside(argv + ['-t', number] + flags + ['--'], options)
    command.check_name('container', container)
    script = ENGINES.get(options.get('engine') or 'docker')
    if script is None:
        raise ValueError('engine= is %s; there are: %s'
                         % (seen(options['engine']), ', '.join(sorted(ENGINES))))
    before = ['sh', '-c', SCRIPT % script, argv[0], container]
    return boxes.inside(before + argv[1:] + flags + ['--'], options)
