"""
What a context answers about files, which becomes a value or an OSError.

Invariants:

* An error of a file there is the OSError that a file here would have raised: of its own class, with
  `errno` as this system numbers it and `filename`; its text names the context.
* An answer of another form than was asked raises CorruptStream.

Pure.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from econtext.child.transfer import as_bytes
from econtext.controller.errors import ContextLost, CorruptStream
from econtext.controller.session.contract import Home
from econtext.controller.text import harmless


def text_of(home: Home | None, path: Any) -> str:
    """Return what path() of `home` has made as a text; raise ValueError for one of another context. None is a fleet."""
    if path.context is not home:
        whose = 'a host of the fleet' if home is None else home.name
        raise ValueError(
            f'a path of {path.context.name} is none of {whose}: give a text, or copy the file between the contexts')
    text: str = path.__econtext_path__
    return text


def taken(home: Home, answer: Any) -> Any:
    """Return what `answer` says was done, or raise the error that it tells of."""
    if type(answer) is not tuple or not answer:
        raise nonsense(home, 'an answer of no kind')
    if answer[0] == 'done' and len(answer) == 2:
        return answer[1]
    if answer[0] == 'broken':
        raise ContextLost(f'{home.name}: the transfer broke off: start it again')
    if answer[0] != 'error' or len(answer) < 4 or not all(isinstance(each, str) for each in answer[1:3]):
        raise nonsense(home, 'an answer of no kind')
    number = getattr(errno, answer[1], None)
    if not isinstance(number, int):
        number = errno.EIO
    text = f'{home.name}: {harmless(answer[2])}'
    paths = [os.fsdecode(as_bytes(path)) for path in answer[3:5] if isinstance(path, (bytes, str))]
    if len(paths) == 2:
        raise OSError(number, text, paths[0], None, paths[1])
    raise OSError(number, text, *paths)


def nonsense(home: Home, what: str) -> CorruptStream:
    return CorruptStream(f'{home.name}: it sent what makes no sense ({harmless(what)}): start it again')


def here(error: OSError) -> OSError:
    """Return an error of a file here with its name as text."""
    if isinstance(error.filename, bytes):
        return OSError(error.errno, error.strerror, os.fsdecode(error.filename))
    return error
