"""No error, log line or warning of ours shows the repr of an object of the application: type and name only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / 'src' / 'econtext'
FILES = sorted(ROOT.rglob('*.py'))

# (file, what is shown) -> why that is no object of the application.
ALLOWED = {
    ('__init__.py', '__name__'): 'our own', ('__init__.py', 'name'): 'the name of an attribute',
    ('controller/session/calls.py', 'caller.context'): 'ours',
    ('controller/errors.py', 'self'): 'ours', ('controller/secret.py', 'self'): 'ours',
    ('child/face.py', 'self'): 'ours', ('child/ansiballz.py', 'path'): 'a path of ours, in a source',
    ('controller/modules/bytecode.py', 'python'): 'a key of a table, shown nowhere',
    ('controller/doctor/trials.py', 'executable'): 'a text, made harmless',
    ('controller/session/syntax_check.py', 'message'): 'code',
    ('controller/session/syntax_check.py', 'message_of(unit, found)'): 'code',
    ('controller/session/syntax_check.py', 'unit[1]'): 'code',
    ('controller/modules/repository.py', 'objection'): 'code',
    ('controller/modules/repository.py', "name.partition('.')[2] + '.' + word"): 'code',
    ('controller/session/syntax_check.py', 'line_of(unit, found)'): 'code',
    ('controller/modules/packer.py', 'text'): 'code',
    ('controller/modules/source.py', 'text'): 'code',
    ('child/rich.py', 'value'): 'an xrange, which is read, and not shown',
    ('child/bulk.py', 'data[at:at + 500]'): 'bytes that are no frame',
    ('core/wire.py', 'data[start:start + 500]'): 'bytes that are no frame',
    ('parent/children.py', 'EMPTY'): 'our own', ('parent/children.py', 'self.words'): 'bytes that are no frame',
    ('child/labels.py', 'value'): 'a number or a short text, by their exact types',
    ('parent/values.py', "(module + '.' + name)[:200]"): 'a text of exact type',
}  # fmt: skip
# The conformance kit speaks to the author of a connector of what that connector returned.
# What stands in for the standard module on Python 3.6 shows what that shows.
EXEMPT = {'testing/connectors.py', 'ansible/older/dataclasses.py'}
CONVERSION = re.compile(r'%(?:\(\w+\))?[-+ #0]*\d*(?:\.\d+)?([a-zA-Z%])')


def shown(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Find what goes through repr(), ascii(), !r, !a, %r or %a."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue) and node.conversion in (ord('r'), ord('a')):
            yield node.lineno, ast.unparse(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ('repr', 'ascii'):
            for argument in node.args:
                yield node.lineno, ast.unparse(argument)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant):
            if isinstance(node.left.value, str):
                items = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
                kinds = [kind for kind in CONVERSION.findall(node.left.value) if kind != '%']
                for kind, item in zip(kinds, items, strict=False):
                    if kind in 'ra':
                        yield node.lineno, ast.unparse(item)
        elif isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            # Arguments of logging.
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            if any('r' in CONVERSION.findall(text) for text in texts):
                yield node.lineno, ast.unparse(node)


def test_what_is_found() -> None:
    text = "f'{a!r} {b}' + '%s %r' % (c, d) + repr(e); log.info('%r', f); '%r' % g; ascii(h); '%d%%r' % i"
    assert {what for _, what in shown(ast.parse(text))} == {'a', 'd', 'e', 'g', 'h', "log.info('%r', f)"}


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_of_the_application_is_shown_by_repr(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    if name in EXEMPT:
        return
    found = [(line, what) for line, what in shown(ast.parse(path.read_text('utf-8'))) if (name, what) not in ALLOWED]
    assert found == [], 'show its type and name by labels.seen(), or say in ALLOWED why this is no such object'


def test_every_exception_of_the_rule_is_used() -> None:
    used = {(str(path.relative_to(ROOT)), what) for path in FILES
            for _, what in shown(ast.parse(path.read_text('utf-8')))}
    assert set(ALLOWED) <= used
