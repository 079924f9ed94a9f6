"""Private keys are found in files, whatever stands around them and however they are written."""

from __future__ import annotations

import base64
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from econtext.controller.modules.private_keys import OVERLAP, PIECE, WRAPPED, holds_private_key
from lab import program

PEM = [f'-----BEGIN {kind}PRIVATE KEY-----\nMIIE\n-----END {kind}PRIVATE KEY-----\n' for kind in (
    '', 'RSA ', 'EC ', 'DSA ', 'OPENSSH ', 'ENCRYPTED ', 'ANY ', 'TSS2 ', 'ML-DSA-44 ', 'X25519 ')]  # fmt: skip
TEXTS = [
    *PEM,
    '-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQHY\n',
    'PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\n', 'PuTTY-User-Key-File-3: ssh-ed25519\n',
    'SSH PRIVATE KEY FILE FORMAT 1.1\n\0\0', '---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: "x"\n',
    'openssh-key-v1\0\0\0\0\4none', 'b3BlbnNzaC1rZXktdjEAAAAABG5vbmU', 'AGE-SECRET-KEY-1QQPQYZ',
    '-----BEGIN OpenVPN Static key V1-----\n6acef03f', 'PrivateKey = ' + 'A' * 43 + '=\n',
    'Private-key-format: v1.3\nAlgorithm: 13\n', 'untrusted comment: minisign encrypted secret key\nRWRT\n',
    '(21:protected-private-key(3:rsa', '(private-key (rsa', '== ed25519v1-secret: type0 ==',
    '<RSAKeyValue><Modulus>x</Modulus><D>x</D></RSAKeyValue>',
    '{"kty": "RSA", "n": "x", "e": "AQAB", "d": "' + 'x' * 40 + '"}', '{"k":"' + 'x' * 40 + '","kty":"oct"}',
    '{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END"}',
]  # fmt: skip
HARMLESS = [
    b'', b'x', b'-----BEGIN CERTIFICATE-----\nMIIE\n' * 5000, b'-----BEGIN PUBLIC KEY-----\nMIIE\n',
    b'-----BEGIN RSA PUBLIC KEY-----\n', b'-----BEGIN PGP PUBLIC KEY BLOCK-----\n', b'-----BEGIN PGP SIGNATURE-----',
    b'-----BEGIN EC PARAMETERS-----\n', b'ssh-rsa AAAAB3NzaC1yc2E me\n', b'---- BEGIN SSH2 PUBLIC KEY ----\n',
    b'{"kty": "RSA", "n": "x", "e": "AQAB"}', b'the PRIVATE KEY stays at home', b'PrivateKey = ', b'0' * 5_000_000,
    b'\x30\x82\x03\x00\x30\x82\x02\x00\xa0\x03\x02\x01\x02', b'\x89PNG\r\n\x1a\n' + bytes(100), b'PK\3\4' + bytes(50),
    bytes(range(256)) * 100, b'\x7fELF' + bytes(100), b'GIF89a' + bytes(50), b'0 1 2 3\n', b'untrusted comment: x\n',
]  # fmt: skip


@pytest.mark.parametrize('text', TEXTS, ids=lambda text: text[:24].strip())
@pytest.mark.parametrize('before', [
    '', '\ufeff', '   \t', '> ', '\r\n\r\n', '-----BEGIN CERTIFICATE-----\r\nMIIE\r\n' * 400, 'x' * (PIECE - 9),
    '\0\1\2', '# a comment\n' * 2000,
], ids=['nothing', 'bom', 'indented', 'quoted', 'crlf', 'certificates', 'piece', 'zeros', 'comments'])  # fmt: skip
def test_whatever_stands_before_it(text: str, before: str) -> None:
    for data in ((before + text).encode(), (before + text).replace('\n', '\r\n').encode()):
        assert holds_private_key('x.txt', data)


@pytest.mark.parametrize('text', TEXTS, ids=lambda text: text[:24].strip())
@pytest.mark.parametrize('encoding', ['utf-16', 'utf-16-le', 'utf-16-be', 'utf-32', 'utf-32-be'])
def test_however_it_is_encoded(text: str, encoding: str) -> None:
    # A zero of the format itself is gone with those of the encoding.
    if '\0' not in text:
        assert holds_private_key('x.txt', ('bla\n' + text).encode(encoding))


@given(st.sampled_from(TEXTS), st.integers(0, OVERLAP), st.integers(0, 3))
def test_wherever_pieces_are_cut(text: str, offset: int, count: int) -> None:
    before = b'-' * max(0, count * PIECE - offset)
    assert holds_private_key('x', before + text.encode() + b'y' * 10)


@pytest.mark.parametrize('data', HARMLESS, ids=lambda data: repr(data[:16]))
def test_what_is_none_is_served(data: bytes) -> None:
    assert not holds_private_key('data.bin', data)


def test_in_base64() -> None:
    assert len(set(WRAPPED)) == 7
    for text in PEM[:7]:
        assert holds_private_key('secret.yaml', b'tls.key: ' + base64.b64encode(text.encode()))
    assert not holds_private_key('x.yaml', b'tls.crt: ' + base64.b64encode(b'-----BEGIN CERTIFICATE-----\nMIIE'))


@pytest.mark.parametrize('name', ['x.p12', 'X.PFX', 'key.ppk', 'a.jks', 'id_rsa', 'id_ed25519_sk', 'secring.gpg'])
def test_files_that_are_called_so(name: str) -> None:
    assert holds_private_key(name, b'whatever')
    assert not holds_private_key(name + '.txt', b'whatever')


OPENSSL = {
    'rsa': ['genrsa', '2048'], 'pkcs8': ['genpkey', '-algorithm', 'RSA'],
    'ed25519': ['genpkey', '-algorithm', 'ED25519'],
    'ec': ['ecparam', '-name', 'prime256v1', '-genkey', '-noout'],
}  # fmt: skip


@pytest.mark.parametrize('kind', OPENSSL)
def test_what_openssl_makes(kind: str, tmp_path: Path) -> None:
    openssl = program('openssl')
    if not openssl:
        pytest.skip('no openssl here')
    pem = subprocess.run([openssl, *OPENSSL[kind]], capture_output=True, check=True).stdout
    convert = [openssl, 'pkey', '-outform', 'DER'] + (['-traditional'] if kind in ('rsa', 'ec') else [])
    der = subprocess.run(convert, input=pem, capture_output=True, check=True).stdout
    lock = [openssl, 'pkcs8', '-topk8', '-outform', 'DER', '-passout', 'pass:x']
    locked = subprocess.run(lock, input=pem, capture_output=True, check=True).stdout
    publish = [openssl, 'pkey', '-pubout', '-outform', 'DER']
    public = subprocess.run(publish, input=pem, capture_output=True, check=True).stdout
    assert [holds_private_key('x.bin', each) for each in (pem, der, locked)] == [True] * 3
    assert not holds_private_key('x.bin', public)


def test_a_large_file_takes_little_time() -> None:
    worst = [b'"kty":', b'BEGIN ', b'BEGIN A B\nPRIVATE KEY', b'untrusted comment:  secret ke', b'(11',
             b'PrivateKey= ', b'<RSAKeyValue>', b'"d":"x', b'\0']  # fmt: skip
    for text in worst:
        data = text * ((1 << 24) // len(text))
        start = time.process_time()
        assert not holds_private_key('x', data)
        assert time.process_time() - start < 20 * len(data) / (1 << 24)
