"""Code in a context calls functions in contexts below it, and in no others."""

import sys

import pytest
from relays import relay

import econtext
from lab import pythons

VALUE = {'key': ('text', 'ä', 1, None, 2.5, [True]), 'set': {1, 2}}


def test_calls_reach_what_lies_below(broker, python):
    upper = broker.local(python=python)
    lower = upper.local(python=sys.executable)
    here, (there, value) = upper.call(relay.pids, lower, VALUE)
    assert (here, there) == (upper.pid, lower.wait_ready().pid)
    assert value == VALUE


def test_what_is_raised_below_arrives_with_both_names(broker):
    upper = broker.local(name='upper')
    lower = upper.local(name='lower')
    with pytest.raises(econtext.CallError) as caught:
        upper.call(relay.fail_below, lower)
    assert caught.value.type_name == 'econtext.CallError'
    assert "KeyError: 'of the lower one'" in str(caught.value)
    assert 'In context lower' in str(caught.value)


def test_what_is_not_below_is_refused_and_all_go_on(broker):
    one, other = broker.local(), broker.local()
    with pytest.raises(econtext.CallError, match='not below this context'):
        one.call(relay.pids, other, 1)
    lower = one.local()
    with pytest.raises(econtext.CallError, match='not below this context'):
        lower.call(relay.pids, one, 1)
    for context in (one, other, lower):
        assert context.call(relay.answer, 1)[0] == context.pid


@pytest.mark.parametrize('version', ['2.7', '3.13'])
def test_to_be_refused_makes_no_context_a_parent(broker, version):
    one, other = broker.local(python=pythons.interpreter(version)), broker.local()
    with pytest.raises(econtext.CallError, match='not below this context'):
        one.call(relay.pids, other, 1)
    assert one.call(relay.parents) == []


def test_a_lambda_is_refused(broker):
    upper = broker.local()
    with pytest.raises(econtext.CallError, match='make it a function of a module'):
        upper.call(relay.lambda_below, upper.local())
