"""
Make sources small enough to travel, and pack the preamble.

``squeeze`` takes out of a source what only people read, ``untyped`` what only type
checkers read.  ``pack`` turns named
sources into the preamble: one zlib stream of a program for Python 2.4 to 3.15
that makes each of them a real module and then runs the last one.

Invariants:

* A squeezed source means what the source meant, docstrings excepted, and each
  statement keeps its line number: tracebacks name the true file and line.
* The same sources give the same bytes, in any process with the same zlib.
* The preamble is a constant: nothing of a connection is written into it.
* One thread of ours parses at a time, wherever it does: `parse` is the one way to a
  syntax tree.  CPython 3.11 counts the depth of a tree once for all threads, and a
  second parse in between is a SystemError of whoever parses.

Imports nothing of econtext, so that a build can load it by its path; ``built`` says what a build has made.  Any
thread may enter.
"""

from __future__ import annotations

import ast
import io
import marshal
import re
import sys
import threading
import time
import tokenize
import zlib
from collections.abc import Callable, Iterator, Sequence

Unit = tuple[str, str]
Place = tuple[int, int]  # line and column, as tokens have them

# The child's own `econtext`: whoever asks whether it is a slave must not fetch
# the controller's package for the answer.
FACE = 'slave = True\n'
# A package none of whose modules is in the preamble.
PACKAGE = '__path__ = []\n'

# Files of an installed package, put there by hatch_build.py: a checkout has none.
BUILT = 'preamble.bin'
BUILT_SOURCES = 'squeezed.bin'  # marshal of {name: squeezed source}
BUILT_BODIES = 'bodies.bin'  # marshal of {names of modules: the body that carries them}

# Prints the bodies that each context gets, made anew by the package in the folder that the argument names.
BODIES = """
import marshal, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from econtext.controller.modules import built, repository
built.read_built = lambda name: None
sys.stdout.buffer.write(marshal.dumps(repository.first_bodies(), 2))
"""

# For each unit (its name, a line feed, its source): a module in its parent `p`,
# which is a package for having one. `__source__` is for tracebacks. The first
# stage left `b`, every byte it read, and `d`, the decompressor.
LOADER = """\
import sys
for t in %s.split('%s'):
 n,t=t.split('\\n',1)
 m=sys.modules[n]=type(sys)(n)
 m.__file__=n.replace('.','/')+'.py'
 m.__source__=t
 p=sys.modules.get(n[:n.rfind('.')])
 if p:
  p.__path__=[]
  setattr(p,n.split('.')[-1],m)
 exec(compile(t,m.__file__,'exec'),m.__dict__)
m.main(b,d)
"""
SEPARATOR = '\f'

LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT)
WORDS = (tokenize.NAME, tokenize.NUMBER)
QUOTES = ('"', "'")
# What type checkers take for true, and no Python that runs the module.
FOR_CHECKERS = 'TYPE_CHECKING'
COOKIE = re.compile(r'[ \t\f]*#.*?coding[:=][ \t]*[-\w.]+')


ALONE = threading.Lock()
ATTEMPTS = 20       # for where the application parses in a thread of its own


def after_fork() -> None:
    # Called by that of `built`: a build loads this file alone.
    global ALONE
    ALONE = threading.Lock()


def parse(source: bytes | str, mode: str = 'exec') -> ast.AST:
    """Return the tree of `source`; raise what the parser does."""
    for attempt in range(ATTEMPTS):
        try:
            with ALONE:
                return ast.parse(source, mode=mode)
        except SystemError:
            # The application parsed between, which has no lock of ours.
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.001 * attempt)
    raise AssertionError('the last attempt returns or raises')


