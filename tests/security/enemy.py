"""A program that plays a hostile target: it is started in the place of Python, speaks the protocol, and misuses it.

    enemy.py ACT [what a python would be given]

Runs on any Python 3 and imports nothing of econtext: what it knows of the wire it knows by itself.
"""

import os
import struct
import sys
import time
import zlib

MARK = b'\0econtext\0\n'
FORMAT = '>HBLLLL'
CALL, START, HELLO, RESULT, ERROR, DEAD, WANT, LOG, STDIO, REPORT, DATA, CLOSE, CREDIT, BEAT, PART, ASKED = (
    1, 2, *range(16, 30))


def tagged(tag, number, data=b''):
    return b'%s%x:' % (tag, number) + data


def encode(value):
    if value is None:
        return b'n0:'
    if isinstance(value, bool):
        return tagged(b'o', value)
    if isinstance(value, int):
        return tagged(b'i', value)
    if isinstance(value, float):
        return tagged(b'f', 8, struct.pack('>d', value))
    if isinstance(value, bytes):
        return tagged(b'b', len(value), value)
    if isinstance(value, str):
        data = value.encode('utf-8', 'surrogatepass')
        return tagged(b'u', len(data), data)
    if isinstance(value, dict):
        return tagged(b'd', 2 * len(value), b''.join(encode(key) + encode(value[key]) for key in value))
    return tagged(b't' if isinstance(value, tuple) else b'l', len(value), b''.join(map(encode, value)))


def instance(module, name, state):
    """A value of a class of the application, as an honest context says it."""
    return b'x4:' + b''.join(map(encode, ('type', module, name, state)))


class Link:
    """The link to whoever started us."""

    def __init__(self):
        self.out = os.dup(1)
        self.at_end = lambda: None
        self.data = b''
        stream = zlib.decompressobj()
        while not stream.eof:
            stream.decompress(os.read(0, 65536))
        self.data = stream.unused_data
        self.write(MARK)
        self.me = self.frame()[1]

    def write(self, data):
        view = memoryview(data)
        while view:
            view = view[os.write(self.out, view):]

    def more(self):
        data = os.read(0, 65536)
        if not data:
            self.at_end()
            os._exit(0)
        self.data += data

    def frame(self):
        """Return (kind, dst, src, handle, body) of what comes next."""
        while len(self.data) < 19:
            self.more()
        _, kind, dst, src, handle, size = struct.unpack(FORMAT, self.data[:19])
        while len(self.data) < 19 + size:
            self.more()
        body, self.data = self.data[19:19 + size], self.data[19 + size:]
        return kind, dst, src, handle, body

    def call(self):
        """Wait for a call that somebody waits for; return its handle."""
        while True:
            kind, _, _, handle, _ = self.frame()
            if kind == CALL and handle:
                return handle

    def answer_to(self, wanted):
        while True:
            kind, _, _, handle, body = self.frame()
            if handle == wanted and kind in (RESULT, DEAD):
                return body

    def send(self, kind, handle=0, body=b'', dst=0, src=None, size=None, magic=0xEC01):
        src = self.me if src is None else src
        size = len(body) if size is None else size
        self.write(struct.pack(FORMAT, magic, kind, dst, src, handle, size) + body)

    def hello(self, version='3.11.7 (enemy)'):
        self.send(HELLO, 0, encode((version, (3, 11, 7), b'\0\0\0\0', '/enemy', os.getpid(), None)))


REPORTS = [
    ('said', 'err', b'forged'), ('ask', 'password', 'forged: '), ('ready',), ('failed', 'ended', 'forged'),
    ('lost', 'forged', None, False), ('silent', 1.0), ('buried', 0),
]  # fmt: skip


def forge(link):
    """Say of all others whatever can be said, then stay as long as one may."""
    for about in range(1, 60):
        if about != link.me:
            for report in REPORTS:
                link.send(REPORT, about, encode(report))
    stay(link)


def stay(link):
    for number in range(1, 60):
        link.send(WANT, number, encode(('econtext.core.loop', False)))
        link.send(ASKED, number, encode(('guarded.shapes', 'take', ('x',), {}, False)))
        link.send(BEAT, 1)
    link.hello()
    time.sleep(60)


def wait():
    """Until whoever started us has had enough."""
    while os.read(0, 65536):
        pass


