"""Attached programs beside each other: their commands, their modules, and what they hear of one context."""

from __future__ import annotations

import os
import pathlib
import signal
import threading
import time
from typing import Any

import pytest
import shares
from attaching import LONG, ends

import econtext
from econtext.controller.attach import messages, session, views
from econtext.parent.values import decode
from lab import eventually

# -- Commands and files ------------------------------------------------------------


def test_commands_of_two_programs_side_by_side(start: Any, tmp_path: pathlib.Path) -> None:
    """Each waits for a file that the other one's command makes: in turn they would wait for ever."""
    code = """
        mine, others, status = {!r}, {!r}, {}
        box = other.local(name='box', threads=2)
        done = box.run(['sh', '-c', 'cat; touch "$0"; while [ ! -e "$1" ]; do sleep 0.05; done; exit "$2"', mine,
                        others, str(status)], input='input of ' + str(status), timeout=60)
        print(done.returncode, done.stdout)
        killed = box.run(['sh', '-c', 'kill -9 $$'])
        print(killed.returncode)
        try:
            box.run(['/nowhere/program'])
        except FileNotFoundError as error:
            print(error.filename)
        box.put({!r}.encode(), mine)
        with box.open(mine) as file:
            print(file.read())
        print(box.path(mine).read_text(), box.path(mine).stat().st_size)
        box.get(mine, mine + '.back')
        print(open(mine + '.back').read())
    """
    one, two = str(tmp_path / 'one'), str(tmp_path / 'two')
    first, second = start(code.format(one, two, 3, 'first')), start(code.format(two, one, 7, 'second'))
    assert first.end() == '3 input of 3\n-9\n/nowhere/program\nfirst\nfirst 5\nfirst\n'
    assert second.end() == '7 input of 7\n-9\n/nowhere/program\nsecond\nsecond 6\nsecond\n'


def test_a_program_that_dies_ends_its_command_alone(start: Any, tmp_path: pathlib.Path) -> None:
    code = """
        box = other.local(name='box', threads=2)
        with box.run_lines(['sh', '-c', 'echo $$; sleep 600']) as lines:
            print(next(lines))
            sys.stdout.flush()
            {}
    """
    first, second = start(code.format('time.sleep(600)')), start(code.format('sys.stdin.readline()'))
    dies, stays = int(first.line()), int(second.line())
    first.kill()
    ends(dies)
    os.kill(stays, 0)
    second.go_on()
    second.end()
    ends(stays)


# -- What becomes of a context --------------------------------------------------------


class Heard:
    """What an attached program hears of its contexts, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.order: list[tuple[str, str, Any]] = []
        self.names: dict[int, str] = {}
        hear, answer = session.AttachedSession.on_report, views.Inlet.answer

        def on_report(self_: Any, src: int, handle: int, body: bytes) -> None:
            if handle in self_.contexts:
                self.names[handle] = self_.contexts[handle].name
            # Of one that is not known yet nothing but that it is ready is told here.
            self.order.append((decode(body)[0], self.names.get(handle, ''), self_))
            hear(self_, src, handle, body)

        def take_answer(self_: Any, src: int, handle: int, kind: int, body: bytes) -> None:
            if kind == views.DEAD and body:
                self.order.append(('dead', self.names[src], self_.session))
            answer(self_, src, handle, kind, body)

        monkeypatch.setattr(session.AttachedSession, 'on_report', on_report)
        monkeypatch.setattr(views.Inlet, 'answer', take_answer)

    def of(self, name: str, other: econtext.Attachment) -> list[str]:
        """Return what `other` was told of the end of the context called `name`."""
        return [event for event, who, session in self.order
                if who == name and session is other._session and event != messages.READY]


@pytest.mark.parametrize('hop', ['none', 'of the owner', 'of the program'])
def test_the_end_of_a_context_is_told_in_one_order(
    broker: econtext.Broker, path: str, monkeypatch: pytest.MonkeyPatch, hop: str
) -> None:
    heard = Heard(monkeypatch)
    with econtext.attach(path) as other, econtext.attach(path) as second:
        if hop == 'of the owner':
            broker.local(name='hop').wait_ready()
        origin: Any = {'none': other, 'of the owner': other.context('hop') if 'owner' in hop else None,
                       'of the program': other.local(name='hop') if 'program' in hop else None}[hop]
        for number in range(8):
            name = f'box{number}'
            box = origin.local(name=name)
            pid = box.call(os.getpid)
            beside = second.context(name)
            futures = [box.submit(time.sleep, 600) for _ in range(3)]
            # Answered behind the calls: they are passed on by now, and not on their way to the broker.
            assert name in [each.name for each in other.contexts]
            os.kill(pid, signal.SIGKILL)
            for future in futures:
                with pytest.raises(econtext.ContextLost, match='ended by SIGKILL'):
                    future.result(LONG)
                # Whoever hears of the end knows how it came.
                assert box._node.exit_status == -signal.SIGKILL
            with pytest.raises(econtext.ContextLost, match='ended by SIGKILL'):
                box.call(os.getpid)
            with pytest.raises(econtext.ContextLost, match='ended by SIGKILL'):
                beside.submit(os.getpid).result(LONG)
            for each in other, second:
                eventually(lambda each=each, name=name: messages.GONE in heard.of(name, each), LONG)
            told = heard.of(name, other)
            assert told == [messages.LOST, *['dead'] * (len(told) - 2), messages.GONE]
            assert len(told) >= 5, 'its calls have ended'
            # A call that was on its way meanwhile is answered whenever it comes.
            told = [event for event in heard.of(name, second) if event != 'dead']
            assert told == [messages.LOST, messages.GONE]
            assert heard.of(name, second)[0] == messages.LOST
        assert not [node for node in other._session.contexts.values() if node.error is not None], 'nothing is kept'


def test_two_threads_that_tell_of_one_end_tell_it_in_order(
    broker: econtext.Broker, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them is about to tell that it answers no more, and the other one knows that it is gone by now."""
    heard = Heard(monkeypatch)
    box = broker.local(name='box')
    box.wait_ready()
    with econtext.attach(path) as other:
        other.context('box')
        server: Any = broker._tree.attach_server
        (program,) = server.programs
        reason = messages.reason
        looked, told = threading.Event(), threading.Event()
        node = box._node

        def slowly(error: Any) -> bytes:
            if not looked.is_set():
                looked.set()
                # Long enough for who does not wait for us.
                told.wait(0.3)
            return reason(error)

        monkeypatch.setattr(messages, 'reason', slowly)
        node.advance('end', node.lost('by the test'))
        first = threading.Thread(target=program.tell, args=(node,))
        first.start()
        assert looked.wait(LONG)
        broker._tree.unreaped.pop(node.id)
        program.tell(node)
        told.set()
        first.join(LONG)
        broker._tree.unreaped[node.id] = node
        eventually(lambda: messages.GONE in heard.of('box', other), LONG)
        # Behind all that was told.
        assert other.contexts == []
        assert heard.of('box', other) == [messages.LOST, messages.GONE]
        box.close()