def untyped(source: str) -> str:
    """
    Return `source` without what it says to type checkers alone, each line where it was.

    That is the statement ``TYPE_CHECKING = False`` of the module's own body, and ``if TYPE_CHECKING:``
    with what is below.  No Python that runs the module needs to understand it.  Raises ValueError
    where the name stands otherwise.
    """
    if FOR_CHECKERS not in source:
        return source
    tree = parse(source)
    assert isinstance(tree, ast.Module)
    lines = source.split('\n')
    left = sum(map(is_for_checkers, ast.walk(tree)))
    for node in tree.body:
        if says_to_checkers(node) and alone_on_its_lines(node, lines):
            left -= 1
            assert node.end_lineno is not None, 'a parsed statement ends somewhere'
            lines[node.lineno - 1 : node.end_lineno] = [''] * (node.end_lineno - node.lineno + 1)
    if left:
        raise ValueError(
            f'{FOR_CHECKERS} may stand only in "{FOR_CHECKERS} = False" and "if {FOR_CHECKERS}:" without else, '
            'each on lines of its own, outside of functions and classes')
    return '\n'.join(lines)


def says_to_checkers(node: ast.stmt) -> bool:
    """Is `node` one of the two statements that tell type checkers something?"""
    if isinstance(node, ast.If):
        names = [each for each in ast.walk(node) if is_for_checkers(each)]
        return names == [node.test] and not node.orelse
    return (
        isinstance(node, ast.Assign) and len(node.targets) == 1 and is_for_checkers(node.targets[0])
        and isinstance(node.value, ast.Constant) and node.value.value is False
    )


def alone_on_its_lines(node: ast.stmt, lines: list[str]) -> bool:
    assert node.end_lineno is not None, 'a parsed statement ends somewhere'
    assert node.end_col_offset is not None
    line, column = place(node.end_lineno, node.end_col_offset, lines)
    return not node.col_offset and lines[line - 1][column:].strip()[:1] in ('', '#')


def is_for_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == FOR_CHECKERS


def travelling(source: str) -> str:
    """Return `source`, of a module of ring 1 or 2, as it travels."""
    return squeeze(untyped(source))


def squeeze(source: str) -> str:
    """Return `source` without comments, docstrings and needless blanks."""
    source = source.replace('\r\n', '\n').replace('\r', '\n')
    lines = source.split('\n')
    docstrings = dict(find_docstrings(parse(source), lines))
    out = find_cookie(source, lines)
    row = 1  # where source and output both are
    level = depth = 0  # of indentation, of brackets
    previous = None  # token of the same statement
    skip_to = (0, 0)

    for token in whole_strings(source, lines):
        level += (token.type == tokenize.INDENT) - (token.type == tokenize.DEDENT)
        if token.type in LAYOUT or token.start < skip_to:
            continue
        if token.type == tokenize.ENDMARKER:
            break
        if token.type == tokenize.NEWLINE:
            previous = None
            continue
        if token.start == skip_to and token.string == ';':
            continue
        if token.start in docstrings:
            skip_to, alone = docstrings[token.start]
            if not alone:
                continue
            token = token._replace(type=tokenize.NAME, string='pass')
        while row < token.start[0]:
            if previous and not depth:
                out.append('\\')
            out.append('\n')
            row += 1
        if previous is None:
            out.append(' ' * level)
        elif need_blank(previous, token):
            out.append(' ')
        out.append(token.string)
        row += token.string.count('\n')
        previous = token
        if token.type == tokenize.OP:
            depth += (token.string in '([{') - (token.string in ')]}')
    return ''.join(out).rstrip('\n') + '\n'


def need_blank(left: tokenize.TokenInfo, right: tokenize.TokenInfo) -> bool:
    """Tell whether two tokens would be others without a blank in between."""
    if left.type in WORDS and right.type in WORDS:
        return True
    if left.type == tokenize.NUMBER:
        return right.string.startswith('.')
    if left.type == tokenize.NAME:
        return right.type == tokenize.STRING and right.string[0] not in QUOTES
    return left.type == right.type == tokenize.STRING


def find_cookie(source: str, lines: list[str]) -> list[str]:
    """Return the comment that declares the encoding, if anything depends on it."""
    if source.isascii():
        return []
    found = [line for line in lines[:2] if COOKIE.match(line)]
    if lines[0].strip() and lines[0].lstrip()[:1] != '#':
        return []
    return found[:1]


