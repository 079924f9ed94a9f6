"""
Packed modules for targets whose Python is older than what ansible-core supports: made older once, and kept.

ansible-core 2.20 and later support Python 3.9, and 2.18 and 2.19 3.8.  What a target from 3.6 on is sent is what
`downlevel` makes of the archive, and of the program around it where the module runs as a program of its own.

Invariants:

* A target that ansible-core supports gets what ansible-core has made, to the byte.
* An archive is made older once for each version, however many hosts wait for that.
* The arguments of a module are in no file: only sources are kept.
* A module whose own source cannot be made older is TooNew.  If another source of its archive cannot, the module runs,
  and fails only if it imports that source.
* Without a folder that belongs to the user alone, all is made anew in each run.

The daemon's event loop enters; sources are made older in one thread beside it.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import secrets
from concurrent.futures import ThreadPoolExecutor

from econtext.ansible import downlevel, payload_cache
from econtext.ansible.archives import Archive, digest_of
from econtext.ansible.payload import Payload

FOLDER = 'older'    # in the folder of kept payloads
SIZE, COUNT = 64 * 1024 * 1024, 20000   # of all that is kept: bytes, and sources
# Of the environment: whether anything is kept, and where; the callback `warm_up` reads the same.
KEEPS, PLACE = 'ECONTEXT_ANSIBLE_PAYLOAD_CACHE', 'ECONTEXT_ANSIBLE_PAYLOAD_CACHE_FOLDER'
NO = '0', 'false', 'no', 'off', 'n', 'f'

Version = tuple[int, int]


def needed(archive: Archive, version: tuple[int, ...]) -> Version | None:
    """Return the version for which the archive has to be made older to run there; None if it need not, or cannot."""
    target = version[0], version[1]
    return target if downlevel.OLDEST <= target <= downlevel.NEWEST and target < archive.minimum else None


class OldTargets:
    """What was made older in this run."""

    def __init__(self) -> None:
        self._archives: dict[tuple[bytes, Version], asyncio.Future[Archive]] = {}
        self._thread = ThreadPoolExecutor(1, 'econtext older')
        self._store: payload_cache.Store | None = None
        self._opened: bool = False

    async def archive(self, archive: Archive, payload: Payload, target: Version) -> Archive:
        """Return the archive made older; raise TooNew if its module cannot be."""
        key = archive.digest, target
        found = self._archives.get(key)
        if found is None:
            loop = asyncio.get_running_loop()
            found = self._archives[key] = loop.run_in_executor(self._thread, self._made, archive, target)
        # Others wait for it too, or will.
        made = await asyncio.shield(found)
        own = made.refused.get(payload.module.replace('.', '/') + '.py')
        if own is not None:
            raise downlevel.TooNew(own)
        return made

    async def program(self, program: bytes, payload: Payload, older: Archive, target: Version) -> bytes:
        """Return the program that holds the packed module, with the archive `older`, and for the same Python."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, program_of, program, payload, older, target)

    # In the thread.

    def _made(self, archive: Archive, target: Version) -> Archive:
        if not self._opened:
            self._opened = True
            self._store = opened_store()
        members, refused = downlevel.downlevel_members(archive.members(), target, self._store)
        digest = digest_of(archive.digest + bytes(target) + downlevel.makers())
        return Archive(digest, members, refused)


def opened_store() -> payload_cache.Store | None:
    """Return the user's folder of sources that were made older; None if there can be none."""
    if os.environ.get(KEEPS, '').strip().lower() in NO:
        return None
    folder = os.environ.get(PLACE) or payload_cache.default_folder()
    try:
        store = payload_cache.Store(os.path.join(os.path.expanduser(folder), FOLDER), SIZE, COUNT)
        store.prune()
        return store
    except (payload_cache.Refused, OSError) as error:
        logging.warning('what is made for an old Python is not kept for the next run: %s', error)
        return None


def program_of(program: bytes, payload: Payload, older: Archive, target: Version) -> bytes:
    """Return `program` with another archive, and made older itself."""
    placeholder = secrets.token_hex(16).encode()
    text = program.replace(payload.archive, placeholder).decode('utf-8', 'surrogateescape')
    # Not remembered: the arguments of the module are in there.
    made = downlevel.lowered(text, target, f'the program of {payload.module}')
    first = text.partition('\n')[0]
    if first.startswith('#!') and not made.startswith('#!'):
        made = f'{first}\n{made}'
    return made.encode('utf-8', 'surrogateescape').replace(placeholder, base64.b64encode(older.zipped()))
