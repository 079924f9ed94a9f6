"""Calls of functions of the program: what is refused, what runs, what is answered, and who waits for whom."""

from __future__ import annotations

import marshal
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from econtext.child.kinds import ASKED
from econtext.controller.errors import EcontextError, NotAllowed
from econtext.controller.session import callbacks
from econtext.controller.session.charges import CHARGES
from econtext.core.codec import encode
from econtext.core.wire import ERROR, RESULT, BadFrame
from econtext.parent import judge
from econtext.parent.judge import UNREAD
from unit.fakes import FakePeer, FakeSession

MOST_UNREAD = 1 << 20   # as much as a test fills in no time


def double(number: int, *, more: int = 0) -> int:
    return number * 2 + more


def fails(what: Any) -> None:
    raise {'value': ValueError('no good', 5), 'policy': NotAllowed('not today'), 'interrupt': KeyboardInterrupt(),
           'exit': SystemExit(3), 'program': subprocess.CalledProcessError(2, ['x'], b'out'),
           'surrogate': ValueError('\ud800')}[what]


def fails_plainly() -> None:
    raise ValueError('no good')


def not_crossing() -> object:
    return threading.Lock()


class Scene:
    """Context 1, context 2 behind it; what they ask is carried out in this thread as `carry_out` says."""

    def __init__(self) -> None:
        self.session = FakeSession()
        self.callbacks = self.session.callbacks
        self.near = self.session.add()
        self.far = self.session.add(via=self.near)
        self.started: list[Any] = []

    def allow(self, *functions: Any, at: Any = None) -> None:
        for function in functions:
            (at or self.session).allowed[self.session.name_of(function)] = function

    def request(self, function: Any, *args: Any, holds: bool = False, **kwargs: Any) -> bytes:
        return encode((*self.session.name_of(function), args, kwargs, holds))

    def ask(self, body: bytes, src: int = 1, handle: int = 5) -> None:
        self.callbacks.receive(src, handle, body)
        self.session.loop.run()
        for thread in threading.enumerate():
            if thread.name.startswith('econtext peer'):
                thread.join()
        self.session.loop.run()

    def answers(self) -> list[tuple[int, int, int, Any]]:
        """What was sent: kind, context, handle, value."""
        frames, self.near.link.frames = self.near.link.frames, []
        found = []
        for kind, dst, src, handle, body in frames:
            assert src == 0
            found.append((kind, dst, handle, marshal.loads(body)))
        return found

    def answer(self, body: bytes, src: int = 1, handle: int = 5) -> tuple[int, Any]:
        self.ask(body, src, handle)
        ((kind, dst, number, value),) = self.answers()
        assert (dst, number) == (src, handle)
        self.is_idle()
        return kind, value

    def is_idle(self) -> None:
        assert self.callbacks.running == {}
        for peer in self.session.contexts.values():
            assert peer.counters.account.frames[ASKED] == peer.counters.account.bytes[ASKED] == 0


@pytest.fixture
def scene() -> Scene:
    return Scene()


# -- what runs ---------------------------------------------------------------


@pytest.mark.parametrize('src', [1, 2])
def test_a_function_that_was_allowed_runs(scene: Scene, src: int) -> None:
    scene.allow(double)
    assert scene.answer(scene.request(double, 4, more=1), src) == (RESULT, 9)
    assert scene.session.corrupted == []


@pytest.mark.parametrize(('place', 'src', 'allowed'), [
    ('broker', 1, True), ('broker', 2, True), ('near', 1, True), ('near', 2, True), ('far', 2, True), ('far', 1, False),
    ('nowhere', 1, False)])  # fmt: skip
def test_a_function_is_allowed_to_a_context_and_those_below(scene: Scene, place: str, src: int, allowed: bool) -> None:
    if place != 'nowhere':
        scene.allow(double, at={'broker': scene.session, 'near': scene.near, 'far': scene.far}[place])
    kind, value = scene.answer(scene.request(double, 4), src)
    if allowed:
        assert (kind, value) == (RESULT, 8)
    else:
        refused, text, types, arguments, attributes = value
        assert (kind, refused) == (ERROR, True)
        assert text == (f'{double.__module__}.double: the program allows no call of it from peer{src}: '
                        'allow it there with allow()')
        assert (types, arguments, attributes) == ([], None, {})


def test_the_nearest_of_what_was_allowed_is_found(scene: Scene) -> None:
    name = scene.session.name_of(double)
    scene.near.allowed[name] = lambda number: 'near'
    scene.session.allowed[name] = lambda number: 'broker'
    assert scene.answer(scene.request(double, 4), 2) == (RESULT, 'near')


