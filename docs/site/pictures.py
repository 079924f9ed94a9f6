"""Draws the pictures of docs/pictures.

    python3 docs/site/pictures.py

A picture carries colours for light and for dark. On the site the style sheet of the page colours it. A test holds the
files to what this would write (tests/site/test_sources.py).
"""

from __future__ import annotations

from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / 'pictures'
STYLE = """\
<style>
.ground { fill: #fff } .box { fill: #f3f6f6; stroke: #c3cfcf } .home, .head { fill: #0b6e6e } .onhome { fill: #fff }
.ink { fill: #1c2626 } .soft { fill: #5b6b6b } .line { stroke: #8fa3a3; fill: none }
.trip { stroke: #0b6e6e; fill: none }
@media (prefers-color-scheme: dark) {
.ground { fill: #131416 } .box { fill: #1f2526; stroke: #48585a } .home, .head { fill: #4fc3b8 }
.onhome { fill: #0d1112 }
.ink { fill: #dfe8e8 } .soft { fill: #9fb0b0 } .line { stroke: #6b7d7d } .trip { stroke: #4fc3b8 }
}
</style>"""
MONO = 'font-family="ui-monospace, Menlo, Consolas, monospace"'


def picture(width: int, height: int, parts: list[str]) -> str:
    space = 'xmlns="http://www.w3.org/2000/svg"'
    head = f'<svg {space} viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="14">'
    ground = f'<rect class="ground" width="{width}" height="{height}" fill="none"/>'
    return '\n'.join([head, STYLE, ground, *parts, '</svg>', ''])


def text(x: float, y: float, words: str, kind: str = 'ink', anchor: str = 'middle', more: str = '') -> str:
    place = f'x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}"'
    return f'<text {place} {more}>{escape(words)}</text>'.replace(' >', '>')


def box(x: float, y: float, width: float, height: float, kind: str = 'box') -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" class="{kind}"/>'


def arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    """A trip of bytes; they take a while, so it slopes."""
    side = -9 if to_x > x else 9
    head = f'{to_x:g},{to_y:g} {to_x + side:g},{to_y - 5:g} {to_x + side:g},{to_y + 5:g}'
    return (f'<path d="M{x:g} {y:g}L{to_x + side / 2:g} {to_y:g}" class="trip" stroke-width="2"/>'
            f'<polygon points="{head}" class="head"/>')


def call() -> str:
    """How a call travels: time runs downwards."""
    here, there, top, bottom = 120, 600, 78, 470
    parts = [
        box(here - 95, 20, 190, 44, 'home'), text(here, 47, 'your program', 'onhome', more='font-weight="600"'),
        box(there - 95, 20, 190, 44), text(there, 47, 'web1', more='font-weight="600"'),
        f'<path d="M{here} {top}V{bottom}M{there} {top}V{bottom}" class="line" stroke-width="1.5"/>',
    ]
    trips = (
        (96, True, 'the command of ssh', 'it starts Python with the first stage, a few hundred bytes'),
        (166, True, 'preamble, your modules, the call', 'written at once, before any answer'),
        (252, False, 'what the function printed and logged', ''),
        (292, False, 'what the function returned or raised', 'round trips until here: two'),
        (372, True, 'the next call', 'a name and the arguments'),
        (426, False, 'its result', ''),
    )
    middle = (here + there) / 2
    for y, forward, what, more in trips:
        start, end = (here + 4, there - 4) if forward else (there - 4, here + 4)
        parts += [arrow(start, y, end, y + 14), text(middle, y - 5, what)]
        if more:
            parts.append(text(middle, y + 26, more, 'soft', more='font-size="12"'))
    parts += [
        box(there + 8, 176, 104, 66), text(there + 60, 204, 'the function', more='font-size="12"'),
        text(there + 60, 222, 'runs', more='font-size="12"'),
        box(there + 8, 384, 104, 36), text(there + 60, 407, 'and again', more='font-size="12"'),
    ]
    return picture(720, 480, parts)


def tree() -> str:
    """A tree of contexts, each of which started those at its right."""
    width, height = 128, 44
    places = {
        'program': (20, 128), 'bastion': (210, 30), 'db1': (400, 30), 'root': (590, 30),
        'web1': (210, 128), 'app': (400, 128), 'local': (210, 226),
    }
    words = {
        'program': ('your program', ''), 'bastion': ('bastion', "broker.ssh('bastion')"),
        'db1': ('db1', "bastion.ssh('db1')"), 'root': ('root on db1', 'db1.sudo()'),
        'web1': ('web1', "broker.ssh('web1')"), 'app': ('container app', "web1.docker('app')"),
        'local': ('a process here', 'broker.local()'),
    }
    edges = (
        ('program', 'bastion', ''), ('bastion', 'db1', 'ssh'), ('db1', 'root', 'sudo'), ('program', 'web1', ''),
        ('web1', 'app', 'docker'), ('program', 'local', ''),
    )
    parts = []
    for start, end, label in edges:
        (x, y), (to_x, to_y) = places[start], places[end]
        x, y, to_y = x + width, y + height / 2, to_y + height / 2
        curve = f'M{x} {y:g}C{x + 34} {y:g} {to_x - 34} {to_y:g} {to_x} {to_y:g}'
        parts.append(f'<path d="{curve}" class="trip" stroke-width="2"/>')
        if label:
            parts.append(text((x + to_x) / 2, y - 6, label, 'soft', more='font-size="12"'))
    for name, (x, y) in places.items():
        what, code = words[name]
        home = name == 'program'
        parts += [box(x, y, width, height, 'home' if home else 'box'),
                  text(x + width / 2, y + 27, what, 'onhome' if home else 'ink', more='font-weight="600"')]
        if code:
            parts.append(text(x + width / 2, y + height + 18, code, 'soft', more=f'font-size="11" {MONO}'))
    return picture(738, 300, parts)


PICTURES = {'call.svg': call, 'tree.svg': tree}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (FOLDER / name).write_text(draw(), 'utf-8')


if __name__ == '__main__':
    main()
