"""
Calls from contexts to functions of this program, where it allowed them.

The strategy: each runs in a thread of its own.  So it holds up neither the loop
nor the log, may itself call into contexts and wait, and the thread that waits for
the very call it came from leads meanwhile.

Calls back could wait for each other in a ring: a context for a function here, that
for another context, and so on, back to the first.  Who waits for whom is kept here,
of those functions alone, and looked at before one of them begins to wait: a call
hangs if each context from its own on has all its threads waiting for functions here
that all wait for contexts.  One look is made at a time, so the one that would close
a ring finds it.

Invariants:

* Nothing but a function that was allowed to the asking context, or to one above
  it, is run; it is found in a table of those, and never imported by a name.
* Arguments are decoded as hostile, like all that comes up.
* At most MOST run at a time for one context; each is answered once.
* A call that would close a ring is refused before it is sent; one that can be
  answered is not.
* While none runs, calls of the program are spared all this.

``receive`` is entered by the thread that leads, the rest by any.
"""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from econtext.child import labels, nested, particulars
from econtext.child.kinds import ASKED
from econtext.controller.errors import EcontextError, NotAllowed
from econtext.controller.protocol import values
from econtext.controller.runtime.signals import interruptible
from econtext.controller.runtime.waiting import Wait
from econtext.controller.session.channels import hand_over
from econtext.controller.session.charges import CHARGES
from econtext.core.wire import ERROR, RESULT, BadFrame
from econtext.parent.judge import UNREAD
from econtext.parent.values import Unusable, decode

if TYPE_CHECKING:
    from econtext.controller.session.interfaces import Owner, Peer

P = ParamSpec('P')
T = TypeVar('T')
Function = Callable[..., Any]
#: What names functions, and those that are allowed by their names.
Allowed = tuple[Callable[[Function], tuple[str, str]], dict[tuple[str, str], Function]]

MOST = CHARGES[ASKED].frames    # that run at a time for one context


class Allows:
    """What a broker and a context have in common: functions that may be called from there."""

    @abc.abstractmethod
    def _allowed(self) -> Allowed:
        """Return what names functions, and the table of those that are allowed."""

    def allow(self, *functions: Function) -> None:
        """
        Let contexts call `functions` of this program.

        Of a context: this one and those below it; of a broker: all, and attached programs.  There,
        ``econtext.program.call(function, …)`` runs one here, in a thread of its
        own, and returns its result; all else raises NotAllowed.  Each is a function
        of a module.  Raises TypeError for what has no name to call it by.

        Example::

            web.allow(next_task)    # there: econtext.program.call(next_task, 'web1')
        """
        name_of, allowed = self._allowed()
        for function in functions:
            allowed[name_of(function)] = function


