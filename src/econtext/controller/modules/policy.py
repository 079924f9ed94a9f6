"""
Which modules may leave this program.

Invariants:

* What is denied is never sent: not with a call, not on request, none of its files.
* econtext's own modules, and the target's standard library, are no question here.

Any thread may enter.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from econtext.child.labels import seen
from econtext.controller.errors import NotAllowed

MOST = 10000    # verdicts that are remembered


class Policy:
    """
    What `allow` and `deny` say of modules.

    Each is patterns of names; one that fits a package counts for all that is in it.
    `main` is the name under which the program travels, which ``__main__`` stands for too.
    """

    def __init__(
        self, allow: Iterable[str] | None = None, deny: Iterable[str] = (), main: str = ''
    ) -> None:
        self.allow: tuple[str, ...] | None = None if allow is None else patterns('allow_modules', allow)
        self.deny: tuple[str, ...] = patterns('deny_modules', deny)
        self.main = main
        self.verdicts: dict[str, str] = {}

    @property
    def is_set(self) -> bool:
        """Is anything forbidden?"""
        return self.allow is not None or bool(self.deny)

    def objection(self, name: str) -> str:
        """Say what forbids sending module `name`; nothing if nothing does."""
        if not self.is_set:
            return ''
        found = self.verdicts.get(name)
        if found is None:
            if len(self.verdicts) >= MOST:
                self.verdicts.clear()
            found = self.verdicts[name] = self.judge(name)
        return found

    def denies(self, name: str) -> bool:
        """Does `deny` name module `name`, or a package that it is in?"""
        parts = name.split('.')
        return fits(['.'.join(parts[:count]) for count in range(len(parts), 0, -1)], self.deny)

    def judge(self, name: str) -> str:
        if name.partition('.')[0] == 'econtext':
            return ''
        names = [name, '__main__'] if name == self.main else [name]
        while '.' in names[-1]:
            names.append(names[-1].rpartition('.')[0])
        if fits(names, self.deny):
            return f'module {name} is not to leave this program: deny_modules= of its Broker names it'
        if self.allow is not None and not fits(names, self.allow):
            if names[-1] in sys.stdlib_module_names:
                return ''
            return f'module {name} is not to leave this program: allow_modules= of its Broker does not name it'
        return ''

    def check(self, name: str) -> None:
        """Raise NotAllowed if module `name` may not be sent."""
        objection = self.objection(name)
        if objection:
            raise NotAllowed(objection)


def patterns(option: str, values: Iterable[str]) -> tuple[str, ...]:
    found: tuple[object, ...] = tuple(values)
    if isinstance(values, str) or not all(isinstance(value, str) for value in found):
        raise TypeError(f'{option}= must be a list of names of modules, not {seen(values)}')
    return tuple(str(value) for value in found)


def fits(names: list[str], among: tuple[str, ...]) -> bool:
    # Few brokers have patterns.
    import fnmatch

    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in among)
