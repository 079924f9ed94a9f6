"""Run the bench; see docs/performance.md."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from bench import report, rounds
from bench.ground import Maker


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m bench', description='Measure econtext and its peers, side by side.')
    add = parser.add_argument
    add('--quick', action='store_const', dest='size', const='quick', help='fewer rounds of less: under two minutes')
    add('--size', choices=('full', 'quick', 'tiny'), help='tiny: does it work at all?')
    add('--only', action='append', choices=rounds.names(), metavar='NAME', help='this scenario; may be repeated')
    add('--contender', action='append', metavar='NAME', help='this contender; may be repeated')
    add('--rounds', type=int, help='turns of each contender in each scenario')
    add('--json', type=Path, default=Path('build/bench.json'), metavar='FILE', help='where all numbers go')
    add('--read', type=Path, metavar='FILE', help='measure nothing: show the numbers of an earlier run')
    add('--docs', type=Path, metavar='PAGE', help='put the table into this page, between its marks')
    add('--list', action='store_true', help='list the scenarios')
    parser.set_defaults(size='full')  # shared by two options
    return parser.parse_args(words)


def measure(options: argparse.Namespace, command: str) -> dict[str, Any]:
    results: dict[str, Any] = {
        'machine': report.machine(),
        'peers': report.versions(),
        'when': time.strftime('%Y-%m-%d'),
        'command': command,
        'size': options.size,
        'seconds': {},
        'scenarios': {},
    }
    # A thousand children take some thousand descriptors.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16384 if hard == resource.RLIM_INFINITY else min(hard, 16384)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    maker = Maker()
    try:
        for name in options.only or rounds.names():
            begun = time.monotonic()
            results['scenarios'][name] = rounds.run(
                name, maker, options.size, options.contender, options.rounds, progress
            )
            results['seconds'][name] = round(time.monotonic() - begun, 1)
    finally:
        progress('')
        maker.close()
    return results


def progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f'\r{text:70}\r')
        sys.stderr.flush()


def main(words: list[str]) -> int:
    options = arguments(words)
    if options.list:
        for name in rounds.names():
            print(f'{name:12} {rounds.scenario(name).__doc__.splitlines()[0]}')
        return 0
    if options.read:
        results = json.loads(options.read.read_text())
    else:
        results = measure(options, ' '.join(['python -m bench', *words]))
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=1) + '\n')
    print(report.plain(results))
    if options.docs:
        report.rewrite(options.docs, results)
    failed = [name for found in results['scenarios'].values() for name, result in found.items() if 'failed' in result]
    return 1 if 'econtext' in failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