class Program:
    """
    The program itself, as its functions see it wherever they run.

    In a context, ``call`` runs a function in the program that started it, if that
    was allowed; in the program it is a plain call.
    """

    @interruptible
    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Run ``function(*args, **kwargs)`` in the program and return its result.

        `function`, or in a context also its dotted name, is one that was allowed;
        `args` and `kwargs` are values that cross.  In a context it raises NotAllowed
        for what was not allowed, CallError (also of the built-in type) for what the
        function raised.  While it waits its context carries out no other call: a
        function that calls into the context that waits for it gets EcontextError.

        Example::

            task = econtext.program.call(next_task, 'web1')
        """
        return function(*args, **kwargs)


program: Program = Program()


class Asked:
    """A function that runs because `context` asked for it."""

    def __init__(self, context: Peer, size: int) -> None:
        self.context = context
        # Bytes in which it was asked.
        self.size = size
        # Does a thread that carries out a call wait for it there?
        self.holds = False
        # The context that it waits for, until that wait is done.
        self.wait: tuple[Peer, Wait] | None = None

    def waits_for(self) -> Peer | None:
        """Return the context that this waits for now."""
        if self.wait is None or self.wait[1].done:
            return None
        return self.wait[0]


class Callbacks:
    """The calls from below, of one broker."""

    def __init__(self, broker: Owner) -> None:
        self.broker = broker
        self.local: threading.local = threading.local()
        self.lock: threading.Lock = threading.Lock()
        self.running: dict[int, list[Asked]] = {}

    def receive(self, src: int, handle: int, body: bytes) -> None:
        context = self.broker.contexts[src]
        if context.via is None and context.counters.unread.grows(self.broker.router.links[src]):
            raise BadFrame(UNREAD)
        context.counters.unread.add(0)
        asked = Asked(context, len(body))
        with self.lock:
            running = self.running.setdefault(src, [])
            full = not context.counters.account.take(ASKED, asked.size)
            if not full:
                running.append(asked)
        if full:
            text = f'more than {MOST} calls of the program at a time: wait for some of them'
            self.broker.router.send(ERROR, src, handle, refusal(text))
        else:
            self.broker.loop.call_soon(lambda: self.start(asked, handle, body))

    def start(self, asked: Asked, handle: int, body: bytes) -> None:
        """Have a thread of its own carry out one call."""
        context = asked.context
        try:
            threading.Thread(
                target=self.serve, args=(asked, handle, body), name=f'econtext {context.name}', daemon=True).start()
        except BaseException as error:
            # No more threads, or no memory, is no reason to let it wait.
            self.leave(asked)
            text = f'the program has no thread for a call of it ({type(error).__name__}): have less run there at a time'
            self.broker.router.send(ERROR, context.id, handle, refusal(text))
            if not isinstance(error, Exception):
                raise

    def serve(self, asked: Asked, handle: int, body: bytes) -> None:
        """Carry out one call and answer it, whatever fails on the way."""
        self.local.asked = asked
        context = asked.context
        kind, answer = ERROR, UNTOLD
        try:
            kind, answer = self.perform(asked, body)
        except BadFrame as error:
            self.broker.corrupt(context, str(error))
        finally:
            self.leave(asked)
            self.broker.router.send(kind, context.id, handle, answer)

    def leave(self, asked: Asked) -> None:
        with self.lock:
            running = self.running[asked.context.id]
            running.remove(asked)
            asked.context.counters.account.give_back(ASKED, asked.size)
            if not running:
                del self.running[asked.context.id]

    def perform(self, asked: Asked, body: bytes) -> tuple[int, bytes]:
        """Return the kind and the body of the answer."""
        context = asked.context
        try:
            request = decode(body, context)
        except Unusable as error:
            return ERROR, told(False, f'{error.kind}: an argument {labels.message(error)}', [error.kind], None, {})
        if type(request) is not tuple or len(request) != 5:
            raise BadFrame('a call of another form')
        module, name, args, kwargs, holds = request
        if not (isinstance(module, str) and isinstance(name, str) and type(args) is tuple
                and type(kwargs) is dict and type(holds) is bool and all(isinstance(key, str) for key in kwargs)):
            raise BadFrame('a call of another form')
        asked.holds = holds
        try:
            function = self.find(context, module, name)
            return RESULT, hand_over(values.encode(function(*args, **kwargs), f'{module}.{name}', context), context)
        except BaseException as error:
            return ERROR, describe(error)

    def find(self, context: Peer, module: str, name: str) -> Function:
        places: list[Peer | Owner] = [*context.route(), self.broker]
        for place in places:
            function = place.allowed.get((module, name))
            if function is not None:
                return function
        raise NotAllowed(
            f'{module}.{name}: the program allows no call of it from {context.name}: '
            'allow it there with allow()')

    def check(self, context: Peer) -> None:
        """Raise EcontextError if `context`, of one thread, waits for the function that runs in this one."""
        asked = getattr(self.local, 'asked', None)
        if asked is not None and asked.context is context and context.threads == 1:
            raise hanging([context])

    def enter(self, context: Peer, wait: Wait) -> None:
        """This thread is about to wait for `context`: raise EcontextError if that has no end."""
        asked = getattr(self.local, 'asked', None)
        if asked is None or asked.waits_for() is not None:
            # No function of these; or a handler of logging that runs in its thread, as it waits.
            return
        with self.lock:
            asked.wait = context, wait
            ring = self.ring(context)
            if ring:
                asked.wait = None
        if ring:
            raise hanging(ring)

    def ring(self, context: Peer) -> list[Peer]:
        """Return `context` and those that it waits for in the end, none if one of them can go on."""
        found = [context]
        for each in found:
            holding = [asked for asked in self.running.get(each.id, ()) if asked.holds]
            if len(holding) < each.threads:
                return []
            for asked in holding:
                awaited = asked.waits_for()
                if awaited is None:
                    return []
                if awaited not in found:
                    found.append(awaited)
        return found


def hanging(ring: list[Peer]) -> EcontextError:
    """Return why a call of the first of `ring` would have no end."""
    way = ' and '.join(context.name for context in ring[1:])
    way = f', by way of {way},' if way else ''
    return EcontextError(
        f'{ring[0].name}: it waits{way} for the function that calls it: '
        'have that function return what is needed, and call after it')


def describe(error: BaseException) -> bytes:
    """Return the answer that tells of `error`, which a function has raised; never fails."""
    try:
        text = labels.cut(labels.message(error), labels.MESSAGE)
        if isinstance(error, NotAllowed):
            return refusal(text)
        types = particulars.types_of(type(error))
        told_of = particulars.plainly(type(error), error, text)
        inner = (nested.inner(type(error), error, None),) if particulars.errors(type(error), error) else ()
        return told(False, f'{labels.type_name(type(error)).rpartition(".")[2]}: {text}', types, *told_of, *inner)
    except BaseException:
        # Memory is out, or somebody calls this thread away: that much can be told.
        return UNTOLD


def refusal(text: str) -> bytes:
    """Return the answer to a call that is not carried out."""
    return told(True, text, [], None, {})


def told(
    refused: bool, text: str, types: list[Any], arguments: Any, attributes: dict[str, Any], *inner: dict[str, Any]
) -> bytes:
    """Return the body of an ERROR for the way down, as every Python reads it; `inner` is what ``nested`` tells."""
    # A text with lone surrogates is none to Python 2.
    text = text.encode('utf-8', 'backslashreplace').decode('utf-8')
    try:
        return values.encode((refused, text, types, arguments, attributes, *inner), 'an error')
    except Exception:
        return values.encode((refused, text, types, None, {}), 'an error')


UNTOLD = told(False, 'Exception: it cannot be described', [], None, {})
