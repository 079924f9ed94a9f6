"""
Where this Python looks for installed packages: brought up to date in a process that started before they were installed.

Python looks once, when it starts, which of these folders are there, and what their ``.pth`` files add.  A module of
Ansible may use what an earlier task has installed: into a folder that was not there yet, or by such a file.

Invariants:

* Where nothing was installed, a look costs one question to the system for each folder.
* Behind `renew`, packages are found in the order in which a new process finds them.  Folders that were added in
  another way come last.

Entered by `ansiballz`, in forks only, but for the first `seen`, when this module is loaded.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import os
import sys


def seen():
    # type: () -> dict[str, float | None]
    """Return when each folder for installed packages has changed; None for one that is not there."""
    site = sys.modules.get('site')  # type: Any
    found = {}  # type: dict[str, float | None]
    # Some programs bring a `site` of their own, which has less.
    if hasattr(site, 'getsitepackages') and hasattr(site, 'addusersitepackages'):
        folders = list(site.getsitepackages())
        if site.ENABLE_USER_SITE:
            folders.insert(0, site.getusersitepackages())
        for folder in folders:
            try:
                found[folder] = os.stat(folder).st_mtime
            except OSError:
                found[folder] = None
    return found


AT_START = seen()


def update(home):
    # type: (bool) -> None
    """Look where a new process would look; `home` says that the home folder is another one than at the start."""
    if home and AT_START:
        # Computed anew, from the variable.
        for name in 'USER_BASE', 'USER_SITE':
            setattr(sys.modules['site'], name, None)
    if home or seen() != AT_START:
        renew(list(AT_START) + list(seen()))


def renew(folders):
    # type: (list[str]) -> None
    """Take the folders for packages out of the path, and have `site` add those that are there now."""
    site = sys.modules.get('site')  # type: Any
    if not folders:
        return
    first = min([index for index, entry in enumerate(sys.path) if entry in folders] + [len(sys.path)])
    behind = [entry for entry in sys.path[first:] if entry not in folders]
    del sys.path[first:]
    known = set([site.makepath(entry)[1] for entry in sys.path])
    site.addusersitepackages(known)
    site.addsitepackages(known)
    sys.path.extend([entry for entry in behind if entry not in sys.path])
    # Else a folder that was not there before is not looked into.
    __import__('importlib')
    sys.modules['importlib'].invalidate_caches()
