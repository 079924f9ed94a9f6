"""Say which lines of a source are not Python 2.4 to 3.15.

Each rule stands with samples that it must refuse and samples that it must let pass; `test_polyglot.py` tries them.
What is of a later grammar, which `vermin` misses in places, is told by the table that programs too are checked by,
`econtext.controller.modules.grammar`. The rules here add what compiles and means something else, and names that
some version lacks.

What one version lacks may be used in a `try` with a handler for NameError, ImportError or AttributeError, or under
an `if hasattr(…)`: that is how a source tells versions apart.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from econtext.controller.modules import grammar

Complaint = tuple[int, str]
Check = Callable[[Any, 'Source'], bool]


class Rule(NamedTuple):
    why: str
    kinds: tuple[type[ast.AST], ...]
    wrong: Check  # of a node of those kinds
    bad: tuple[str, ...]
    good: tuple[str, ...]


class Source:
    """A parsed source with what the rules ask about it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self.parents: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
        self.bound = set(self.bindings())

    def parent(self, node: ast.AST) -> ast.AST:
        return self.parents[node]

    def above(self, node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
        """Yield each node around `node` with the child of it that holds `node`."""
        while node in self.parents:
            yield self.parents[node], node
            node = self.parents[node]

    def function(self, node: ast.AST) -> ast.AST | None:
        return next((outer for outer, _ in self.above(node) if isinstance(outer, FUNCTIONS)), None)

    def guarded(self, node: ast.AST) -> bool:
        for outer, _ in self.above(node):
            if isinstance(outer, ast.Try) and any(GUARDS & names_in(handler.type) for handler in outer.handlers):
                return True
            if isinstance(outer, ast.If) and 'hasattr' in names_in(outer.test):
                return True
        return False

    def bindings(self) -> Iterator[str]:
        """Yield the names that the source gives a meaning, those of class bodies excepted: functions don't see them."""
        for node in ast.walk(self.tree):
            if isinstance(self.parents.get(node), ast.ClassDef) and isinstance(node, ast.FunctionDef):
                continue
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                yield node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.arg):
                yield node.arg
            elif isinstance(node, ast.alias):
                yield (node.asname or node.name).split('.')[0]


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
LOOPS = (ast.For, ast.While)
GUARDS = {'NameError', 'ImportError', 'AttributeError'}


def names_in(node: ast.AST | None) -> set[str]:
    if node is None:
        return set()
    return {found.id for found in ast.walk(node) if isinstance(found, ast.Name)}


def kinds(*names: str) -> tuple[type[ast.AST], ...]:
    """Return the node types of these names that this Python has."""
    return tuple(getattr(ast, name) for name in names if hasattr(ast, name))


# -- grammar: what no name tells ------------------------------------------------


def yields_value_used(node: ast.Yield, source: Source) -> bool:
    return not isinstance(source.parent(node), ast.Expr)


def yield_in_finally(node: ast.Yield, source: Source) -> bool:
    for outer, _ in source.above(node):
        if isinstance(outer, FUNCTIONS):
            return False
        if isinstance(outer, ast.Try) and outer.finalbody:
            return True
    return False


def leaves_finally(node: ast.AST, source: Source) -> bool:
    for outer, inner in source.above(node):
        if isinstance(outer, FUNCTIONS) or (isinstance(outer, LOOPS) and not isinstance(node, ast.Return)):
            return False
        if isinstance(outer, ast.Try) and inner in outer.finalbody:
            return True
    return False


def ellipsis_outside_index(node: ast.Constant, source: Source) -> bool:
    if node.value is not Ellipsis:
        return False
    parent = source.parent(node)
    if isinstance(parent, ast.Tuple):
        node, parent = parent, source.parent(parent)  # type: ignore[assignment]
    return not (isinstance(parent, ast.Subscript) and parent.slice is node)


def inexact_division(node: ast.BinOp | ast.AugAssign, source: Source) -> bool:
    values = [getattr(node, side) for side in ('left', 'right', 'value') if hasattr(node, side)]
    exact = [v for v in values if isinstance(v, ast.Constant) and isinstance(v.value, float)]
    return isinstance(node.op, ast.Div) and not exact


def exec_misused(node: ast.Name, source: Source) -> bool:
    call = source.parent(node)
    if node.id != 'exec':
        return False
    if not (isinstance(call, ast.Call) and call.func is node and isinstance(source.parent(call), ast.Expr)):
        return True
    return bool(call.keywords) or (len(call.args) < 2 and source.function(node) is not None)


