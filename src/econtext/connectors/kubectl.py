"""
A child in a container of a pod, by kubectl.

Invariants:

* What is to be a name cannot become an option.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from econtext.parent import boxes, command

OPTIONS = 'pod', 'container', 'namespace', 'kube_context', 'python'
MISSING = 'not-found'
PROMPTS, ANSWERS = boxes.PROMPTS, boxes.ANSWERS
FAILURES = (
    ('(forbidden)', 'engine-refused'),
    ('(unauthorized)', 'engine-refused'),
    ('you must be logged in', 'engine-refused'),
    ('is not valid for pod', 'no-such-box'),
    ('does not exist', 'no-such-box'),
    ('context was not found', 'no-such-box'),
    ('container not found', 'not-running'),
    ('completed pod', 'not-running'),
    ('(notfound)', 'no-such-box'),
    ('no such host', 'no-such-host'),
    ('i/o timeout', 'timeout'),
    ('please enter username', 'engine-refused'),
    ('error: stat ', 'engine-down'),
    ('error loading config file', 'engine-down'),
    ('connection to the server', 'engine-down'),
    ('connection refused', 'engine-down'),
    ('unable to connect to the server', 'engine-down'),
) + boxes.ENGINE_FAILURES


def plan(options):
    # type: (dict[str, Any]) -> tuple[list[str], bool, dict[str, str | None]]
    """
    Return (argv, tty, changes of the environment); raise ValueError.

    ``pod``           its name, or TYPE/NAME of what has pods
    ``container``     which of its containers; the pod's default unless given
    ``namespace``, ``kube_context``
                      those of the user's configuration unless given
    ``python``        path of the interpreter there, or a list of words that ends
                      with it; searched for unless given
    ``kubectl_args``  list of arguments before all others, such as --kubeconfig
    ``kubectl_path``  the client, 'kubectl' unless given
    """
    argv = boxes.program(options, OPTIONS, 'kubectl')
    argv += boxes.named(options, ('kube_context', '--context='),
                        ('namespace', '--namespace='))
    argv += ['exec', '-i']
    argv += boxes.named(options, ('container', '--container='))
    command.check_name('pod', options.get('pod', ''))
    return boxes.inside(argv + [options['pod'], '--'], options)
