"""Every listing of the README and of docs/ is Python, and every program among them runs and prints what the page says.

A program is a listing that imports econtext, or a neighbour that it is compared with. A page's programs run in order,
in one folder, with the argument `lab`; every host's name leads to a private ssh server, to an account that may use
sudo. The engines of containers are stand-ins, which know what they are told to (`lab.standins`), and `getpass` is one,
too, which finds nobody to ask. All else is real. In a page's Markdown:

    <!-- file: NAME -->     before a listing: it is saved as that file
    ```text                 right behind a program: what it prints; … stands for anything
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import lab
from lab import standins
from lab.accounts import Accounts, home_of
from lab.sshd import Sshd

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'examples/README.md')]
PAGES += sorted((ROOT / 'docs').rglob('*.md'))
LISTING = re.compile(
    r'^(?:<!-- (?P<order>[\w ]+): (?P<value>.+?) -->\n)?'
    r'```python\n(?P<code>.*?)^```\n(?:```text\n(?P<printed>.*?)^```\n)?',
    re.MULTILINE | re.DOTALL,
)
NEIGHBOURS = 'mitogen', 'execnet', 'fabric', 'pssh', 'asyncssh', 'paramiko', 'trio'
IMPORTS = re.compile(rf'^\s*import (?:econtext|{"|".join(NEIGHBOURS)})\b', re.MULTILINE)
NEIGHBOUR = re.compile(rf'^\s*import ({"|".join(NEIGHBOURS)})\b', re.MULTILINE)
LINK = re.compile(r'\]\(([^)#]+)(#[^)]*)?\)')


class Listing(NamedTuple):
    where: str  # page and line
    order: str | None
    value: str | None
    code: str
    printed: str | None

    @property
    def is_program(self) -> bool:
        return self.order is None and IMPORTS.search(self.code) is not None

    def lacks(self) -> list[str]:
        """Return the neighbours that it wants and that are not installed."""
        return [name for name in NEIGHBOUR.findall(self.code) if not importlib.util.find_spec(name)]


def listings(page: Path) -> Iterator[Listing]:
    text = page.read_text()
    for match in LISTING.finditer(text):
        where = f'{page.relative_to(ROOT)}:{text.count(chr(10), 0, match.start("code")) + 1}'
        yield Listing(where, match['order'], match['value'], match['code'], match['printed'])


def programs(page: Path) -> list[Listing]:
    return [listing for listing in listings(page) if listing.is_program]


def by_ssh(page: Path) -> bool:
    return any('.ssh' in listing.code for listing in programs(page))


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize('page', PAGES, ids=named)
def test_compiles(page: Path) -> None:
    for listing in listings(page):
        # Examples of asyncio in the reference await at the top, as its own prompt allows.
        compile(listing.code, listing.where, 'exec', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert page.read_text().count('```python\n') == len(list(listings(page)))


@pytest.mark.parametrize('page', PAGES, ids=named)
def test_every_listing_runs_or_is_a_file_for_one_that_does(page: Path) -> None:
    for listing in listings(page):
        assert listing.order in (None, 'file'), f'{listing.where}: {listing.order}'


@pytest.mark.parametrize('page', [p for p in PAGES if programs(p) and not by_ssh(p)], ids=named)
def test_runs(page: Path, environment: dict[str, str], tmp_path: Path) -> None:
    run(page, environment, tmp_path)


@pytest.mark.deadline(600)  # another run may have the home for a while
@pytest.mark.parametrize('page', [p for p in PAGES if programs(p) and by_ssh(p)], ids=named)
def test_runs_by_ssh(
    page: Path, environment: dict[str, str], tmp_path: Path, sshd: Sshd, accounts: Accounts
) -> None:
    # Every name leads to the server, from here and from there, but for those that are to lead nowhere.
    account = accounts['nopw']
    anywhere = f'HostName={sshd.address}'
    with home_of(account) as home:
        sshd.give_client(home, account.uid, account.gid)
        with (home / '.ssh' / 'config').open('a') as config:
            config.write(f'  {anywhere}\n')
        write_ssh(tmp_path, ' '.join([*sshd.ssh_args(account.name), '-o', anywhere]))
        write_home(tmp_path / 'home', sshd, account.name)
        run(page, environment, tmp_path)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    standins.write(tmp_path)
    return {
        **os.environ, 'PYTHONPATH': f'{ROOT / "src"}:{tmp_path}', 'PYTHONUNBUFFERED': '1',
        'PATH': f'{tmp_path}:{os.environ["PATH"]}',
    }  # fmt: skip


def write_ssh(folder: Path, arguments: str) -> None:
    program = folder / 'ssh'
    ssh = lab.need('ssh')
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *.invalid*) exec {ssh} -F none "$@";; esac\nexec {ssh} {arguments} "$@"\n'
    )
    program.chmod(0o755)


def write_home(folder: Path, sshd: Sshd, user: str) -> None:
    """Make what the neighbours read that run no program `ssh`: the configuration, and the hosts that are known."""
    ssh = folder / '.ssh'
    ssh.mkdir(parents=True, mode=0o700)
    (ssh / 'config').write_text(f'Host *\n  HostName {sshd.address}\n  User {user}\n{sshd.config.read_text()}')
    (ssh / 'known_hosts').symlink_to(sshd.known_hosts)


def run(page: Path, environment: dict[str, str], tmp_path: Path) -> None:
    lacking: list[str] = []
    for number, listing in enumerate(listings(page)):
        if listing.order == 'file':
            assert listing.value is not None
            (tmp_path / listing.value).write_text(listing.code)
        if not listing.is_program:
            continue
        if listing.lacks():
            lacking += listing.lacks()
            continue
        path = tmp_path / f'listing{number}.py'
        path.write_text(listing.code)
        home = {'HOME': str(tmp_path / 'home')} if NEIGHBOUR.search(listing.code) else {}
        result = subprocess.run(
            [sys.executable, str(path), 'lab'], cwd=tmp_path, env={**environment, **home}, text=True, timeout=60,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert result.returncode == 0, f'{listing.where}:\n{result.stdout}'
        if listing.printed is not None:
            pattern = re.escape(listing.printed.strip()).replace('…', '.*')
            assert re.fullmatch(pattern, result.stdout.strip(), re.DOTALL), f'{listing.where}:\n{result.stdout}'
    if lacking:
        pytest.skip(f'not installed: {", ".join(lacking)}')


@pytest.mark.parametrize('page', PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for target, _anchor in LINK.findall(page.read_text()):
        assert ':' in target or (page.parent / target).exists(), f'{named(page)}: {target}'


@pytest.mark.parametrize('page', PAGES, ids=named)
def test_commands_name_what_is_there(page: Path) -> None:
    """Whoever reads `scripts/test tests/rules/test_size.py` can run it."""
    text = page.read_text()
    arguments = re.findall(r'\b(?:scripts/test|python3?) ([\w.-]+/[\w./-]+)', text)
    for path in arguments + re.findall(r'\bscripts/[\w.-]+\w', text):
        assert (ROOT / path).exists(), f'{named(page)}: {path}'
