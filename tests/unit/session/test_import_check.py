"""An error that a module raised as it was imported, told from one of a function."""

from __future__ import annotations

import pytest

from econtext.controller.session.import_check import HINT, hint

FIND = '  File "econtext/core/calls.py", line 83, in find\n'
IMPORT = '  File "<frozen importlib._bootstrap>", line 1176, in _find_and_load\n'
MODULE = '  File "/home/me/app.py", line 3, in <module>\n    KEY = os.environ["KEY"]\n'


@pytest.mark.parametrize(('kind', 'frames', 'expected'), [
    ('KeyError', FIND + IMPORT + MODULE, HINT),
    ('KeyError', FIND + MODULE + '  File "/home/me/app.py", line 9, in told\n', HINT),
    ('ModuleNotFoundError', FIND + MODULE, ''), ('SyntaxError', FIND + MODULE, ''),
    ('econtext.EcontextError', FIND + MODULE, ''),
    # A name that the module does not have.
    ('AttributeError', FIND, ''),
    # The function itself imports what fails.
    ('KeyError', '  File "/home/me/other.py", line 2, in work\n' + MODULE, ''),
    ('KeyError', '', ''),
])  # fmt: skip
def test_hint(kind: str, frames: str, expected: str) -> None:
    trace = f'Traceback (most recent call last):\n{frames}{kind}: told\n'
    assert hint((kind, 'told', trace)) == expected
