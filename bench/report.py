"""The table, from the results of a run."""

from __future__ import annotations

import operator
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench import rounds, worker
from bench.scenario import Row

COLUMNS = 'econtext mitogen execnet rpyc pipe'.split()  # what else takes part is a floor
HEADS = ['what', 'measure', 'asked', 'econtext', 'Mitogen', 'execnet', 'rpyc', 'mp Pipe', 'floor']
BEGIN, END = '<!-- bench: begin -->', '<!-- bench: end -->'


def machine() -> dict[str, Any]:
    """Return what the numbers depend on."""
    model, memory = platform.machine(), 0
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                model = line.split(':')[1].strip()
        memory = int(Path('/proc/meminfo').read_text().split()[1]) >> 20
    except OSError:
        pass
    return {
        'processor': model,
        'cores': len(os.sched_getaffinity(0)),
        'memory': f'{memory} GiB',
        'system': f'{platform.system()} {platform.release()}',
        'python': f'{platform.python_implementation()} {platform.python_version()}',
    }


def versions() -> dict[str, str]:
    """Return the versions of the peers."""
    from importlib import metadata

    found = {}
    for name in ('mitogen', 'execnet', 'rpyc'):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = 'not installed'
    return found


def value(row: Row, medians: dict[str, dict[str, float]], contender: str) -> float | None:
    """Return what `row` shows of `contender`."""
    number = medians.get(contender, {}).get(row.metric)
    if number is None or row.base is None:
        return number
    base = medians.get(row.base[0], {}).get(row.base[1])
    if not base:
        return None
    return (number / base - 1) * 100 if row.extra else number / base


def met(row: Row, number: float) -> bool:
    """Is `number` what was asked for?"""
    sign, bound = row.target.split()
    return {'<=': operator.le, '>=': operator.ge}[sign](number, float(bound))  # type: ignore[no-any-return]


def digits(number: float) -> str:
    """Return three digits of a number, and all that stand before the point."""
    if number == 0:
        return '0'
    if abs(number) >= 100:
        return f'{number:,.0f}'
    if abs(number) >= 10:
        return f'{number:.1f}'
    return f'{number:.2f}'


def shown(row: Row, number: float) -> str:
    if row.unit == 'x':
        return digits(number) + ' x'
    if row.extra:
        return f'{number:+.0f} %'
    return f'{digits(number)} {row.unit}'


def table(results: dict[str, Any]) -> list[list[str]]:
    """Return the lines of the table, the heads first."""
    lines = [HEADS]
    for name, found in results['scenarios'].items():
        module = rounds.scenario(name)
        medians = rounds.medians(found)
        floors = [contender for contender in module.CONTENDERS if contender not in COLUMNS]
        what = ''
        for row in module.ROWS:
            what = row.what or what
            cells = []
            for contender in [*COLUMNS, *floors[:1]]:
                number = value(row, medians, contender)
                text = '–' if number is None else shown(row, number)
                if number is not None and contender == 'econtext' and row.target and not met(row, number):
                    text += ' !'
                cells.append(text)
            if set(cells) != {'–'}:
                cells += ['–'] * (len(COLUMNS) + 1 - len(cells))
                lines.append([what, row.measure, row.target, *cells])
                what = ' '
    return lines


def notes(results: dict[str, Any]) -> list[str]:
    """Return why cells are empty."""
    found: list[str] = []
    for name, contenders in results['scenarios'].items():
        for contender, result in contenders.items():
            title = worker.load(contender).title
            if 'lacks' in result:
                found.append(f'{name}: {title}: {result["lacks"]}')
            elif 'failed' in result:
                last = (result['failed'].strip().splitlines() or ['it ended without a word'])[-1]
                found.append(f'{name}: {title} failed: {last}')
    return found


def about(results: dict[str, Any]) -> str:
    facts = results['machine']
    peers = ', '.join(f'{name} {version}' for name, version in results['peers'].items())
    return (
        f'{facts["processor"]}, {facts["cores"]} cores, {facts["memory"]}, {facts["system"]}; '
        f'{facts["python"]} on both ends; {peers}. {results["when"]}, `{results["command"]}`.'
    )


def plain(results: dict[str, Any]) -> str:
    """Return the table as text, for a terminal."""
    lines = table(results)
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    out = []
    for line in lines:
        left = [text.ljust(width) for text, width in zip(line[:3], widths, strict=False)]
        right = [text.rjust(width) for text, width in zip(line[3:], widths[3:], strict=True)]
        out.append('  '.join(left + right).rstrip())
    out.insert(1, '-' * max(map(len, out)))
    return '\n'.join([*out, '', '! asked for and not reached   – not measured', *notes(results), '', about(results)])


def markdown(results: dict[str, Any]) -> str:
    """Return the same for a page."""
    lines = table(results)
    rows = ['| ' + ' | '.join(line) + ' |' for line in lines]
    rows.insert(1, '|---|---|---|' + '--:|' * (len(HEADS) - 3))
    return '\n'.join([about(results), '', *rows, '', *bullets(notes(results))]).rstrip()


def bullets(lines: Iterable[str]) -> list[str]:
    return [f'* {line}' for line in lines]


def rewrite(page: Path, results: dict[str, Any]) -> None:
    """Put the table between the marks of a page."""
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f'{page}: put the lines {BEGIN} and {END} where the table is to stand')
    block = f'{BEGIN}\n\n{markdown(results)}\n\n{END}'
    page.write_text(re.sub(re.escape(BEGIN) + '.*' + re.escape(END), lambda _: block, text, flags=re.DOTALL))
