"""What completes a path, as a shell has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from econtext.child import listings


@pytest.mark.parametrize(('begun', 'expected'), [
    ('', [b'folder/', b'one', b'other']), ('o', [b'one', b'other']), ('.', [b'.hidden']), ('folder/', [b'inner']),
    ('~/fo', [b'folder/']), ('none', []),
])  # fmt: skip
def test_what_completes_a_path(
    begun: str, expected: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    os.mkdir('folder')
    for name in 'one', 'other', '.hidden', 'folder/inner':
        Path(name).touch()
    assert listings.beginning(begun) == expected