def keyword_as_name(node: Any, source: Source) -> bool:
    names = {getattr(node, field, None) for field in ('attr', 'arg', 'name', 'asname')}
    if isinstance(node, ast.Name) and node.id == 'print':
        return True
    return bool(names & {'print', 'exec'})


def unparenthesized_handlers(node: ast.ExceptHandler, source: Source) -> bool:
    segment = ast.get_source_segment(source.text, node.type) if node.type else None
    return isinstance(node.type, ast.Tuple) and not (segment or '').startswith('(')


# -- names that some version lacks ----------------------------------------------

# Built-in in each version from 2.4 on, with the same meaning. (`input` evaluates before 3.0.)
BUILTINS = set(
    """
    ArithmeticError AssertionError AttributeError DeprecationWarning EOFError Ellipsis EnvironmentError Exception False
    FloatingPointError FutureWarning IOError ImportError IndentationError IndexError KeyError KeyboardInterrupt
    LookupError MemoryError NameError None NotImplemented NotImplementedError OSError OverflowError
    PendingDeprecationWarning ReferenceError RuntimeError RuntimeWarning StopIteration SyntaxError SyntaxWarning
    SystemError SystemExit TabError True TypeError UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError
    UnicodeTranslateError UserWarning ValueError Warning ZeroDivisionError __debug__ __doc__ __file__ __import__
    __name__ abs bool chr classmethod compile complex delattr dict dir divmod enumerate eval exec filter float frozenset
    getattr globals hasattr hash hex id int isinstance issubclass iter len list locals map max min object oct open ord
    pow property range repr reversed round set setattr slice sorted staticmethod str sum super tuple type vars zip
    """.split()
)

# Attributes of whatever object, by the version that brought them or lacks them.
ATTRIBUTES = """
    2.5: partition rpartition
    2.6: __func__ __code__ __globals__ __defaults__ __closure__ as_integer_ratio fromhex is_alive notify_all setter
        send_signal terminate current_thread isdisjoint
    2.7: bit_length total_seconds getChild captureWarnings
    3.0: __traceback__ __cause__ __context__ __next__ __bool__ __annotations__ __kwdefaults__ with_traceback buffer
        isidentifier isprintable
    3.2: to_bytes from_bytes format_map
    3.3: __qualname__ casefold __suppress_context__
    3.7: isascii
    3.9: removeprefix removesuffix
    3.11: add_note
    gone in 3.0: has_key iteritems iterkeys itervalues viewitems viewkeys viewvalues im_func im_self im_class func_name
        func_code func_globals func_defaults func_closure func_dict xreadlines __metaclass__
    gone in 3.9: isAlive
"""

# Attributes of standard modules.
MEMBERS = """
    2.5: collections.defaultdict contextlib.contextmanager datetime.datetime.strptime os.SEEK_CUR os.SEEK_END
        os.SEEK_SET os.wait3 os.wait4 struct.Struct struct.pack_into struct.unpack_from subprocess.check_call
        subprocess.CalledProcessError sys._current_frames sys.subversion
    2.6: collections.namedtuple itertools.chain.from_iterable itertools.product itertools.permutations
        itertools.combinations math.fsum math.isinf math.isnan os.closerange os.fchmod os.fchown os.path.relpath
        pkgutil.get_data select.epoll select.kqueue signal.ITIMER_REAL signal.set_wakeup_fd signal.setitimer
        signal.siginterrupt socket.create_connection string.Formatter sys.flags sys.float_info sys.getsizeof sys.maxsize
        threading.current_thread threading.active_count time.CLOCK_MONOTONIC warnings.catch_warnings
    2.7: collections.Counter collections.OrderedDict logging.NullHandler logging.captureWarnings os.getresuid
        os.getresgid os.initgroups os.setresuid subprocess.check_output memoryview
    3.0: sys.intern
    3.2: functools.lru_cache os.environb os.fsdecode os.fsencode os.get_exec_path sys.setswitchinterval
        sys.getswitchinterval
    3.3: faulthandler.dump_traceback_later os.O_CLOEXEC os.get_terminal_size os.pipe2 os.readv os.replace os.writev
        os.sched_getaffinity os.getxattr shlex.quote shutil.which signal.pthread_sigmask signal.sigtimedwait
        subprocess.DEVNULL subprocess.TimeoutExpired sys.implementation time.monotonic time.perf_counter
        time.process_time threading.get_ident types.SimpleNamespace
    3.4: os.cpu_count os.set_inheritable os.get_inheritable
    3.5: os.scandir os.set_blocking os.get_blocking signal.Signals subprocess.run types.coroutine
    3.7: time.time_ns time.monotonic_ns
    3.8: os.posix_spawn os.posix_spawnp os.memfd_create shlex.join
    3.9: os.pidfd_open os.waitstatus_to_exitcode
    3.10: sys.orig_argv sys.stdlib_module_names
    gone in 3.0: itertools.ifilter itertools.imap itertools.izip itertools.izip_longest os.getcwdu os.popen2 os.popen3
        os.popen4 os.tmpnam os.tempnam string.join string.letters string.lowercase string.maketrans string.uppercase
        sys.exc_clear sys.exc_type sys.exc_value sys.exc_traceback sys.maxint types.ClassType types.DictType
        types.InstanceType types.IntType types.ListType types.LongType types.NoneType types.StringType
        types.StringTypes types.TupleType types.UnicodeType
    gone in 3.8: time.clock
    gone in 3.9: sys.getcheckinterval sys.setcheckinterval base64.encodestring base64.decodestring
    gone in 3.11: inspect.getargspec
"""

