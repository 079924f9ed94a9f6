"""The ground on which all contenders meet: one bare interpreter, one ssh server, one slow link, the same modules.

Invariants:
* Controllers and children run the same interpreter: a virtual environment made here, with nothing installed, so
  that neither what a site-packages folder holds nor what a shim costs is measured.
* What is needed by no scenario of a run is not made; all that is made is gone after `close`.
* Nothing of the user's ssh configuration, and nothing of the account's shell start-up files, takes part.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.scenario import COUNTS, ROUND_TRIP

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


class Missing(Exception):
    """This machine lacks something that a scenario needs."""


@dataclasses.dataclass
class Ground:
    """What a round gets to know."""

    python: str
    ssh_config: str = ''
    #: Folders for the controller's sys.path: this repository, generated modules, peers.
    paths: list[str] = dataclasses.field(default_factory=list)
    #: A folder with rpyc alone in it, for its children.
    installed: str = ''
    folder: str = ''

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Maker:
    """Makes the ground, part by part as it is asked for."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix='econtext-bench-'))
        self.sshd: Any = None
        self.master: subprocess.Popen[bytes] | None = None
        self.made: set[str] = set()
        venv = self.folder / 'bare'
        base = getattr(sys, '_base_executable', sys.executable)
        subprocess.run([base, '-m', 'venv', '--without-pip', str(venv)], check=True)
        modules = self.folder / 'modules'
        for count in COUNTS:
            generate(modules, count)
        self.ground = Ground(
            str(venv / 'bin' / 'python'),
            paths=[str(ROOT), str(self.install_econtext()), str(modules), *peers()],
            folder=str(self.folder),
        )
        self.install_rpyc()
        self.warm()

    def install_econtext(self, source: Path = ROOT / 'src', name: str = 'built') -> Path:
        """Copy the package, with what a build adds to it: peers are measured as installed, too."""
        target = self.folder / name
        shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__'))
        package = target / 'econtext'
        path = package / 'controller' / 'modules' / 'packer.py'
        if not path.exists():
            # A tree of before the controller had layers.
            path = package / 'controller' / 'packer.py'
        packer = load(path)
        order, rings = [], getattr(packer, 'TRAVELLING', ())
        if path.with_name('manifest.py').exists():
            # In a tree of before there was one, the packer says what travels.
            manifest = load(path.with_name('manifest.py'))
            order, rings = [manifest.PREAMBLE], manifest.RINGS
        texts = {}
        for ring in rings:
            for path in sorted((package / ring).glob('*.py')):
                words = path.relative_to(target).with_suffix('').parts
                texts['.'.join(word for word in words if word != '__init__')] = path.read_text('utf-8')
        for name, content in packer.built_files(*order, list(texts), texts.__getitem__).items():
            (package / name).write_bytes(content)
        if hasattr(packer, 'first_bodies'):     # an earlier tree compresses them in each program
            (package / packer.BUILT_BODIES).write_bytes(packer.first_bodies(str(target)))
        return target

    def install_rpyc(self) -> None:
        """Give rpyc's children rpyc, and nothing else."""
        target = self.folder / 'installed'
        target.mkdir()
        for name in ('rpyc', 'plumbum'):
            spec = importlib.util.find_spec(name)
            if spec and spec.origin:
                (target / name).symlink_to(Path(spec.origin).parent)
        self.ground.installed = str(target)

    def warm(self) -> None:
        """Have what was copied or written compiled, as installing does."""
        self.compile(self.folder / 'built', self.folder / 'modules', HERE)

    def compile(self, *folders: Path) -> None:
        subprocess.run([self.ground.python, '-m', 'compileall', '-q', *map(str, folders)], check=True)

    def provide(self, need: str) -> Ground:
        """Return the ground with `need` in it: '', ssh or slow; raise Missing."""
        if not need:
            return self.ground
        self.start_sshd()
        config = self.folder / f'{need}_config'
        if need not in self.made:
            extra = ''
            if need == 'slow':
                proxy = f'{self.ground.python} {HERE / "slowlink.py"} {ROUND_TRIP * 500:g} %h %p'
                extra = f'Host *\n  ProxyCommand {proxy}\n  ControlMaster auto\n  ControlPath {self.folder}/master\n'
            config.write_text(extra + self.sshd.config.read_text())
            if need == 'slow':
                self.start_master(config)
            self.made.add(need)
        return dataclasses.replace(self.ground, ssh_config=str(config))

    def start_sshd(self) -> None:
        if self.sshd is not None:
            return
        tests = str(ROOT / 'tests')
        if tests not in sys.path:
            sys.path.append(tests)
        import lab
        from lab.sshd import Sshd

        reason = lab.missing('sshd')
        if reason:
            raise Missing(reason)
        home = self.folder / 'home'
        home.mkdir()
        self.sshd = Sshd(self.folder / 'sshd', [f'SetEnv HOME={home}'])
        self.sshd.start()

    def start_master(self, config: Path) -> None:
        """Open the connection that every round over the slow link shares."""
        self.master = subprocess.Popen(['ssh', '-F', str(config), '-M', '-N', 'lab'], stdin=subprocess.DEVNULL)
        subprocess.run(['ssh', '-F', str(config), '-o', 'ControlMaster no', 'lab', 'true'], check=True)
        while not (self.folder / 'master').exists() and self.master.poll() is None:
            subprocess.run(['ssh', '-F', str(config), '-o', 'ControlMaster no', 'lab', 'true'], check=True)

    def close(self) -> None:
        if self.master is not None:
            self.master.terminate()
            self.master.wait()
        if self.sshd is not None:
            self.sshd.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def peers() -> list[str]:
    """Return the folders that hold the peers, wherever the interpreter that runs the bench has them."""
    found: list[str] = []
    for name in ('mitogen', 'execnet', 'rpyc', 'plumbum'):
        spec = importlib.util.find_spec(name)
        if spec and spec.origin:
            folder = str(Path(spec.origin).parent.parent)
            if folder not in found:
                found.append(folder)
    return found


def generate(folder: Path, count: int) -> None:
    """Write the module `own_COUNT`, whose function work() uses `count` modules, three packages deep."""
    package = folder / f'parts_{count}' / 'inner' / 'innermost'
    package.mkdir(parents=True)
    for level in (package, package.parent, package.parent.parent):
        (level / '__init__.py').write_text('')
    filler = ''.join(
        f'\n\ndef step_{n}(value, limit={n}):\n    """Return the value, or the limit if that is less."""\n'
        f'    if value > limit * {n + 7}:\n        return limit\n    return value\n' for n in range(8)
    )  # fmt: skip
    for number in range(count):
        (package / f'part_{number}.py').write_text(f'"""Part {number} of a program."""\n\nNUMBER = {number}\n{filler}')
    dotted = f'parts_{count}.inner.innermost'
    imports = ''.join(f'from {dotted} import part_{number}\n' for number in range(count))
    names = ', '.join(f'part_{number}.NUMBER' for number in range(count))
    (folder / f'own_{count}.py').write_text(
        f'"""A program\'s own module."""\n\n{imports}\n\ndef work():\n    return sum([{names}])\n'
    )


def load(path: Path) -> Any:
    """Import the module at `path` without the package around it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environment() -> dict[str, str]:
    """Return the environment of a round: what would lead Python elsewhere is taken out."""
    return {name: value for name, value in os.environ.items() if not name.startswith('PYTHON')}
