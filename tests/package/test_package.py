"""The package as others get it: built, installed in bare environments, described, versioned and released.

Each build is of a copy of what git knows of the checkout, so no test sees another's files. Only the test of the extras
needs a package index, as pip is set up on this machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import lab

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.deadline(600)
Packages = tuple[Path, Path]
GIT = ('git', '-c', 'user.name=Tester', '-c', 'user.email=tester@localhost', '-c', 'init.defaultBranch=main',
       '-c', 'commit.gpgSign=false', '-c', 'tag.gpgSign=false')  # fmt: skip
EXTRAS = sorted(tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['optional-dependencies'])
# What an extra promises, as a program that ends well. Of each other extra the requirements are installed.
PROMISES = {
    'dask': """
import distributed, econtext.dask
if __name__ == '__main__':
    options = {'dashboard_address': '127.0.0.1:0'}
    with econtext.dask.Cluster(['here'], connector='local', scheduler_options=options) as made:
        with distributed.Client(made) as client:
            assert client.submit(abs, -1).result() == 1
""",
    'joblib': """
import econtext, econtext.joblib, joblib
econtext.joblib.register()
with econtext.Broker() as broker:
    with joblib.parallel_config('econtext', fleet=broker.fleet(['here'], connector='local')):
        assert joblib.Parallel()([joblib.delayed(abs)(-1)]) == [1]
""",
    'pyinfra': """
import os, subprocess, sys
program = os.path.join(os.path.dirname(sys.executable), 'pyinfra')
subprocess.run(
    [program, '-y', '@econtext/here', '--data', 'econtext_connector=local', 'exec', '--', 'true'], check=True)
""",
    'fsspec': """
import fsspec
with fsspec.open('econtext://./proc/self/comm') as file:
    assert b'python' in file.read()
""",
    'progress': """
import econtext, pathlib
pathlib.Path('here').write_bytes(b'x' * 100_000)
with econtext.Broker() as broker:
    broker.local().put('here', str(pathlib.Path('there').absolute()), progress=True)
assert pathlib.Path('there').stat().st_size == 100_000
""",
    'toml': """
