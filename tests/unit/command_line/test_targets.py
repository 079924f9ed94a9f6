"""The grammar of hosts and of places: each text names one thing or is refused, and tells it again."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from econtext.command_line.targets import (
    CONNECTORS,
    BadTarget,
    Location,
    Pattern,
    Target,
    listed,
    parse,
    parse_host,
    parse_hosts,
    parse_location,
)  # fmt: skip

WORDS = st.one_of(
    st.text('abc-.@:/[]*,%1 _', max_size=12),
    st.lists(st.sampled_from('ssh local docker podman web1 me @ : // / [ ] 22 ::1 -x *'.split()), max_size=7).map(
        ''.join),
    st.text(max_size=8),
)
NAMES = st.from_regex(r'[a-z0-9_.][a-z0-9_.-]{0,8}', fullmatch=True)
ADDRESSES = st.ip_addresses(v=6).map(str)


@pytest.mark.parametrize(('text', 'expected'), [
    ('local', Target('local')),
    ('web1', Target('ssh', 'web1')),
    ('me@web1', Target('ssh', 'web1', 'me')),
    ('me@corp@web1:2222', Target('ssh', 'web1', 'me@corp', 2222)),
    ('ssh:local', Target('ssh', 'local')),
    ('ssh:docker:22', Target('ssh', 'docker', '', 22)),
    ('ssh://me@web1:22', Target('ssh', 'web1', 'me', 22)),
    ('ssh://web1/', Target('ssh', 'web1')),
    ('::1', Target('ssh', '::1')),
    ('root@[fe80::1%eth0]:22', Target('ssh', 'fe80::1%eth0', 'root', 22)),
    ('docker:app', Target('docker', 'app')),
    ('docker:www@app', Target('docker', 'app', 'www')),
    ('lxd:server:web', Target('lxd', 'server:web')),
    ('chroot:/srv/image', Target('chroot', '/srv/image')),
    ('web*', Pattern('web*')),
    ('@eu', Pattern('@eu')),
    ('web[12]', Pattern('web[12]')),
    ('[::1]:22', Target('ssh', '::1', '', 22)),
])  # fmt: skip
def test_hosts(text: str, expected: Target | Pattern) -> None:
    assert parse_host(text) == expected


@pytest.mark.parametrize('text', [
    '', '@', 'me@', '@:22', 'web1:', 'web1:x', 'web1:0', 'web1:65536', 'web1:٣', '-oProxyCommand=x', 'me@-x',
    '-l@web1', 'a b', 'local:22', 'local:', 'kubectl:me@pod', 'docker:', 'docker:-x', '[::1', '[::1]x', 'ssh:',
    'web1/x', 'a\nb', 'docker:me @x',
])  # fmt: skip
def test_what_names_nothing(text: str) -> None:
    with pytest.raises(BadTarget):
        parse_host(text)


@given(WORDS)
@example('ssh:ssh:x')
@example('docker::')
@example('ssh:[docker::1]')
def test_a_target_told_again_is_the_same(text: str) -> None:
    try:
        found = parse_host(text)
    except BadTarget:
        return
    assert parse_host(str(found)) == found


@given(st.one_of(
    st.just(Target('local')),
    st.builds(Target, st.just('ssh'), NAMES | ADDRESSES | st.sampled_from(['local', 'ssh', *CONNECTORS]),
              NAMES | st.just(''), st.none() | st.integers(1, 65535)),
    st.builds(Target, st.sampled_from([name for name in CONNECTORS if CONNECTORS[name]]), NAMES, NAMES | st.just('')),
))  # fmt: skip
def test_each_target_has_a_text(target: Target) -> None:
    assert parse(str(target)) == parse_host(str(target)) == target
    assert not any(arg.startswith('-') for arg in target.args)


@given(st.lists(WORDS, max_size=4))
def test_lists(words: list[str]) -> None:
    try:
        found = parse_hosts(','.join(words))
    except BadTarget:
        return
    assert parse_hosts(listed(found)) == found
    assert len(set(found)) == len(found) > 0


def test_a_list_names_each_once() -> None:
    assert parse_hosts('a, b,a') == [Target('ssh', 'a'), Target('ssh', 'b')]
    for text in ('', ' ', 'a,', ',a', 'a,,b'):
        with pytest.raises(BadTarget):
            parse_hosts(text)


def test_options_of_the_connectors() -> None:
    assert parse('me@web1:22').options == {'username': 'me', 'port': 22}
    assert parse('web1').options == {}
    assert parse('docker:www@app').options == {'user': 'www'}
    assert parse('kubectl:pod').options == parse('local').options == {}
    assert (parse('local').args, parse('docker:app').args) == ((), ('app',))


@pytest.mark.parametrize(('text', 'target', 'path'), [
    ('web1:', 'web1', '.'),
    ('web1:/etc/hosts', 'web1', '/etc/hosts'),
    ('me@web1:2222', 'me@web1', '2222'),
    ('web1:a:b', 'web1', 'a:b'),
    ('[::1]:/x', '::1', '/x'),
    ('me@[::1]:x', 'me@::1', 'x'),
    ('ssh://me@web1:2222/x', 'me@web1:2222', 'x'),
    ('ssh://web1//etc', 'web1', '/etc'),
    ('ssh://web1', 'web1', '.'),
    ('ssh:docker:/x', 'ssh:docker', '/x'),
    ('ssh:local:x', 'ssh:local', 'x'),
    ('docker:app:/x', 'docker:app', '/x'),
    ('docker:app', 'docker:app', '.'),
    ('local:/x', 'local', '/x'),
    ('local:', 'local', '.'),
])  # fmt: skip
def test_locations_there(text: str, target: str, path: str) -> None:
    assert parse_location(text) == Location(parse(target), path)


@pytest.mark.parametrize('text', ['x', '.', '/x', './web1:x', '/tmp/web1:x', 'a/b:c', 'local', '~/x', '-'])
def test_locations_here(text: str) -> None:
    assert parse_location(text) == Location(None, text)


@given(WORDS)
def test_a_location_is_found_or_refused(text: str) -> None:
    try:
        found = parse_location(text)
    except BadTarget:
        return
    if found.target is not None:
        assert parse(str(found.target)) == found.target
        assert found.path
    else:
        assert found.path == text
