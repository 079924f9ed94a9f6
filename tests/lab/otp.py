"""A second factor: PAM services that ask for a password and then for a code (RFC 6238).

Invariants:
* A service lasts as long as its block; one test run at a time has it.

Needs root and libpam-google-authenticator.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import hmac
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from lab import require, unavailable

SECRET = b'0123456789'
PAM = """\
auth required pam_unix.so
account required pam_unix.so
password required pam_unix.so
session required pam_unix.so
"""
FACTOR = 'auth required pam_google_authenticator.so secret=/etc/{name}-${{USER}} user=root\n'


def code() -> str:
    """Return the code of now."""
    mac = hmac.digest(SECRET, struct.pack('>Q', int(time.time()) // 30), hashlib.sha1)
    number = struct.unpack('>L', mac[mac[-1] & 15 :][:4])[0] & 0x7FFFFFFF
    return f'{number % 1000000:06}'


@contextlib.contextmanager
def service(name: str, user: str, factors: int = 2) -> Iterator[None]:
    """Have PAM know the service `name`, where `user` can give a password and, if there are two `factors`, a code."""
    require('accounts')
    if not list(Path('/usr/lib').glob('*/security/pam_google_authenticator.so')):
        unavailable('otp: not installed: libpam-google-authenticator')
    service, secret = Path('/etc/pam.d') / name, Path(f'/etc/{name}-{user}')
    with open(f'/run/lock/{name}-pam', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            secret.write_text(base64.b32encode(SECRET).decode() + '\n" TOTP_AUTH\n')
            secret.chmod(0o400)
            service.write_text(PAM + FACTOR.format(name=name) * (factors - 1))
            yield
        finally:
            service.unlink(missing_ok=True)
            secret.unlink(missing_ok=True)
