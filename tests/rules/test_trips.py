"""What docs/design/architecture.md says of where things happen: the trips of a call, a connect and a printed line, and
the functions of behaviours.

Each step of a trip names a function in a file.  The syntax tree must hold the function, and a real run must visit the
steps in their order.  What one end does stands in order; what an end does behind a step that sends came after that step
on the other end.  Nothing else is ordered between two processes.  A step that begins with MEANWHILE begins behind the
one before, and runs beside those that follow.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trips

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / 'src' / 'econtext'
PAGE = ROOT / 'docs' / 'design' / 'architecture.md'
HEADINGS = {'connect': 'A connect', 'call': 'A call', 'line': 'A printed line'}
ENDS = {'program': 'controller', 'context': 'context'}
STEP = re.compile(r'^\| (program|context) \| `([\w/]+\.py):([\w.]+)` \| (.+) \|$', re.MULTILINE)
MEANWHILE = 'Meanwhile'
# What hands bytes to the other end.
SENDING = {'Bulk.send', 'Link.open', 'Link.send', 'Link.write'}


class Step(NamedTuple):
    end: str
    file: str
    function: str
    sentence: str = ''


class Visit(NamedTuple):
    time: int
    end: str
    file: str
    function: str


def steps(trip: str, page: str) -> list[Step]:
    """Return the steps of `trip`, as the page has them."""
    section = page.partition(f'\n### {HEADINGS[trip]}\n')[2].partition('\n#')[0]
    rows = [line for line in section.splitlines() if line.startswith('| ') and not line.startswith('| end |')]
    found = STEP.findall(section)
    assert len(found) == len(rows), f'{HEADINGS[trip]}: a row has another form: {rows}'
    return [Step(*each) for each in found]


def functions(path: Path) -> dict[int, str]:
    """Return the names of all functions in `path`, each by the first line of its code."""
    found: dict[int, str] = {}

    def walk(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                if isinstance(child, ast.FunctionDef):
                    line = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
                    found[line] = prefix + child.name
                walk(child, f'{prefix}{child.name}.')
            else:
                walk(child, prefix)

    walk(ast.parse(path.read_text(encoding='utf-8')), '')
    return found


def first_missed(listed: list[Step], visits: list[Visit]) -> Step | None:
    """Return the first of `listed` that `visits` do not have in its place, None if they have all."""
    at = dict.fromkeys(ENDS.values(), 0)    # the time of the step before, by the end
    sent = dict.fromkeys(ENDS.values(), 0)    # when an end sent last, of what was listed so far
    for step in listed:
        end = ENDS[step.end]
        other = max(time for each, time in sent.items() if each != end)
        found = next((visit for visit in visits if visit.time > max(at[end], other)
                      and visit[1:] == (end, step.file, step.function)), None)
        if found is None:
            return step
        if not step.sentence.startswith(MEANWHILE):
            at[end] = found.time
        if step.function in SENDING:
            sent[end] = found.time
    return None


@pytest.fixture(scope='module')
def visited(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Visit]]:
    """Return what ran during each trip, in its order."""
    folder = tmp_path_factory.mktemp('trips')
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name('trips.py')), str(folder)], capture_output=True, text=True,
        timeout=120, env={'PYTHONPATH': str(ROOT / 'src'), 'PATH': '/usr/bin:/bin'})  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, '42\nstdout: hello\n', '')
    return sort([line.split() for end in ENDS.values() for line in (folder / end).read_text().splitlines()])


def sort(lines: list[list[str]]) -> dict[str, list[Visit]]:
    """Return the visits of each trip, of the lines of both records."""
    known: dict[str, dict[int, str]] = {}
    found: dict[str, list[Visit]] = {trip: [] for trip in trips.TRIPS}
    now = ''
    for time, end, module, what in sorted(lines, key=lambda line: int(line[0])):
        if module in ('begin', 'end'):
            now = what if module == 'begin' else ''
        elif now:
            file = module.removeprefix('econtext.').replace('.', '/') + '.py'
            if file not in known:
                known[file] = functions(SOURCE / file) if (SOURCE / file).exists() else {}
            found[now].append(Visit(int(time), end, file, known[file].get(int(what), '')))
    return found


def rows() -> Iterator[tuple[str, Step]]:
    text = PAGE.read_text(encoding='utf-8')
    for trip in trips.TRIPS:
        for step in steps(trip, text):
            yield trip, step


@pytest.mark.parametrize(('trip', 'step'), list(rows()), ids=str)
def test_each_step_is_a_function_of_its_file(trip: str, step: Step) -> None:
    assert step.function in functions(SOURCE / step.file).values()
    assert step.sentence.endswith('.')


def places() -> list[tuple[str, str, str]]:
    """Return the file, function and test of each row of the table of behaviours."""
    section = PAGE.read_text(encoding='utf-8').partition('\n## Where is …?\n')[2].partition('\n#')[0]
    found = re.findall(r'^\| [^|]+ \| `([\w/]+\.py):([\w.]+)` \| `([\w/]+\.py)` \|$', section, re.MULTILINE)
    assert len(found) == section.count('\n| ') - 1 >= 15
    return found


@pytest.mark.parametrize(('file', 'function', 'test'), places())
def test_each_behaviour_has_its_function_and_its_test(file: str, function: str, test: str) -> None:
    assert function in functions(SOURCE / file).values()
    assert (ROOT / test).exists()


@pytest.mark.parametrize('trip', trips.TRIPS)
def test_each_trip_goes_both_ways(trip: str) -> None:
    ends = [step.end for step in steps(trip, PAGE.read_text(encoding='utf-8'))]
    assert set(ends) == set(ENDS)
    assert len(ends) >= 12


@pytest.mark.deadline(150)
@pytest.mark.parametrize('trip', trips.TRIPS)
def test_a_run_makes_the_trip(trip: str, visited: dict[str, list[Visit]]) -> None:
    missed = first_missed(steps(trip, PAGE.read_text(encoding='utf-8')), visited[trip])
    assert missed is None, '\n'.join(f'{end} {file}:{function}' for _, end, file, function in visited[trip])


@pytest.mark.deadline(150)
@pytest.mark.parametrize('trip', trips.TRIPS)
def test_a_run_makes_no_trip_with_two_steps_exchanged(trip: str, visited: dict[str, list[Visit]]) -> None:
    listed = steps(trip, PAGE.read_text(encoding='utf-8'))
    exchanged = [listed[-1], *listed[1:-1], listed[0]]
    assert first_missed(exchanged, visited[trip]) is not None


@pytest.mark.deadline(150)
@pytest.mark.parametrize('trip', trips.TRIPS)
def test_a_run_visits_no_function_that_is_not_there(trip: str, visited: dict[str, list[Visit]]) -> None:
    listed = steps(trip, PAGE.read_text(encoding='utf-8'))
    wrong = Step('context', 'core/calls.py', 'Dispatcher.answer')
    assert first_missed([*listed[:3], wrong, *listed[3:]], visited[trip]) == wrong


def test_nothing_is_received_before_it_was_sent() -> None:
    sends, takes = Step('program', 'child/bulk.py', 'Bulk.send'), Step('context', 'child/bulk.py', 'Bulk.take')
    early = [Visit(1, 'context', *takes[1:3]), Visit(2, 'controller', *sends[1:3])]
    assert first_missed([sends, takes], early) == takes
    assert first_missed([sends, takes], [*early, Visit(3, 'context', *takes[1:3])]) is None
