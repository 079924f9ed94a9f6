"""
Where a context finds a function: under a name, or by its source.

Invariants:

* A function that has a name goes by the name, and costs no more than that.
* What has neither is refused before anything is sent, with the remedy.
* A coroutine function is run there to its end: nobody here could await what it returns.

Any thread may enter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from econtext.controller.protocol.names import Names, NoName, Served, is_coroutine_function

if TYPE_CHECKING:
    from econtext.controller.protocol.captured import Captured


class Places(Names):
    """What tells contexts where functions are."""

    def place_of(self, function: Callable[..., Any], streamed: bool = False) -> tuple[str, str]:
        """
        Return the (module, name) under which `function` is found elsewhere; `streamed`, to iterate over it.

        Of a function that no module holds that is a ``Captured``: what makes the function of its source.  Of a
        coroutine function that is not streamed it is what runs such.
        """
        try:
            found = self.names.get(function)
        except TypeError:
            found = None
        if found is not None:
            return found
        if not streamed and is_coroutine_function(function):
            return self.coroutine_of(function)
        try:
            return self.name_of(function, streamed)
        except NoName:
            return self.capture(function, streamed)

    def coroutine_of(self, function: Callable[..., Any]) -> Served:
        """Return what runs the coroutine function `function` there, see ``child.awaiting``."""
        from econtext.child import awaiting

        runner = awaiting.__name__, awaiting.alone.__name__
        served = Served(runner)
        try:
            place = self.name_of(function, awaited=True)
        except NoName:
            captured = self.capture(function, awaited=True)
            served.told, served.label = captured.told, captured.label
            served.modules = (runner[0], *captured.modules)
        else:
            self.modules.policy.check(place[0])
            served.told, served.label = place, '.'.join(place)
            served.modules = runner[0], place[0]
        return served

    def capture(self, function: Callable[..., Any], streamed: bool = False, awaited: bool = False) -> Captured:
        # Imported when first needed: most programs call functions of modules.
        from econtext.controller.protocol import captured

        captured.check_time(function, streamed, awaited)
        return captured.Capture(self).whole(function)
