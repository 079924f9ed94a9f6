"""Writes the first inputs of the corpus: what honest contexts send, so that the fuzzer begins where it matters.

    python tests/fuzz/seeds.py
"""

from __future__ import annotations

import datetime
import decimal
import pathlib
import uuid
from pathlib import Path

import targets

from econtext.core.codec import encode
from econtext.core.wire import (
    CLOSE,
    CREDIT,
    DATA,
    DEAD,
    ERROR,
    HELLO,
    LOG,
    MARK,
    REPORT,
    RESULT,
    STDIO,
    WANT,
    pack,
)  # fmt: skip

CORPUS = Path(__file__).parent / 'corpus'
HERE = datetime.timezone(datetime.timedelta(hours=2), 'CEST')
VALUES = [
    None, True, -12, 1.5, b'bytes', 'text \u2603', (1, [2], {'k': 3}), {1, 2}, frozenset('ab'), 1j,
    datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 0, 0, 5, HERE), datetime.time(1, 2),
    datetime.timedelta(1, 2, 3), decimal.Decimal('1.50'), uuid.UUID(int=7), pathlib.PurePosixPath('/a/b'),
    targets.Package('a', [targets.Package(1, {targets.Package('k'): None})]),
]  # fmt: skip
BODIES = [
    (HELLO, 0, encode(('3.11.7 (main)', (3, 11, 7), b'\xa7\r\r\n', '/usr/bin/python3', 4711, None))),
    (RESULT, 1, encode({'a': [1, 2]})),
    (ERROR, 1, encode(('ValueError', 'no', 'Traceback', ['ValueError', 'Exception'], ('no',)))),
    (DEAD, 1, b''),
    (WANT, 7, encode(('econtext.child.channels', False))),
    (WANT, 8, encode(('xml', 'etree/x.txt'))),
    (LOG, 0, encode(('app', 20, 1700000000.5, 'text\nmore', None))),
    (STDIO, 1, b'a line\nand half'),
    (REPORT, 2, encode(('said', 'err', b'banner\n'))),
    (REPORT, 2, encode(('failed', 'refused-key', 'Permission denied'))),
    (REPORT, 2, encode(('buried', 255))),
    (DATA, 1, encode('value')),
    (CREDIT, 1, b'ffff'),
    (CLOSE, 1, b''),
]
TALK = [
    MARK, b'Last login: today\n' + MARK + b'rest', b"root's password: ",
    b'[sudo] password for me: \nSorry, try again.\n',
    b'user@host: Permission denied (publickey).\n', b'sh: 1: python3: not found\n', b'noise\0\x1b[2J\n' * 9,
]  # fmt: skip
NAMES = [
    b'xml.etree', b'econtext.child.life', b'econtext.controller', b'../../etc/passwd', b'/etc/passwd', b'__main__',
    b'json.__main__', b'email\narchitecture.rst', b'xml\n../os.py', b'pip\n_vendor/certifi/cacert.pem', b'a.' * 60,
]


def write(target: str, inputs: list[bytes]) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(inputs):
        (folder / f'seed-{number:02d}').write_bytes(data)


def main() -> None:
    sent = {src: [pack(kind, 0, src, handle, len(body)) + body for kind, handle, body in BODIES] for src in (1, 4)}
    write('frames', [b'\x07' + b''.join(sent[1]), b'\x01' + sent[1][0], b'\x00garbage'])
    write('values', [encode(value) for value in VALUES])
    write('handshake', [bytes([connector, source]) + text
                        for text in TALK for connector in (0, 1) for source in (0, 1, 2)][::2])
    write('modules', NAMES)
    write('gate', [b'1' + frame for frame in sent[1]] + [b'4' + b''.join(sent[4])])


if __name__ == '__main__':
    main()