class Acts:
    """What it does once somebody calls it; `handle` is of that call."""

    def asks_nonsense(link, handle):
        link.send(29, 7, encode((1, 2, 3)))

    def million_calls(link, handle):
        for number in range(1, 1000000):
            link.send(29, number, encode(("os", "system", ("id",), ())))

    def honest(link, handle):
        link.send(RESULT, handle, encode('honest'))

    def asks_for_ever(link, handle):
        """For the password of a child that it is to start."""
        link.send(RESULT, handle, encode('honest'))
        kind = child = None
        while kind != START:
            kind, _, _, child, _ = link.frame()
        for number in range(1000):
            link.send(REPORT, child, encode(('ask', 'password', 'password %d: ' % number)))

    # More than can go on.

    def answer_without_end(link, handle):
        """An honest one, as far as can be seen by now."""
        link.send(RESULT, handle, b'', size=1 << 30)
        while True:
            link.write(bytes(1 << 16))

    def output_without_end(link, handle):
        while True:
            link.send(STDIO, 1, b'x' * 65000 + b'\n')

    def says_much_beside(link, handle):
        """On what was its standard error, as ssh does."""
        while True:
            os.write(2, b'x' * 1000 + b'\n')

    # What it says once it was given up.

    def forges_when_closed(link, handle):
        link.at_end = lambda: forge(link)
        link.send(RESULT, handle, encode('honest'))

    def forges_when_it_is_late(link, handle):
        link.at_end = lambda: forge(link)

    def buries_its_child_when_closed(link, handle):
        """An honest one, which starts its child and then is closed."""
        link.send(RESULT, handle, encode('honest'))
        kind = child = None
        while kind != START:
            kind, _, _, child, _ = link.frame()
        link.send(REPORT, child, encode(('ready',)))

        def bury():
            link.send(REPORT, child, encode(('lost', 'forged', None, False)))
            link.send(REPORT, child, encode(('buried', 0)))
            time.sleep(60)
        link.at_end = bury

    # Frames.

    def rubbish(link, handle):
        link.write(b'rubbish' * 20)

    def wrong_magic(link, handle):
        link.send(RESULT, handle, encode(1), magic=0xEC02)

    def kind_nobody_knows(link, handle):
        link.send(200, handle, encode(1))

    def kind_that_goes_down(link, handle):
        link.send(CALL, handle, b'')

    def length_too_short(link, handle):
        link.send(RESULT, handle, encode('x' * 100), size=10)

    def length_of_4_gb(link, handle):
        link.send(RESULT, handle, encode(1), size=0xFFFFFFFF)

    def length_beyond_its_kind(link, handle):
        link.send(WANT, handle, b'', size=1 << 20)

    # Who it says it is.

    def source_of_the_sibling(link, handle):
        for src in range(1, 40):
            if src != link.me:
                link.send(RESULT, handle, encode('forged'), src=src)

    def source_of_the_controller(link, handle):
        link.send(RESULT, handle, encode('forged'), src=0)

    def source_of_nobody(link, handle):
        link.send(RESULT, handle, encode('forged'), src=0xFFFFFFFF)

    def frame_for_the_sibling(link, handle):
        for dst in range(1, 40):
            link.send(RESULT, handle, encode('forged'), dst=dst)

    def value_for_the_hop(link, handle):
        for dst in range(1, 40):
            link.send(DATA, 1, encode('forged'), dst=dst)

    def answers_to_others(link, handle):
        for other in range(1, 1000):
            if other != handle:
                link.send(RESULT, other, encode('forged'))

    def dead_in_the_place_of_others(link, handle):
        for other in range(1, 1000):
            if other != handle:
                link.send(DEAD, other)

    def unasked_and_large(link, handle):
        """Judged before the body comes, which never does."""
        link.send(RESULT, handle + 100000, b'', size=1 << 30)

    # What it says.

    def hello_twice(link, handle):
        link.hello()

    def report_of_the_sibling(link, handle):
        for about in range(1, 40):
            link.send(REPORT, about, encode(('lost', 'forged')))

    def report_of_nobody(link, handle):
        link.send(REPORT, 0xFFFFFFFE, encode(('buried', 0)))

    def record_of_another_form(link, handle):
        link.send(LOG, 0, encode(('app', 20)))

    def record_of_lists(link, handle):
        link.send(LOG, 0, encode(('app', 20, 0.0, [[]] * 1000, None)))

    def record_without_end(link, handle):
        link.send(LOG, 0, encode(('app', 20, 0.0, 'x' * (1 << 21), None)))

    def third_stream(link, handle):
        for stream in range(3, 10000):
            link.send(STDIO, stream, b'x')

    def want_of_another_form(link, handle):
        link.send(WANT, 7, encode(['xml', 3]))

    def million_wants(link, handle):
        for number in range(1, 1000000):
            link.send(WANT, number, encode(('econtext.core.loop', False)))

    def many_wants(link, handle):
        """In one go, as many as it may have."""
        out = b''
        for number in range(1, 901):
            body = encode(('no_module_%d' % number, False))
            out += struct.pack(FORMAT, 0xEC01, WANT, 0, link.me, number, len(body)) + body
        link.write(out)

    def million_channels(link, handle):
        for number in range(1, 1000000):
            link.send(DATA, number + 5000, encode('x'))

    # Values.

    def value_is(link, handle, body):
        link.send(RESULT, handle, body)

    def list_without_end(link, handle):
        Acts.value_is(link, handle, b'l7fffffff:')

    def more_than_bytes(link, handle):
        Acts.value_is(link, handle, b'l100000:' + b'n0:' * 1000)

    def type_of_no_table(link, handle):
        Acts.value_is(link, handle, b'x2:u9:os.systemu2:id')

    def colliding_keys(link, handle):
        keys = b''.join(tagged(b'i', number * (2**61 - 1)) + b'n0:' for number in range(1, 200000))
        Acts.value_is(link, handle, tagged(b'd', 399998, keys))

    def keys_of_which_half_collide(link, handle):
        keys = b''.join(tagged(b'i', number * (2**61 - 1)) + b'n0:' for number in range(1, 100000))
        keys += b''.join(tagged(b'i', number) + b'n0:' for number in range(1, 100002))
        Acts.value_is(link, handle, tagged(b'd', 400000, keys))

    def date_made_of_bytes(link, handle):
        Acts.value_is(link, handle, b'x2:u4:dateb4:\0\0\1\0')

    def context_of_the_sibling(link, handle):
        Acts.value_is(link, handle, encode(())[:0] + b'x3:u7:contexti1:u1:x')

    def error_of_another_form(link, handle):
        link.send(ERROR, handle, b'd0:')

    def bytes_behind_a_value(link, handle):
        Acts.value_is(link, handle, b'n0:n0:')

    # Classes of the application. What an honest context could send it gets away with.

    def class_named_by_numbers(link, handle):
        Acts.value_is(link, handle, instance(1, 2, ()))

    def class_in_what_it_says_of_itself(link, handle):
        package = instance('guarded.shapes', 'Package', {'name': 'x'})
        for kind in LOG, REPORT, HELLO:
            link.send(kind, 0, b't5:' + package * 5)

    def class_with_more_than_bytes(link, handle):
        Acts.value_is(link, handle, instance('guarded.shapes', 'Package', None)[:-3] + b'd7ffffffe:')

    def class_with_colliding_keys(link, handle):
        keys = b''.join(tagged(b'i', number * (2**61 - 1)) + b'n0:' for number in range(1, 200000))
        package = instance('guarded.shapes', 'Package', None)[:-3] + tagged(b'd', 399998, keys)
        Acts.value_is(link, handle, package)

    def forged_classes(link, handle):
        for module, name, state in FORGED:
            Acts.value_is(link, handle, instance(module, name, state))
            handle = link.call()
        Acts.value_is(link, handle, encode('all refused'))

    def asks_with_forged_classes(link, handle):
        for number, (module, name, state) in enumerate(FORGED, 1):
            call = b't4:' + encode('guarded.shapes') + encode('take') + b't1:' + instance(module, name, state) + b'd0:'
            link.send(29, number, call)
            while True:
                kind, _, _, answered, body = link.frame()
                if answered == number and kind in (RESULT, ERROR):
                    break
            assert kind == ERROR, body
        Acts.value_is(link, handle, encode('all refused'))

    def package_beyond_measure(link, handle):
        """What the application did not think of: its constructor judges that."""
        fields = {'name': 'x' * (1 << 20)}
        Acts.value_is(link, handle, instance('guarded.shapes', 'Package', fields))

    # What is no crime, or cannot be told from misfortune.

    def deep(link, handle):
        Acts.value_is(link, handle, b't1:' * 100000 + b'n0:')

    def ends_within_a_header(link, handle):
        link.write(b'\xec\x01\x11')
        os._exit(0)

    def ends_within_a_body(link, handle):
        link.send(RESULT, handle, b'u3:', size=1 << 29)
        os._exit(0)

    def never_answers(link, handle):
        wait()

    def never_reads(link, handle):
        time.sleep(60)

    def reads_slowly(link, handle):
        while os.read(0, 1):
            time.sleep(1)

    def writes_slowly(link, handle):
        for byte in struct.pack(FORMAT, 0xEC01, RESULT, 0, link.me, handle, 1 << 29) + bytes(60):
            link.write(bytes([byte]))
            time.sleep(1)

    def logs(link, handle):
        link.send(LOG, 0, encode((
            'app\n2024 ROOT', 40, 1e300, 'a\x1b[2Jb\nCRITICAL forged \u202e', 'Trace\n\x9b31mforged')))
        link.send(LOG, 0, encode(('', 10**12, float('nan'), '5', None)))
        link.send(STDIO, 1, b'\x1b]0;title\x07\r\nCRITICAL printed\n')
        link.send(ERROR, 0, encode(('E', 'm', 'Trace\n\x1b[1mforged', [], None, {})))
        link.send(RESULT, handle, encode('logged'))

    def raises(link, handle):
        link.send(ERROR, handle, encode(('Bad\x1b[2J', 'text\x1b[2J\nmore', 'Trace\x1b[2J', ['OSError', 'x' * 99], ())))

    def spies(link, handle):
        """Ask for what is none of its business; answer with what it got."""
        got = []
        for name in SPIED:
            link.send(WANT, 77, encode(name))
            body = link.answer_to(77)
            if isinstance(name[1], bool):
                body = zlib.decompress(body)
                # marshal of [(name, None)] ends with N.
                body = b'' if body[-1:] == b'N' else body
            if body:
                got.append(name[0] + ' ' + str(name[1]))
        link.send(RESULT, handle, encode(got))


