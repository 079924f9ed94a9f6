"""
What a connector is asked for: the options, and what they are checked against.

Invariants:

* What makes no sense is refused here, or by the connector's ``plan``, before
  anything is started.

Pure; any thread may enter.
"""

# Annotations are evaluated here: as texts, typing would compile each of them for the class below, as a broker starts.
import abc
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

from econtext.child.labels import seen
from econtext.controller.runtime.deadlines import is_seconds
from econtext.controller.runtime.signals import interruptible
from econtext.controller.secret import Secret as Hidden

# What is started: the context that a user holds.
C = TypeVar('C')
Python = str | Sequence[str] | None
Secret = str | Hidden | Callable[[str], str | Hidden] | None
# Is a host to be trusted? A function that gets what ssh says of the key.
HostKey = Callable[[str], str | None] | None
# For questions that have no option of their own: a function, or parts of questions and what to say.
Answers = Callable[[str], str | None] | Mapping[str, str | Callable[[str], str]] | None

LISTS = 'args', 'namespaces'
PATIENCE = 30.0     # seconds that a context may take to start
HEARTBEAT = 15.0    # seconds of silence after which one asks
GIL_LIMIT = 6.0     # seconds of processor time: so that all is gone within ten
NARROWEST = 1 << 16     # bytes of a window, of a channel or of output
WIDEST = 1 << 28


class Common(TypedDict, total=False):
    """
    The options of every connector.

    `name` is what logs and errors call the context, by default the host's or
    user's name; while another context of the broker has it, it is followed by ``#2``,
    ``#3`` and so on.  `argv0` is what ``ps`` shows there.  `connect_timeout` is how many
    seconds it may take to start, 30 unless given.  `threads` is how many calls run
    there at once, 1 unless given.

    `heartbeat` is after how many seconds of silence one end of its link asks the
    other, which is given up after three questions: 15 unless given, 0 for never, and
    never where the link cannot go silent.  `gil_limit` is how many seconds of processor
    time its code may hold the interpreter's lock in one go: 6 unless given, 0 for any.

    `output_window` is how many bytes of what is printed and logged there may be on their
    way, or wait for handlers of ``logging``, before who prints or logs waits: 65,536 or
    more; 1 MiB unless given.

    With `idle_timeout` the context ends by itself once nobody has used it for so many seconds: it had no
    call, stream, command or open channel, and no context below it.  A call from then on raises ContextLost, and was not
    sent.  A context that attached programs share, see attach(), so ends when its users have not used it for so
    long, and not with its last user.
    """

    name: str | None
    argv0: str | None
    connect_timeout: float
    heartbeat: float
    gil_limit: float
    threads: int
    output_window: int
    idle_timeout: float


class ConnectRequest(NamedTuple):
    """What a connector was asked for; it is named, or is the module itself."""

    connector: str | ModuleType
    options: dict[str, Any]
    answers: Mapping[str, Secret]
    common: Common
    #: What it is called unless `common` says so; None for its number.
    name: str | None = None
    #: Told (source, data) of what the program says before the child speaks, and later beside the link; here only.
    watch: Callable[[str, bytes], None] | None = None


class Starter(Generic[C]):
    """What the families of connectors, as methods, stand on: in what broker and context differ."""

    @abc.abstractmethod
    def _start(self, request: ConnectRequest) -> C:
        """Start the context that is wished for; return at once."""

    @abc.abstractmethod
    def _prefix(self) -> str:
        """What the names of contexts started from here begin with."""

    def _start_in(
        self, connector: str, label: str | None, options: dict[str, Any], common: Common,
        answers: Mapping[str, Secret] = MappingProxyType({}),
    ) -> C:
        """
        Start a context by `connector`, and call it by whom or what it is in, `label`.

        Of `options` those that LISTS names, and all that end with ``_args``, are made lists of words.
        """
        for option in options:
            if option in LISTS or option.endswith('_args'):
                options[option] = list(words(option, options[option]))
        # Another is none, which the connector is to refuse.
        name = f'{self._prefix()}{connector}.{label}' if isinstance(label, str) and label else None
        return self._start(ConnectRequest(connector, options, answers, common, name))


