"""
Payloads that Ansible built, kept for later runs, so that a run builds only those whose sources have changed.

ansible-core builds the payload of each module once a run, and keeps it in a folder of that run (``ansiballz_cache`` in
its local temporary folder).  Before a task that needs a module, the cache puts the payload of an earlier run there; at
the end of a play and of the run it takes from there what is new.  Nothing of ansible-core is changed, and a payload
that is not there is built as ever.

Invariants:

* A payload is put in only if ansible-core would build it of the same sources at that moment, as far as those beside
  ansible-core's own go; its own are those that were there when the play began: `payload_sources`.
* A payload is taken only if its sources were the same before the first task that could build it and are the same now,
  and if each file in it is what stands there now.
* An entry appears whole or not at all, by a rename within the folder.  A damaged one is deleted, and counts as missing.
* The folder belongs to the user alone (0700), and is used through one descriptor, so that nobody can put another in its
  place.  Entries that belong to another user, or are no files, are not read.
* Entries take no more than the limits; those used longest ago go first.
* A payload that ansible-core has put there itself is never replaced.
* No failure of the cache reaches the run: `Refused`, `Unknown`, `Damaged` and OSErrors end the attempt, not the task.

One thread at a time; several processes may use one folder at once.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from collections.abc import Sequence

from econtext.ansible import payload_entries as entries
from econtext.ansible.payload_sources import Installation, Sources, Unknown

SIZE, COUNT = 256 * 1024 * 1024, 2000   # of all entries: bytes, and how many
ENTRY = entries.LARGEST * 2     # bytes of one entry: text of base64, and a header
STALE = 3600.0  # seconds after which an unfinished entry belongs to nobody any more
NAME = re.compile(r'[0-9a-f]{64}')
UNFINISHED = re.compile(r'\.[0-9a-f]{64}\.[0-9a-f]+')
# What ansible-core calls a payload within a run: the module, how the zip is compressed, and from 2.19 on `none` if
# nothing else is in there, such as a debugger.
RUN_NAME = re.compile(r'([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)-(ZIP_[A-Z0-9]+)(-none)?')

# Actions of ansible.builtin -> the modules that they run beside the one that has their own name.
COPYING = ('copy', 'file', 'stat')
FURTHER: dict[str, tuple[str, ...]] = {
    'assemble': COPYING, 'copy': COPYING, 'fetch': ('slurp', 'stat'), 'gather_facts': ('setup',),
    'package': ('setup', 'apt', 'dnf', 'dnf5'), 'dnf': ('setup', 'dnf5'), 'reboot': ('setup', 'find', 'command'),
    'script': ('stat', 'file', 'copy'), 'service': ('setup', 'systemd', 'sysvinit'), 'shell': ('command',),
    'systemd_service': ('systemd',), 'template': COPYING, 'unarchive': ('stat',), 'uri': (), 'yum': ('setup', 'dnf'),
    'wait_for_connection': ('ping',),
}
ASYNCHRONOUS = ('async_wrapper', 'async_status')


class Refused(Exception):
    """A folder cannot keep payloads; the text says why."""


def default_folder() -> str:
    """Return the folder in which this user's payloads are kept, which may not be there yet."""
    home = os.environ.get('XDG_CACHE_HOME') or ''
    if not os.path.isabs(home):
        home = os.path.join(os.path.expanduser('~'), '.cache')
    return os.path.join(home, 'econtext', 'ansible')


def wanted(action: str, *, asynchronous: bool = False) -> list[str]:
    """
    Return the names of the modules that a task may run, beginning with that of its own action.

    >>> wanted('ansible.builtin.template')
    ['ansible.builtin.template', 'ansible.legacy.copy', 'ansible.legacy.file', 'ansible.legacy.stat']
    """
    parts = action.split('.')
    builtin = len(parts) == 1 or parts[:-1] in (['ansible', 'builtin'], ['ansible', 'legacy'])
    further = FURTHER.get(parts[-1], ()) if builtin else ()
    also = [*further, *(ASYNCHRONOUS if asynchronous else ())]
    return [action, *(f'ansible.legacy.{name}' for name in also)]