# Keywords of functions and methods, by the last part of the name; * is any keyword.
KEYWORDS = """
    2.5: max.key min.key __import__.* logging.extra
    2.6: __import__.level sum.start enumerate.start deque.maxlen
    2.7: encode.* decode.*
    3.0: open.encoding open.errors open.newline open.closefd
    3.3: split.* rsplit.* splitlines.* compressobj.* decompressobj.* expandtabs.*
    3.8: pow.*
    3.10: zip.strict
    gone in 3.0: sort.cmp sorted.cmp
"""

# Modules of the standard library in each version from 2.4 on.
MODULES = set(
    """
    __future__ array atexit base64 bdb binascii bisect bz2 calendar cmath cmd code codecs codeop collections compileall
    copy csv curses datetime decimal difflib dis doctest email encodings errno fcntl filecmp fileinput fnmatch ftplib gc
    getopt getpass gettext glob grp gzip heapq hmac imaplib inspect itertools keyword linecache locale logging mailbox
    marshal math mimetypes mmap netrc operator optparse os pdb pickle pickletools pkgutil platform poplib posix
    posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc quopri random re readline resource rlcompleter sched
    select shelve shlex shutil signal site smtplib socket stat string stringprep struct subprocess symtable sys syslog
    tabnanny tarfile tempfile termios textwrap this threading time timeit token tokenize trace traceback tty types
    unicodedata unittest urllib warnings wave weakref webbrowser xml zipfile zipimport zlib
    """.split()
)


def table(text: str) -> dict[str, str]:
    """Return of each name in `text` which versions lack it."""
    found = {}
    for line in re.split(r'\n(?= *(?:gone in )?\d\.\d+:)', text.strip()):
        version, names = line.split(':', 1)
        found.update(dict.fromkeys(names.split(), version.strip()))
    return found


LATE_ATTRIBUTES = table(ATTRIBUTES)
LATE_MEMBERS = table(MEMBERS)
LATE_KEYWORDS = table(KEYWORDS)


def unknown_builtin(node: ast.Name, source: Source) -> bool:
    return (
        isinstance(node.ctx, ast.Load)
        and node.id not in BUILTINS
        and node.id not in source.bound
        and not names_method(node, source)
        and not source.guarded(node)
    )


def names_method(node: ast.Name, source: Source) -> bool:
    """Tell whether this stands in a class body and means a method there: `__next__ = next`."""
    for outer, _ in source.above(node):
        if isinstance(outer, FUNCTIONS):
            return False
        if isinstance(outer, ast.ClassDef):
            return any(isinstance(item, ast.FunctionDef) and item.name == node.id for item in outer.body)
    return False


def late_attribute(node: ast.Attribute, source: Source) -> bool:
    if source.guarded(node) or is_own(node) or not isinstance(node.ctx, ast.Load):
        return False
    return node.attr in LATE_ATTRIBUTES or ast.unparse(node) in LATE_MEMBERS


