"""What notebooks show of contexts, fleets and results: tables whose texts stay texts, within bounds."""

from __future__ import annotations

import html.parser
from typing import Any

import pytest

import econtext
from econtext.controller import notebook
from econtext.controller.raised import CallError


class Reader(html.parser.HTMLParser):
    """Reads the cells of a table, and the tags that it is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.caption = ''
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag == 'tr':
            self.rows.append([])
        elif tag in ('td', 'th'):
            self.rows[-1].append('')

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip('\n')
        else:
            self.caption += data.strip('\n')


TAGS = {'table', 'caption', 'thead', 'tbody', 'tr', 'th', 'td'}
HOSTILE = '</td><script>alert("1")</script>&amp;\x1b[31m\u202e'


def test_texts_stay_texts() -> None:
    found = Reader(notebook.table(HOSTILE, (HOSTILE, 'b'), [(HOSTILE, HOSTILE)]))
    assert found.tags == TAGS
    plain = HOSTILE.replace('\x1b', '\\x1b').replace('\u202e', '\\u202e')
    assert found.caption == plain
    assert found.rows == [[plain, 'b'], [plain, plain]]


def test_without_a_head_the_first_cell_is_the_heading() -> None:
    text = notebook.table('x', (), [('a', 'b')])
    assert '<th>a</th>' in text
    assert 'thead' not in text


def test_there_are_so_many_rows() -> None:
    found = Reader(notebook.table('x', ('a', 'b'), [(str(number), '') for number in range(1234)]))
    assert len(found.rows) == notebook.MOST + 2
    assert found.rows[-1] == ['and 1,134 more']


def test_values_are_cut() -> None:
    assert notebook.value({'a': [1, 'b']}) == "{'a': [1, 'b']}"
    for long in (
            'x' * 10**6, list(range(10**6)), dict.fromkeys(range(1000), 'x' * 1000), 10**1000,
            [[[[[[1]]]]]]):
        assert len(notebook.value(long)) <= notebook.LONGEST + 2

    class Fails:
        def __repr__(self) -> str:
            raise ValueError('no repr')

    assert 'Fails' in notebook.value(Fails())


def test_an_exception_is_its_first_line() -> None:
    assert notebook.failure(ValueError('one\ntwo')) == 'ValueError: one'
    assert notebook.failure(ValueError()) == 'ValueError'
    assert notebook.failure(CallError('web', 'app.Wrong', 'because', 'Traceback')) == 'app.Wrong: because'
    assert notebook.failure(econtext.ContextLost('web: gone')) == 'ContextLost: web: gone'


def test_of_many_results_those_that_failed_come_first() -> None:
    hosts = [f'host{number}' for number in range(300)]
    failures = {host: ValueError('no') for host in hosts[250:]}
    results: Any = econtext.Results(hosts, dict.fromkeys(hosts[:200], 1), failures)
    found = Reader(results._repr_html_())
    assert found.caption == 'econtext.Results: 200 succeeded, 50 failed, 50 skipped'
    states = [row[1] for row in found.rows[1:-1]]
    assert sorted(set(states)) == ['failed', 'skipped']
    few: Any = econtext.Results(hosts[:3], {'host0': 1}, {'host1': ValueError('no')})
    assert Reader(few._repr_html_()).rows[1:] == [
        ['host0', 'succeeded', '1'], ['host1', 'failed', 'ValueError: no'], ['host2', 'skipped', '']]


def test_it_runs_in_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__('sys').modules, 'IPython', raising=False)
    assert not notebook.is_notebook()
