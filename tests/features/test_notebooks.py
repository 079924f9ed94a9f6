"""Notebooks: a real kernel of Jupyter runs cells that use contexts; and IPython in a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lab
from lab import kernel
from lab.kernel import INTERRUPT, Outputs, html_of, text_of

# One kernel runs all of these, in order.
CELLS = {
    'start': '''
import asyncio, functools, os, time
import econtext
broker = econtext.Broker()
box = broker.local(name='box')
''',
    'shown before': 'box',
    'function': '''
FACTOR = 3
def triple(number):
    return number * FACTOR
box.call(triple, 2)
''',
    'of another cell': '''
def both(number):
    return triple(number), os.getpid() == box_pid
box_pid = box.call(os.getpid)
box.call(both, 5)
''',
    'closures': '''
def adder(step):
    return lambda number: number + step
box.call(adder(10), 1), box.call(lambda: FACTOR), box.call(functools.partial(triple, number=4)), list(
    box.stream(lambda: (each * 2 for each in range(3))))
''',
    'again': '''
def triple(number):
    return 'three times', number
FACTOR = 100
box.call(triple, 2), box.call(both, 5), box.call(lambda: FACTOR)
''',
    'raises': '''
def divide(number):
    # The line below is the one.
    return 1 // number  # division of the cell
def outer(number):
    return divide(number)  # called by the cell
box.call(outer, 0)
''',
    'raised': '''
try:
    box.call(outer, 0)
except ZeroDivisionError as error:
    print(isinstance(error, econtext.CallError), error.context)
''',
    'cannot cross': '''
class Local:
    password = 'geheim'
local = Local()
box.call(lambda: local.password)
''',
    'registered': '''
class Point:
    pass
econtext.register(Point)
''',
    'output': '''
def talk():
    print('said in the box')
    os.system('echo said by a program')
box.call(talk)
''',
    'shown': 'box',
    'fleet': '''
def connect(broker, host):
    return broker.local(name=host.name)
fleet = broker.fleet([econtext.Host('alpha', groups=['greek']), 'beta <b>'], connector=connect)
fleet
''',
    'results': '''
def work(name):
    if name == 'beta <b>':
        raise ValueError('no <script> of mine')
    return {'name': name}
results = fleet.map(work, list(fleet))
results
''',
    'futures': 'futures = fleet.submit(os.getpid); futures.results(); futures',
    'fleet connected': 'fleet',
    'progress': 'fleet.options(progress=True).call(time.sleep, 0.01); None',
    'progress of files': '''
import tempfile
folder = tempfile.mkdtemp()
box.put(b'x' * 5000, folder + '/there', progress=True)
os.unlink(folder + '/there'); os.rmdir(folder)
''',
    'awaited': '''
alone = econtext.aio.Broker(blocking=broker)
web = alone.local(name='web')
async def meet(number):
    await asyncio.sleep(0)
    return number * FACTOR, os.getpid()
several = await asyncio.gather(*(web.call(meet, 1) for _ in range(5)))
(await web.call(meet, 2))[0], await web.call(triple, 1), len(set(several))
''',
    'awaited there': 'box.call(meet, 3)[0], [each[0] for each in fleet.call(meet, 4).values()]',
    'awaited shown': 'web',
    'awaited stream': '[each async for each in web.stream(lambda: range(3))]',
    'interrupted': f'''
def wait():
    print({INTERRUPT!r}, flush=True)
    time.sleep(60)
box.call(wait)
''',
    'free again': 'box.call(len, "abc")',
    'interrupted await': 'await web.call(wait)',
    'web is free again': 'await web.call(len, "abcd")',
    'closed': 'await web.close(); fleet.close(); broker.close()',
    'lost': 'box',
    'left': '''
import subprocess
subprocess.run(['ps', '--ppid', str(os.getpid()), '-o', 'args='], stdout=subprocess.PIPE, text=True).stdout
''',
}  # fmt: skip
FAILING = {'raises', 'cannot cross', 'registered', 'interrupted', 'interrupted await'}


@pytest.fixture(scope='module')
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outputs]:
    """Return what each cell shows."""
    return dict(zip(CELLS, kernel.run(list(CELLS.values()), tmp_path_factory.mktemp('notebook')), strict=True))


@pytest.mark.parametrize('name', CELLS)
def test_no_other_cell_fails(cells: dict[str, Outputs], name: str) -> None:
    failed = [each['ename'] for each in cells[name] if each['output_type'] == 'error']
    assert bool(failed) == (name in FAILING), text_of(cells[name])


def test_functions_of_cells(cells: dict[str, Outputs]) -> None:
    assert text_of(cells['function']) == '6'
    assert text_of(cells['of another cell']) == '(15, True)'
    assert text_of(cells['closures']) == '(11, 3, 12, [0, 2, 4])'


def test_a_function_that_a_later_cell_defines_again(cells: dict[str, Outputs]) -> None:
    assert text_of(cells['again']) == "(('three times', 2), (('three times', 5), True), 100)"


def test_a_traceback_shows_the_lines_of_the_cell(cells: dict[str, Outputs]) -> None:
    text = text_of(cells['raises'])
    there = text[text.rindex('In context box:'):]
    assert 'return 1 // number  # division of the cell' in there
    assert 'return divide(number)  # called by the cell' in there
    assert re.search(r'line 3, in divide\n', there)
    assert 'sourced' not in there
    assert 'in Context.call' not in text, 'frames of the library stand between the cell and the error'
    assert 'in Caller.run' not in text
    assert text_of(cells['raised']).strip() == 'True box'


def test_what_cannot_cross_is_refused_by_name(cells: dict[str, Outputs]) -> None:
    text = text_of(cells['cannot cross'])
    assert 'TypeError' in text
    assert 'uses local' in text
    assert 'In context' not in text


def test_a_class_of_a_cell_is_not_registered(cells: dict[str, Outputs]) -> None:
    assert 'Point is of no file' in text_of(cells['registered'])
    assert 'move it to a module' in text_of(cells['registered'])


def test_output_shows_in_the_cell_that_called(cells: dict[str, Outputs]) -> None:
    streams = [each for each in cells['output'] if each['output_type'] == 'stream']
    assert {each['name'] for each in streams} == {'stderr'}
    assert ''.join(each['text'] for each in streams) == '[box] said in the box\n[box] said by a program\n'
    others = {'output', 'interrupted', 'interrupted await', 'raised', 'progress', 'progress of files'}
    assert [name for name in set(CELLS) - others if any(each['output_type'] == 'stream' for each in cells[name])] == []


def test_contexts_show_as_tables(cells: dict[str, Outputs]) -> None:
    assert text_of(cells['shown before']) in (
        '<econtext.Context box starting>', '<econtext.Context box ready>')
    html = html_of(cells['shown'])
    assert 'econtext.Context box: ready' in html
    version = '.'.join(map(str, sys.version_info[:3]))
    assert f'<tr><th>Python</th><td style="text-align: left">{version}</td></tr>' in html
    assert 'econtext.aio.Context web: ready' in html_of(cells['awaited shown'])
    lost = html_of(cells['lost'])
    assert 'econtext.Context box: lost' in lost
    assert 'the broker was closed' in lost


def test_fleets_and_results_show_as_tables(cells: dict[str, Outputs]) -> None:
    html = html_of(cells['fleet'])
    assert 'econtext.Fleet of 2 hosts' in html
    assert '<tr><td>alpha</td><td style="text-align: left">not connected</td>' in html
    assert 'greek' in html
    assert html_of(cells['fleet connected']).count('>connected<') == 2
    html = html_of(cells['results'])
    assert 'econtext.Results: 1 succeeded, 1 failed' in html
    assert '{&#x27;name&#x27;: &#x27;alpha&#x27;}' in html
    assert 'ValueError: no &lt;script&gt; of mine' in html
    assert 'beta &lt;b&gt;' in html
    assert '<script' not in html
    assert '<b>' not in html
    assert html_of(cells['futures']).count('>succeeded<') == 2


def test_a_bar_shows_how_far_it_is(cells: dict[str, Outputs]) -> None:
    (bar,) = cells['progress']
    assert bar['output_type'] == 'display_data'
    assert bar['data']['text/html'].startswith('<progress value="2" max="2"></progress> 2/2 hosts: 2 done')
    bar = cells['progress of files'][0]
    assert bar['data']['text/html'].startswith('<progress value="5000" max="5000"></progress> ')
    assert '5.0 kB of 5.0 kB' in bar['data']['text/html']


def test_cells_may_await(cells: dict[str, Outputs]) -> None:
    assert text_of(cells['awaited']) == "(200, ('three times', 1), 1)"
    assert text_of(cells['awaited there']) == '(300, [400, 400])'
    assert text_of(cells['awaited stream']) == '[0, 1, 2]'


def test_an_interrupted_cell_interrupts_the_function(cells: dict[str, Outputs]) -> None:
    assert cells['interrupted'][-1]['ename'] == 'KeyboardInterrupt'
    assert text_of(cells['free again']) == '3'
    assert cells['interrupted await'][-1]['ename'] in ('KeyboardInterrupt', 'CancelledError')
    assert text_of(cells['web is free again']) == '4'


def test_closing_the_broker_leaves_no_process(cells: dict[str, Outputs]) -> None:
    assert 'econtext' not in text_of(cells['left'])


# -- IPython in a terminal -------------------------------------------------------

TYPED = '''
import econtext, os, time
broker = econtext.Broker(); box = broker.local(name='box')
FACTOR = 3
def triple(number):
    print('in the box')
    return number * FACTOR  # typed here

box.call(triple, 2)
def triple(number):
    return 'another', number // 0  # typed later

box.call(triple, 2)
box
await econtext.aio.Broker(blocking=broker).local(name='web').call(len, 'abc')
broker.close(); print('the end')
'''


def test_ipython_in_a_terminal(tmp_path: Path) -> None:
    lab.require_modules('IPython')
    environment = {**os.environ, 'PYTHONPATH': str(kernel.SRC), 'IPYTHONDIR': str(tmp_path), 'HOME': str(tmp_path)}
    done = subprocess.run(
        [sys.executable, '-m', 'IPython', '--simple-prompt', '--no-banner', '--colors=NoColor'], input=TYPED,
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=True)
    assert '[box] in the box\n' in done.stdout
    assert ': 6\n' in done.stdout
    assert "return 'another', number // 0  # typed later" in done.stdout[done.stdout.rindex('In context box:'):]
    assert '<econtext.Context box ready>' in done.stdout
    assert ': 3\n' in done.stdout
    assert 'the end' in done.stdout
