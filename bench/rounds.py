"""Rounds: the contenders of a scenario take turns, A B C A B C …, each turn in a process of its own.

Whatever disturbs the machine for a while so disturbs all of them alike, and a median forgets it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pkgutil
import signal
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import ground as grounds
from bench import scenarios, worker

BOOT = 'import sys; sys.path[:0] = %r; from bench.worker import main; main()'
PATIENCE = {'full': 600, 'quick': 60, 'tiny': 30}  # seconds that one turn may take

Result = dict[str, Any]


def names() -> list[str]:
    """Return all scenarios, in the order of the table."""
    known = (
        'calls calls_one_cpu burst connect connect_ssh trips hop memory payload stream files files_far '
        'hops lines fanout crowd held modules awaited attach logins'
    ).split()
    found = [module.name for module in pkgutil.iter_modules(scenarios.__path__)]
    return [name for name in known if name in found] + [name for name in found if name not in known]


def scenario(name: str) -> Any:
    return importlib.import_module(f'bench.scenarios.{name}')


def run(
    name: str, maker: grounds.Maker, size: str, only: list[str] | None, rounds: int | None,
    say: Callable[[str], None],
) -> dict[str, Result]:  # fmt: skip
    """Run one scenario; return {contender: {'rounds': […]} or {'lacks': why} or {'failed': why}}."""
    module = scenario(name)
    chosen = [contender for contender in module.CONTENDERS if only is None or contender in only]
    try:
        place = maker.provide(getattr(module, 'NEED', ''))
    except grounds.Missing as error:
        return {contender: {'lacks': str(error)} for contender in chosen}
    results: dict[str, Result] = {contender: {'rounds': []} for contender in chosen}
    count = rounds or (1 if size == 'tiny' else module.ROUNDS[size == 'quick'])
    for number in range(count):
        for contender in chosen:
            if 'rounds' in results[contender]:
                say(f'{name} {number + 1}/{count} {contender}')
                answer = turn(name, contender, size, place)
                if 'numbers' in answer:
                    results[contender]['rounds'].append(answer['numbers'])
                else:
                    results[contender] = answer
    return results


def turn(name: str, contender: str, size: str, place: grounds.Ground) -> Result:
    """Give one contender its turn, in a new process."""
    for package in worker.load(contender).packages:
        if importlib.util.find_spec(package) is None:
            return {'lacks': f'{package} is not installed: pip install --group bench'}
    answer = Path(place.folder) / 'answer'
    answer.unlink(missing_ok=True)
    order = {
        'scenario': name, 'contender': contender, 'size': size, 'ground': place.as_dict(), 'answer': str(answer),
    }  # fmt: skip
    process = subprocess.Popen(
        [place.python, '-c', BOOT % place.paths], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, env=grounds.environment(), cwd=place.folder, start_new_session=True,
    )  # fmt: skip
    try:
        errors = process.communicate(json.dumps(order).encode(), PATIENCE[size])[1].decode(errors='replace')
    except subprocess.TimeoutExpired:
        errors = f'no end within {PATIENCE[size]} s'
    finally:
        end(process)
    if answer.exists():
        found: Result = json.loads(answer.read_text())
        return found
    return {'failed': errors}


def end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a turn."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    if process.stderr:
        process.stderr.close()


def medians(results: dict[str, Result]) -> dict[str, dict[str, float]]:
    """Return {contender: {metric: median}}."""
    found: dict[str, dict[str, float]] = {}
    for contender, result in results.items():
        rounds = result.get('rounds', [])
        metrics = {metric: None for numbers in rounds for metric in numbers}
        found[contender] = {
            metric: statistics.median(numbers[metric] for numbers in rounds if metric in numbers) for metric in metrics
        }
    return found
