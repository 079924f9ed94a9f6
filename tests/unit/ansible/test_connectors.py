"""How the contexts of a run of Ansible are started."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from econtext.ansible.connectors import start_become


def started(seconds: float | None) -> dict[str, Any]:
    """Return the options with which the context of another user is started."""
    seen: dict[str, Any] = {}
    context = SimpleNamespace(command=lambda argv, **options: seen.update(options))
    start_become(context, {'argv': ['true'], 'password': None, 'prompts': []}, seconds)
    return seen


def test_another_user_has_the_time_of_the_login() -> None:
    assert started(80.0)['connect_timeout'] == 80.0


def test_where_no_time_is_given_another_user_has_the_usual_one() -> None:
    assert 'connect_timeout' not in started(None)
