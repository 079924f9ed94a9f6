"""
Whether a file holds a private key.

Invariants:

* All of a file is looked through: whatever stands before a key, and however it is
  indented, ended in lines or encoded in UTF-16 or UTF-32, it is found.
* Time is in proportion to the bytes, with a small factor; memory is one piece of them.
* The formats are a table, which docs/howto/trust.md tells.

Pure; any thread may enter.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

PIECE = 1 << 20     # bytes that are looked through at a time
OVERLAP = 1 << 13   # bytes of it that are looked through again with the next

#: What a file is that is called so, whatever it holds.
NAMES = re.compile(
    r'(?:.*\.(?:ppk|p12|pfx|pkcs12|jks|jceks|bcfks|keystore|kdb|kdbx|keytab|keychain|agekey)'
    r'|id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?|secring\.(?:gpg|pgp)|.*\.secring\.(?:gpg|pgp))\Z',
    re.IGNORECASE | re.DOTALL)

# In base64, as secrets of Kubernetes hold such files: of each kind the words of its first line.
WRAPPED = tuple(
    base64.b64encode(b'-----BEGIN ' + kind + b'PRIVATE KEY')[:-4]
    for kind in (b'', b'RSA ', b'EC ', b'DSA ', b'OPENSSH ', b'ENCRYPTED ', b'ANY ')
)

#: What no file has in it that holds no private key: a text that is looked for, and patterns that are all there.
#: None of these takes more than a step for each byte, whatever the file holds.
MARKS: tuple[tuple[bytes, tuple[re.Pattern[bytes], ...]], ...] = tuple(
    (text, tuple(re.compile(pattern) for pattern in patterns)) for text, *patterns in (
        # PEM of every kind, OpenPGP, ssh.com: RSA, EC, DSA, OPENSSH, ENCRYPTED, ANY, TSS2, SSH2 ENCRYPTED …
        (b'PRIVATE KEY', rb'BEGIN[ \t](?:[A-Za-z0-9._+/-]{1,20}[ \t]){0,4}PRIVATE KEY|SSH PRIVATE KEY FILE FORMAT'),
        (b'PuTTY-User-Key-File-', rb'PuTTY-User-Key-File-\d'),
        (b'openssh-key-v1\0',),
        (b'b3BlbnNzaC1rZXktdj',),
        (b'AGE-SECRET-KEY-',),
        (b'BEGIN OpenVPN ', rb'BEGIN OpenVPN (?:Static|tls-crypt-v2 (?:client|server)) key'),
        (b'PrivateKey', rb'PrivateKey[ \t]*=[ \t]*[A-Za-z0-9+/]{43}='),
        (b'Private-key-format:', rb'Private-key-format:[ \t]*v\d'),
        (b'secret key', rb'untrusted comment:[^\n]{0,80}secret key'),
        (b'private-key', rb'\((?:\d{1,4}:)?(?:protected-|shadowed-)?private-key'),
        (b'== ed25519v1-secret:',),
        (b'RSAKeyValue>', rb'<RSAKeyValue>', rb'<D>'),
        # JSON Web Keys: with a private part, and symmetric ones.
        (b'"kty"', rb'"kty"[ \t\r\n]*:', rb'"[dk]"[ \t\r\n]*:[ \t\r\n]*"[A-Za-z0-9_=-]{16}'),
        (b'LS0tLS1CRUdJTi', b'|'.join(WRAPPED)),
    )
)

# A text in UTF-16 or UTF-32, of either order: with zeros between its letters.
WIDE = re.compile(rb'\0(?:[\x20-\x7e]\0(?:\0\0)?){4}')

# Behind the length of the outermost sequence.
DER = re.compile(
    rb'\x02\x01\x00\x02[\x20-\x84]'                         # PKCS #1: version 0, the modulus
    rb'|\x02\x01\x01\x04[\x14-\x50\x81]'                    # SEC 1: version 1, the number
    rb'|\x02\x01[\x00\x01]\x30.{0,3}\x06.{3,40}?\x04'       # PKCS #8: version, algorithm, the key
    rb'|\x30.{0,3}\x06[\x09\x0a](?:\x2a\x86\x48\x86\xf7\x0d\x01\x05|\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01)'  # encrypted
    rb'|\x02\x01\x03\x30.{0,5}\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07',                                    # PKCS #12
    re.DOTALL)
KEYSTORES = b'\xfe\xed\xfe\xed', b'\xce\xce\xce\xce'
PGP_ALGORITHMS = b'\x01\x02\x03\x10\x11\x12\x13\x16\x19\x1a\x1b\x1c'


def holds_private_key(name: str, data: bytes) -> bool:
    """Is the file called `name`, with that content, one of a private key, or has one in it?"""
    return bool(NAMES.match(name)) or is_binary_key(data) or any(has_mark(piece) for piece in pieces(data))


def pieces(data: bytes) -> Iterator[bytes]:
    """Yield `data` in pieces that overlap; where it has zeros, as wide texts have, also without these."""
    for start in range(0, len(data), PIECE):
        piece = data[max(0, start - OVERLAP) : start + PIECE]
        yield piece
        if b'\0' in piece and WIDE.search(piece.replace(bytes(4), b'')):
            yield piece.replace(b'\0', b'')


def has_mark(piece: bytes) -> bool:
    return any(text in piece and all(pattern.search(piece) for pattern in patterns) for text, patterns in MARKS)


def is_binary_key(data: bytes) -> bool:
    """Does `data` begin as the binary form of a key: of DER, a Java key store, OpenPGP?"""
    head = data[:64]
    if head[:4] in KEYSTORES:
        return True
    if head[:1] == b'\x30' and len(head) > 8:
        size = 2 + (head[1] & 0x7F if head[1] & 0x80 else 0)
        return bool(DER.match(head, size))
    return is_pgp_secret(head)


def is_pgp_secret(head: bytes) -> bool:
    """Is `head` that of a packet of OpenPGP with a secret key, of either form?"""
    if len(head) < 16:
        return False
    if head[0] in (0x94, 0x95, 0x96):
        at = {0x94: 2, 0x95: 3, 0x96: 5}[head[0]]
    elif head[0] == 0xC5:
        at = 2 if head[1] < 192 else 6 if head[1] == 255 else 3
    else:
        return False
    return head[at] in (3, 4, 5, 6) and head[at + (7 if head[at] == 3 else 5)] in PGP_ALGORITHMS