def words(option: str, value: Sequence[str]) -> Sequence[str]:
    """Return a list of words; a text that was meant as one is refused."""
    if isinstance(value, str) or not all(isinstance(word, str) for word in value):
        raise TypeError(f'{option}= must be a list of words, not {seen(value)}')
    return value


def answering(answers: Answers) -> Any:
    """Return a function that answers questions, from one or from a table of parts of them."""
    if answers is None or callable(answers):
        return answers
    given: Any = answers
    if not isinstance(given, Mapping) or not all(isinstance(part, str) for part in given):
        raise TypeError(
            'answers= must be a function that gets each question, or a mapping of parts of questions to what to type')
    table = [(part.lower(), answer) for part, answer in answers.items()]

    @interruptible
    def look_up(question: str) -> str | None:
        for part, answer in table:
            if part in question.lower():
                return answer(question) if callable(answer) else answer
        return None

    return look_up


def asked(answers: Answers) -> dict[str, Any]:
    """Return the answers of a connector whose program has no questions that are known by their words."""
    return {'question': answering(answers)}


def plain(value: Any) -> Any:
    """Return `value` with every text of its own type, such as an enum's or a path, made a plain one."""
    if value is None or type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, os.PathLike):
        return plain(os.fspath(value))
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    return value


def idle_timeout(common: dict[str, Any]) -> float | None:
    """Take the option out of `common`; raise ValueError for what is no number of seconds."""
    found = common.pop('idle_timeout', None)
    if found is not None and not is_seconds(found):
        raise ValueError('idle_timeout= must be a number of seconds')
    return None if found is None else float(found)


def check_path(option: str, path: str | os.PathLike[str]) -> str:
    """Return `path` as a text; raise TypeError for what is no path, ValueError for an empty one."""
    found = os.fspath(path)
    if not isinstance(found, str):
        raise TypeError(f'{option}= must be a path in text, not {seen(path)}')
    if not found or '\0' in found:
        raise ValueError(f'{option}= must be a path, and is empty or holds a NUL')
    return str.__str__(found)


def check_window(option: str, window: int) -> None:
    """Raise ValueError for a window of bytes that is none, or out of bounds."""
    if type(window) is not int or not NARROWEST <= window <= WIDEST:
        raise ValueError(f'{option}= must be {NARROWEST:,} to {WIDEST:,} bytes, not {seen(window)}')


def options_of(method: Callable[..., Any] | None) -> list[str]:
    """Return the names of the options that a connector has of its own."""
    import inspect

    found = inspect.signature(method).parameters.values() if method else ()
    return [each.name for each in found if each.kind is each.KEYWORD_ONLY]


def check_common(common: Mapping[str, Any], method: Callable[..., Any] | None) -> None:
    """Raise TypeError for an option that no connector has, nor `method`, which is one; ValueError for nonsense."""
    for option in common:
        if option not in Common.__annotations__:
            there = ', '.join(f'{name}=' for name in [*options_of(method), *Common.__annotations__])
            raise TypeError(f'{option}= is no option here: there are {there}')
    name = common.get('name')
    if name is not None and (not isinstance(name, str) or not name or not name.isprintable()):
        raise ValueError(f'name= must be printable text, not {seen(name)}')
    patience = common.get('connect_timeout', PATIENCE)
    if not is_seconds(patience) or not patience:
        raise ValueError(f'connect_timeout= must be seconds, not {seen(patience)}')
    for option in 'heartbeat', 'gil_limit':
        seconds = common.get(option, 0)
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0:
            raise ValueError(f'{option}= must be seconds, or 0 for none, not {seen(seconds)}')
    threads = common.get('threads', 1)
    if type(threads) is not int or threads < 1:
        raise ValueError(f'threads= must be a number of calls, not {seen(threads)}')
    check_window('output_window', common.get('output_window', NARROWEST))
    if 'idle_timeout' in common and not (is_seconds(common['idle_timeout']) and common['idle_timeout']):
        raise ValueError(f'idle_timeout= must be a number of seconds, not {seen(common["idle_timeout"])}')