def test_nothing_is_imported_or_looked_up(scene: Scene) -> None:
    kind, value = scene.answer(encode(('os', 'getpid', (), {}, False)))
    assert (kind, value[0]) == (ERROR, True)
    scene.allow(double)
    kind, value = scene.answer(encode((double.__module__, 'double.__class__', (), {}, False)))
    assert (kind, value[0]) == (ERROR, True)


@pytest.mark.parametrize('version', [1, 2])
@pytest.mark.parametrize('src', [1, 2])
def test_a_result_is_written_as_the_python_there_reads_it(scene: Scene, version: int, src: int) -> None:
    scene.session.contexts[src].marshal_version = version
    scene.session.allowed[NAMES] = lambda: 1.5
    scene.ask(encode((*NAMES, (), {}, False)), src)
    ((*_, body),) = scene.near.link.frames
    assert body == marshal.dumps(1.5, version)


def test_a_channel_in_a_result_is_handed_to_who_asked(scene: Scene) -> None:
    channel: Any = scene.session.channels.open(scene.near)  # type: ignore[arg-type]
    scene.session.allowed[NAMES] = lambda: channel
    kind, value = scene.answer(encode((*NAMES, (), {}, False)), 2)
    assert kind == RESULT
    assert value[1][1] == 'channel'
    assert channel._handed
    assert channel._holder is scene.far


@pytest.mark.parametrize('holds', [True, False])
def test_who_waits_there_for_a_function_is_known_while_it_runs(scene: Scene, holds: bool) -> None:
    found: list[Any] = []

    def look() -> None:
        (asked,) = scene.callbacks.running[1]
        found.append((asked.context, asked.holds, scene.callbacks.local.asked is asked))
        with pytest.raises(EcontextError, match='it waits for the function that calls it'):
            scene.callbacks.check(scene.near)  # type: ignore[arg-type]

    scene.session.allowed[NAMES] = look
    assert scene.answer(encode((*NAMES, (), {}, holds))) == (RESULT, None)
    assert found == [(scene.near, holds, True)]


# -- what is refused ---------------------------------------------------------

NAMES = double.__module__, 'double'


@pytest.mark.parametrize('value', [
    None, 'x', (), [*NAMES, (), {}, False], (*NAMES, (), {}), (*NAMES, (), {}, False, 1), (5, 'double', (), {}, False),
    (NAMES[0], 5, (), {}, False), (*NAMES, [], {}, False), (*NAMES, (), [], False), (*NAMES, (), {}, 0),
    (*NAMES, (), {}, None), (*NAMES, (4,), {5: 1}, False), (*NAMES, (4,), {b'more': 1}, True),
    (*NAMES, (4,), {'more': 1, 5: 1}, True)])  # fmt: skip
def test_a_call_of_another_form_ends_its_sender_and_nobody_waits(scene: Scene, value: Any) -> None:
    scene.allow(double)
    kind, told = scene.answer(encode(value))
    assert scene.session.corrupted == [(scene.near, 'a call of another form')]
    assert (kind, told) == (ERROR, (False, 'Exception: it cannot be described', [], None, {}))


@pytest.mark.parametrize('body', [b'', b'rubbish', encode((*NAMES, (), {}, False))[:-1]])
def test_rubbish_ends_its_sender(scene: Scene, body: bytes) -> None:
    scene.allow(double)
    kind, _ = scene.answer(body, 2)
    assert kind == ERROR
    assert [peer for peer, _ in scene.session.corrupted] == [scene.far]


def test_a_value_that_an_honest_context_may_send_is_an_error_of_the_call(scene: Scene) -> None:
    unregistered = b'x4:' + encode('type') + encode('app') + encode('Thing') + encode(None)
    body = b't5:' + encode(NAMES[0]) + encode(NAMES[1]) + b't1:' + unregistered + encode({}) + encode(False)
    kind, (refused, text, types, arguments, attributes) = scene.answer(body)
    assert (kind, refused, types, arguments, attributes) == (ERROR, False, ['TypeError'], None, {})
    assert text.startswith("TypeError: an argument holds a value of the class 'app.Thing', which is not registered")
    assert scene.session.corrupted == []


