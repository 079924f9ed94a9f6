"""One turn: a process that measures one contender in one scenario.

Imports little before the contender does, so that each pays for its own imports.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from typing import TYPE_CHECKING, Any

from bench import far  # noqa: F401 -- loaded before anything is measured
from bench.contender import Contender, Lacks

if TYPE_CHECKING:
    from bench.ground import Ground


def load(name: str) -> type[Contender]:
    """Return the adapter of a contender."""
    found: type[Contender] = importlib.import_module(f'bench.contenders.{name}').Adapter
    return found


def turn(scenario: str, contender: str, size: str, ground: Ground) -> dict[str, Any]:
    """Return the numbers, or why there are none."""
    module = importlib.import_module(f'bench.scenarios.{scenario}')
    adapter = load(contender)(ground)
    try:
        try:
            return {'numbers': module.measure(adapter, size)}
        finally:
            adapter.close()
    except Lacks as error:
        return {'lacks': str(error)}
    except Exception:
        import traceback

        return {'failed': traceback.format_exc()}


def main() -> None:
    order = json.load(sys.stdin)
    sys.stdin.close()
    ground: Any = types.SimpleNamespace(**order['ground'])
    answer = turn(order['scenario'], order['contender'], order['size'], ground)
    with open(order['answer'], 'w') as file:
        json.dump(answer, file)