def is_own(node: ast.Attribute) -> bool:
    """Tell whether this is an attribute that the source itself gives its objects: `self.buffer`."""
    return isinstance(node.value, ast.Name) and node.value.id in ('self', 'cls')


def late_import(node: ast.ImportFrom, source: Source) -> bool:
    names = ('%s.%s' % (node.module, alias.name) for alias in node.names)
    return not source.guarded(node) and any(name in LATE_MEMBERS for name in names)


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, 'id', '')


def late_keyword(node: ast.Call, source: Source) -> bool:
    name = called(node)
    return not source.guarded(node) and any(
        '%s.%s' % (name, keyword.arg) in LATE_KEYWORDS or (keyword.arg and name + '.*' in LATE_KEYWORDS)
        for keyword in node.keywords
    )


def late_argument(node: ast.Call, source: Source) -> bool:
    name = called(node)
    first = node.args[0] if node.args else None
    return not source.guarded(node) and (
        (name in ('startswith', 'endswith') and isinstance(first, ast.Tuple))
        or (name in ('sorted', 'enumerate') and isinstance(node.func, ast.Name) and len(node.args) > 1)
        or (name == '__import__' and len(node.args) > 4)
        or (name == 'super' and not node.args)
        or (name in ('next', 'hex') and isinstance(node.func, ast.Attribute) and not node.args)
        or (name == 'sort' and bool(node.args))
    )