def test_contexts_among_the_arguments_are_those_below_the_sender(scene: Scene) -> None:
    scene.allow(type)
    seen: list[Any] = []
    scene.session.allowed[NAMES] = lambda *args: seen.extend(args)
    body = b't5:' + encode(NAMES[0]) + encode(NAMES[1]) + b't1:x3:%s%s%s' + encode({}) + encode(False)
    scene.answer(body % (encode('context'), encode(2), encode('far')))
    assert seen == [scene.far]
    kind, _ = scene.answer(body % (encode('context'), encode(1), encode('near')), 2)
    assert kind == ERROR
    assert [peer for peer, _ in scene.session.corrupted] == [scene.far]


# -- what is told ------------------------------------------------------------


@pytest.mark.parametrize(('what', 'text', 'types', 'arguments', 'attributes'), [
    ('value', "ValueError: ('no good', 5)", ['ValueError', 'Exception', 'BaseException', 'object'], ('no good', 5), {}),
    ('interrupt', 'KeyboardInterrupt: ', ['KeyboardInterrupt', 'BaseException', 'object'], (), {}),
    ('exit', 'SystemExit: 3', ['SystemExit', 'BaseException', 'object'], (3,), {'code': 3}),
])  # fmt: skip
def test_what_a_function_raises_is_told(
    scene: Scene, what: str, text: str, types: Any, arguments: Any, attributes: Any
) -> None:
    scene.allow(fails)
    assert scene.answer(scene.request(fails, what)) == (ERROR, (False, text, types, arguments, attributes))
    assert scene.session.corrupted == []


def test_types_that_are_not_built_in_are_told_by_module_and_name(scene: Scene) -> None:
    scene.allow(fails)
    _, (refused, text, types, _, attributes) = scene.answer(scene.request(fails, 'program'))
    assert not refused
    assert text.startswith('CalledProcessError: Command')
    assert types[:2] == [('subprocess', 'CalledProcessError'), ('subprocess', 'SubprocessError')]
    assert attributes == {'returncode': 2, 'cmd': ['x'], 'output': b'out', 'stderr': None}


class WithReason(Exception):
    """An error that holds another, in a slot that only its class tells of."""

    __slots__ = ('reason',)

    def __init__(self, reason: Exception) -> None:
        super().__init__('no good')
        self.reason = reason


def test_the_errors_that_an_error_holds_are_told_behind_it(scene: Scene) -> None:
    def look() -> None:
        raise WithReason(KeyError('k'))

    scene.session.allowed[NAMES] = look
    kind, (refused, text, types, arguments, attributes, inner) = scene.answer(encode((*NAMES, (), {}, False)))
    assert (kind, refused, text, arguments, attributes) == (ERROR, False, 'WithReason: no good', None, {})
    assert types[0] == (__name__, 'WithReason')
    ((name, told),) = inner.items()
    assert name == 'reason'
    assert told == ('KeyError', "'k'", '', ['KeyError', 'LookupError', 'Exception', 'BaseException', 'object'], ('k',),
                    {}, {})


def test_a_text_that_is_the_one_argument_is_told_once(scene: Scene) -> None:
    scene.session.allowed[NAMES] = fails_plainly
    _, (_, text, _, arguments, _) = scene.answer(encode((*NAMES, (), {}, False)))
    assert (text, arguments) == ('ValueError: no good', None)


def test_a_refusal_by_the_function_itself_is_one(scene: Scene) -> None:
    scene.allow(fails)
    assert scene.answer(scene.request(fails, 'policy')) == (ERROR, (True, 'not today', [], None, {}))


def test_python_2_can_read_what_is_told(scene: Scene) -> None:
    scene.allow(fails)
    _, (_, text, *_) = scene.answer(scene.request(fails, 'surrogate'))
    assert text == 'ValueError: \\ud800'


def test_arguments_that_the_function_does_not_take_are_its_error(scene: Scene) -> None:
    scene.allow(double)
    kind, (refused, text, *_) = scene.answer(scene.request(double))
    assert (kind, refused) == (ERROR, False)
    assert text.startswith('TypeError: double() missing')


def test_a_result_that_does_not_cross_is_an_error_with_the_name_of_the_function(scene: Scene) -> None:
    scene.allow(not_crossing)
    kind, (refused, text, *_) = scene.answer(scene.request(not_crossing))
    assert (kind, refused) == (ERROR, False)
    assert text.startswith(f'TypeError: {not_crossing.__module__}.not_crossing: a _thread.lock cannot cross')


def test_arguments_that_do_not_cross_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = callbacks.values.encode, []

    def once(value: Any, what: str) -> bytes:
        seen.append(value)
        if len(seen) == 1:
            raise TypeError
        return real(value, what)

    monkeypatch.setattr(callbacks.values, 'encode', once)
    assert marshal.loads(callbacks.told(False, 'text', ['E'], ('a',), {'b': 1})) == (False, 'text', ['E'], None, {})
    assert seen[0] == (False, 'text', ['E'], ('a',), {'b': 1})