def test_the_exit_status_of_a_program_crosses(path: str) -> None:
    with econtext.attach(path) as other:
        box = other.local(name='box')
        with pytest.raises(econtext.ContextLost, match='ended with status 7'):
            box.call(os._exit, 7)
        assert box._node.exit_status == 7
        calm = other.local(name='calm')
        calm.call(os.getpid)
        calm.close()
        assert type(calm._node.exit_status) is int, 'whoever has waited for the end knows how it came'


# -- Modules below one hop ---------------------------------------------------------------

APP = """
    import importlib
    def tell():
        import app_part
        return 'app of {0} ' + app_part.VALUE + ' ' + importlib.import_module('app' + '_late').VALUE
"""


def files(who: str) -> dict[str, str]:
    return {'app': APP.format(who), 'app_part': f'VALUE = "part of {who}"\n', 'app_late': f'VALUE = "late of {who}"\n'}


def wanted(who: str) -> str:
    return f'app of {who} part of {who} late of {who}'


@pytest.mark.parametrize('hop', ["other.context('hop')", "other.local(name='own hop')",
                                 "other.context('hop').local(name='second hop')"])
def test_each_program_has_its_own_modules_below_one_hop(broker: econtext.Broker, start: Any, hop: str) -> None:
    broker.local(name='hop').wait_ready()
    code = f"""
        import app
        hop = {hop}
        print(hop.local(name={{0!r}}).call(app.tell))
        sys.stdout.flush()
        sys.stdin.readline()
        # What was sent before is of no use to another context, and does it no harm.
        print(hop.local(name={{0!r}} + ' again').call(app.tell))
    """
    programs = {who: start(code.format(who), **files(who)) for who in ('one', 'two')}
    for who, program in programs.items():
        assert program.line() == wanted(who)
    for who, program in programs.items():
        program.go_on()
        assert program.end() == wanted(who) + '\n'


