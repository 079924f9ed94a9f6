"""Types of the standard library keep their type both ways, and are made of nothing else than they are made from."""

from __future__ import annotations

import builtins
import datetime
import decimal
import fractions
import grp
import io
import ipaddress
import os
import platform
import pwd
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from subprocess import CompletedProcess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import econtext
from econtext.child import rich
from econtext.controller.protocol.values import encode as encode_down
from econtext.core.codec import encode, series
from econtext.core.wire import BadFrame
from econtext.parent.values import decode
from unit.both_ways import WAYS, down, up

pytestmark = pytest.mark.deadline(600)  # many examples take their time

ROOT = pwd.getpwuid(0).pw_name
SEEN: list[Any] = [
    os.stat('/'), os.statvfs('/'), os.uname(), os.times(), os.terminal_size((80, 24)), time.localtime(0), time.gmtime(),
    pwd.getpwnam(ROOT), grp.getgrgid(0), resource.getrusage(resource.RUSAGE_SELF), shutil.disk_usage('/'),
    platform.uname(), subprocess.run(['echo', 'x'], capture_output=True, check=True, text=True),
    CompletedProcess(['a', b'b'], -9), ipaddress.ip_address('fe80::1%eth0'),
]  # fmt: skip
NUMBERS = st.integers(-2**63, 2**63)
NETWORKS = st.ip_addresses().flatmap(lambda address: st.integers(0, address.max_prefixlen).map(
    lambda bits: ipaddress.ip_interface(f'{address}/{bits}')))


def hashable(value: Any) -> bool:
    try:
        return hash(value) is not None
    except TypeError:
        return False


VALUES = st.recursive(
    st.sampled_from(SEEN[:8] + SEEN[9:12] + SEEN[14:]) | st.fractions() | st.ip_addresses() | NETWORKS
    | NETWORKS.map(lambda interface: interface.network)
    | st.builds(range, NUMBERS, NUMBERS, NUMBERS.filter(bool)),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(inner.filter(hashable), inner, max_size=3),
    max_leaves=6,
)


def shape(value: Any) -> Any:
    """Return `value` with all its types, and every attribute that has a name."""
    if type(value) in (list, tuple):
        return type(value), [shape(item) for item in value]
    if isinstance(value, dict):
        return [(shape(key), shape(value[key])) for key in value]
    if isinstance(value, CompletedProcess):
        return type(value), vars(value)
    names = [name for name in dir(value) if re.match(r'(st|f|tm|pw|gr|ru)_', name)]
    return type(value), repr(value), [getattr(value, name) for name in names]


@WAYS
@pytest.mark.parametrize('value', SEEN, ids=lambda value: type(value).__name__)
def test_each_arrives_whole(way: Any, value: Any) -> None:
    for wrapped in value, [value], {'k': (value,)}:
        assert shape(way(wrapped)) == shape(wrapped)


@WAYS
@given(VALUES)
def test_round_trip(way: Any, value: Any) -> None:
    found = way(value)
    assert found == value
    assert shape(found) == shape(value)


@WAYS
def test_the_processor_is_that_of_the_other_end(way: Any) -> None:
    there = platform.uname()
    there.__dict__['processor'] = 'another'
    assert way(there).processor == 'another'


