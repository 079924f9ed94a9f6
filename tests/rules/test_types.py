"""Types of what travels hold: mypy finds a misspelt attribute and a wrong argument in each ring; no import is idle."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from econtext.controller.modules import manifest, packer

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / 'src' / 'econtext'
FILES = sorted(path for ring in manifest.RINGS for path in (PACKAGE / ring).glob('*.py'))
# What Python 2 alone has.
BUILTINS = 'buffer', 'long', 'unicode', 'xrange'

# (file, what is there, what is planted in its place, part of what mypy says).
FAULTS = (
    ('core/router.py', 'out.transport.send(kind,', 'out.transport.sent(kind,', 'has no attribute "sent"'),
    ('core/loop.py', 'self.loop.finish(self)', 'self.loop.finish(self.kind)', 'incompatible type "int"'),
    ('child/life.py', 'self.flow.release()', 'self.flow.releese()', 'has no attribute "releese"'),
    ('child/life.py', 'self.nursery.end(wait)', 'self.nursery.end(wait, 1)', 'Too many arguments'),
    ('child/supervisor.py', 'self.home.watch.before()', 'self.home.watch.befor()', 'has no attribute "befor"'),
    ('child/bulk.py', 'self.lanes.forget(who)', 'self.lanes.forget(self.link)', 'incompatible type "Link"'),
    ('child/channels.py', 'home.holders.hold(owner,', 'home.holders.hald(owner,', 'has no attribute "hald"'),
    ('child/upward.py', 'home.router.ask(', 'home.router.asc(', 'has no attribute "asc"'),
    ('parent/nursery.py', 'birth.hurry(HURRY)', 'birth.hury(HURRY)', 'has no attribute "hury"'),
    ('parent/nursery.py', 'self.give_up(birth, self', 'self.give_up(birth, who, self', 'Too many arguments'),
    ('parent/children.py', 'self.home.attend(self.who, self.link,', 'self.home.attend(self.link, self.who,',
     'incompatible type "Link"'),
    ('parent/backlog.py', 'self.watch.mask = 0', 'self.watch.mast = 0', 'has no attribute "mast"'),
    ('parent/judge.py', 'link.hang_up()', 'link.hang_upp()', 'has no attribute "hang_upp"'),
    ('connectors/chroot.py', 'boxes.named(options,', 'boxes.names(options,', 'has no attribute "names"'),
    ('connectors/bubblewrap.py', "boxes.program(options, OPTIONS,", "boxes.program('', OPTIONS,",
     'incompatible type "str"'),
    ('connectors/fork.py', 'home.fork()', 'home.forc()', 'has no attribute "forc"'),
)  # fmt: skip


@pytest.mark.deadline(300)
def test_faults_are_found_in_each_ring(tmp_path: Path) -> None:
    shutil.copytree(ROOT / 'src', tmp_path / 'src', ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('pyproject.toml', 'hatch_build.py', 'preamble_size.py'):
        shutil.copy(ROOT / name, tmp_path / name)
    wanted = []
    for name, before, after, words in FAULTS:
        path = tmp_path / 'src' / 'econtext' / name
        text = path.read_text('utf-8')
        assert before in text, f'{name} has changed: plant another fault'
        at = text.index(before)
        path.write_text(text[:at] + after + text[at + len(before):], 'utf-8')
        wanted.append((name, text[:at].count('\n') + 1, words))
    done = subprocess.run(
        [sys.executable, '-m', 'mypy', '--cache-dir', str(tmp_path / 'cache')], cwd=tmp_path,
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    found = re.findall(r'^src/econtext/(\S+?):(\d+): error: (.*)$', done.stdout, re.MULTILINE)
    missed = [
        (name, line, words) for name, line, words in wanted
        if not any((file, int(row)) == (name, line) and words in said for file, row, said in found)
    ]  # fmt: skip
    assert missed == [], done.stdout
    assert {(name, int(row)) for name, row, _ in found} == {(name, line) for name, line, _ in wanted}, done.stdout
    assert {name.partition('/')[0] for name, *_ in FAULTS} == set(manifest.RINGS)


def test_nothing_is_left_unchecked() -> None:
    """Of the checks that are off for the rings, none hides a name, an attribute or an argument."""
    text = (ROOT / 'pyproject.toml').read_text()
    off = re.findall(r'disable_error_code = \[(.*?)\n\]', text, re.DOTALL)
    assert set(re.findall(r'"([a-z-]+)"', ' '.join(off))) == {'import-not-found', 'no-redef', 'truthy-bool'}


def block(text: str) -> list[str]:
    """Return the names that a file's block for type checkers binds."""
    found: list[str] = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == 'TYPE_CHECKING':
            for each in node.body:
                if isinstance(each, (ast.Import, ast.ImportFrom)):
                    found += [alias.asname or alias.name for alias in each.names]
    return found


@pytest.mark.parametrize('path', FILES, ids=lambda path: f'{path.parent.name}/{path.name}')
def test_each_name_that_is_imported_for_types_is_in_one(path: Path) -> None:
    text = path.read_text('utf-8')
    comments = ' '.join(re.findall(r'# type: (?!ignore)(.*)', text))
    lines = zip(text.split('\n'), packer.untyped(text).split('\n'), strict=True)
    protocols = ' '.join(before for before, after in lines if before != after and ' import ' not in before)
    assert [name for name in block(text) if not re.search(rf'\b{name}\b', f'{comments} {protocols}')] == []


def test_code_needs_each_import_and_no_name_of_a_type(tmp_path: Path) -> None:
    for path in FILES:
        copy = tmp_path / path.relative_to(PACKAGE)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(packer.untyped(path.read_text('utf-8')), 'utf-8')
    done = subprocess.run(
        [sys.executable, '-m', 'ruff', 'check', '--isolated', '--no-cache', '--select', 'F401,F821',
         '--output-format', 'concise', '--config', f'builtins={list(BUILTINS)!r}', str(tmp_path)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
