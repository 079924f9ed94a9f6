"""Remedies at the command line: what a person there can do."""

from __future__ import annotations

import re

import pytest

from econtext.command_line.remedies import HERE, with_remedy
from econtext.controller.failures import REMEDIES

# Of connectors that the command line does not start, or starts without that option.
ELSEWHERE = {'no-folder', 'no-processor', 'no-such-image', 'busy'}


@pytest.mark.parametrize('kind', sorted(set(REMEDIES) - ELSEWHERE))
def test_no_remedy_names_an_option_that_the_command_line_lacks(kind: str) -> None:
    what, remedy = REMEDIES[kind]
    text = with_remedy(f'web1: {what}. {remedy}\nLast lines seen:\n    x', kind)
    assert not re.search(r'\b[a-z_]+=', text), text
    assert text.startswith(f'web1: {what}. ')
    assert text.endswith('\nLast lines seen:\n    x')
    assert remedy not in text or not re.search(r'\b[a-z_]+=', remedy)


def test_each_remedy_is_of_a_failure() -> None:
    assert set(HERE) <= set(REMEDIES)


def test_what_is_no_option_stays() -> None:
    assert with_remedy('export port=3', '') == 'export port=3'
