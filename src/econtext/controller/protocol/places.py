"""
Where a context finds a function: under a name, or by its source.

Invariants:

* A function that has a name goes by the name, and costs no more than that.
* What has neither is refused before anything is sent, with the remedy.

Any thread may enter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from econtext.controller.protocol.names import Names, NoName

if TYPE_CHECKING:
    from econtext.controller.protocol.captured import Captured


class Places(Names):
    """What tells contexts where functions are."""

    def place_of(self, function: Callable[..., Any], streamed: bool = False) -> tuple[str, str]:
        """
        Return the (module, name) under which `function` is found elsewhere; `streamed`, to iterate over it.

        Of a function that no module holds that is a ``Captured``: what makes the function of its source.
        """
        try:
            found = self.names.get(function)
        except TypeError:
            found = None
        if found is not None:
            return found
        try:
            return self.name_of(function, streamed)
        except NoName:
            return self.capture(function, streamed)

    def capture(self, function: Callable[..., Any], streamed: bool) -> Captured:
        # Imported when first needed: most programs call functions of modules.
        from econtext.controller.protocol import captured

        captured.check_time(function, streamed)
        return captured.Capture(self).whole(function)
