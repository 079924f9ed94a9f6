"""Draw the numbers of a run, from its JSON file: bars that show libraries side by side, and how the cost grows.

    python -m bench.plot build/bench.json docs/performance/

Needs matplotlib.  A number is a contender's median.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import report, rounds, worker

if TYPE_CHECKING:
    from bench.scenario import Series

COLOURS = {
    'econtext': '#c0392b', 'mitogen': '#2471a3', 'execnet': '#1e8449', 'rpyc': '#7d3c98', 'pipe': '#b9770e',
    'raw': '#566573',
}  # fmt: skip
# What the bars show: scenario, number, title, unit.  Less is better in each.
OVERVIEW = (
    ('calls', 'p50', 'one call', 'us'),
    ('connect', 'connect', 'connect and first call, local', 'ms'),
    ('connect_ssh', 'connect', 'the same over ssh', 'ms'),
    ('trips', 'modules@30', 'first call, 31 modules', 'round trips'),
    ('hop', 'local', 'a further context behind it', 'round trips'),
    ('memory', 'more', 'memory of a context', 'MB'),
)
SHOWN = 'econtext mitogen execnet rpyc'.split()
STYLE: dict[str, Any] = {
    'svg.fonttype': 'none',     # letters, which the reader's browser draws
    'svg.hashsalt': 'econtext',     # the same numbers make the same file
    'font.family': 'sans-serif', 'font.size': 10, 'axes.titlesize': 11,
    'axes.spines.top': False, 'axes.spines.right': False, 'axes.grid': True,
    'grid.color': '#dddddd', 'axes.axisbelow': True,
}

Points = list[tuple[float, float]]


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


def draw(series: Series, found: dict[str, Points], path: Path) -> None:
    """Draw how a cost grows: a line for each contender."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout='constrained')
    axes = figure.add_subplot(title=series.title, xlabel=series.x, ylabel=series.y)
    for contender, points in found.items():
        axes.plot(*zip(*points, strict=True), 'o-', markersize=4, color=COLOURS.get(contender, '#000000'),
                  label=worker.load(contender).title)
    if series.log:
        axes.set(xscale='log', yscale='log')
    else:
        axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    save(figure, path)


def draw_overview(scenarios: dict[str, Any], path: Path) -> None:
    """Draw the libraries side by side, in what was measured of `OVERVIEW`."""
    from matplotlib.figure import Figure

    medians = {scenario: rounds.medians(scenarios.get(scenario, {})) for scenario, *_ in OVERVIEW}
    measured = [each for each in OVERVIEW if each[1] in medians[each[0]].get('econtext', ())]
    if not measured:
        return
    height = (len(measured) + 1) // 2
    figure = Figure(figsize=(7.2, 1.6 * height), layout='constrained')
    for place, (scenario, metric, title, unit) in enumerate(measured, 1):
        numbers = {
            name: medians[scenario][name][metric] for name in SHOWN if metric in medians[scenario].get(name, ())}
        axes = figure.add_subplot(height, 2, place, title=f'{title} ({unit})')
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.invert_yaxis()
        bars = axes.barh(
            [worker.load(name).title for name in numbers], list(numbers.values()),
            color=[COLOURS[name] for name in numbers])
        axes.bar_label(bars, [report.digits(number) for number in numbers.values()], padding=3)
        axes.margins(x=0.15)
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    figure.savefig(path, format='svg', metadata={'Date': None})
    print(path)


def main(source: str, target: str) -> int:
    try:
        import matplotlib as mpl
    except ImportError:
        sys.exit('The drawings need matplotlib: pip install --group bench')
    results = json.loads(Path(source).read_text())
    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        draw_overview(results['scenarios'], folder / 'overview.svg')
        for name, found in results['scenarios'].items():
            for series in getattr(rounds.scenario(name), 'SERIES', ()):
                drawn = lines(found, series.metric)
                if drawn:
                    draw(series, drawn, folder / f'{name}-{series.metric}.svg')
    return 0


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