def test_a_hop_of_the_owner_keeps_the_modules_of_the_owner(
    broker: econtext.Broker, start: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / 'ours'
    ours.mkdir()
    for name, text in files('owner').items():
        (ours / f'{name.replace("app", "app_of_hop")}.py').write_text(
            text.replace('    ', '', 1).replace('\n    ', '\n').replace('app_', 'app_of_hop_').replace(
                "'app' +", "'app_of_hop' +"))
    theirs = {name.replace('app', 'app_of_hop'): text.replace('app_', 'app_of_hop_').replace(
        "'app' +", "'app_of_hop' +") for name, text in files('program').items()}
    monkeypatch.syspath_prepend(str(ours))
    hop = broker.local(name='hop')
    code = "import app_of_hop\nprint(other.context('hop').local(name={!r}).call(app_of_hop.tell))"
    assert start(code.format('first'), **theirs).end() == wanted('program') + '\n'
    import app_of_hop  # type: ignore[import-not-found]
    assert hop.local(name='mine').call(app_of_hop.tell) == wanted('owner')
    assert hop.call(app_of_hop.tell) == wanted('owner')
    assert start(code.format('second'), **theirs).end() == wanted('program') + '\n'
    refused = start("import app_of_hop\nother.context('hop').call(app_of_hop.tell)", **theirs)
    refused.process.wait(LONG)
    assert 'hop has another module app_of_hop' in refused.process.communicate()[1]


def test_modules_of_the_owner_for_a_context_below_the_hop_of_another_program(
    broker: econtext.Broker, start: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hop has a module of its program by the name for which the owner answers, below."""
    (tmp_path / 'only_ours.py').write_text('VALUE = "ours"\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    code = """
        import base64
        hop = other.local(name='hop')
        {}
        sys.stdout.flush()
        sys.stdin.readline()
    """
    first = start(code.format('import only_ours; print(hop.call(only_ours.tell))'),
                  only_ours='def tell():\n    return "theirs"\n')
    assert first.line() == 'theirs'
    second = start(code.format('print(hop.local().call(eval, "__import__(\'only_\' + \'ours\').VALUE"))'))
    assert second.line() == 'ours'
    for each in first, second:
        each.go_on()
        each.end()


def test_modules_that_were_refused_are_known_to_nobody(start: Any) -> None:
    """One that came with another, which is in the way of that, was not sent: other programs may bring theirs."""
    code = "import {0}\nprint(other.local(name='box').call({0}.tell))\nsys.stdout.flush()\nsys.stdin.readline()"
    first = start(code.format('app'), app='def tell():\n    return "first"\n')
    assert first.line() == 'first'
    second = start('import tool_of_test\nother.local(name="box").call(tool_of_test.tell)',
                   tool_of_test='import app, part\ndef tell():\n    return part\n', part='VALUE = 1\n',
                   app='OTHER = 1\n')
    second.process.wait(LONG)
    assert 'box has another module app' in second.process.communicate()[1]
    third = start(code.format('part'), part='def tell():\n    return "third"\n')
    assert third.line() == 'third'
    for each in first, third:
        each.go_on()
        each.end()


@pytest.mark.parametrize('base', ['of the owner', 'of a program'])
def test_a_copy_has_the_modules_of_what_it_is_a_copy_of(
    broker: econtext.Broker, start: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    """They are imported there: a program with others of the name is told so, and runs no code that is not its own."""
    (tmp_path / 'app_of_copy.py').write_text('def tell():\n    return "owner"\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    if base == 'of the owner':
        import app_of_copy  # type: ignore[import-not-found]
        assert broker.local(name='base').call(app_of_copy.tell) == 'owner'
    else:
        first = start("import app_of_copy\nprint(other.local(name='base').call(app_of_copy.tell))\n"
                      "sys.stdout.flush()\nsys.stdin.readline()", app_of_copy='def tell():\n    return "first"\n')
        assert first.line() == 'first'
    code = """
        import app_of_copy
        copy = other.{}(name='base').fork()
        try:
            print(copy.call(app_of_copy.tell))
        except econtext.EcontextError as error:
            print(error)
        print(copy.call(os.getppid) == other.context('base').call(os.getpid))
    """.format('local' if base == 'of a program' else 'context')
    second = start(code, app_of_copy='def tell():\n    return "second"\n')
    assert 'has another module app_of_copy than this program' in second.line()
    assert second.line() == 'True'
    second.end()


# -- Until when a context stays ------------------------------------------------------------


def test_the_longest_idle_time_counts(path: str) -> None:
    """One program wants it for long, another one for a moment: neither shortens the other's."""
    with econtext.attach(path) as long, econtext.attach(path) as brief:
        pid = long.local(name='box', idle_timeout=600).call(os.getpid)
        assert brief.local(name='box', idle_timeout=0.1).call(os.getpid) == pid
    with econtext.attach(path) as third:
        assert third.context('box').call(os.getpid) == pid
        third.context('box').close()
    os.kill(pid, 0)


def test_an_idle_time_behind_another_users_end(path: str) -> None:
    with econtext.attach(path) as other:
        with econtext.attach(path) as warm:
            pid = warm.local(name='box', idle_timeout=0.2).call(os.getpid)
            assert other.local(name='box').call(os.getpid) == pid
        # Without an idle time it is in use until it is left.
        time.sleep(0.6)     # what is tested is that nothing happens
        os.kill(pid, 0)
    ends(pid)


def test_a_context_by_the_name_of_any_connector(path: str) -> None:
    with econtext.attach(path) as other:
        assert other.connect('local', name='box').call(os.getppid) == os.getpid()
        assert other.connect('local', name='box') is other.local(name='box')


def test_streams_and_channels_of_two_programs_at_once(path: str) -> None:
    with econtext.attach(path) as first, econtext.attach(path) as second:
        boxes = [each.local(name='box', threads=4) for each in (first, second)]
        streams = [box.stream(shares.numbers, 1000) for box in boxes]
        for number in range(1000):
            assert [next(stream) for stream in streams] == [number, number]
        channels = [box.channel() for box in boxes]
        futures = [box.submit(shares.double, channel) for box, channel in zip(boxes, channels, strict=True)]
        for factor, channel in enumerate(channels):
            channel.send(factor + 1)
        assert [channel.get(LONG) for channel in channels] == [2, 4]
        for channel in channels:
            channel.close()
        for future in futures:
            future.result(LONG)