import econtext, pathlib
pathlib.Path('hosts.toml').write_text('[hosts.web1]\\n')
assert [host.name for host in econtext.inventory.toml('hosts.toml')] == ['web1']
""",
}


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ('PYTHONPATH', 'VIRTUAL_ENV')}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**environment, **variables}, text=True, timeout=500,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    assert done.returncode == 0, f'{command}:\n{done.stdout}'
    return done.stdout


def build(source: Path, folder: Path, *options: str) -> list[Path]:
    run(sys.executable, '-m', 'hatchling', 'build', '-d', folder, *options, cwd=source)
    return sorted(folder.iterdir())


def tracked() -> list[str]:
    """Return the files that git has of the checkout: `git add` a new one first."""
    listed = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        lab.unavailable('package: this is no git checkout')
    return [name for name in listed.stdout.split('\0') if name and (ROOT / name).is_file()]


def copied(folder: Path) -> Path:
    """Make a repository with one commit, of the files as they are now, and without a tag."""
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    run(*GIT, 'init', '-q', cwd=folder)
    run(*GIT, 'add', '-A', cwd=folder)
    run(*GIT, 'commit', '-q', '-m', 'All', cwd=folder)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copied(tmp_path / 'checkout')


@pytest.fixture(scope='module')
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """The wheel and the source package of version 3.2.1."""
    folder = tmp_path_factory.mktemp('packages')
    run(*GIT, 'tag', '-a', '-m', 'x', 'v3.2.1', cwd=copied(folder / 'checkout'))
    wheel, source = build(folder / 'checkout', folder / 'dist')
    assert (wheel.name, source.name) == ('econtext-3.2.1-py3-none-any.whl', 'econtext-3.2.1.tar.gz')
    return wheel, source


@pytest.fixture
def bare(tmp_path: Path) -> Callable[..., Path]:
    """Makes an environment of the packages that it is given, and returns its Python."""

    def make(*arguments: str | Path) -> Path:
        folder = tmp_path / 'bare'
        venv.create(folder, symlinks=True)
        python = folder / 'bin' / 'python'
        run(sys.executable, '-m', 'pip', '--python', python, 'install', '-q', '--disable-pip-version-check',
            '--no-warn-script-location', *arguments, cwd=tmp_path)  # fmt: skip
        return python

    return make


def described(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [each for each in opened.namelist() if each.endswith('.dist-info/METADATA')]
        return Parser().parsestr(opened.read(name).decode())


def test_the_wheel_works_in_a_bare_environment(packages: Packages, bare: Callable[..., Path], tmp_path: Path) -> None:
    python = bare('--no-index', packages[0])
    assert run(python, '-c', 'import econtext; print(econtext.__version__)', cwd=tmp_path) == '3.2.1\n'
    assert run(python.parent / 'econtext', '--version', cwd=tmp_path).split()[-1] == '3.2.1'
    listing = re.search(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
    assert listing is not None
    (tmp_path / 'first.py').write_text(listing[1])
    printed = run(python, 'first.py', cwd=tmp_path)
    assert '[web] hello from process' in printed
    assert 'it ran on' in printed
    names = run(python, '-c', 'import sys, econtext; print(*sys.modules)', cwd=tmp_path).split()
    assert [name for name in names if name.partition('.')[0] in ('rich', 'fsspec', 'tomli')] == []


def test_the_wheel_has_the_collection_for_ansible(packages: Packages) -> None:
    """Ansible finds it in the folder of the packages, beside other collections."""
    with zipfile.ZipFile(packages[0]) as opened:
        names = {name for name in opened.namelist() if name.startswith('ansible_collections/')}
    place = 'ansible_collections/econtext/core/'
    assert names >= {place + name for name in (
        'README.md', 'galaxy.yml', 'meta/runtime.yml', 'plugins/connection/ssh.py', 'plugins/connection/local.py')}
    assert {name.split('/')[1] for name in names} == {'econtext'}, 'a file of ours that others could have too'


def test_the_source_package_builds_the_same_wheel_without_git(packages: Packages, tmp_path: Path) -> None:
    wheel, source = packages
    with tarfile.open(source) as opened:
        opened.extractall(tmp_path, filter='data')
    unpacked = tmp_path / 'econtext-3.2.1'
    held = {str(path.relative_to(unpacked)) for path in unpacked.rglob('*') if path.is_file()}
    assert set(tracked()) - held == set(), 'files of the checkout that the source package lacks'
    (again,) = build(unpacked, tmp_path / 'again', '-t', 'wheel')
    assert again.name == wheel.name
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())
        for name in first.namelist():
            assert first.read(name) == second.read(name), name


def test_the_version_is_that_of_the_tag(checkout: Path) -> None:
    def version() -> str:
        return run(sys.executable, '-m', 'hatchling', 'version', cwd=checkout).strip().splitlines()[-1]

    assert re.fullmatch(r'0\.1\.0?\.?dev1\+g\w+', version()), 'a clone without tags'
    run(*GIT, 'tag', 'nightly-2020', cwd=checkout)
    assert re.fullmatch(r'0\.1\.0?\.?dev1\+g\w+', version()), 'tags of other kinds say nothing'
    run(*GIT, 'tag', '-a', '-m', 'x', 'v1.4.0', cwd=checkout)
    assert version() == '1.4.0'
    run(*GIT, 'commit', '-q', '--allow-empty', '-m', 'More', cwd=checkout)
    assert re.fullmatch(r'1\.4\.1\.dev1\+g\w+', version())
    shutil.rmtree(checkout / '.git')
    assert version() == '0.1.0.dev0', 'neither git nor a packed version'


def test_the_description_renders_and_links_to_nothing_that_is_not_there(packages: Packages, tmp_path: Path) -> None:
    said = run(sys.executable, '-m', 'twine', '--no-color', 'check', '--strict', *packages, cwd=tmp_path)
    assert said.count('PASSED') == 2
    page = html(described(packages[0]))
    assert re.search(r'<h2[^>]*>Contexts and hops<', page)
    assert re.findall(r'(?:href|src)="(?!https?:|#|mailto:)[^"]*"', page) == []
    assert described(packages[0]).get_all('Project-URL') is None, 'no address is made up'


def test_an_address_gives_urls_and_links(checkout: Path, tmp_path: Path) -> None:
    project = checkout / 'pyproject.toml'
    assert project.read_text().count('\naddress = ""') == 1
    project.write_text(project.read_text().replace('\naddress = ""', '\naddress = "https://example.org/econtext"'))
    (wheel,) = build(checkout, tmp_path / 'dist', '-t', 'wheel')
    urls = dict(line.split(', ', 1) for line in described(wheel).get_all('Project-URL') or [])
    assert set(urls) >= {'Homepage', 'Documentation', 'Changelog', 'Issues'}
    assert all(url.startswith('https://example.org/econtext') for url in urls.values())
    page = html(described(wheel))
    assert 'href="https://example.org/econtext/blob/HEAD/docs/tutorial.md"' in page
    assert re.findall(r'(?:href|src)="(?!https?:|#|mailto:)[^"]*"', page) == []


def html(message: Message) -> str:
    from readme_renderer import markdown

    rendered = markdown.render(str(message.get_payload()))
    assert rendered is not None
    return rendered


@pytest.mark.parametrize('extra', EXTRAS)
def test_an_extra_brings_what_it_promises(
    extra: str, packages: Packages, bare: Callable[..., Path], tmp_path: Path
) -> None:
    python = bare(f'{packages[0]}[{extra}]')
    required = [Requirement(line) for line in described(packages[0]).get_all('Requires-Dist') or []]
    wanted = [each.name for each in required if each.marker and each.marker.evaluate({'extra': extra})]
    for name in wanted:
        assert run(python, '-c', f'from importlib.metadata import version; print(version({name!r}))', cwd=tmp_path)
    run(python, '-c', PROMISES.get(extra, 'import econtext'), cwd=tmp_path)


# -- releases ----------------------------------------------------------------------------


@pytest.fixture
def release(checkout: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs scripts/release in the checkout, whose signing key is one of this test and whose gates take no time."""
    lab.require('keys')
    key = tmp_path / 'key'
    run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key, cwd=tmp_path)
    (tmp_path / 'signers').write_text('tester@localhost ' + key.with_suffix('.pub').read_text())
    for name, value in {
        'user.name': 'Tester', 'user.email': 'tester@localhost', 'gpg.format': 'ssh', 'user.signingkey': f'{key}.pub',
        'gpg.ssh.allowedSignersFile': str(tmp_path / 'signers'),
    }.items():  # fmt: skip
        run('git', 'config', name, value, cwd=checkout)
    (checkout / 'scripts' / 'test').write_text('#!/bin/sh\necho gates\n')
    log = checkout / 'CHANGELOG.md'
    log.write_text('# Changes\n\n## Unreleased\n\n* All.\n')
    run('git', 'commit', '-q', '-a', '-m', 'Prepare', cwd=checkout)

    def make(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
        return subprocess.run(
            ['scripts/release', *arguments], cwd=checkout, env={**environment, 'PYTHON': sys.executable}, text=True,
            timeout=500, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    return make


Release = Callable[..., 'subprocess.CompletedProcess[str]']


def state(checkout: Path) -> str:
    return run('git', 'for-each-ref', cwd=checkout) + run('git', 'status', '--porcelain', '--ignored', cwd=checkout)


def test_a_dry_run_changes_nothing(checkout: Path, release: Release) -> None:
    before = state(checkout)
    done = release('--dry-run', '9.8.7')
    assert done.returncode == 0, done.stdout
    assert 'econtext-9.8.7-py3-none-any.whl' in done.stdout
    assert 'econtext-9.8.7.tar.gz' in done.stdout
    assert state(checkout) == before


def test_a_release_is_signed_and_signed_off(checkout: Path, release: Release) -> None:
    done = release('9.8.7')
    assert done.returncode == 0, done.stdout
    assert 'gates' in done.stdout
    run('git', 'verify-tag', 'v9.8.7', cwd=checkout)
    run('git', 'verify-commit', 'HEAD', cwd=checkout)
    assert run('git', 'rev-parse', 'v9.8.7^{commit}', cwd=checkout) == run('git', 'rev-parse', 'HEAD', cwd=checkout)
    assert 'Signed-off-by: Tester <tester@localhost>' in run('git', 'log', '-1', cwd=checkout)
    assert re.search(r'^## 9\.8\.7, \d{4}-\d\d-\d\d$', (checkout / 'CHANGELOG.md').read_text(), re.MULTILINE)
    run('sha256sum', '-c', 'SHA256SUMS', cwd=checkout / 'dist')
    assert len(list((checkout / 'dist').iterdir())) == 3


def test_a_release_is_refused(checkout: Path, release: Release) -> None:
    def refused(version: str) -> str:
        before = run('git', 'for-each-ref', cwd=checkout)
        done = release(version)
        assert done.returncode != 0
        assert run('git', 'for-each-ref', cwd=checkout) == before
        return done.stdout

    assert 'name the version' in refused('new')
    (checkout / 'scripts' / 'test').write_text('#!/bin/sh\nexit 1\n')
    assert 'the checkout has changes' in refused('1.0.0')
    run('git', 'commit', '-q', '-a', '-m', 'Break a gate', cwd=checkout)
    assert 'a gate failed' in refused('1.0.0')
    run(*GIT, 'tag', 'v1.0.0', cwd=checkout)
    assert 'there is a tag v1.0.0 already' in refused('1.0.0')
    (checkout / 'CHANGELOG.md').write_text('# Changes\n\n## 0.9.0\n')
    run('git', 'commit', '-q', '-a', '-m', 'Nothing unreleased', cwd=checkout)
    assert 'not "Unreleased"' in refused('1.0.1')