class Store:
    """
    A private folder of entries, shared by all runs of one user.

    :param folder: an absolute path; it is made if it is not there.
    :param size: bytes that all entries may take.
    :param count: how many entries there may be.

    Raises Refused if the folder belongs to another user, or if other users can enter it.
    """

    def __init__(self, folder: str, size: int = SIZE, count: int = COUNT) -> None:
        self.size: int = size
        self.count: int = count
        self._folder = open_private(folder)

    def close(self) -> None:
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def get(self, name: str) -> bytes | None:
        """Return an entry, or None if there is none that may be read; note that it was used."""
        try:
            number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._folder)
        except OSError:
            return None
        with open(number, 'rb') as opened:
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_size > ENTRY:
                return None
            try:
                content = opened.read()
                os.utime(number)
            except OSError:
                return None
            return content

    def put(self, name: str, entry: bytes) -> None:
        """Write an entry, in place of an older one of that name. Raises OSError if there is no place for it."""
        if not NAME.fullmatch(name):
            raise ValueError('the name of an entry is 64 hexadecimal digits')
        draft = f'.{name}.{secrets.token_hex(8)}'
        try:
            write(draft, entry, self._folder)
            os.rename(draft, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError:
            self.drop(draft)
            raise

    def drop(self, name: str) -> None:
        """Delete an entry, if it is there."""
        try:
            os.unlink(name, dir_fd=self._folder)
        except OSError:
            pass

    def prune(self) -> None:
        """Delete what is over the limits, and what a run that was killed has not finished."""
        found, now = [], time.time()
        with os.scandir(self._folder) as listed:
            names = [each.name for each in listed]
        for name in names:
            try:
                seen = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
            except OSError:
                continue    # another run was quicker
            if NAME.fullmatch(name):
                found.append(entries.Kept(name, seen.st_size, seen.st_mtime))
            elif UNFINISHED.fullmatch(name) and seen.st_mtime < now - STALE:
                self.drop(name)
        for name in entries.surplus(found, self.size, self.count):
            self.drop(name)


class PayloadCache:
    """
    What one run of Ansible does with a store, in its main process.

    :param core: the ansible-core that runs.
    :param store: the entries of earlier runs.
    :param run: the run's own folder, ansible-core's `DEFAULT_LOCAL_TMP`.
    """

    def __init__(self, core: Installation, store: Store, run: str) -> None:
        self.core: Installation = core
        self.store: Store = store
        self.folder: str = os.path.join(run, 'ansiballz_cache')
        self.sources: Sources = Sources(core)
        self.put_in: dict[str, str] = {}    # path of a module -> the name of its payload in the run's folder
        self._keys: dict[str, str] = {}     # path of a module -> the key before its first task
        self._taken: set[str] = set()   # names of files that were looked at

    def before_play(self) -> None:
        """Have ansible-core itself looked at again: see `payload_sources`."""
        self.sources.look_again()

    def before_task(self, modules: Sequence[str], collections: Sequence[str] = ()) -> None:
        """Put in the payloads of these modules, named as a task with these collections names them."""
        try:
            base = self.sources.base()
        except (Unknown, OSError):
            base = ''
        for name in modules:
            path = self.core.module(name, collections)
            if path is None or not path.endswith('.py'):
                continue
            try:
                key = self.sources.key(path, base)
            except (Unknown, OSError):
                key = ''
            if path not in self._keys:
                self._keys[path] = key
                if key:
                    self._put_in(path, key)
            elif path in self.put_in and key != self._keys[path]:
                # Something wrote into the sources during the run: ansible-core builds the payload itself.
                os.unlink(os.path.join(self.folder, self.put_in.pop(path)))
                self._keys[path] = key

    def harvest(self) -> None:
        """Take the payloads that this run has built, and delete those used longest ago."""
        try:
            built = sorted(set(os.listdir(self.folder)) - set(self.put_in.values()) - self._taken)
        except OSError:
            return
        new = False
        for file in built:
            if RUN_NAME.fullmatch(file):
                self._taken.add(file)
                try:
                    new = self._take(file) or new
                except (Unknown, entries.Damaged, OSError):
                    continue
        if new:
            self.store.prune()

    def _put_in(self, path: str, key: str) -> None:
        found = self.store.get(key)
        if found is None:
            return
        try:
            header, payload = entries.unpack(found)
            entries.archive(payload)
            further = self.sources.further(header.collections, header.embeds)
        except entries.Damaged:
            self.store.drop(key)
            return
        except (Unknown, OSError):
            return
        if not RUN_NAME.fullmatch(header.file) or further != header.sources:
            return
        os.makedirs(self.folder, 0o700, exist_ok=True)
        draft = os.path.join(self.folder, f'.{secrets.token_hex(8)}')
        try:
            write(draft, payload)
            os.link(draft, os.path.join(self.folder, header.file))  # not over what ansible-core has put there
            self.put_in[path] = header.file
        except FileExistsError:
            pass
        finally:
            try:
                os.unlink(draft)
            except OSError:
                pass

    def _take(self, file: str) -> bool:
        """Keep one payload of the run, if it is known what it was made of; return whether it was kept."""
        module = file.split('-')[0]
        with open(os.path.join(self.folder, file), 'rb') as opened:
            payload = opened.read(ENTRY)
        members = entries.members(payload)
        main = module.replace('.', '/') + '.py'
        self.sources.look_again()
        base = self.sources.base()
        for path, before in self._keys.items():
            if os.path.basename(path) != os.path.basename(main) or self.sources.key(path, base) != before:
                continue
            try:
                collections, embeds = self.sources.check(members, main, path)
            except Unknown:
                continue
            header = entries.Header(file, tuple(collections), tuple(embeds), self.sources.further(collections, embeds))
            self.store.put(before, entries.pack(header, payload))
            return True
        return False


def open_private(folder: str) -> int:
    """Return a descriptor of a folder that belongs to this user alone; make the folder if it is not there."""
    if not os.path.isabs(folder):
        raise Refused(f'{folder} is no absolute path')
    above = os.path.dirname(folder)
    while not os.path.exists(above):
        above = os.path.dirname(above)
    try:
        if not os.path.exists(folder) and os.stat(above).st_uid not in (os.geteuid(), 0):
            raise Refused(f'{above} belongs to another user')
        os.makedirs(os.path.dirname(folder), 0o700, exist_ok=True)
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            pass
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f'{folder}: {error.strerror}') from error
    found = os.fstat(number)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(number)
        raise Refused(f'{folder} is not a folder of this user alone')
    return number


def write(path: str, content: bytes, folder: int | None = None) -> None:
    """Write a new file that only this user can read."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    with open(number, 'wb') as opened:
        opened.write(content)
