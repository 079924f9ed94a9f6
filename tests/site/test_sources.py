"""The sources of the site: what docs/site/pages.py makes of the repository's pages, without building it."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location('site_' + name, ROOT / 'docs' / 'site' / f'{name}.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


pages, pictures, versions = load('pages'), load('pictures'), load('versions')


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the site is made of, to be changed."""
    for page in (*pages.ELSEWHERE, 'docs'):
        source, target = ROOT / page, tmp_path / page
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    shutil.copytree(ROOT / 'examples', tmp_path / 'examples', dirs_exist_ok=True)
    for folder in 'src', 'scripts', 'tests':
        # Nothing there becomes a page; links lead there.
        (tmp_path / folder).symlink_to(ROOT / folder)
    return tmp_path


# -- texts ------------------------------------------------------------------------


@pytest.mark.parametrize(('heading', 'expected'), [
    ('Which values?', 'which-values'),
    ('econtext.Context.options(…)', 'econtextcontextoptions'),
    ('`run_lines` and [more](x.md)', 'run_lines-and-more'),
    ('Coming from parallel-ssh', 'coming-from-parallel-ssh'),
])  # fmt: skip
def test_anchor(heading: str, expected: str) -> None:
    assert pages.anchor(heading) == expected


def test_equal_headings_have_numbered_anchors() -> None:
    assert pages.anchors('# a\n## run\n```\n## no heading\n```\n## run\n### run\n') == ['a', 'run', 'run-1', 'run-2']


def test_listings_hold_no_links() -> None:
    text = '[a](b.md)\n```python\n[c](d.md)\n```\nand `[e](f.md)` and ![g](h.svg)\n'
    assert list(pages.links(text)) == ['b.md', 'h.svg']
    assert '[c](d.md)' in pages.relinked(text, lambda target: 'changed')


def test_a_link_to_no_page_becomes_text() -> None:
    assert pages.relinked('see [`it`](it.py).', lambda target: None) == 'see `it`.'


BLOCK = st.sampled_from([
    '# One\n', '## Two\n', '## Three (and more)\n', 'words\n', '```python\n## none\n```\n', '### Four\n'])


@given(st.lists(BLOCK).map(''.join))
def test_sections_are_the_page(text: str) -> None:
    found = pages.sections(text)
    assert ''.join(part.text for part in found) == text
    assert [name for part in found for name in part.anchors] == pages.anchors(text)


def test_transitions_are_a_table() -> None:
    table = pages.table_of_states('    [*] --> new\n    new --> ready: mark\n    new --> gone: stop\n')
    assert table.splitlines()[2:] == ['| new | *mark* → ready, *stop* → gone |']


# -- the repository's pages -----------------------------------------------------------


def test_every_page_is_on_the_site() -> None:
    made = pages.Site().made()
    for page in (ROOT / 'docs').rglob('*.md'):
        name = str(page.relative_to(ROOT / 'docs'))
        assert name in made or name == 'reference.md'
    assert {'index.md', 'changes.md', 'contributing.md', 'examples.md', 'reference/index.md'} <= set(made)


def test_every_section_of_the_reference_is_on_one_page() -> None:
    site = pages.Site()
    made = '\n'.join(text for name, text in site.made().items() if name.startswith('reference/'))
    for part in site.sections[1:]:
        assert made.count(f'\n## {part.title}\n') == 1, part.title
    assert set(site.moved) == set(pages.anchors(site.read(pages.REFERENCE))) - {'reference'}


@pytest.mark.parametrize('target', ['nowhere.md', 'files.md#no-such-heading', '../nowhere.svg', '../reference.md#no'])
def test_a_link_that_leads_nowhere_is_an_error(copy: Path, target: str) -> None:
    page = copy / 'docs' / 'howto' / 'sudo.md'
    page.write_text(page.read_text() + f'\nSee [more]({target}).\n')
    with pytest.raises(pages.LinkError, match=r'docs/howto/sudo\.md: '):
        pages.Site(copy).made()


def test_links_lead_to_the_right_pages(copy: Path) -> None:
    page = copy / 'docs' / 'howto' / 'sudo.md'
    # At its end: other pages link to its headings.
    page.write_text(page.read_text() + '[a](../reference.md#brokerfleet) [b](../../CHANGELOG.md) '
                    '[c](../../examples/deploy.py) [d](files.md) [e](https://example.org/#x) '
                    '[f](../../tests/examples/test_examples.py) [g](#errors)\n')
    site = pages.Site(copy)
    assert site.made()['howto/sudo.md'].endswith(
        '\n[a](../reference/broker.md#brokerfleet) [b](../changes.md) [c](../examples.md#deploypy) '
        '[d](files.md) [e](https://example.org/#x) f [g](#errors)\n')
    assert 'https://example.org/#x' in site.external


def test_pictures_are_up_to_date() -> None:
    for name, draw in pictures.PICTURES.items():
        assert (pictures.FOLDER / name).read_text() == draw(), 'run: python3 docs/site/pictures.py'


def test_the_newest_version_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in '0.9.0', '0.10.1', 'development', '0.10.0':
        (tmp_path / name).mkdir()
        (tmp_path / name / 'index.html').touch()
    monkeypatch.setattr(sys, 'argv', ['versions.py', str(tmp_path)])
    versions.main()
    assert '["0.10.1", "0.10.0", "0.9.0", "development"]' in (tmp_path / 'versions.js').read_text()
    assert '0.10.1/index.html' in (tmp_path / 'index.html').read_text()
