"""
What the controller believes of what comes up to it.

Invariants:

* A header is judged whole, before its body is awaited: where it came in, whom
  it claims to be from and for, its kind, its handle, and its length.
* What an honest context cannot send ends the context that sent it; the contexts
  beside it go on, also those behind the same hop.
* What an honest context may still send because it has not heard yet, such as
  credit for a channel that is closed, is no fault.
* What is not for its sender to say now, see ``admission``, is not carried out.
* Only BadFrame, which the readers of foreign bytes raise, says that what came is wrong.
  Any other exception is ours: it is logged as an InternalError, ends no context that is
  ready, and who waits for that very frame gets it.

Entered by the thread that leads; ``ask`` by any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from econtext.child.kinds import BEAT, PART
from econtext.child.parts import LARGEST, Parts
from econtext.controller.session.admission import is_heard, is_kept
from econtext.controller.session.backpressure import LARGE
from econtext.controller.session.channels import Channels
from econtext.controller.session.charges import OF_A_CAST
from econtext.controller.session.results import FAILED
from econtext.core.router import LIMIT, Router
from econtext.core.wire import (
    ANSWERS,
    CLOSE,
    CREDIT,
    DATA,
    DEAD,
    ERROR,
    HELLO,
    REPORT,
    RESULT,
    STDIO,
    WANT,
    BadFrame,
)
from econtext.parent.judge import LIMITS as LIMITS
from econtext.parent.judge import OWED, UNREAD

if TYPE_CHECKING:
    from econtext.controller.session.interfaces import Owner, Peer

MOST_UNHEARD = LARGEST  # bytes in a frame of a context that was given up; honest ones cut theirs
VITAL = HELLO, REPORT   # without which a context that starts does not become ready


if TYPE_CHECKING:
    class Started(Owner, Protocol):
        """A broker, with its channels."""

        @property
        def channels(self) -> Channels: ...


class ControllerRouter(Router):
    """The controller's router."""

    def __init__(self, broker: Started) -> None:
        super().__init__(0)
        self.broker = broker
        # Never None here.
        self.parts: Parts = Parts(self)
        self.parts.keeps = self.keeps
        self.judges: dict[int, Callable[[Peer, int, int, int], str]] = {
            HELLO: self.judge_hello,
            WANT: self.judge_want,
            STDIO: self.judge_stdio,
            REPORT: self.judge_report,
            BEAT: self.judge_beat,
            **dict.fromkeys(ANSWERS, self.judge_answer),
            **dict.fromkeys((DATA, CLOSE, CREDIT), self.judge_stream),
        }

    def ask(self, kind: int, dst: int, body: bytes, func: Callable[[int, bytes], Any]) -> int:
        asked = self.asked
        handle: int = self.count() & 0xFFFFFFFF
        while not handle or handle in asked:
            handle = self.count() & 0xFFFFFFFF
        context = self.broker.contexts.get(dst)
        if context is not None:
            context.used = True
            if len(body) >= LARGE:
                context.backlog.add(handle, len(body))
        asked[handle] = dst, func
        link = self.links.get(dst)
        # Behind the line that says who is asked: whoever ends an idle context sees this call there, or the call is
        # not sent.
        lost = context is None or context.error
        if link is None or context is None or lost is not None:
            self.answer(dst, handle, DEAD, b'')
            return handle
        link.transport.send(kind, dst, 0, handle, body)
        if context.error is not None and not context.retired:
            # It may have been lost since: who noted that looked too early to see this.
            self.answer(dst, handle, DEAD, b'')
        return handle

    def send(self, kind: int, dst: int, handle: int, body: bytes) -> bool:
        if kind in OWED and (kind != PART or not body):
            self.owe(dst, len(body))
        return super().send(kind, dst, handle, body)

    def owe(self, dst: int, size: int) -> None:
        """Context `dst` is to be sent what its own frames gave rise to: end it if it reads none of that."""
        context, link = self.broker.contexts.get(dst), self.links.get(dst)
        if context is not None and link is not None and context.via is None:
            unread = context.counters.unread
            unread.note(size)
            if unread.grows(link):
                self.give_up(context, UNREAD)

    def accepts(self, link: Any, kind: int, dst: int, src: int, handle: int, size: int) -> bool:
        if kind == RESULT and not dst and size <= LIMIT:
            # Nearly every frame: what was asked for, from who was asked.
            asked = self.asked.get(handle)
            if asked and asked[0] == src and self.links.get(src) is link:
                return True
        if size > LIMITS.get(kind, -1) or self.links.get(src, kind == DEAD and link) is not link:
            return False
        context = self.broker.contexts.get(src)
        if context is None or ((context.error is not None or context.counters.rejected) and not is_heard(
                context.standing(), kind)):
            # It has been given up: what it still says ends nobody, and is not carried out.
            return size <= MOST_UNHEARD or context is None or context.via is not None
        if dst:
            fault = f'a frame for context {dst}, to which it has no way'
        else:
            judge = self.judges.get(kind)
            fault = judge(context, kind, handle, size) if judge else ''
        if fault:
            self.reject(context, fault)
        return True

    def keeps(self, src: int, kind: int) -> bool:
        """Is a large frame from `src` kept, as its parts come?"""
        context = self.broker.contexts.get(src)
        return context is not None and is_kept(context.standing(), kind)

    def reject(self, context: Peer, fault: str) -> None:
        """End `context`; if others are reached by the same link, let them go on."""
        if context.via is None:
            raise BadFrame(fault)
        self.give_up(context, fault)

    def give_up(self, context: Peer, fault: str) -> None:
        """Believe nothing of `context` any more, and end it. Any thread."""
        if not context.counters.rejected:
            context.counters.rejected = True
            self.broker.loop.call_soon(lambda: self.broker.corrupt(context, fault))

    def route(self, link: Any, kind: int, dst: int, src: int, handle: int, body: bytes) -> None:
        context = self.broker.contexts.get(src)
        if context is None or dst:
            return
        if (context.error is not None or context.counters.rejected) and not is_heard(context.standing(), kind):
            return
        try:
            if kind in self.handlers:
                self.handlers[kind](src, handle, body)
            elif kind in ANSWERS:
                self.answer(src, handle, kind, body)
        except BadFrame as error:
            self.reject(context, str(error))
        except Exception as error:
            self.failed(context, kind, error)

    def failed(self, context: Peer, kind: int, error: Exception) -> None:
        """We could not take a frame of `context` in, and that is not its doing."""
        found = self.broker.loop.fail(f'{context.name}: a frame of kind {kind} could not be taken in', error)
        if (kind in VITAL and not context.ready) or kind == PART:
            # Nothing that comes later makes up for it.
            self.broker.loop.call_soon(lambda: self.broker.stop(context, lambda: found))

    def answer(self, src: int, handle: int, kind: int, body: bytes) -> None:
        asked = self.asked.get(handle)
        try:
            super().answer(src, handle, kind, body)
        except Exception as error:
            found = self.broker.loop.fail(f'the answer to call {handle} could not be taken in', error)
            if asked is not None and asked[0] == src:
                asked[1](FAILED, found)  # type: ignore[arg-type]  # of this kind alone no bytes
        context = self.broker.contexts.get(src)
        if context is not None and (context.backlog.sizes or context.backlog.waits):
            context.backlog.remove(handle)

    # What is wrong with a header, in words; nothing if nothing is.

    def judge_answer(self, context: Peer, kind: int, handle: int, size: int) -> str:
        asked = self.asked.get(handle)
        if asked and asked[0] == context.id:
            return ''
        if not handle and kind == ERROR:
            # Of a cast, for which nobody waits.
            return 'a traceback without end' if size > OF_A_CAST.window else ''
        return 'an answer to what it was not asked'

    def judge_hello(self, context: Peer, kind: int, handle: int, size: int) -> str:
        return 'it said twice that it is ready' if context.ready else ''

    def judge_beat(self, context: Peer, kind: int, handle: int, size: int) -> str:
        return '' if context.via is None else 'a heartbeat, which is for its neighbours alone'

    def judge_want(self, context: Peer, kind: int, handle: int, size: int) -> str:
        if not context.counters.account.has_room(WANT):
            return 'it wants too many modules at a time'
        return ''

    def judge_stdio(self, context: Peer, kind: int, handle: int, size: int) -> str:
        return '' if handle in (1, 2) else 'output of a third stream'

    def judge_report(self, context: Peer, kind: int, handle: int, size: int) -> str:
        child = self.broker.unreaped.get(handle)
        if child is None:
            return '' if handle <= self.broker.last_number else 'a report of nobody'
        # Before its body comes; ``Broker.on_report`` asks again, when it is carried out.
        return '' if child.via is context else 'a report of a context that is not its child'

    def judge_stream(self, context: Peer, kind: int, handle: int, size: int) -> str:
        channel = self.broker.channels.open_channels.get(handle)
        if channel is None:
            # Closed and forgotten, and what was on its way is late; or never there.
            return '' if handle <= self.broker.channels.last else 'a value for no channel'
        if not context.within(channel._opener.id):
            return 'a value for the channel of another context'
        if kind == DATA and channel._end.granted <= 0:
            return 'a value beyond the credit of its channel'
        return ''
