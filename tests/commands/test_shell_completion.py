"""Completion in real shells: commands, options, hosts and paths, as a person types them."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.terminals import SECONDS, Terminal

SHELLS = {
    'bash': (['bash', '--norc', '--noprofile', '-i'], 'eval "$(econtext completion bash)"'),
    'zsh': (['zsh', '-f', '-i'], 'autoload -U compinit; compinit -u -D; eval "$(econtext completion zsh)"'),
    'fish': (['fish', '--no-config', '-i'], 'econtext completion fish | source'),
}
HOME, END, TAB = '\x01', '\x05', '\t'


class Shell(Terminal):
    """A shell in a terminal, which completes words of `econtext`."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        words, setup = SHELLS[name]
        master, slave = pty.openpty()
        super().__init__(master)
        (folder / 'bin').mkdir()
        script = folder / 'bin' / 'econtext'
        script.write_text(f'#!{sys.executable}\nimport sys\nfrom econtext.cli import main\nsys.exit(main())\n')
        script.chmod(0o755)
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, cwd=folder, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), env={
                **os.environ, 'HOME': str(folder), 'PATH': f'{folder / "bin"}:{os.environ["PATH"]}', 'TERM': 'dumb',
                'PS1': '', 'PYTHONPATH': os.pathsep.join(sys.path)})
        os.close(slave)
        self.type(f"{setup}; printf '<%s>' read''y\r")
        self.expect('<ready>')

    def completed(self, text: str, word: str) -> None:
        """Complete `text`, and expect `word` to be the last one of the line then."""
        self.type(text + TAB + HOME + "printf '<%s>' " + END + '\r')
        self.expect(f'<{word}>')

    def wait(self) -> int:
        return self.process.wait(SECONDS)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shell]:
    if shutil.which(request.param) is None:
        pytest.skip(f'no {request.param}')
    started = Shell(request.param, tmp_path)
    yield started
    started.process.kill()
    started.wait()
    os.close(started.master)


def test_what_a_person_completes(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / 'config').write_text('Host web-one\nHost database\n')
    (tmp_path / 'there' / 'folder').mkdir(parents=True)
    (tmp_path / 'there' / 'folder' / 'a file').write_text('')
    (tmp_path / 'unique.txt').write_text('')
    found = [
        ('econtext comp', 'completion'),
        ('econtext exec --connect-t', '--connect-timeout'),
        ('econtext exec -F config web', 'web-one'),
        ('econtext exec -F config web-one,data', 'web-one,database'),
        ('econtext exec -F config me@data', 'me@database'),
        ('econtext run local uni', 'unique.txt'),
        ('econtext cp uni', 'unique.txt'),
        ('econtext cp -F config unique.txt data', 'database:'),
    ]
    on_hosts = [
        (f'econtext cp local:{tmp_path}/the', f'local:{tmp_path}/there/'),
        (f'econtext cp local:{tmp_path}/there/folder/a', f'local:{tmp_path}/there/folder/a file'),
        ('econtext ls local:there/fo', 'local:there/folder/'),
    ]
    # Each character that is typed in fish would be a login.
    for text, word in [*found, *(on_hosts if shell.name != 'fish' else [])]:
        shell.completed(text, word)
