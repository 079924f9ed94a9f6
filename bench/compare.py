"""This tree beside an earlier one: has anything become slower?

    python -m bench.compare REVISION [--only NAME …] [--rounds N]

Each scenario of `bench` runs in turns: this tree, the other tree, this tree, … Each turn is a process of its own.
Each line shows one number of a scenario as a cost: the time, or the inverse of a throughput, of this tree divided
by that of the other tree. 1.03 means 3 % slower than before. The middle figure is the ratio of the medians; `low` and
`high` are the smallest and the largest ratio of two neighbouring turns, and tell how far the machine can be trusted.

Invariants:
* The two trees differ in the package alone: scenarios, adapters, interpreter and ground are those of this tree.
* The order within a pair changes from pair to pair, so that no tree always follows the other.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import statistics
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from bench import ground as grounds
from bench import report, rounds
from bench.__main__ import progress

#: What is measured unless told otherwise: the rows that a change of the engine touches.
USUAL = 'calls_one_cpu calls burst connect stream lines hops fanout'.split()
PAIRS = {'full': 9, 'quick': 3, 'tiny': 1}


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m bench.compare', description='Measure this tree beside an earlier one.')
    add = parser.add_argument
    add('revision', help='what git calls the other tree, such as HEAD~20')
    add('--size', choices=('full', 'quick', 'tiny'), default='full')
    add('--only', action='append', choices=rounds.names(), metavar='NAME', help='this scenario; may be repeated')
    add('--rounds', type=int, help='how many pairs of turns each scenario has')
    add('--json', type=Path, metavar='FILE', help='where all numbers go')
    return parser.parse_args(words)


def unpack(revision: str, folder: Path) -> Path:
    """Return a folder that holds `src` as it was at `revision`."""
    archive = subprocess.run(
        ['git', 'archive', revision, 'src'], cwd=grounds.ROOT, check=True, stdout=subprocess.PIPE,
    ).stdout  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(archive)) as file:
        file.extractall(folder)
    return folder / 'src'


def measure(options: argparse.Namespace) -> dict[str, list[tuple[Any, Any]]]:
    """Return {scenario: [(numbers of this tree, numbers of the other tree), …]}."""
    maker = grounds.Maker()
    found: dict[str, list[tuple[Any, Any]]] = {}
    try:
        other = maker.install_econtext(unpack(options.revision, maker.folder / 'earlier'), 'built-earlier')
        maker.compile(other)
        here = str(maker.folder / 'built')
        for name in options.only or USUAL:
            place = maker.provide(getattr(rounds.scenario(name), 'NEED', ''))
            paths = [str(other) if path == here else path for path in place.paths]
            places = place, dataclasses.replace(place, paths=paths)
            count = options.rounds or PAIRS[options.size]
            found[name] = []
            for number in range(count):
                progress(f'{name} {number + 1}/{count}')
                pair: list[Any] = [None, None]
                for which in ((0, 1), (1, 0))[number % 2]:
                    answer = rounds.turn(name, 'econtext', options.size, places[which])
                    if 'numbers' not in answer:
                        raise SystemExit(f'{name} failed with the {("new", "earlier")[which]} tree: {answer}')
                    pair[which] = answer['numbers']
                found[name].append((pair[0], pair[1]))
    finally:
        progress('')
        maker.close()
    return found


def costs(name: str, pairs: list[tuple[Any, Any]]) -> dict[str, tuple[float, float, float]]:
    """Return {metric: (ratio of the medians, lowest ratio, highest ratio)}, above 1 where this tree is slower."""
    module = rounds.scenario(name)
    high = {row.metric for row in module.ROWS if row.high}
    series = tuple(f'{metric.partition("@")[0]}@' for metric in high)
    high |= {metric for metric in pairs[0][0] if metric.startswith(series)}
    found = {}
    for metric in pairs[0][0]:
        both = [(new[metric], old[metric]) for new, old in pairs if new.get(metric) and old.get(metric)]
        if not both:
            continue
        if metric in high:
            both = [(1 / new, 1 / old) for new, old in both]
        middle = statistics.median(new for new, _ in both) / statistics.median(old for _, old in both)
        each = [new / old for new, old in both]
        found[metric] = middle, min(each), max(each)
    return found


def main(words: list[str]) -> int:
    options = arguments(words)
    found = measure(options)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + '\n')
    print(f'{"scenario":14} {"number":14} {"cost now / before":>18} {"low":>7} {"high":>7}')
    for name, pairs in found.items():
        for metric, (middle, low, high) in costs(name, pairs).items():
            print(f'{name:14} {metric:14} {middle:18.3f} {low:7.2f} {high:7.2f}')
    facts = report.machine()
    print(f'\n{facts["processor"]}, {facts["cores"]} cores, {facts["python"]}; before: {options.revision}')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
