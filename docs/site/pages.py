"""Lays the pages of this repository out as the sources of the site.

The pages are the Markdown files that a clone shows. Nothing is written twice: the front page is README.md, the pages of
the reference are the sections of docs/reference.md, which scripts/reference.py writes from the docstrings.

Invariants:
* Each link of a page leads to a page of the site, or to a file that is copied; a link to another file of the
  repository becomes plain text. A link that leads nowhere is an error.
* What stands in a listing is copied as it is.
* Nothing is read from the network; no file outside the folder of the site is written.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

# Pages that do not stand in docs/: the file here, and the page of the site.
ELSEWHERE = {
    'README.md': 'index.md',
    'CHANGELOG.md': 'changes.md',
    'CONTRIBUTING.md': 'contributing.md',
    'examples/README.md': 'examples.md',
    'LICENSE': 'licence.md',
}
REFERENCE = 'docs/reference.md'
# Each page of the reference: its name, its title, and what the sections' titles match. The first that matches decides.
TOPICS = (
    ('asyncio', 'asyncio', r'\baio\b'),
    ('connectors', 'Connectors', r'^Connectors'),
    ('engines', 'joblib and Dask', r'\b(dask|joblib)\b'),
    ('fleets', 'Fleets', r'Fleet|\.(Results|Futures|Host\w*|Progress)$'),
    ('commands', 'Commands and files', r'^(Commands|Files)\b|Lines?$'),
    ('broker', 'Broker', r'\.(Broker|Attachment|program|Secret)$|^Calls from contexts'),
    ('context', 'Context', r'\.(Context|Context\.options\(…\)|Channel|Stream|Future)$'),
    ('exceptions', 'Exceptions', r'^Exceptions|^Kinds of'),
    ('more', 'Functions and modules', r''),
)
SHOWN = 'broker', 'connectors', 'context', 'commands', 'fleets', 'asyncio', 'engines', 'exceptions', 'more'
# The pages of the side bar, in order; each other page of the folder `design` follows by name.
SIDE = (
    ('Start', ('tutorial', 'how-it-works', 'examples')),
    ('Answers', ('howto/index', 'reference/index', 'reference/reach', 'performance')),
    ('Design', ('design/architecture',)),
    ('Project', ('changes', 'contributing', 'licence')),
)

FENCE = re.compile(r'^(`{3,}|~{3,})[^\n]*\n.*?^\1[ \t]*$', re.MULTILINE | re.DOTALL)
CODE = re.compile(r'(`+)(?!`).+?(?<!`)\1(?!`)', re.DOTALL)
LINK = re.compile(r'(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)')
# In a clone the listing behind it is shown, on the site the picture.
PICTURE = re.compile(r'^<!-- picture: (?P<path>\S+) (?P<alt>.+?) -->\n(?:```.*?^```\n)?', re.MULTILINE | re.DOTALL)
SHOWN_PICTURE = re.compile(r'^!\[(?P<alt>[^\]]+)\]\((?P<path>[^)]*\bpictures/[^)]+)\)\n', re.MULTILINE)
DIAGRAM = re.compile(r'^```mermaid\nstateDiagram-v2\n(.*?)^```\n', re.MULTILINE | re.DOTALL)
HEADING = re.compile(r'^(#{1,6}) (.*)$', re.MULTILINE)


class Section(NamedTuple):
    """A part of the reference page: everything from one heading of the second level to the next."""

    title: str
    text: str
    anchors: tuple[str, ...]  # of its headings, on the page that holds all sections


class LinkError(Exception):
    """A page links to what is not there."""


# -- pure: texts in, texts out --------------------------------------------------


def anchor(heading: str) -> str:
    """Return what the usual renderers call the anchor of a heading."""
    shown = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading)
    return re.sub(r'[^\w\- ]', '', shown.strip().lower()).replace(' ', '-')


def anchors(text: str) -> list[str]:
    """Return the anchors of all headings of a page; those of equal headings are numbered."""
    seen: dict[str, int] = {}
    found = []
    for _, heading in HEADING.findall(FENCE.sub('', text)):
        name = anchor(heading)
        found.append(f'{name}-{seen[name]}' if name in seen else name)
        seen[name] = seen.get(name, 0) + 1
    return found


def prose(text: str, change: Callable[[str], str]) -> str:
    """Return `text` with all that stands outside of listings changed."""
    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return ''.join([*parts, change(text[end:])])


def links(text: str) -> Iterator[str]:
    """Yield the target of each link and image outside of listings."""
    for match in LINK.finditer(CODE.sub('', FENCE.sub('', text))):
        yield match['target']


def relinked(text: str, target: Callable[[str], str | None]) -> str:
    """Return `text` with each target replaced; a link whose target is None becomes plain text."""

    def replace(match: re.Match[str]) -> str:
        found = target(match['target'])
        return match['text'] if found is None else f'{match["image"]}[{match["text"]}]({found})'

    return prose(text, lambda part: LINK.sub(replace, part))


def sections(text: str) -> list[Section]:
    """Return the sections of the reference page; the first, with an empty title, is what stands before them."""
    masked = FENCE.sub(lambda fence: re.sub(r'[^\n]', ' ', fence[0]), text)
    starts = [match.start() for match in re.finditer(r'^## ', masked, re.MULTILINE)]
    named = iter(anchors(text))
    found = []
    for start, end in zip([0, *starts], [*starts, len(text)], strict=True):
        part, plain = text[start:end], masked[start:end]
        title = plain.partition('\n')[0][3:] if start else ''
        found.append(Section(title, part, tuple(next(named) for _ in HEADING.findall(plain))))
    return found


def topic_of(title: str) -> str:
    return next(name for name, _, pattern in TOPICS if re.search(pattern, title))


def inlined(svg: str, alt: str) -> str:
    """Return a picture as a part of a page: the page's style sheet colours it, for dark and light."""
    svg = re.sub(r'<style>.*?</style>\n?', '', svg, flags=re.DOTALL)
    svg = svg.replace('<svg ', f'<svg role="img" aria-label="{alt}" ', 1)
    return f'\n```{{raw}} html\n<figure class="picture">{svg.strip()}</figure>\n```\n'


