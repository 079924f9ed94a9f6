"""What the application hands to us is not shown by its repr or its text, wherever it is refused: it may be secret."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import econtext
from econtext.child import labels

SECRET = 'the-secret-of-this-object'


class Private:
    """Its repr and its text hold what is not to be seen; a number of calls of them."""

    def __init__(self) -> None:
        self.asked = 0

    def __repr__(self) -> str:
        self.asked += 1
        return SECRET

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def method(self) -> None:
        pass

    @functools.cached_property
    def __name__(self) -> Any:  # type: ignore[override]
        return self


class Failing(Private):
    def __repr__(self) -> str:
        self.asked += 1
        raise RuntimeError(SECRET)

    __str__ = __repr__


class Called(Private):
    def __call__(self) -> None:
        pass


class Words(Private, list[Any]):
    pass


class Table(Private, dict[Any, Any]):
    pass


def in_calls(context: econtext.Context, value: Any) -> list[Callable[[], Any]]:
    channel = context.channel()
    return [
        lambda: context.call(value), lambda: context.submit(value), lambda: context.stream(value),
        lambda: context.call(value.method), lambda: list(context.map(value, [1])),
        lambda: context.call(len, value), lambda: context.call(len, [value]),
        lambda: context.call(len, {'k': {1: value}}),
        lambda: context.submit(dict, key=value), lambda: channel.send(value), lambda: context.stream(iter, value),
        lambda: context.options(timeout=value), lambda: context.options(grace=value),
        lambda: context.channel(window=value), lambda: context.allow(value), lambda: context.allow(value.method),
        lambda: econtext.register(value), lambda: econtext.Secret(value),
    ]


def in_starts(origin: Any, value: Any) -> list[Callable[[], Any]]:
    starts: list[Callable[[], Any]] = [
        functools.partial(origin.local, **{option: value}) for option in (
            'python', 'name', 'connect_timeout', 'heartbeat', 'gil_limit', 'threads', 'output_window', 'env', 'cwd',
            'user', 'nice', 'cpus')]
    starts += [
        functools.partial(origin.ssh, 'host', **{option: value}) for option in (
            'port', 'username', 'password', 'identity_file', 'passphrase', 'ssh_args', 'answers')]
    starts += [functools.partial(origin.sudo, **{option: value}) for option in (
        'username', 'password', 'preserve_env', 'answers')]
    starts += [
        lambda: origin.ssh(value), lambda: origin.command(value), lambda: origin.command(['x', value]),
        lambda: origin.connect(value), lambda: origin.docker(container=value), lambda: origin.docker(image=value),
        lambda: origin.local(env={'KEY': value}), lambda: origin.local(env={value: 'x'}),
        lambda: origin.nsenter(pid=value), lambda: origin.unshare(namespaces=value),
        lambda: origin.unshare(namespaces=[value]), lambda: origin.chroot(value), lambda: origin.su(username=value),
        lambda: econtext.Broker(deny_modules=value), lambda: econtext.Broker(deny_modules=[value]),
    ]
    return starts


@pytest.mark.parametrize('kind', [Private, Failing, Called, Words, Table])
def test_no_error_shows_an_object(broker: econtext.Broker, kind: Callable[[], Private]) -> None:
    context = broker.local()
    for place in (in_calls, in_starts):
        origin: Any = context if place is in_calls else broker
        for number in range(len(place(origin, kind()))):
            value = kind()
            try:
                made = place(origin, value)[number]()
                getattr(made, 'close', int)()
            except (TypeError, ValueError, AttributeError, econtext.EcontextError) as error:
                text = ''.join(traceback.format_exception_only(error)) + ''.join(map(str, error.args))
                assert SECRET not in text, (place, number, text)
            assert value.asked == 0, (place, number)


def test_a_bound_method_does_not_show_what_it_is_bound_to(
    broker: econtext.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('EXAMPLE_TOKEN', SECRET)
    with pytest.raises(TypeError, match=r'a bound method of os\._Environ is bound to an object') as caught:
        broker.local().call(os.environ.get, 'X')
    assert SECRET not in str(caught.value)
    assert 'PATH' not in str(caught.value)


def test_the_value_of_a_variable_is_not_shown(broker: econtext.Broker) -> None:
    for env in {'TOKEN': SECRET + '\0'}, {'TOKEN': [SECRET]}, {'TOKEN=' + SECRET: 'x'}:
        with pytest.raises(ValueError, match='TOKEN') as caught:
            broker.local(env=env)  # type: ignore[arg-type]
        assert SECRET not in str(caught.value)
    with pytest.raises(ValueError, match='control character') as caught:
        broker.sudo(username=SECRET + '\n')
    assert SECRET not in str(caught.value)


def test_what_is_said_of_a_value() -> None:
    assert labels.seen(3) == '3'
    assert labels.seen('x') == "'x'"
    assert labels.seen(None) == 'None'
    assert labels.seen(10 ** 5000) == 'a int'
    assert labels.seen('x' * 10000) == 'a str'
    assert labels.seen(os.environ) == 'a os._Environ'
    assert labels.seen(Private) == f'the class {__name__}.Private'
    assert labels.seen(Private().method) == f'a bound method of {__name__}.Private'
    assert labels.seen([].append) == 'a bound method of list'
    assert labels.seen(len) == 'a builtin_function_or_method'
