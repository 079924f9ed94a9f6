"""
Print what it takes to reach a machine: the command, the preamble, the rest.

    python3 preamble_size.py

The first three lines are what a first hop costs; the table below shows, for each
module that may travel, its bytes as written, squeezed, and compressed alone.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / 'src'))

from econtext.connectors import ssh  # noqa: E402  # found through the line above
from econtext.controller.modules import built, manifest, packer  # noqa: E402

# Ring 2, as far as a context needs it to start a first child over ssh.
FIRST_HOP = (
    'econtext.parent', *manifest.FOR_CHILDREN, 'econtext.connectors', 'econtext.connectors.ssh',
)  # fmt: skip


def ssh_command(host: str) -> str:
    """Return the command line that starts a child on `host`, as one line."""
    argv, _tty, _environ = ssh.plan({'hostname': host})
    return ' '.join(argv)


def master() -> bytes:
    """Return the sources that make a context a parent, as they travel."""
    return packer.deflate(''.join(map(built.squeezed, FIRST_HOP)).encode())


def travelling() -> Iterable[str]:
    """Return the names of all modules of rings 1 and 2, the preamble's first."""
    names = list(manifest.PREAMBLE)
    for ring in manifest.RINGS:
        folder = Path(packer.__file__).parents[2] / ring
        found = sorted(path.stem for path in folder.glob('*.py') if path.stem != '__init__')
        names += ['econtext.%s.%s' % (ring, name) for name in found]
    return dict.fromkeys(names)


def kib(size: int) -> str:
    return '%d (%.2fKiB)' % (size, size / 1024)


def main() -> None:
    print('SSH command size: %d' % len(ssh_command('foo')))
    print('Preamble size: %s' % kib(len(built.preamble(manifest.PREAMBLE))))
    print('econtext.master size: %s' % kib(len(master())))
    print()
    print('%-32s %8s %8s %8s' % ('module', 'written', 'squeezed', 'alone'))
    for name in travelling():
        squeezed = built.squeezed(name).encode()
        written = len(built.read_source(name).encode())
        print('%-32s %8d %8d %8d' % (name, written, len(squeezed), len(packer.deflate(squeezed))))


if __name__ == '__main__':
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    main()