@WAYS
def test_a_name_that_this_python_does_not_know_is_left_out(way: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    apart = rich.APART['os.stat_result']
    items, extra = apart[1](os.stat('/'))
    monkeypatch.setitem(rich.APART, 'os.stat_result', (apart[0], lambda value: (items, {**extra, 'st_new': 1})))
    assert shape(way(os.stat('/'))) == shape(os.stat_result(items, extra))


@WAYS
@pytest.mark.parametrize(('value', 'plain'), [
    (ipaddress.ip_network('10.0.0.0/8'), '10.0.0.0/8'), (os.terminal_size((80, 24)), (80, 24)),
    (CompletedProcess('x', 1, b'out'), ('x', 1, b'out', None)), (fractions.Fraction(1, 3), (1, 3)),
    (shutil.disk_usage('/')._replace(used=1, free=2, total=3), (3, 1, 2)),
], ids=lambda value: type(value).__name__)
def test_what_this_python_has_no_type_for_arrives_plain(
    way: Any, value: Any, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = {'usage': '_ntuple_diskusage'}.get(type(value).__name__, type(value).__name__)
    module = {'ipaddress': ipaddress, 'os': os, 'subprocess': subprocess, 'fractions': fractions, 'shutil': shutil}
    monkeypatch.delattr(module[type(value).__module__], name)
    assert shape(way(value)) == shape(plain)


def test_a_fraction_beyond_measure_is_refused_where_it_is_sent() -> None:
    edge = fractions.Fraction(2**rich.MOST_BITS - 1, 2)
    assert up(edge) == down(edge) == edge
    for much in edge + 1, 1 / (edge + 1), -edge - 1:
        for send in encode, lambda value: encode_down(value, 'f'):
            with pytest.raises(TypeError, match='send its numerator and denominator'):
                send(much)


ITEMS = tuple(range(10))
FORGED: list[tuple[Any, ...]] = [
    ('os.stat_result',), ('os.stat_result', ITEMS), ('os.stat_result', ITEMS, {}, 1), ('os.stat_result', 5, {}),
    ('os.stat_result', ITEMS[:9], {}), ('os.stat_result', ITEMS * 9, {}), ('os.stat_result', list(ITEMS), {}),
    ('os.stat_result', ITEMS, [('st_mtime', 1.0)]), ('os.stat_result', ITEMS, {1: 2}),
    ('os.stat_result', ITEMS, {'st_mtime': {}}), ('os.stat_result', (*ITEMS[:9], os.stat('/')), {}),
    ('os.terminal_size', 'ab', {}), ('time.struct_time', ({},) * 9, {}), ('grp.struct_group', ('a', 'b', 1, [{}]), {}),
    ('posix.stat_result', ITEMS, {}), ('os.system', ('x',), {}), ('subprocess.Popen', ['true']), ('os.path', 'x'),
    ('completed', ['x'], '0', None, None), ('completed', ['x'], 0, {}, None), ('completed', ['x'], 0, None),
    ('usage', 1, 2), ('usage', 1, 2, 'x'), ('uname', 'a', 'b', 'c', 'd', 'e'), ('uname', *'abcde', {}),
    ('uname', *'abcdefg'), ('fraction', 1, 0), ('fraction', 1.5, 1), ('fraction', '1', 1), ('fraction', '1/3'),
    ('fraction', 1 << 20000, 3), ('fraction', 3, 1 << 20000), ('range', 1), ('range', 1, 2, 0), ('range', 1, 2, '3'),
    ('range', 1.0, 2, 1), ('ipaddress.IPv4Address', 5), ('ipaddress.IPv4Address', b'\0\0\0\0'),
    ('ipaddress.IPv4Address', '1.2.3'), ('ipaddress.IPv4Network', ('10.0.0.0', 8)),
    ('ipaddress.IPv6Address', '1' * 2000),
    ('ipaddress.IPv4Network', '10.0.0.1/8'), ('ipaddress.ip_address', '1.2.3.4'),
]  # fmt: skip


@pytest.mark.parametrize('parts', FORGED, ids=lambda parts: parts[0])
def test_what_no_honest_child_sends_is_refused(parts: tuple[Any, ...]) -> None:
    with pytest.raises(BadFrame) as caught:
        decode(series('x', parts))
    assert len(str(caught.value)) < 5000


@given(st.sampled_from(sorted({*rich.MAKERS} - {'secret'})), st.lists(st.recursive(
    st.none() | NUMBERS | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=10) | st.lists(inner, max_size=10).map(tuple)
    | st.dictionaries(st.text(), inner, max_size=3)), max_size=6))
def test_of_whatever_it_is_made_it_is_whole_or_refused(name: str, parts: list[Any]) -> None:
    try:
        value = decode(series('x', (name, *parts)))
    except BadFrame:
        return
    repr(value)
    assert decode(encode(value)) == value or value != value


@pytest.mark.parametrize('kind', [os.stat_result, os.uname_result, range, CompletedProcess])
def test_they_need_not_be_registered(kind: Any) -> None:
    with pytest.raises(TypeError, match='crosses without being registered'):
        econtext.register(kind)


# -- times -------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize('fold', [0, 1])
def test_the_second_time_of_an_hour_that_comes_twice_stays_it(way: Any, fold: int) -> None:
    for value in (datetime.datetime(2000, 10, 29, 2, 30, fold=fold), datetime.time(2, 30, 5, 7, fold=fold),
                  datetime.datetime(2000, 10, 29, 2, 30, 5, 7, datetime.timezone.utc, fold=fold)):
        found = way(value)
        assert (found, found.fold, found.tzinfo) == (value, fold, value.tzinfo)


@WAYS
@pytest.mark.parametrize('seconds', [-86399, -60, -1, 0, 1, 3600, 86399])
def test_a_zone_keeps_its_offset_and_its_name(way: Any, seconds: int) -> None:
    zone = datetime.timezone(datetime.timedelta(seconds=seconds), 'a name')
    value = datetime.datetime(2000, 1, 2, tzinfo=zone)
    assert way(value).utcoffset() == zone.utcoffset(None)
    assert way(value).tzname() == 'a name'


@WAYS
def test_a_zone_of_the_database_is_that_one(way: Any) -> None:
    zoneinfo = pytest.importorskip('zoneinfo')
    try:
        zone = zoneinfo.ZoneInfo('Europe/Berlin')
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip('no database of zones here')
    found = way(datetime.datetime(2000, 7, 2, tzinfo=zone))
    assert found.tzinfo is zone


def test_a_zone_that_is_not_here_keeps_its_offset() -> None:
    parts = 3600, 'CET', 'No/Where'
    made = rich.make_zone(parts)
    assert made == datetime.timezone(datetime.timedelta(hours=1), 'CET')
    assert made.tzname(None) == 'CET'
    assert rich.make_zone((3600, None, None)).tzname(None) == ''
    assert rich.make_zone(None) is None


def test_before_3_7_python_knows_no_seconds_of_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'version_info', (3, 6, 15))
    assert rich.make_zone((3660, 'a', None)).utcoffset(None) == datetime.timedelta(seconds=3660)
    for parts, name in ((61, 'a', 'No/Where'), 'a'), ((3601, None, 'No/Where'), 'No/Where'):
        with pytest.raises(ValueError, match=f'the offset of the zone {name} from UTC has seconds'):
            rich.make_zone(parts)
    monkeypatch.setattr(sys, 'version_info', (3, 7))
    assert rich.make_zone((61, 'a', None)).utcoffset(None) == datetime.timedelta(seconds=61)