SPIED = [
    ('../../etc/passwd', False), ('/etc/passwd', False), ('..etc.passwd', False), ('.', False), ('', False),
    ('__main__', False), ('json.__main__', False), ('treasure.__main__', False), ('econtext.controller.broker', False),
    ('a.' * 5000 + 'a', False), ('C:\\x', False), ('treasure\0', False), ('\ud800', False),
    ('treasure', '../plain.py'), ('treasure', '/etc/passwd'), ('treasure', '.env'), ('treasure', 'keys/id_rsa'),
    ('treasure', 'keys/../../plain.py'), ('treasure', 'link'), ('treasure', 'fifo'), ('treasure', 'keys'),
    ('treasure', ''), ('treasure', 'no\0file'), ('plain', 'id_rsa'), ('plain', 'plain.py'), ('os', 'os.py'),
    ('econtext', 'controller/broker.py'), ('/etc', 'passwd'), ('sys', 'x'),
]  # fmt: skip


# Classes that the program did not register, and what it registered in another form.
FORGED = [
    ('os', 'system', ('id',)), ('subprocess', 'Popen', {'args': 'id'}), ('builtins', 'eval', ('1',)),
    ('econtext.controller.broker', 'Broker', {}), ('guarded.unseen', 'Seen', ()), ('guarded.shapes', 'take', ('x',)),
    ('guarded.shapes', 'Package.__init__', {}), ('guarded.shapes', 'Beside', {'name': 'x'}), ('', '', ()),
    ('x' * 100000, '\x1b[2J\u202e', ()), ('guarded.shapes', 'Package', {}), ('guarded.shapes', 'Package', {'name': ''}),
    ('guarded.shapes', 'Package', {'name': 'x', 'more': 1}), ('guarded.shapes', 'Package', {'self': 'x'}),
    ('guarded.shapes', 'Package', ('x',)), ('guarded.shapes', 'Package', {'name': 5}),
    ('guarded.shapes', 'Rude', {'word': '\x1b[2J'}), ('guarded.shapes', 'Colour', '__init__'),
    ('guarded.shapes', 'Colour', ['RED']),
]  # fmt: skip


def before(act):
    """Acts of a program that does not become a context."""
    if act == 'prints_for_ever':
        while True:
            os.write(1, b'noise\n' * 1000)
    elif act == 'steers_the_terminal':
        os.write(2, b'\x1b[2JPermission denied\x9b1m\n')
        os._exit(3)
    elif act == 'says_nothing':
        wait()
        os._exit(0)


def wait_for_the_end(link):
    while True:
        link.frame()


def main():
    act = sys.argv[1]
    before(act)
    link = Link()
    if act == 'forges_when_refused':
        link.at_end = lambda: forge(link)
        link.hello('GraalVM 3.11')
        link.call()
        wait_for_the_end(link)
    link.hello()
    while True:
        getattr(Acts, act)(link, link.call())


if __name__ == '__main__':
    main()
