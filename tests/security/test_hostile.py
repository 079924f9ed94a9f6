"""A hostile target, directly below and behind a hop: it is ended or refused, and nobody else is harmed."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import econtext
from econtext.parent.handshake import MOST
from lab import SOON, eventually

ENEMY = str(Path(__file__).parent / 'enemy.py')
GROWTH = 64 << 20   # bytes that playing with one enemy may cost the controller: far below what it is threatened with

# Ended at once, with CorruptStream.
CRIMES = """
    rubbish wrong_magic kind_nobody_knows kind_that_goes_down length_of_4_gb length_too_short length_beyond_its_kind
    source_of_the_sibling source_of_the_controller source_of_nobody frame_for_the_sibling value_for_the_hop
    answers_to_others dead_in_the_place_of_others
    hello_twice report_of_the_sibling report_of_nobody record_of_another_form third_stream want_of_another_form
    record_of_lists record_without_end
    million_wants million_channels asks_nonsense
    list_without_end more_than_bytes type_of_no_table colliding_keys
    keys_of_which_half_collide date_made_of_bytes context_of_the_sibling
    error_of_another_form bytes_behind_a_value
""".split()


class Scene:
    """Honest contexts, and where an enemy is put among them."""

    def __init__(self, broker: econtext.Broker) -> None:
        self.broker = broker
        self.beside = broker.local(name='beside')
        self.hop = broker.local(name='hop')
        self.behind = self.hop.local(name='behind')
        self.honest = [self.beside, self.hop, self.behind]
        self.pids = [context.call(os.getpid) for context in self.honest]

    def enemy(self, place: str, act: str, **options: object) -> econtext.Context:
        origin = self.hop if place == 'behind a hop' else self.broker
        # The enemy of an earlier test has its name as long as its program runs.
        eventually(lambda: 'enemy' not in self.broker._tree.names_used.used, what='the last enemy is gone')
        return origin.local(python=[sys.executable, '-S', ENEMY, act], name='enemy', **options)  # type: ignore[arg-type]

    def check(self) -> None:
        """Nobody else was blamed, and all go on."""
        assert [context.call(os.getpid) for context in self.honest] == self.pids


@pytest.fixture(scope='module')
def scene() -> Iterator[Scene]:
    with econtext.Broker() as broker:
        yield Scene(broker)


@pytest.fixture(params=['below us', 'behind a hop'])
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def memory() -> int:
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def test_a_hop_that_asks_for_ever(scene: Scene, place: str) -> None:
    """Passwords of a child that it never starts."""
    asked: list[str] = []

    def password(question: str) -> str:
        asked.append(question)
        return 'a word'

    enemy = scene.enemy(place, 'asks_for_ever')
    assert enemy.call(os.getpid) == 'honest'  # type: ignore[comparison-overlap]
    child = enemy.sudo(password=password)
    with pytest.raises(econtext.EcontextError):
        child.wait_ready(60)
    error = eventually(lambda: enemy._node.error, what='it is ended')
    assert isinstance(error(), econtext.CorruptStream)
    assert 'asks for passwords without end' in str(error())
    assert len(asked) <= MOST
    scene.check()


@pytest.mark.parametrize('act', CRIMES)
def test_who_does_what_no_honest_context_can_is_ended(scene: Scene, place: str, act: str) -> None:
    before = memory()
    enemy = scene.enemy(place, act)
    with pytest.raises(econtext.CorruptStream, match=r'^enemy: '):
        enemy.options(timeout=60).call(os.getpid)
    with pytest.raises(econtext.ContextLost):
        enemy.call(os.getpid)
    eventually(lambda: enemy._node.id not in scene.broker._tree.unreaped, what='its program is gone')
    scene.check()
    assert memory() - before < GROWTH


def test_a_header_is_judged_before_its_body_comes(scene: Scene) -> None:
    """What was asked is known here and not to a hop, which therefore awaits such a body."""
    enemy = scene.enemy('below us', 'unasked_and_large')
    with pytest.raises(econtext.CorruptStream, match='not asked'):
        enemy.options(timeout=60).call(os.getpid)
    scene.check()


def test_the_kit_itself_is_believed(scene: Scene, place: str) -> None:
    enemy = scene.enemy(place, 'honest')
    assert [enemy.call(os.getpid) for _ in range(3)] == ['honest'] * 3  # type: ignore[comparison-overlap]
    enemy.close()


def test_a_deep_value_is_an_error_of_the_call(scene: Scene, place: str) -> None:
    enemy = scene.enemy(place, 'deep')
    with pytest.raises(econtext.CallError, match='nested'):
        enemy.call(os.getpid)
    enemy.close()


@pytest.mark.parametrize('act', ['ends_within_a_header', 'ends_within_a_body'])
def test_who_breaks_off_is_lost(scene: Scene, place: str, act: str) -> None:
    before = memory()
    with pytest.raises(econtext.ContextLost):
        scene.enemy(place, act).options(timeout=60).call(os.getpid)
    scene.check()
    assert memory() - before < GROWTH


@pytest.mark.parametrize(('place', 'act'), [
    ('below us', 'never_answers'), ('below us', 'reads_slowly'), ('behind a hop', 'writes_slowly'),
    ('behind a hop', 'never_reads'),
])
def test_who_is_slow_holds_up_nobody(scene: Scene, place: str, act: str) -> None:
    before = memory()
    enemy = scene.enemy(place, act)
    enemy.wait_ready(60)
    with pytest.raises(econtext.CallTimeout):
        enemy.options(timeout=0.3).call(os.getpid)
    scene.check()
    begun = time.monotonic()
    enemy.close()
    assert time.monotonic() - begun < SOON, 'it is ended within bounds'
    scene.check()
    assert memory() - before < GROWTH


def test_what_is_sent_to_who_does_not_read_is_bounded(scene: Scene, place: str) -> None:
    """A caller waits, up to its deadline; others go on, and closing frees whoever waits."""
    enemy = scene.enemy(place, 'never_reads')
    enemy.wait_ready(60)
    before = memory()
    payload = b'x' * (4 << 20)
    # Its calls are late before those that find no room, and must not have ended it by then.
    options = enemy.options(timeout=8, grace=200)
    futures: list[econtext.Future[int]] = []
    with pytest.raises(econtext.CallTimeout, match='MiB of calls wait'):
        futures.extend(options.submit(len, payload) for _ in range(1000))
    assert 10 < len(futures) < 25
    assert memory() - before < 3 * (64 << 20)
    scene.check()
    enemy.close()
    for future in futures:
        with pytest.raises((econtext.CallTimeout, econtext.ContextLost)):
            future.result(60)


@pytest.mark.parametrize('act', ['prints_for_ever', 'steers_the_terminal', 'says_nothing'])
def test_what_does_not_become_a_context(scene: Scene, place: str, act: str) -> None:
    before = memory()
    enemy = scene.enemy(place, act, connect_timeout=3 if act == 'says_nothing' else 120)
    with pytest.raises(econtext.ConnectError) as caught:
        enemy.wait_ready(60)
    assert caught.value.kind == {'prints_for_ever': 'noise', 'says_nothing': 'eaten-input'}.get(act, caught.value.kind)
    assert str(caught.value).replace('\n', '').isprintable()
    scene.check()
    assert memory() - before < GROWTH


def test_what_it_logs_steers_no_terminal_and_forges_no_line(
    scene: Scene, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    enemy = scene.enemy(place, 'logs')
    assert enemy.call(os.getpid) == 'logged'  # type: ignore[comparison-overlap]
    eventually(lambda: len(caplog.records) >= 5)
    formatter = logging.Formatter('%(name)s %(levelname)s %(remote_name)s %(message)s', defaults={'remote_name': '-'})
    for record in caplog.records:
        lines = formatter.format(record).split('\n')
        assert lines[0].startswith(('econtext.ctx.enemy ', 'econtext ERROR - enemy: '))
        assert all(line.startswith('    ') for line in lines[1:]), lines
        assert all(line.isprintable() for line in lines), lines
    enemy.close()


def test_what_it_raises_steers_no_terminal(scene: Scene, place: str) -> None:
    enemy = scene.enemy(place, 'raises')
    with pytest.raises(OSError, match='text') as caught:
        enemy.call(os.getpid)
    assert all(line.isprintable() for line in str(caught.value).split('\n'))
    enemy.close()


def test_it_gets_no_file_that_is_none_of_its_business(
    scene: Scene, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / 'treasure'
    (package / 'keys').mkdir(parents=True)
    key = '-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n'
    for name, text in {
        'plain.py': '', 'id_rsa': 'secret', 'treasure/__init__.py': '', 'treasure/__main__.py': 'x = 1',
        'treasure/.env': 'PASSWORD=x', 'treasure/keys/id_rsa': key,
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    (package / 'link').symlink_to('/etc/passwd')
    os.mkfifo(package / 'fifo')
    monkeypatch.syspath_prepend(str(tmp_path))
    enemy = scene.enemy(place, 'spies')
    assert enemy.call(os.getpid) == []  # type: ignore[comparison-overlap]
    enemy.close()
    scene.check()


def test_who_wants_much_is_served_in_turns(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """One module for it, then one for each other: nobody waits behind all that it wants."""
    order: list[str] = []
    answer = scene.broker._tree.modules.answer

    def record(name: str, here: bool) -> object:
        order.append(name)
        if len(order) == 1:
            # Other threads go on, until another context was served.
            eventually(lambda: wanted in order, what='another is served')
        return answer(name, here)

    wanted = 'no_such_module_here'
    monkeypatch.setattr(scene.broker._tree.modules, 'answer', record)
    enemy = scene.enemy('below us', 'many_wants')
    enemy.submit(os.getpid)
    eventually(lambda: len(enemy._node.counters.wanted) >= 899, what='it wants much')
    with pytest.raises(econtext.CallError, match=wanted):
        scene.beside.options(timeout=60).call(__import__, wanted)
    assert 0 < order.index(wanted) < 10
    enemy.close()
