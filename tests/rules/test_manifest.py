"""When a module of ours that travels is sent stands in one manifest: the files and the documentation agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from econtext.controller.modules import manifest, repository
from econtext.controller.protocol import classes

ROOT = Path(__file__).parents[2]
ARCHITECTURE = (ROOT / 'docs' / 'design' / 'architecture.md').read_text()
# Connectors are sent ahead of the first context that is to be started by them: the manifest lists none.
LISTED = [ring for ring in manifest.RINGS if ring != 'connectors']
FILES = {f'econtext.{ring}.{path.stem}' for ring in LISTED
         for path in (ROOT / 'src' / 'econtext' / ring).glob('*.py') if path.stem != '__init__'}
ONCE = [manifest.PREAMBLE, manifest.FIRST_WRITE, manifest.AFTER_HELLO, manifest.ON_DEMAND]


def sent(name: str) -> list[str]:
    """Return when the module `name` is sent, in the words of the manifest."""
    return [when for when, names in manifest.SENDINGS.items() if name in names]


@pytest.mark.parametrize('name', sorted(FILES))
def test_each_file_is_named(name: str) -> None:
    assert sent(name), f'say in manifest.py when {name} is sent'


def test_each_name_is_a_file() -> None:
    assert {name for names in manifest.SENDINGS.values() for name in names} == FILES


def test_each_list_is_among_the_sendings() -> None:
    lists = {name: value for name, value in vars(manifest).items() if name.isupper() and isinstance(value, tuple)}
    del lists['RINGS'], lists['PACKAGES'], lists['CASTS']
    assert sorted(lists.values()) == sorted(manifest.SENDINGS.values())


def test_only_what_is_sent_ahead_of_a_use_is_named_twice() -> None:
    for names in manifest.SENDINGS.values():
        assert len(names) == len(set(names))
    for names in ONCE:
        assert {name: sent(name) for name in names if len(sent(name)) != 1} == {}


def test_casts_are_sent_before_they_are_called() -> None:
    assert set(manifest.CASTS) <= set(manifest.AFTER_HELLO)


def rows() -> dict[str, list[str]]:
    """Return the cells of each row of the tables of modules of rings 1 and 2, by the full name."""
    found = {}
    heading = r'^### Ring (1, the|1, behind|2)[^\n]*\n(.*?)(?=^###? )'
    for ring, section in re.findall(heading, ARCHITECTURE, re.MULTILINE | re.DOTALL):
        is_of_modules = False
        for line in section.splitlines():
            name, *cells = [cell.strip() for cell in line.strip('|').split('|')]
            is_of_modules = line.startswith('|') and (is_of_modules or name == 'module')
            if is_of_modules and line.startswith('| `'):
                found['econtext.' + {'1, the': 'core.', '1, behind': 'child.', '2': ''}[ring] + name.strip('`')] = cells
    found.pop('econtext.connectors.*')
    return found


def test_documented_modules() -> None:
    assert set(rows()) == FILES


@pytest.mark.parametrize(('name', 'cells'), [row for row in rows().items() if row[0] not in manifest.PREAMBLE])
def test_documented_sending(name: str, cells: list[str]) -> None:
    assert cells[0] == '; '.join(sent(name))


def test_connectors_import_what_is_sent_with_them() -> None:
    modules = repository.Modules()
    found = {
        name for connector in ('docker', 'su') for name, _ in modules.closure(f'econtext.connectors.{connector}', set())
    }  # fmt: skip
    assert found >= set(manifest.FOR_CONNECTORS)


@pytest.mark.parametrize(('use', 'others'), [
    ('files', 'receiving drafts sending'), ('sending', 'receiving drafts'), ('receiving', 'sending'),
    ('running', 'sending receiving files folders'),
])
def test_a_use_is_sent_without_what_others_need(use: str, others: str) -> None:
    found = {name for name, _ in repository.Modules().closure(f'econtext.child.{use}', set())}
    assert found & {f'econtext.child.{other}' for other in others.split()} == set()


@pytest.mark.parametrize('name', manifest.WITH_CALLS)
def test_what_is_called_here_is_sent_with_the_call(name: str) -> None:
    assert name in dict(repository.Modules().closure(name, set()))


def test_for_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, 'TYPES', {})
    assert classes.carriers() == ()
    monkeypatch.setattr(classes, 'TYPES', {int: ()})
    assert classes.carriers() == manifest.FOR_CLASSES