RULES = (
    Rule(
        '"except A, B" without parentheses is 3.14, and means something else before 3.0',
        (ast.ExceptHandler,),
        unparenthesized_handlers,
        ('try: a()\nexcept B, C: pass',),
        ('try: a()\nexcept (B, C): pass',),
    ),
    Rule(
        '"import *" in a function is gone in 3.0',
        (ast.ImportFrom,),
        lambda node, source: node.names[0].name == '*' and bool(source.function(node)),
        # Never parsed by this Python: the compiler refuses it, the parser does not.
        ('def f():\n  from a import *',),
        ('from a import *',),
    ),
    Rule(
        'yield is a statement before 2.5',
        (ast.Yield,),
        yields_value_used,
        ('def f():\n  a = yield 1', 'def f():\n  g((yield))'),
        ('def f():\n  yield 1',),
    ),
    Rule(
        'yield within try and finally is 2.5',
        (ast.Yield,),
        yield_in_finally,
        ('def f():\n  try:\n    yield 1\n  finally:\n    g()',),
        ('def f():\n  try:\n    yield 1\n  except B:\n    g()', 'try:\n  def f():\n    yield 1\nfinally:\n  g()'),
    ),
    Rule(
        '"yield" needs a value before 2.5',
        (ast.Yield,),
        lambda node, source: node.value is None,
        ('def f():\n  yield',),
        ('def f():\n  yield None',),
    ),
    Rule(
        '"continue" in finally is 3.8, and 3.14 warns of "return" and "break" there',
        (ast.Continue, ast.Break, ast.Return),
        leaves_finally,
        ('for a in b:\n  try: c()\n  finally:\n    continue', 'def f():\n  try: c()\n  finally:\n    return 1'),
        ('try: c()\nfinally:\n  for a in b:\n    continue', 'for a in b:\n  try:\n    continue\n  finally: c()'),
    ),
    Rule(
        'without (object) a class is of the old kind before 3.0',
        (ast.ClassDef,),
        lambda node, source: not node.bases,
        ('class A: pass', 'class A(): pass'),
        ('class A(object): pass', 'class A(B): pass'),
    ),
    Rule("u'' is not in 3.0 to 3.2", (ast.Constant,), lambda node, source: node.kind == 'u', ("u'a'",), ("'a'",)),
    Rule(
        '"..." stands only in an index before 3.0',
        (ast.Constant,),
        ellipsis_outside_index,
        ('a = ...', 'def f(): ...'),
        ('a[...]', 'a[..., 1]', 'Ellipsis'),
    ),
    Rule(
        '/ rounds before 3.0: write // or a float',
        (ast.BinOp, ast.AugAssign),
        inexact_division,
        ('a / b', 'a / 2', 'a /= 2'),
        ('a // b', 'a / 2.0', '1.0 / a', 'a /= 2.0'),
    ),
    Rule(
        'exec is a statement before 3.0, and needs its globals within a function',
        (ast.Name,),
        exec_misused,
        ('a = exec(b)', 'map(exec, a)', 'def f(a):\n  exec(a)', 'exec(a, globals=b)'),
        ('exec(a)', 'exec(a, b)', 'def f(a, b):\n  exec(a, b)'),
    ),
    Rule(
        '"print" and "exec" are keywords before 3.0',
        (ast.Name, ast.Attribute, ast.arg, ast.keyword, ast.FunctionDef, ast.ClassDef, ast.alias),
        keyword_as_name,
        ('print(1)', 'a.print()', 'def exec(): pass', 'f(print=1)', 'a.exec', 'def f(print): pass', 'import print'),
        ('a.write("1")', 'a.printed'),
    ),
    Rule(
        'not built-in in every version, or not defined',
        (ast.Name,),
        unknown_builtin,
        (
            'any(a)',
            'all(a)',
            'next(a)',
            'bytes(1)',
            'bytearray()',
            'memoryview(a)',
            'format(1)',
            'bin(1)',
            'callable(a)',
            'unicode(1)',
            'long(1)',
            'xrange(1)',
            'raw_input()',
            'input()',
            'reduce(1)',
            'cmp(1, 2)',
            'basestring',
            'try: 1\nexcept BaseException: pass',
            'try: 1\nexcept TimeoutError: pass',
            'class A(object):\n  def next(self):\n    return next(self)',
            'try:\n  any(1)\nexcept ValueError: pass',
        ),
        (
            'try:\n  text = unicode\nexcept NameError:\n  text = str',
            'def any(a): pass\nany(1)',
            'sorted(set([1]), key=len)',
            'reversed([])',
            'import os.path\nos.path',
            'def f(a, *b, **c):\n  return a, b, c',
            '[a for a in []]',
            'class A(object):\n  def next(self): pass\n  __next__ = next',
            '__name__',
        ),
    ),
    Rule(
        'an attribute that some version lacks',
        (ast.Attribute,),
        late_attribute,
        (
            'import a\na.b.partition(1)',
            'import a\na.has_key(1)',
            'import a\na.iteritems()',
            'import a\na.__qualname__',
            'import a\na.__traceback__',
            'import a\na.bit_length()',
            'import sys\nsys.maxint',
            'import sys\nsys.maxsize',
            'import struct\nstruct.Struct("B")',
            'import collections\ncollections.defaultdict(list)',
            'import os\nos.writev(1, [])',
            'import time\ntime.monotonic()',
            'import itertools\nitertools.izip()',
            'import types\ntypes.StringType',
            'import sys\nsys.stdout.buffer',
            'import os\nos.SEEK_SET',
        ),
        (
            'import time\ntry:\n  now = time.monotonic\nexcept AttributeError:\n  now = time.time',
            'import sys\nif hasattr(sys, "setswitchinterval"):\n  sys.setswitchinterval(1)',
            'import a\ngetattr(a, "__qualname__", None)',
            'import os\nos.path.join(os.devnull)',
            'import a\na.rsplit(".", 1)',
            'def f(self):\n  return self.buffer',
            'import sys\nsys.dont_write_bytecode = True',
            'import a\na.message',
        ),
    ),
    Rule(
        'a member that some version lacks',
        (ast.ImportFrom,),
        late_import,
        ('from collections import defaultdict', 'from struct import Struct', 'from itertools import izip as zip'),
        (
            'from collections import deque',
            'try:\n  from time import monotonic\nexcept ImportError:\n  from time import time as monotonic',
        ),
    ),
    Rule(
        'a keyword that some version lacks',
        (ast.Call,),
        late_keyword,
        (
            'max([], key=len)',
            'min([], key=len)',
            '"".encode(errors="a")',
            'open("a", encoding="b")',
            '"".split(maxsplit=1)',
            'sum([], start=1)',
            'import zlib\nzlib.compressobj(level=1)',
        ),
        ('sorted([], key=len)', '[].sort(key=len)', 'sorted([], reverse=True)', '"".encode("a", "b")', 'dict(level=1)'),
    ),
    Rule(
        'an argument that some version lacks',
        (ast.Call,),
        late_argument,
        (
            '"".startswith(("a", "b"))',
            '"".endswith(("a",))',
            'enumerate([], 1)',
            'sorted([], len)',
            'super()',
            'iter([]).next()',
            'import a\na.digest().hex()',
            '[].sort(len)',
            '__import__("a", {}, {}, [], 0)',
        ),
        ('"".startswith("a")', 'super(int, 1)', 'enumerate([])', '[].sort()', '__import__("a", {}, {}, [])'),
    ),
    Rule(
        'str.format is 2.6',
        (ast.Attribute,),
        lambda node, source: node.attr == 'format' and isinstance(node.value, ast.Constant),
        ('"{}".format(1)',),
        ('"%s" % 1', 'import a\na.format(1)'),
    ),
)


