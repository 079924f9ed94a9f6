"""The router of the program: which frames it lets in, what it does about those it does not."""

from __future__ import annotations

from typing import Any

import pytest

from econtext.child.kinds import ASKED, BEAT, BEGUN, GRANT, PART
from econtext.child.parts import LARGEST
from econtext.controller.errors import EcontextError, InternalError
from econtext.controller.session.charges import CHARGES, OF_A_CAST
from econtext.controller.session.results import FAILED
from econtext.core.wire import (
    CALL,
    CLOSE,
    CREDIT,
    DATA,
    DEAD,
    ERROR,
    HELLO,
    LOG,
    REPORT,
    RESULT,
    STDIO,
    UP,
    WANT,
    BadFrame,
)
from econtext.parent import judge
from econtext.parent.judge import LIMITS, UNREAD
from unit.fakes import FakeLink, FakePeer, FakeSession

MOST_UNREAD = 1 << 15   # as much as a test fills in no time
#: Kind -> a handle with which an honest context may send it now; 0 where any will do.
HONEST = {REPORT: 2, STDIO: 1, RESULT: 1, ERROR: 1, DEAD: 1}
ANY_TIME = sorted(set(LIMITS) - {HELLO, DATA, CLOSE, CREDIT})


class Scene:
    """A session with context 1, context 2 behind it, and context 3 beside it; the program has asked 1 something."""

    def __init__(self) -> None:
        self.session = FakeSession()
        self.near, self.far, self.other = self.session.add(), None, None  # type: FakePeer, Any, Any
        self.far = self.session.add(via=self.near)
        self.other = self.session.add()
        self.answers: list[tuple[int, Any]] = []
        self.asked = self.ask(1)
        self.near.link.frames.clear()

    def ask(self, dst: int, body: bytes = b'') -> int:
        return self.session.router.ask(CALL, dst, body, lambda kind, body: self.answers.append((kind, body)))

    def judge(self, kind: int, src: int = 1, dst: int = 0, handle: int = 1, size: int = 0, link: Any = None) -> bool:
        link = link or self.session.contexts[src].link
        return self.session.router.accepts(link, kind, dst, src, handle, size)

    def route(self, kind: int, src: int = 1, handle: int = 1, body: bytes = b'', dst: int = 0) -> None:
        self.session.router.route(self.session.contexts[src].link, kind, dst, src, handle, body)

    def refused(self, why: str, kind: int, src: int = 1, **frame: Any) -> None:
        """A frame ends who sent it: the link of a direct context, the context alone behind a hop."""
        peer = self.session.contexts[src]
        if peer.via is None:
            with pytest.raises(BadFrame, match=why):
                self.judge(kind, src, **frame)
            assert not peer.counters.rejected
        else:
            assert self.judge(kind, src, **frame)
            assert peer.counters.rejected
            self.session.loop.run()
            assert [(each.id, why in text) for each, text in self.session.corrupted] == [(src, True)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


# -- headers -----------------------------------------------------------------


@pytest.mark.parametrize('kind', ANY_TIME)
def test_what_an_honest_context_sends_is_let_in_up_to_the_length_of_its_kind(scene: Scene, kind: int) -> None:
    handle = HONEST.get(kind, 5)
    assert scene.judge(kind, handle=handle)
    assert scene.judge(kind, handle=handle, size=LIMITS[kind])
    assert not scene.judge(kind, handle=handle, size=LIMITS[kind] + 1)
    assert not scene.session.corrupted


@pytest.mark.parametrize('kind', [*range(UP), UP + 13, UP + 14, 32, 255])
def test_kinds_that_never_come_up_are_refused(scene: Scene, kind: int) -> None:
    if kind not in LIMITS:
        assert not scene.judge(kind)
        assert not scene.judge(kind, src=2)


@pytest.mark.parametrize('kind', sorted(LIMITS))
def test_nobody_speaks_for_another(scene: Scene, kind: int) -> None:
    other = scene.session.contexts[3].link
    assert not scene.judge(kind, src=1, link=other, handle=HONEST.get(kind, 1))
    assert not scene.judge(kind, src=2, link=other, handle=HONEST.get(kind, 1))


@pytest.mark.parametrize('kind', sorted(LIMITS))
def test_of_who_is_not_known_nothing_is_let_in_but_late_news_of_its_end(scene: Scene, kind: int) -> None:
    link = scene.session.contexts[1].link
    assert scene.judge(kind, src=9, link=link) == (kind == DEAD)
    if kind == DEAD:
        assert not scene.judge(kind, src=9, link=link, size=LIMITS[DEAD] + 1)


@pytest.mark.parametrize('src', [1, 2])
@pytest.mark.parametrize('kind', sorted(LIMITS))
def test_what_is_for_another_context_is_refused(scene: Scene, kind: int, src: int) -> None:
    if kind == RESULT and src == 1:
        # Also where the program has asked for it.
        scene.refused('a frame for context 3, to which it has no way', kind, src, dst=3, handle=scene.asked)
    else:
        scene.refused('a frame for context 3, to which it has no way', kind, src, dst=3)


@pytest.mark.parametrize('src', [1, 2])
@pytest.mark.parametrize('kind', [RESULT, ERROR, DEAD])
def test_an_answer_comes_from_who_was_asked(scene: Scene, kind: int, src: int) -> None:
    asked = scene.ask(src)
    assert scene.judge(kind, src, handle=asked)
    scene.refused('not asked', kind, src, handle=asked + 1)


def test_nobody_answers_for_another(scene: Scene) -> None:
    scene.refused('not asked', RESULT, 2, handle=scene.asked)


def test_an_answer_by_another_link_is_refused(scene: Scene) -> None:
    assert not scene.judge(RESULT, 1, handle=scene.asked, link=scene.session.contexts[3].link)


def test_of_a_cast_only_an_error_comes_and_it_is_bounded(scene: Scene) -> None:
    assert scene.judge(ERROR, handle=0, size=OF_A_CAST.window)
    scene.refused('without end', ERROR, handle=0, size=OF_A_CAST.window + 1)
    scene.refused('not asked', RESULT, handle=0)
    scene.refused('not asked', DEAD, handle=0)


@pytest.mark.parametrize('src', [1, 2])
def test_a_context_is_ready_once(scene: Scene, src: int) -> None:
    scene.refused('twice', HELLO, src)
    scene.session.contexts[3].ready = False
    assert scene.judge(HELLO, 3)


def test_heartbeats_are_between_neighbours(scene: Scene) -> None:
    assert scene.judge(BEAT, 1)
    scene.refused('neighbours', BEAT, 2)


@pytest.mark.parametrize('src', [1, 2])
def test_as_many_modules_are_wanted_at_a_time(scene: Scene, src: int) -> None:
    account = scene.session.contexts[src].counters.account
    for _ in range(CHARGES[WANT].frames):
        assert scene.judge(WANT, src)
        assert account.take(WANT, 1)
    scene.refused('too many modules', WANT, src)


@pytest.mark.parametrize('src', [1, 2])
def test_there_are_two_streams(scene: Scene, src: int) -> None:
    assert scene.judge(STDIO, src, handle=1)
    assert scene.judge(STDIO, src, handle=2)
    scene.refused('third stream', STDIO, src, handle=0)
    if src == 1:
        scene.refused('third stream', STDIO, src, handle=3)


def test_a_parent_reports_of_its_own_children(scene: Scene) -> None:
    assert scene.judge(REPORT, 1, handle=2)
    with pytest.raises(BadFrame, match='not its child'):
        scene.judge(REPORT, 3, handle=2)
    with pytest.raises(BadFrame, match='not its child'):
        scene.judge(REPORT, 1, handle=1)
    scene.refused('not its child', REPORT, 2, handle=3)


def test_a_report_of_who_is_gone_is_late_and_one_of_nobody_refused(scene: Scene) -> None:
    del scene.session.unreaped[2]
    assert scene.judge(REPORT, 1, handle=2)
    del scene.session.unreaped[3]
    assert scene.judge(REPORT, 1, handle=scene.session.last_number)
    scene.refused('of nobody', REPORT, 1, handle=scene.session.last_number + 1)


@pytest.mark.parametrize('kind', [DATA, CLOSE, CREDIT])
def test_a_channel_is_for_the_context_that_has_it_and_those_below(scene: Scene, kind: int) -> None:
    session: Any = scene.session
    channel = session.channels.open(scene.near)
    assert channel._end.handle == 1
    assert scene.judge(kind, 1, handle=1)
    assert scene.judge(kind, 2, handle=1)
    with pytest.raises(BadFrame, match='another context'):
        scene.judge(kind, 3, handle=1)
    with pytest.raises(BadFrame, match='no channel'):
        scene.judge(kind, 1, handle=2)
    session.channels.open_channels.clear()
    assert scene.judge(kind, 3, handle=1)   # late


def test_values_come_while_there_is_credit(scene: Scene) -> None:
    channel: Any = scene.session.channels.open(scene.near)  # type: ignore[arg-type]
    channel._end.granted = 1
    assert scene.judge(DATA, handle=1)
    channel._end.granted = 0
    assert scene.judge(CLOSE, handle=1)
    assert scene.judge(CREDIT, handle=1)
    scene.refused('beyond the credit', DATA, handle=1)


# -- contexts that were given up ---------------------------------------------


def lose(peer: FakePeer) -> None:
    peer.error = peer.lost('it was closed')


@pytest.mark.parametrize('given_up', ['lost', 'rejected'])
@pytest.mark.parametrize('kind', ANY_TIME)
def test_what_a_lost_context_still_says_ends_nobody(scene: Scene, kind: int, given_up: str) -> None:
    for peer in (scene.near, scene.far):
        if given_up == 'lost':
            lose(peer)
        else:
            peer.counters.rejected = True
    heard = given_up == 'lost' and kind in (LOG, STDIO, REPORT, PART)
    if heard:
        assert scene.judge(kind, 1, handle=HONEST.get(kind, 1), size=LIMITS[kind])
        assert not scene.judge(kind, 1, handle=HONEST.get(kind, 1), size=LIMITS[kind] + 1)
        return
    # An honest context that was lost may not know: no handle is wrong, nor who the frame is for.
    for dst in 0, 3:
        assert scene.judge(kind, 1, handle=77, dst=dst)
        assert scene.judge(kind, 2, handle=77, dst=dst, size=LIMITS[kind])
    assert not scene.session.corrupted


@pytest.mark.parametrize('kind', [RESULT, ERROR, DATA, ASKED])
def test_what_nobody_hears_is_not_long(scene: Scene, kind: int) -> None:
    """A hop cuts what is long into parts, so long frames come whole from no honest context."""
    lose(scene.near)
    assert scene.judge(kind, 1, handle=77, size=LARGEST)
    assert not scene.judge(kind, 1, handle=77, size=LARGEST + 1)
    lose(scene.far)
    assert scene.judge(kind, 2, handle=77, size=LARGEST + 1)   # judged by its hop


def test_what_is_heard_of_a_lost_context_is_judged(scene: Scene) -> None:
    lose(scene.near)
    scene.refused('third stream', STDIO, 1, handle=3)


@pytest.mark.parametrize(('given_up', 'kinds'), [
    ('', set(LIMITS)), ('lost', {LOG, STDIO}), ('rejected', set())])  # fmt: skip
def test_of_large_frames_those_are_kept_that_are_heard(scene: Scene, given_up: str, kinds: set[int]) -> None:
    if given_up == 'lost':
        lose(scene.near)
    elif given_up:
        scene.near.counters.rejected = True
    assert {kind for kind in LIMITS if scene.session.router.parts.keeps(1, kind)} == kinds
    assert not any(scene.session.router.parts.keeps(9, kind) for kind in LIMITS)


# -- frames that were let in -------------------------------------------------


class Taken:
    """A handler that notes frames, and raises what it is told to."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.frames: list[tuple[int, int, bytes]] = []
        self.error = error

    def __call__(self, src: int, handle: int, body: bytes) -> None:
        self.frames.append((src, handle, body))
        if self.error is not None:
            raise self.error


def handled(scene: Scene, error: BaseException | None = None) -> Taken:
    taken = Taken(error)
    scene.session.router.handle(dict.fromkeys(LIMITS, taken))
    return taken


@pytest.mark.parametrize('kind', sorted(LIMITS))
def test_a_frame_goes_to_the_handler_of_its_kind(scene: Scene, kind: int) -> None:
    taken = handled(scene)
    scene.route(kind, 1, 5, b'x')
    scene.route(kind, 2, 6, b'y')
    assert taken.frames == [(1, 5, b'x'), (2, 6, b'y')]


def test_a_frame_for_another_or_from_nobody_is_dropped(scene: Scene) -> None:
    taken = handled(scene)
    scene.route(LOG, 1, dst=3)
    scene.session.router.route(scene.near.link, LOG, 0, 9, 1, b'')
    assert taken.frames == []
    assert scene.other.link.frames == []


@pytest.mark.parametrize('kind', sorted(LIMITS))
def test_of_a_lost_context_output_and_burials_are_carried_out(scene: Scene, kind: int) -> None:
    taken = handled(scene)
    lose(scene.near)
    scene.far.counters.rejected = True
    scene.route(kind, 1)
    scene.route(kind, 2)
    assert [src for src, _, _ in taken.frames] == ([1] if kind in (LOG, STDIO, REPORT, PART) else [])


@pytest.mark.parametrize('kind', [RESULT, ERROR, DEAD])
def test_an_answer_goes_to_who_asked_once(scene: Scene, kind: int) -> None:
    scene.route(kind, 1, scene.asked, b'x')
    scene.route(kind, 1, scene.asked, b'x')
    assert scene.answers == [(kind, b'x')]
    assert scene.session.router.asked == {}


def test_an_answer_of_another_is_dropped(scene: Scene) -> None:
    scene.route(RESULT, 3, scene.asked)
    assert scene.answers == []
    assert scene.asked in scene.session.router.asked


def test_a_kind_without_a_handler_is_dropped(scene: Scene) -> None:
    scene.session.router.handlers.clear()
    scene.route(LOG, 1, scene.asked)
    scene.route(BEGUN, 1, scene.asked)
    assert scene.answers == []


def test_a_body_that_is_wrong_ends_its_sender(scene: Scene) -> None:
    handled(scene, BadFrame('rubbish'))
    with pytest.raises(BadFrame, match='rubbish'):
        scene.route(LOG, 1)
    scene.route(LOG, 2)
    scene.route(LOG, 2)     # nothing of it is believed any more
    scene.session.loop.run()
    assert scene.session.corrupted == [(scene.far, 'rubbish')]
    assert scene.near.error is None


@pytest.mark.parametrize('kind', sorted(LIMITS))
@pytest.mark.parametrize('ready', [True, False])
def test_a_fault_of_ours_ends_only_who_cannot_go_on_without_that_frame(scene: Scene, kind: int, ready: bool) -> None:
    fault = OSError('no memory')
    handled(scene, fault)
    scene.near.ready = ready
    scene.route(kind, 1)
    ((what, error),) = scene.session.loop.failures
    assert what == f'peer1: a frame of kind {kind} could not be taken in'
    assert error is fault
    scene.session.loop.run()
    if kind == PART or (kind in (HELLO, REPORT) and not ready):
        ((peer, told),) = scene.session.stopped
        assert peer is scene.near
        assert isinstance(told, InternalError)
        assert 'no memory' in str(told)
    else:
        assert scene.session.stopped == []
    assert scene.session.corrupted == []


def test_a_fault_of_ours_in_an_answer_is_told_to_who_asked(scene: Scene) -> None:
    told: list[Any] = []

    def fails(kind: int, body: Any) -> None:
        told.append((kind, body))
        if kind != FAILED:
            raise OSError('no memory')

    handle = scene.session.router.ask(CALL, 1, b'', fails)
    scene.route(RESULT, 1, handle, b'x')
    (first, (kind, error)) = told
    assert first == (RESULT, b'x')
    assert kind == FAILED
    assert isinstance(error, EcontextError)
    ((what, cause),) = scene.session.loop.failures
    assert (what, str(cause)) == (f'the answer to call {handle} could not be taken in', 'no memory')
    assert handle not in scene.session.router.asked


# -- what the program sends --------------------------------------------------


def test_a_question_is_sent_and_has_a_handle_of_its_own(scene: Scene) -> None:
    first, second = scene.ask(1, b'one'), scene.ask(2, b'two')
    assert scene.near.link.frames == [(CALL, 1, 0, first, b'one'), (CALL, 2, 0, second, b'two')]
    assert len({first, second, scene.asked}) == 3
    assert scene.answers == []


def test_a_handle_is_not_used_again_soon(scene: Scene) -> None:
    handles = []
    for _ in range(5):
        handles.append(scene.ask(1))
        scene.route(DEAD, 1, handles[-1])
    assert len(set(handles)) == 5


def test_handles_have_32_bits_are_not_0_and_not_in_use(scene: Scene) -> None:
    numbers = iter([1 << 32, scene.asked, (1 << 32) + scene.asked, (1 << 32) - 1])
    scene.session.router.count = lambda: next(numbers)
    assert scene.ask(1) == (1 << 32) - 1
    numbers = iter([scene.asked, 0x12345678])
    assert scene.ask(1) == 0x12345678


def test_a_question_that_is_sent_as_its_context_is_lost_is_answered(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever noted the loss has looked at the questions before this one was there."""
    send = scene.near.link.transport.send

    def lost(*frame: Any) -> None:
        send(*frame)
        lose(scene.near)

    monkeypatch.setattr(scene.near.link.transport, 'send', lost)
    handle = scene.ask(1, b'body')
    assert scene.near.link.frames == [(CALL, 1, 0, handle, b'body')]
    assert scene.answers == [(DEAD, b'')]
    assert handle not in scene.session.router.asked


@pytest.mark.parametrize('why', ['no link', 'no context', 'an error'])
def test_a_question_to_who_is_gone_is_answered_at_once(scene: Scene, why: str) -> None:
    if why == 'no link':
        del scene.session.router.links[1]
    elif why == 'no context':
        del scene.session.contexts[1]
    else:
        lose(scene.near)
    scene.ask(1, b'x' * 5000)
    assert scene.answers == [(DEAD, b'')]
    assert not scene.near.link.frames, 'nobody is there to take the answer'
    assert scene.near.backlog.total == 0 or why == 'no context'


@pytest.mark.parametrize('kind', [RESULT, ERROR])
@pytest.mark.parametrize('moment', ['behind', 'while it is sent'])
def test_a_context_that_was_idle_answers_what_it_was_sent_and_is_sent_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, kind: int, moment: str,
) -> None:
    send = scene.near.link.transport.send

    def retire(*frame: Any) -> None:
        if frame:
            send(*frame)
        scene.near.retired = True
        lose(scene.near)

    if moment == 'while it is sent':
        monkeypatch.setattr(scene.near.link.transport, 'send', retire)
        handle = scene.ask(1)
    else:
        handle = scene.ask(1)
        retire()
    assert scene.near.used
    assert scene.answers == []
    assert len(scene.near.link.frames) == 1
    scene.ask(1)
    assert scene.answers == [(DEAD, b'')]
    assert len(scene.near.link.frames) == 1
    assert scene.judge(kind, handle=handle)
    scene.route(kind, 1, handle, b'body')
    assert scene.answers[1:] == [(kind, b'body')]