def table_of_states(diagram: str) -> str:
    """Return the transitions of a Mermaid diagram as a table: nothing on the site draws Mermaid."""
    rows: dict[str, list[str]] = {}
    for start, end, event in re.findall(r'^ *(\S+) --> (\w+)(?:: (.+))?$', diagram, re.MULTILINE):
        if event:
            rows.setdefault(start, []).append(f'*{event}* → {end}')
    return '| state | event → next state |\n|---|---|\n' + ''.join(
        f'| {start} | {", ".join(events)} |\n' for start, events in rows.items())


def toctree(names: list[str], caption: str = '') -> str:
    options = ':hidden:\n' + (f':caption: {caption}\n' if caption else '')
    return f'\n```{{toctree}}\n{options}\n' + '\n'.join(names) + '\n```\n'


# -- the files -------------------------------------------------------------------


class Site:
    """The sources of the site, from the repository at `root`."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        pages = {str(path.relative_to(root)) for path in (root / 'docs').rglob('*.md')}
        self.pages = {**ELSEWHERE, **{page: page.removeprefix('docs/') for page in sorted(pages)}}
        self.pages[REFERENCE] = 'reference/index.md'
        self.sections = sections(self.read(REFERENCE))
        self.external: set[str] = set()
        # On which page of the site each anchor of the reference is, and what the page calls the anchor.
        self.moved: dict[str, tuple[str, str]] = {}
        for name in SHOWN:
            parts = [part for part in self.sections[1:] if topic_of(part.title) == name]
            here = anchors('\n'.join(part.text for part in parts))
            there = [each for part in parts for each in part.anchors]
            self.moved |= {old: (f'reference/{name}.md', new) for old, new in zip(there, here, strict=True)}

    def read(self, page: str) -> str:
        return (self.root / page).read_text('utf-8')

    def anchors(self, page: str) -> list[str]:
        return anchors(self.read(page))

    def resolve(self, page: str, place: str, target: str) -> str | None:
        """Return where the link `target` of `page` leads from the page `place` of the site; None: to no page of it."""
        if re.match(r'[a-z]+:', target):
            self.external.add(target)
            return target
        path, _, fragment = target.partition('#')
        found = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
        if not (self.root / found).exists():
            raise LinkError(f'{page}: {target}: there is no {found}')
        if fragment and found.endswith('.md') and fragment not in self.anchors(found):
            raise LinkError(f'{page}: {target}: {found} has no heading #{fragment}')
        if found == REFERENCE and fragment in self.moved:
            there, fragment = self.moved[fragment]
        elif found in self.pages:
            there = self.pages[found]
        elif found == 'examples':
            there = self.pages['examples/README.md']
        elif found.startswith('examples/') and found.endswith('.py'):
            there, fragment = self.pages['examples/README.md'], anchor(posixpath.basename(found))
        elif found.startswith('docs/') and found.endswith('.svg'):
            there = found.removeprefix('docs/')
        else:
            return None
        if there == place and fragment:
            return '#' + fragment
        return posixpath.relpath(there, posixpath.dirname(place)) + ('#' + fragment if fragment else '')

    def picture(self, path: str, alt: str) -> str:
        return inlined(self.read(posixpath.normpath(path)), alt)

    def text(self, page: str, place: str, text: str | None = None) -> str:
        """Return the text of `page`, or a part of it, as it stands on the page `place` of the site."""
        text = self.read(page) if text is None else text
        folder = posixpath.dirname(page)
        text = SHOWN_PICTURE.sub(lambda match: self.picture(posixpath.join(folder, match['path']), match['alt']), text)
        text = PICTURE.sub(lambda match: self.picture(match['path'], match['alt']), text)
        text = DIAGRAM.sub(lambda match: table_of_states(match[1]), text)
        return relinked(text, lambda target: self.resolve(page, place, target))

    def made(self) -> dict[str, str]:
        """Return all pages of the site."""
        made = {place: self.text(page, place) for page, place in self.pages.items() if page.endswith('.md')}
        made['licence.md'] = '# Licence\n\n```text\n' + self.read('LICENSE') + '```\n'
        made |= self.reference()
        made['examples.md'] += ''.join(
            f'\n## {path.name}\n\n```python\n{path.read_text("utf-8")}```\n'
            for path in sorted((self.root / 'examples').glob('*.py')))
        listed = [target for target in links(self.read('docs/howto/index.md')) if target.endswith('.md')]
        made['howto/index.md'] += toctree(listed)
        designs = sorted(name[:-3] for name in made if name.startswith('design/'))
        for caption, names in SIDE:
            more = [name for name in designs if name not in names] if caption == 'Design' else []
            made['index.md'] += toctree([*names, *more], caption)
        return made

    def reference(self) -> dict[str, str]:
        """Return the pages of the reference: an index, and a page for each topic."""
        made = {}
        for name in SHOWN:
            title = next(title for topic, title, _ in TOPICS if topic == name)
            place = f'reference/{name}.md'
            parts = [part.text for part in self.sections[1:] if topic_of(part.title) == name]
            made[place] = f'# {title}\n\n' + self.text(REFERENCE, place, '\n'.join(parts))
        index = self.text(REFERENCE, 'reference/index.md', self.sections[0].text)
        made['reference/index.md'] = index.rstrip() + '\n' + toctree(list(SHOWN))
        return made

    def write(self, folder: Path) -> None:
        for place, text in self.made().items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, 'utf-8')
        for picture in (self.root / 'docs').rglob('*.svg'):
            copy = folder / picture.relative_to(self.root / 'docs')
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, copy)
        for part in 'conf.py', 'static', 'templates':
            source = self.root / 'docs' / 'site' / part
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / part)


def main() -> None:
    site = Site()
    try:
        site.write(Path(sys.argv[1]))
    except LinkError as error:
        sys.exit(f'docs/site/pages.py: {error}')
    if os.environ.get('SITE_LIST_LINKS'):
        print(*sorted(site.external), sep='\n')


if __name__ == '__main__':
    main()