def test_what_cannot_be_described_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, 'refusal', None)
    assert marshal.loads(callbacks.describe(NotAllowed('x'))) == (
        False, 'Exception: it cannot be described', [], None, {})


def test_a_long_text_is_cut() -> None:
    refused, text, *_ = marshal.loads(callbacks.describe(ValueError('x' * (3 << 20))))
    assert not refused
    assert len(text) < (1 << 20) + 100


# -- how many ----------------------------------------------------------------


@pytest.fixture
def held(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A scene in which no call that was taken is carried out."""
    monkeypatch.setattr(scene.callbacks, 'start', lambda asked, handle, body: scene.started.append(asked))
    return scene


@pytest.mark.parametrize('src', [1, 2])
def test_so_many_run_at_a_time_for_one_context(held: Scene, src: int) -> None:
    most = CHARGES[ASKED].frames
    for handle in range(most + 1):
        held.ask(held.request(double, 4), src, handle + 10)
    assert len(held.started) == most == len(held.callbacks.running[src])
    ((kind, dst, handle, value),) = held.answers()
    assert (kind, dst, handle) == (ERROR, src, most + 10)
    assert value == (True, f'more than {most} calls of the program at a time: wait for some of them', [], None, {})
    held.ask(held.request(double, 4), 3 - src)      # another's are its own
    assert len(held.started) == most + 1
    held.callbacks.leave(held.started[0])
    held.ask(held.request(double, 4), src)
    assert len(held.started) == most + 2
    for asked in held.started[1:]:
        held.callbacks.leave(asked)
    held.is_idle()


def test_the_bytes_of_calls_are_charged(held: Scene) -> None:
    body = held.request(double, 'x' * 1000)
    held.ask(body)
    assert held.near.counters.account.bytes[ASKED] == len(body) + CHARGES[ASKED].each
    assert held.started[0].size == len(body)
    assert held.started[0].holds is False   # until it is known


def test_who_asks_and_reads_no_answer_is_ended(held: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, 'MOST_UNREAD', MOST_UNREAD)
    held.near.link.queue = [b'unread']
    each = 1 << 15
    calls = MOST_UNREAD // each + 1
    for _ in range(calls):
        held.callbacks.receive(1, 5, b'')
    with pytest.raises(BadFrame, match=UNREAD):
        held.callbacks.receive(1, 5, b'')
    for _ in range(calls + 1):
        held.callbacks.receive(2, 5, b'')    # its hop looks after it
    held.near.link.queue = []
    held.callbacks.receive(1, 5, b'')       # one that has read since


def test_without_a_thread_a_call_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(self: Any) -> None:
        raise RuntimeError('no thread')

    monkeypatch.setattr(threading.Thread, 'start', none)
    scene.callbacks.receive(1, 5, scene.request(double, 4))
    scene.session.loop.run()
    ((kind, _, handle, value),) = scene.answers()
    assert (kind, handle, value[0]) == (ERROR, 5, True)
    assert value[1] == ('the program has no thread for a call of it (RuntimeError): '
                        'have less run there at a time')
    scene.is_idle()


def test_a_thread_that_is_called_away_refuses_too(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, 'start', interrupted)
    scene.callbacks.receive(1, 5, scene.request(double, 4))
    with pytest.raises(KeyboardInterrupt):
        scene.session.loop.run()
    assert [answer[0] for answer in scene.answers()] == [ERROR]
    scene.is_idle()


def test_a_function_runs_in_a_thread_with_the_name_of_its_context(scene: Scene) -> None:
    found: list[Any] = []

    def look() -> None:
        found.append((threading.current_thread().name, threading.current_thread().daemon))

    scene.session.allowed[NAMES] = look
    scene.answer(encode((*NAMES, (), {}, False)), 2)
    assert found == [('econtext peer2', True)]


# -- rings -------------------------------------------------------------------


class Waiting:
    """Something that is waited for, and may be done."""

    done = False


def running(scene: Scene, context: FakePeer, waits_for: FakePeer | None, holds: bool = True) -> callbacks.Asked:
    asked = callbacks.Asked(context, 0)     # type: ignore[arg-type]
    asked.holds = holds
    if waits_for is not None:
        asked.wait = waits_for, Waiting()   # type: ignore[assignment]
    scene.callbacks.running.setdefault(context.id, []).append(asked)
    return asked


@pytest.fixture
def here(scene: Scene) -> Iterator[callbacks.Asked]:
    """This thread runs a function that context 1 has asked for, and waits for there."""
    scene.callbacks.local.asked = asked = running(scene, scene.near, None)
    yield asked
    del scene.callbacks.local.asked


def hangs(scene: Scene, context: FakePeer, match: str = '') -> None:
    asked = scene.callbacks.local.asked
    with pytest.raises(EcontextError) as caught:
        scene.callbacks.enter(context, Waiting())  # type: ignore[arg-type]
    assert str(caught.value) == (
        f'{context.name}: it waits{match} for the function that calls it: '
        'have that function return what is needed, and call after it')
    assert asked.wait is None


def goes_on(scene: Scene, context: FakePeer) -> None:
    wait: Any = Waiting()
    scene.callbacks.enter(context, wait)
    asked = scene.callbacks.local.asked
    assert asked.wait == (context, wait)
    assert asked.waits_for() is context
    wait.done = True
    assert asked.waits_for() is None


def test_who_is_called_by_what_it_waits_for_hangs(scene: Scene, here: callbacks.Asked) -> None:
    hangs(scene, scene.near)


def test_who_does_not_wait_for_it_can_be_called(scene: Scene, here: callbacks.Asked) -> None:
    here.holds = False
    goes_on(scene, scene.near)


def test_one_with_another_thread_can_be_called(scene: Scene, here: callbacks.Asked) -> None:
    scene.near.threads = 2
    goes_on(scene, scene.near)


def test_one_whose_threads_all_wait_hangs(scene: Scene, here: callbacks.Asked) -> None:
    scene.near.threads = 2
    running(scene, scene.near, scene.near)
    hangs(scene, scene.near)


def test_one_whose_other_function_runs_can_be_called(scene: Scene, here: callbacks.Asked) -> None:
    scene.near.threads = 2
    running(scene, scene.near, None)
    goes_on(scene, scene.near)


def test_another_context_can_be_called(scene: Scene, here: callbacks.Asked) -> None:
    goes_on(scene, scene.far)


def test_a_ring_by_way_of_others_hangs(scene: Scene, here: callbacks.Asked) -> None:
    third = scene.session.add()
    running(scene, scene.far, third)
    running(scene, third, scene.near)
    hangs(scene, scene.far, ', by way of peer3 and peer1,')


def test_a_ring_that_is_open_somewhere_does_not(scene: Scene, here: callbacks.Asked) -> None:
    third = scene.session.add()
    running(scene, scene.far, third)
    open_end = running(scene, third, scene.near)
    open_end.wait[1].done = True    # type: ignore[index]
    goes_on(scene, scene.far)


def test_another_ring_is_none_of_its_business(scene: Scene, here: callbacks.Asked) -> None:
    third = scene.session.add()
    running(scene, third, None)
    running(scene, scene.far, scene.far)
    goes_on(scene, third)


def test_only_functions_that_were_called_are_looked_at(scene: Scene) -> None:
    running(scene, scene.near, scene.near)
    scene.callbacks.enter(scene.near, Waiting())  # type: ignore[arg-type]
    scene.callbacks.check(scene.near)  # type: ignore[arg-type]


def test_a_handler_that_runs_while_its_thread_waits_is_not_looked_at(scene: Scene, here: callbacks.Asked) -> None:
    before: Any = (scene.far, Waiting())
    here.wait = before
    scene.callbacks.enter(scene.near, Waiting())  # type: ignore[arg-type]
    assert here.wait is before


def test_a_call_of_who_waits_is_refused_before_it_is_sent(scene: Scene, here: callbacks.Asked) -> None:
    check: Any = scene.callbacks.check
    with pytest.raises(EcontextError, match='peer1: it waits for the function that calls it: have'):
        check(scene.near)
    check(scene.far)
    scene.near.threads = 2
    check(scene.near)


# -- the public ends ---------------------------------------------------------


def test_allow_takes_functions_by_their_names(scene: Scene) -> None:
    table: dict[tuple[str, str], Any] = {}

    class Place(callbacks.Allows):
        def _allowed(self) -> callbacks.Allowed:
            return scene.session.name_of, table

    place = Place()
    place.allow(double, fails)
    assert table == {NAMES: double, (fails.__module__, 'fails'): fails}
    with pytest.raises(TypeError, match='lambda'):
        place.allow(lambda: None)


def test_in_the_program_itself_a_call_is_a_call() -> None:
    assert callbacks.program.call(double, 4, more=1) == 9
