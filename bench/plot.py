"""Draw how the cost grows: one SVG for each series, from the JSON file of a run.

    python -m bench.plot build/bench.json docs/performance/

Needs nothing but Python. A line is a contender's medians.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from bench import rounds, worker
from bench.scenario import Series

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 80, 150, 50, 55
COLOURS = {
    'econtext': '#c0392b', 'mitogen': '#2471a3', 'execnet': '#1e8449', 'rpyc': '#7d3c98', 'pipe': '#b9770e',
    'raw': '#566573',
}  # fmt: skip

Points = list[tuple[float, float]]
Scale = Callable[[float], float]


def lines(results: dict[str, Any], metric: str) -> dict[str, Points]:
    """Return {contender: points} of one series."""
    found: dict[str, Points] = {}
    for contender, numbers in rounds.medians(results).items():
        points = sorted(
            (float(name.split('@')[1]), number) for name, number in numbers.items() if name.startswith(metric + '@')
        )
        if points:
            found[contender] = points
    return found


def scale(values: list[float], begin: float, end: float, log: bool) -> tuple[Scale, list[float]]:
    """Return what turns a value into a place, and where to mark the axis."""
    if log:
        # A difference, of memory say, may be nothing or less: it is drawn at the bottom.
        shown = [value for value in values if value > 0] or [1.0]
        low, high = math.floor(math.log10(min(shown))), math.ceil(math.log10(max(shown)))
        high = max(high, low + 1)
        ticks = [10.0**power for power in range(low, high + 1)]
        return lambda value: begin + (math.log10(max(value, ticks[0])) - low) / (high - low) * (end - begin), ticks
    top = max(*values, 0.0) or 1.0
    step = 10.0 ** math.floor(math.log10(top))
    step = next(part for part in (step / 5, step / 2, step, step * 2) if top / part <= 6)
    count = math.ceil(top / step)
    return lambda value: begin + value / (count * step) * (end - begin), [n * step for n in range(count + 1)]


def short(value: float) -> str:
    for bound, unit in ((1e6, ' M'), (1e3, ' k')):
        if value >= bound:
            return f'{value / bound:g}{unit}'
    return f'{value:g}'


def draw(series: Series, found: dict[str, Points]) -> str:
    """Return the drawing."""
    across, marks = scale([x for points in found.values() for x, _ in points], LEFT, WIDTH - RIGHT, series.log)
    up, steps = scale([y for points in found.values() for _, y in points], HEIGHT - BOTTOM, TOP, series.log)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(series.title)}</text>',
    ]

    def text(x: float, y: float, words: str, anchor: str = 'middle', colour: str = '#333') -> None:
        out.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>')

    def line(x1: float, y1: float, x2: float, y2: float) -> None:
        out.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>')

    for value in marks:
        line(across(value), TOP, across(value), HEIGHT - BOTTOM)
        text(across(value), HEIGHT - BOTTOM + 18, short(value))
    for value in steps:
        line(LEFT, up(value), WIDTH - RIGHT, up(value))
        text(LEFT - 8, up(value) + 4, short(value), 'end')
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, series.x)
    text(LEFT - 8, TOP - 12, series.y, 'end')
    taken: list[float] = []
    for contender, points in sorted(found.items(), key=lambda item: up(item[1][-1][1])):
        colour = COLOURS.get(contender, '#000')
        path = ' '.join(f'{across(x):.1f},{up(y):.1f}' for x, y in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
        place = max(up(points[-1][1]) + 4, (taken[-1] if taken else 0) + 15)
        taken.append(place)
        text(WIDTH - RIGHT + 10, place, worker.load(contender).title, 'start', colour)
    return '\n'.join([*out, '</svg>', ''])


def main(source: str, target: str) -> int:
    results = json.loads(Path(source).read_text())
    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in results['scenarios'].items():
        for series in getattr(rounds.scenario(name), 'SERIES', ()):
            drawn = lines(found, series.metric)
            if drawn:
                path = folder / f'{name}-{series.metric}.svg'
                path.write_text(draw(series, drawn))
                print(path)
    return 0


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
