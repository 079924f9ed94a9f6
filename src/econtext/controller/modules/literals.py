"""
What in an f-string is newer than f-strings.

Before 3.12 an f-string was one token, and the syntax tree of none tells how it
was written: so the text is walked through.

Invariants:

* The text is one that this interpreter has parsed: each literal has its end.
* The walk ends with the text, whatever the text is.

Pure; any thread may enter.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

Version = tuple[int, ...]


class Found(NamedTuple):
    """A construct, where it stands, and since when there is such a thing."""

    line: int
    since: Version
    what: str


OPENING, CLOSING = ('(', '[', '{'), (')', ']', '}')
LITERAL = re.compile(r'([A-Za-z]{0,2})("""|\'\'\'|"|\')')
DEBUG = re.compile(r'=\s*[!:}]')


def in_strings(tree: ast.AST, text: str) -> Iterator[Found]:
    """Find what f-strings hold that their syntax tree does not tell."""
    lines = text.splitlines(keepends=True)
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr) or node.end_lineno is None:
            continue
        segment = segment_of(lines, node)
        position = 0
        while position < len(segment):
            match = LITERAL.match(segment, position)
            if match is None:
                # Between two literals of one value; or not the text we took it for.
                position += 1
                continue
            scan = Scan(segment, node.lineno)
            position = scan.literal(match, '')
            yield from scan.found


def segment_of(lines: list[str], node: Any) -> str:
    """Return the text of `node`: as ast.get_source_segment, which splits the source each time."""
    first, last = node.lineno - 1, node.end_lineno - 1
    if first == last:
        whole = lines[first].encode()[node.col_offset : node.end_col_offset].decode('utf-8', 'replace')
        return str(whole)
    return ''.join([
        lines[first].encode()[node.col_offset :].decode('utf-8', 'replace'),
        *lines[first + 1 : last],
        lines[last].encode()[: node.end_col_offset].decode('utf-8', 'replace'),
    ])


class Scan:
    """A walk through one literal and those within it."""

    def __init__(self, text: str, line: int) -> None:
        self.text = text
        self.line = line
        self.found: list[Found] = []

    def mark(self, position: int, since: Version, what: str) -> None:
        self.found.append(Found(self.line + self.text.count('\n', 0, position), since, what))

    def literal(self, match: re.Match[str], outer: str) -> int:
        """Return where the literal ends that begins with `match`, within one quoted by `outer`."""
        prefix, quote = match.group(1).lower(), match.group(2)
        if outer and (quote.startswith(outer) or outer == quote[:1]):
            self.mark(match.start(), (3, 12), 'the same quotes within an f-string')
        if 'f' in prefix or 't' in prefix:
            return self.body(match.end(), quote, 'r' in prefix, quote)
        position = match.end()
        while position < len(self.text) and not self.text.startswith(quote, position):
            position += 2 if self.text[position] == '\\' else 1
        return position + len(quote)

    def body(self, position: int, end: str, raw: bool, quote: str) -> int:
        """Return where the literal part, or a format, ends by `end`."""
        text = self.text
        while position < len(text) and not text.startswith(end, position):
            if text.startswith(('{{', '}}'), position) and end == quote:
                position += 2
            elif text[position] == '{':
                position = self.field(position + 1, raw, quote)
            elif text[position] == '\\' and not raw:
                closing = text.find('}', position)
                position = closing + 1 if text.startswith('\\N{', position) and closing > 0 else position + 2
            else:
                position += 1
        return position + len(end)

    def field(self, position: int, raw: bool, quote: str) -> int:
        """Return where a replacement field ends."""
        text, depth, start = self.text, 0, position
        while position < len(text):
            match = LITERAL.match(text, position)
            c = text[position]
            if match is not None and not text[position - 1].isidentifier():
                position = self.literal(match, quote)
                if '\\' in text[match.start() : position]:
                    self.mark(match.start(), (3, 12), 'a backslash in a field of an f-string')
                continue
            if c == '#':
                self.mark(position, (3, 12), 'a comment in an f-string')
                position = text.find('\n', position)
                if position < 0:
                    return len(text)
            elif c == '\\':
                self.mark(position, (3, 12), 'a backslash in a field of an f-string')
            elif c == '\n' and len(quote) == 1:
                self.mark(start, (3, 12), 'a field of several lines in an f-string')
            elif depth == 0 and c == '}':
                return position + 1
            elif depth == 0 and c == ':':
                return self.body(position + 1, '}', raw, quote)
            elif depth == 0 and c == '=' and text[position - 1] not in '=!<>' and DEBUG.match(text, position):
                self.mark(position, (3, 8), '"=" in an f-string')
            depth += (c in OPENING) - (c in CLOSING)
            position += 1
        return position