@pytest.mark.parametrize('kind', [RESULT, ERROR, DEAD])
def test_large_questions_are_counted_until_they_are_answered(scene: Scene, kind: int) -> None:
    from econtext.controller.session.backpressure import LARGE

    small = scene.ask(1, b'x' * (LARGE - 1))
    assert scene.near.backlog.total == 0
    large = scene.ask(1, b'x' * LARGE)
    more = scene.ask(1, b'x' * (LARGE + 7))
    assert scene.near.backlog.total == 2 * LARGE + 7
    scene.route(kind, 1, small)
    assert scene.near.backlog.total == 2 * LARGE + 7
    scene.route(kind, 1, large)
    assert scene.near.backlog.total == LARGE + 7
    scene.route(kind, 1, more)
    assert scene.near.backlog.total == 0


def test_an_answer_wakes_who_waits_for_room(scene: Scene) -> None:
    wait = scene.session.loop.waiter(None)
    scene.near.backlog.waits.append(wait)
    scene.route(RESULT, 1, scene.asked)
    assert wait.done


def test_what_is_sent_goes_by_the_link_of_its_context(scene: Scene) -> None:
    assert scene.session.router.send(CALL, 2, 5, b'x')
    assert scene.near.link.frames == [(CALL, 2, 0, 5, b'x')]
    assert not scene.session.router.send(CALL, 9, 5, b'x')