# -- what only tokens and bytes tell ---------------------------------------------


class TextRule(NamedTuple):
    why: str
    lines: Callable[[str], Iterator[int]]
    bad: tuple[str, ...]
    good: tuple[str, ...]


def tokens(text: str) -> list[tokenize.TokenInfo]:
    skipped = (tokenize.NL, tokenize.COMMENT)
    return [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in skipped]


def portable_literals(text: str) -> Iterator[int]:
    for token in tokens(text):
        if token.type != tokenize.STRING:
            continue
        prefix = token.string[: re.search('[\'"]', token.string).start()].lower()  # type: ignore[union-attr]
        if 'r' not in prefix and re.search(r'(?<!\\)(?:\\\\)*\\[^\n\\\'"abfnrtvx0-7]', token.string):
            yield token.start[0]


def not_ascii(text: str) -> Iterator[int]:
    for number, line in enumerate(text.split('\n'), 1):
        if not line.isascii():
            yield number


def no_last_newline(text: str) -> Iterator[int]:
    if text and not text.endswith('\n'):
        yield text.count('\n') + 1


def carriage_returns(text: str) -> Iterator[int]:
    for number, line in enumerate(text.split('\n'), 1):
        if '\r' in line:
            yield number


def leading_tabs(text: str) -> Iterator[int]:
    for number, line in enumerate(text.split('\n'), 1):
        if '\t' in line[: len(line) - len(line.lstrip())]:
            yield number


TEXT_RULES = (
    TextRule(
        'an escape that means something else elsewhere, or that 3.12 warns of',
        portable_literals,
        ("'\\u1234'\n", "'\\d'\n", "'\\N{DASH}'\n", '"""\\U00012345"""\n', "'\\\\\\d'\n"),
        ("r'\\d'\n", "'\\n\\t\\x00\\0\\\\'\n", "'\\\\d'\n", "'\\\n'\n", "'\\''\n"),
    ),
    TextRule(
        'other letters than ASCII need a declaration before 3.0', not_ascii, ("'\u00e9'\n", '# \u2013\n'), ("'e'\n",)
    ),
    TextRule('2.4 to 2.6 refuse a last line without its end', no_last_newline, ('a = 1',), ('a = 1\n', '')),
    TextRule('2.4 to 2.6 refuse CRLF', carriage_returns, ('a = 1\r\n',), ('a = 1\n',)),
    TextRule('3.0 refuses tabs among spaces', leading_tabs, ('if a:\n\tb\n',), ('if a:\n b\n',)),
)


def unguarded(text: str) -> str:
    """Return `text` without what it guards, for judges who know no guards."""

    class Cut(ast.NodeTransformer):
        def visit_Try(self, node: ast.Try) -> ast.AST:
            guards = any(GUARDS & names_in(handler.type) for handler in node.handlers)
            return ast.Pass() if guards else self.generic_visit(node)

        def visit_If(self, node: ast.If) -> ast.AST:
            return ast.Pass() if 'hasattr' in names_in(node.test) else self.generic_visit(node)

    return ast.unparse(Cut().visit(ast.parse(text))) + '\n'


def complaints(text: str) -> Iterator[Complaint]:
    """Yield line and reason of whatever in `text` is not Python 2.4 to 3.15."""
    source = Source(text)
    for node in ast.walk(source.tree):
        for rule in RULES:
            if isinstance(node, rule.kinds) and rule.wrong(node, source):
                yield line_of(node, source), rule.why + describe(node)
    for text_rule in TEXT_RULES:
        for line in text_rule.lines(text):
            yield line, text_rule.why
    for found in grammar.newer(text, (2, 4)):
        yield found.line, '%s is of %d.%d' % (found.what, *found.since)


def line_of(node: ast.AST, source: Source) -> int:
    while not hasattr(node, 'lineno'):
        node = source.parent(node)
    return int(node.lineno)


def describe(node: ast.AST) -> str:
    if isinstance(node, (ast.Name, ast.Attribute, ast.Call)):
        return ': ' + ast.unparse(node)[:60]
    return ''
