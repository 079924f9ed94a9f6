"""
A child in namespaces of its own, by unshare.

Invariants:

* With processes of its own it has a /proc of its own, and none of its processes
  outlives it.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.parent import boxes

OPTIONS = 'namespaces', 'map_root', 'python'
NEARBY = True
MISSING = 'not-found'
PROMPTS, ANSWERS = boxes.PROMPTS, boxes.ANSWERS
FAILURES = (
    ('unshare failed: no space left', 'not-privileged'),
    ('cannot change root directory', 'no-such-box'),
) + boxes.FAILURES

USUAL = 'mount', 'uts', 'ipc', 'net', 'pid'


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``namespaces``    list of ``boxes.NAMESPACES`` that are to be new, USUAL unless given
    ``map_root``      whether to be root in a new user namespace, which plain
                      accounts may
    ``python``        path of the interpreter, or a list of words that ends with
                      it; searched for unless given
    ``unshare_args``  list of further arguments of unshare
    ``unshare_path``  the program, 'unshare' unless given
    """
    argv = boxes.program(options, OPTIONS, 'unshare')
    kinds = boxes.namespaces(options) or USUAL
    argv += ['--' + kind for kind in kinds]
    if options.get('map_root'):
        argv += ['--map-root-user']
    if 'pid' in kinds:
        argv += ['--fork', '--kill-child', '--mount-proc']
    return boxes.inside(argv + ['--'], options)