def find_docstrings(tree: ast.AST, lines: list[str]) -> Iterator[tuple[Place, tuple[Place, bool]]]:
    """Yield of each docstring: start, and end with whether it is the whole body."""
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if ast.get_docstring(node, clean=False) is None:
            continue
        first = node.body[0]
        assert first.end_lineno is not None, 'a parsed statement ends somewhere'
        assert first.end_col_offset is not None
        alone = len(node.body) == 1 and not isinstance(node, ast.Module)
        yield (
            place(first.lineno, first.col_offset, lines),
            (place(first.end_lineno, first.end_col_offset, lines), alone),
        )


def place(line: int, offset: int, lines: list[str]) -> Place:
    """Return a place of the syntax tree, which counts bytes, as tokens have it."""
    return line, len(lines[line - 1].encode()[:offset].decode())


def whole_strings(source: str, lines: list[str]) -> Iterator[tokenize.TokenInfo]:
    """
    Yield the tokens of `source`, each f-string as one as it is written.

    Python 3.12 cuts them up, but blanks mean something within: `f'{a = }'`.
    """
    opened: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind in ('FSTRING_START', 'TSTRING_START'):
            opened.append(token)
        elif kind in ('FSTRING_END', 'TSTRING_END'):
            start = opened.pop().start
            text = cut(lines, start, token.end)
            token = token._replace(type=tokenize.STRING, string=text, start=start)
        if not opened:
            yield token


def cut(lines: list[str], start: Place, end: Place) -> str:
    """Return the text between two places."""
    text = lines[start[0] - 1 : end[0]]
    text[-1] = text[-1][: end[1]]
    text[0] = text[0][start[1] :]
    return '\n'.join(text)


def pack(units: Sequence[Unit]) -> bytes:
    """
    Return the preamble that makes modules of `units`, (name, source) in order.

    Parents come before their children; `main(b, d)` of the last is run.
    """
    joined = SEPARATOR.join('%s\n%s' % unit for unit in units)
    if joined.count(SEPARATOR) != len(units) - 1:
        raise ValueError('a source of the preamble holds a form feed: write \\f')
    program = LOADER % (quote(joined), SEPARATOR.encode('unicode_escape').decode())
    return deflate(program.encode('ascii'))


def quote(text: str) -> str:
    """Return the shortest literal for `text` that all versions read alike."""
    candidates = ["r'''%s'''" % text, 'r"""%s"""' % text, repr(text)]
    return min((literal for literal in candidates if reads_as(literal, text)), key=len)


def reads_as(literal: str, text: str) -> bool:
    try:
        return bool(ast.literal_eval(parse(literal, 'eval')) == text)
    except (SyntaxError, ValueError):
        return False


def deflate(data: bytes) -> bytes:
    """Return the smallest zlib stream of `data` that any decompressor takes."""
    streams = []
    for memory in range(4, 10):  # less of it makes more, smaller blocks
        coder = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, memory)
        streams.append(coder.compress(data) + coder.flush())
    return min(streams, key=len)


def preamble_units(order: Sequence[str], read: Callable[[str], str]) -> list[Unit]:
    """
    Return the units of the preamble.

    `order` names its modules, each of which imports only those before it; `read` maps
    a module's name to its source.
    """
    names = ['econtext.core', *order]
    return [
        ('econtext', squeeze(FACE)), ('econtext.child', squeeze(PACKAGE)),
        *((name, travelling(read(name))) for name in names),
    ]


def built_files(order: Sequence[str], names: Sequence[str], read: Callable[[str], str]) -> dict[str, bytes]:
    """
    Return name -> content of what a built package holds.

    `order` names the modules of the preamble, `names` all that travels.
    """
    sources = {name: travelling(read(name)) for name in names}
    return {
        BUILT: pack(preamble_units(order, read)),
        BUILT_SOURCES: marshal.dumps(sources, 2),
    }


def first_bodies(folder: str) -> bytes:
    """Return the content of `BUILT_BODIES`, made by the package ``econtext`` in `folder`."""
    import subprocess  # a checkout imports this module whenever a first context starts

    return subprocess.run([sys.executable, '-c', BODIES, folder], check=True, stdout=subprocess.PIPE).stdout
