"""
Start the contexts of a run, by what a worker says of the way.

Invariants:

* What a person types is typed on terminals that only the asking program reads, to questions that are known.

The daemon's event loop enters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from econtext.ansible.places import COMMON


def start_login(broker: Any, way: dict[str, Any], python: str | None) -> Any:
    """Start a context by the connector of `way`, with the interpreter `python` if that is not None."""
    connect = getattr(broker, way['connector'])
    return connect(*way['arguments'], python=python, **way['options'], **COMMON)


def start_become(context: Any, become: dict[str, Any], seconds: float | None) -> Any:
    """
    Start a context behind the program of a become plugin, by the words that the plugin made for the first stage.

    It may take so many seconds; None for as many as usual.
    """
    options = COMMON if seconds is None else {**COMMON, 'connect_timeout': seconds}
    question = typed(become['password'], become['prompts'])
    # The shell does not use the words that stand behind its line.
    return context.command(become['argv'], question=question, **options)


def typed(password: str | None, prompts: list[str]) -> Callable[[str], str | None] | None:
    """Return a function that answers the known questions with the password; None without a password."""
    if password is None:
        return None
    known = [prompt.lower() for prompt in prompts]

    def answer(question: str) -> str | None:
        return password if any(prompt in question.lower() for prompt in known) else None

    return answer