@pytest.mark.parametrize(('name', 'there'), [('CET', 'CET'), (None, ''), ('Zürich', 'Z?rich')])
def test_python_2_has_zones_of_ours(monkeypatch: pytest.MonkeyPatch, name: Any, there: str) -> None:
    monkeypatch.delattr(datetime, 'timezone')
    made = rich.make_zone((-3660, name, None))
    assert type(made).__module__ == 'econtext.child.fixed'
    assert (made.utcoffset(None), made.tzname(None)) == (datetime.timedelta(seconds=-3660), there)


@pytest.mark.parametrize('value', [{1, 'a'}, frozenset([1]), {1: {2}}, [{1}], ({1},)])
def test_what_marshal_carries_goes_as_it_is(value: Any) -> None:
    found = rich.flat(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize('kind', [set, frozenset])
def test_what_cannot_be_hashed_once_taken_apart_is_taken_apart_too(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rich.APART, 'pathlib.PurePosixPath', ('posixpath', lambda value: (['x'],)))
    value = kind([Hashed()])
    assert rich.flat(value) == (..., kind.__name__, (..., 'posixpath', ['x']))
    assert rich.flat({Hashed(): 5}) == (..., 'dict', (..., 'posixpath', ['x']), 5)


class Hashed(PurePosixPath):
    """A value that is taken apart into what cannot be hashed."""


def zones(monkeypatch: pytest.MonkeyPatch, *known: str) -> tuple[Any, list[str]]:
    """Return zones, of which these are in the database, and the keys that are looked for on the disk."""
    looked: list[str] = []

    def look_up(key: str) -> Any:
        looked.append(key)
        return key.upper() if key.removeprefix('posix/').removeprefix('right/') in known else None

    monkeypatch.setattr(rich, 'look_up', look_up)
    monkeypatch.setattr(rich, 'database', lambda: frozenset(known))
    return rich.Zones(), looked


def test_a_zone_is_looked_for_once_before_and_after_the_database_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    made, looked = zones(monkeypatch, 'a/b', 'c/d')
    assert [made.get('a/b'), made.get('a/b'), made.get('no'), made.get('no')] == ['A/B', 'A/B', None, None]
    assert looked == ['a/b', 'no']
    for number in range(rich.UNKNOWN):
        made.get(f'x{number}')
    assert len(looked) == rich.UNKNOWN + 1
    looked.clear()
    for key in 'c/d', 'posix/c/d', 'right/c/d':
        assert [made.get(key), made.get(key)] == [key.upper()] * 2
    assert looked == ['c/d', 'posix/c/d', 'right/c/d']
    assert made.get('other/c/d') is None
    assert made.get('POSIX/c/d') is None
    assert len(looked) == 3
    size = len(made.found)
    for number in range(1000):
        assert made.get(f'y{number}') is None
    assert len(made.found) == size


# -- makers ------------------------------------------------------------------


def test_a_maker_makes_what_its_name_says() -> None:
    assert rich.maker('datetime.date')(2000, 1, 2) == datetime.date(2000, 1, 2)
    assert rich.maker('fractions.Fraction')(1, 3) == fractions.Fraction(1, 3)
    assert rich.maker('decimal.Decimal', lambda kind, *args: (kind, args))('1', 2) == (decimal.Decimal, ('1', 2))


@pytest.mark.parametrize('name', ['no_such_module.Thing', 'datetime.NoSuch'])
def test_a_maker_of_what_is_not_here_gives_what_it_would_be_made_of(name: str) -> None:
    for _ in range(2):
        assert rich.maker(name)('text') == 'text'
        assert rich.maker(name)(1, 2) == (1, 2)
        assert rich.maker(name)() == ()
        assert rich.maker(name, rich.make_structure)((1, 2), {'x': 1}) == (1, 2)
        assert rich.maker(name, rich.make_uname)('a', 'b') == ('a', 'b')


def test_a_module_that_is_not_here_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    real = builtins.__import__

    def look(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == 'no_such_module':
            looked.append(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', look)
    make = rich.maker('no_such_module.Thing')
    assert looked == []     # before it is wanted
    assert [make('x'), make('x')] == ['x', 'x']
    assert looked == ['no_such_module']


@WAYS
def test_a_path_that_names_a_file_arrives_as_one(way: Any) -> None:
    class Own(type(Path())):  # type: ignore[misc]
        """Of the user's."""

    for value, kind in (
            (Path('/a b/ä'), Path), (Path(), Path), (Path('\udcff'), Path), (PurePosixPath('/a'), PurePosixPath),
            (PureWindowsPath('c:/a'), PureWindowsPath), (Own('/a'), Path)):
        found = way([value, {value: 1}])
        assert found == [value, {value: 1}]
        assert type(found[0]) is type(kind())


@pytest.mark.skipif(sys.version_info < (3, 12), reason='before Python 3.12 these classes cannot be bases')
@WAYS
def test_a_class_may_be_derived_from_the_general_paths(way: Any) -> None:
    assert type(way(type('Own', (Path,), {})('/a'))) is type(Path())
    assert type(way(type('Own', (PurePath,), {})('/a'))) is PurePosixPath


class Own:
    """Of the application, and not registered."""

    def method(self) -> None: ...


class OwnFile(io.BytesIO):
    """A file of a module that calls itself io."""


OwnFile.__module__ = 'io'
PLAIN = 'send a dict, a list or another plain value made from it'
REGISTER = f'register the class with econtext.register in a module that both ends import, or {PLAIN}'
BOUND = 'it is bound to the process that made it: make one there'
OF_FILES = 'send the path of the file, or the bytes that are in it'


@WAYS
@pytest.mark.parametrize(('value', 'name', 'remedy'), [
    (object(), 'builtins.object', PLAIN),
    (Own(), f'{__name__}.Own', REGISTER),
    ((each for each in ()), 'builtins.generator', rich.REMEDIES['generator']),
    (sys, 'builtins.module', 'import it there'),
    (threading.Lock(), '_thread.lock', BOUND),
    (threading.Event(), 'threading.Event', BOUND),
    (rich.Zones(), 'econtext.child.rich.Zones', 'it is bound to the process that made it: send what is needed of it'),
    (io.BytesIO(), '_io.BytesIO', OF_FILES),
    (OwnFile(), 'io.OwnFile', OF_FILES),
    # The name of a class is not that of its module.
    (type('threading', (), {'__module__': 'app'})(), 'app.threading', REGISTER),
    (type('io', (), {'__module__': 'app'})(), 'app.io', REGISTER),
    (type('builtins', (), {'__module__': 'app'})(), 'app.builtins', REGISTER),
    (type('econtext.Own', (), {'__module__': 'app', '__qualname__': 'econtext.Own'})(), 'app.econtext.Own', REGISTER),
], ids=lambda value: value if isinstance(value, str) else '')  # fmt: skip
def test_what_does_not_cross_is_named_with_its_remedy(way: Any, value: Any, name: str, remedy: str) -> None:
    with pytest.raises(TypeError) as caught:
        way([value])
    assert str(caught.value).endswith(f'a {name} cannot cross between contexts: {remedy}')


def test_bytes_of_other_types_arrive_as_bytes_beside_what_marshal_does_not_know() -> None:
    beside = decimal.Decimal(1)
    found = down([bytearray(b'ab'), memoryview(b'cd'), beside])
    assert found == [b'ab', b'cd', beside]
    assert [type(item) for item in found[:2]] == [bytes, bytes]


def test_what_a_subclass_of_a_list_holds_is_met_too() -> None:
    class Several(list):  # type: ignore[type-arg]
        pass

    met: list[Any] = []
    assert rich.flat(Several([len]), lambda value: met.append(value) or ('m', 'f')) == [(..., 'function', 'm', 'f')]
    assert met == [len]


def test_a_function_that_no_name_finds_is_refused() -> None:
    with pytest.raises(TypeError, match=r'a builtins\.function cannot cross between contexts: send its name'):
        rich.flat(test_a_function_that_no_name_finds_is_refused, lambda value: None)


def test_a_class_of_a_part_of_pathlib_is_one_of_pathlib() -> None:
    """From Python 3.14 on a path is of the module `pathlib._local` or another part of the package."""
    assert rich.listed(type('PosixPath', (), {'__module__': 'pathlib._local'}))[0] == 'path'
    assert rich.listed(type('PosixPath', (), {'__module__': 'pathlibs'})) is None


def test_a_value_of_the_old_kind_of_python_2_is_of_the_class_that_it_names() -> None:
    class instance:  # noqa: N801 -- the name of their one type
        __class__ = Own     # type: ignore[assignment]

    assert rich.class_of(instance()) is Own
    assert rich.class_of(Own()) is Own


@WAYS
def test_what_is_derived_from_a_plain_value_arrives_as_that(way: Any) -> None:
    class Number(int):
        pass

    found = way([Number(5), {'k': Number(6)}])
    assert found == [5, {'k': 6}]
    assert type(found[0]) is int


class Owner:
    """Who decodes: it notes what it is to make."""

    def make(self, *args: Any) -> Any:
        return ('made', *args)


def test_what_is_in_a_set_is_made_again_by_its_owner() -> None:
    for kind in set, frozenset:
        value = kind([(..., 'context', 2, 'name'), 1])
        found = rich.restore(Owner(), [value])
        assert found == [kind([('made', 'context', 2, 'name'), 1])]
        assert type(found[0]) is kind


def test_on_the_way_down_a_function_is_found_by_its_name() -> None:
    found = rich.restore(None, {'k': [(..., 'function', 'os.path', 'join'), (..., 'function', __name__, 'Own.method')]})
    assert found == {'k': [os.path.join, Own.method]}


def test_whatever_holds_a_value_it_is_met() -> None:
    met: list[Any] = []

    def meet(item: Any) -> tuple[str, str]:
        met.append(item)
        return 'm', item.__name__

    def place(function: Any) -> tuple[Any, ...]:
        return (..., 'function', 'm', function.__name__)

    assert rich.flat({len: abs}, meet) == {place(len): place(abs)}
    assert rich.flat(CompletedProcess([len], 0), meet) == (..., 'completed', [place(len)], 0, None, None)
    assert rich.flat([(len,), {len}, frozenset([abs])], meet) == [(place(len),), {place(len)}, frozenset([place(abs)])]
    assert met == [len, abs, len, len, len, abs]


@pytest.mark.parametrize('value', [1j, {1, 2}, frozenset([3]), (4, 5), [6], {7: 8}, 'nine', b'ten', 11, 1.5])
def test_what_is_derived_from_what_marshal_knows_is_flat(value: Any) -> None:
    kind = type(value)
    found = rich.flat(type('Own', (kind,), {})(value))
    assert found == value
    assert type(found) is kind


def test_what_is_in_a_dict_is_made_again_by_its_owner() -> None:
    found = rich.restore(Owner(), {(..., 'context', 2, 'a'): (..., 'channel', 3)})
    assert found == {('made', 'context', 2, 'a'): ('made', 'channel', 3)}