@pytest.fixture(autouse=True)
def little_may_be_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, 'MOST_UNREAD', MOST_UNREAD)


@pytest.mark.parametrize('kind', [GRANT, CREDIT, BEAT, PART])
def test_who_reads_nothing_of_what_it_causes_is_ended(scene: Scene, kind: int) -> None:
    scene.near.link.queue = [b'unread']
    router, each = scene.session.router, 1 << 7
    for _ in range(MOST_UNREAD // each):
        router.send(kind, 1, 1, b'')
    assert not scene.near.counters.rejected
    router.send(kind, 1, 1, b'')
    assert scene.near.counters.rejected
    scene.session.loop.run()
    assert scene.session.corrupted == [(scene.near, UNREAD)]


def test_bytes_count_in_what_is_unread(scene: Scene) -> None:
    scene.near.link.queue = [b'unread']
    scene.session.router.send(CREDIT, 1, 1, b'x' * MOST_UNREAD)
    assert scene.near.counters.rejected


@pytest.mark.parametrize('honest', ['reads', 'is behind a hop', 'was sent what the program sends', 'is gone'])
def test_others_are_not(scene: Scene, honest: str) -> None:
    peer = scene.far if honest == 'is behind a hop' else scene.near
    peer.link.queue = [] if honest == 'reads' else [b'unread']
    if honest == 'is gone':
        del scene.session.contexts[1]
    for _ in range(3):
        if honest == 'was sent what the program sends':
            scene.session.router.send(PART, 1, 1, b'x' * MOST_UNREAD)
            scene.session.router.send(CALL, 1, 1, b'x' * MOST_UNREAD)
        else:
            scene.session.router.send(CREDIT, peer.id, 1, b'x' * MOST_UNREAD)
    assert not peer.counters.rejected
    assert len(peer.link.frames) == (6 if honest == 'was sent what the program sends' else 3)


def test_one_is_given_up_once(scene: Scene) -> None:
    assert scene.judge(BEAT, 2)
    assert scene.judge(BEAT, 2)
    scene.session.loop.run()
    assert len(scene.session.corrupted) == 1


def test_a_link_of_nobody_is_no_way(scene: Scene) -> None:
    assert not scene.judge(LOG, link=FakeLink())
