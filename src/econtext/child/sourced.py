"""
Functions that no module holds: made again of their source and of what they use.

The controller sends the text of each function as a unit, which is not a module: the text stands on its own
lines, below a header that gives the function the variables and the class around it.  A call brings
what the functions use: a tuple (what to call, nodes, cells, namespaces, values), of references to each other.

Invariants:

* Source is sent, never code: this Python compiles the text, once.
* Only the body of a function is taken from the text.  Defaults and variables of functions around it are
  copies of what they were in the program; decorators of modules run here.
* Each call has copies of its own: no call sees what another has changed.
* Functions share namespaces and variables as they do in the program, also where they refer to each other.

Sent with the first call of such a function.  Entered by whoever carries out calls.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

import linecache
import sys

from econtext.core.calls import find
from econtext.core.codec import Text, native
from econtext.core.wire import EMPTY

# What the header calls the function around the one that is wanted, and the value of an expression.
AROUND = '_econtext_around'
# Behind a text: the number of its first line in the program; and its lines there, where they are not those of the text.
MARK = '\n#econtext:'
# What Python 3 always does, as far as this Python can do so.
FUTURES = 'division absolute_import print_function unicode_literals'.split()
CODES = {}  # type: dict[Any, Any]
FUNCTION = type(lambda: None)   # type: Any


class Unfinished(Exception):
    """What is referred to is being made."""


def run(told, args, kwargs):
    # type: (Any, Any, dict[str, Any]) -> Any
    """Call the function that `told` describes."""
    function = Builder(*told).whole()
    return function(*args, **dict([(native(key), kwargs[key]) for key in kwargs]))


class Builder(object):
    """Makes what one call needs."""

    def __init__(self, root, nodes, cells, spaces, values):
        # type: (Any, Any, Any, Any, Any) -> None
        self.root = root
        self.nodes = nodes
        self.cells = cells
        self.spaces = spaces
        self.values = values
        self.made = {}  # type: dict[Any, Any]
        # What is to be filled in, once all is there: (function, its first arguments, a reference to the last one).
        self.todo = []  # type: list[tuple[Callable[..., Any], tuple[Any, ...], Any]]

    def whole(self):
        # type: () -> Any
        """Return what is to be called, with all that it refers to."""
        found = self.resolve(self.root)
        while self.todo:
            count = len(self.todo)
            self.fill()
            if len(self.todo) >= count:
                raise TypeError('these functions need each other before they are there')
        return found

    def fill(self):
        # type: () -> None
        """Fill in what can be had by now."""
        left = []
        while self.todo:
            step = self.todo.pop(0)
            try:
                value = self.resolve(step[2])
            except Unfinished:
                left.append(step)
            else:
                step[0](*(step[1] + (value,)))
        self.todo += left

    def resolve(self, ref):
        # type: (Any) -> Any
        """Return what `ref` stands for."""
        return getattr(self, 'get_' + native(ref[0]))(*ref[1:])

    def get_value(self, number):
        # type: (int) -> Any
        return self.values[number]

    def get_module(self, name):
        # type: (Any) -> Any
        __import__(native(name))
        return sys.modules[native(name)]

    def get_named(self, module, name):
        # type: (Any, Any) -> Any
        return find(native(module), native(name))

    def get_attribute(self, owner, name):
        # type: (Any, Any) -> Any
        return getattr(self.resolve(owner), native(name))

    def get_called(self, function, args):
        # type: (Any, Any) -> Any
        return self.resolve(function)(*[self.resolve(each) for each in args])

    def get_partial(self, function, args, kwargs):
        # type: (Any, Any, Any) -> Any
        # Of Python 2.5 or newer.
        return __import__('functools').partial(
            self.resolve(function), *[self.resolve(each) for each in args],
            **dict([(native(key), self.resolve(each)) for key, each in kwargs]))

    def get_tuple(self, items):
        # type: (Any) -> Any
        return tuple([self.resolve(each) for each in items])

    def get_list(self, items):
        # type: (Any) -> Any
        return [self.resolve(each) for each in items]

    def get_set(self, items):
        # type: (Any) -> Any
        return set(self.get_list(items))

    def get_frozenset(self, items):
        # type: (Any) -> Any
        return frozenset(self.get_list(items))

    def get_dict(self, pairs):
        # type: (Any) -> Any
        return dict([(self.resolve(key), self.resolve(each)) for key, each in pairs])

    def get_node(self, number):
        # type: (int) -> Any
        """Return a function, which refers to what may not be there yet."""
        key = 'node', number
        if key not in self.made:
            self.made[key] = None
            node = self.nodes[number]
            try:
                self.made[key] = getattr(self, 'make_' + native(node[0]))(key, *node[1:])
            except:
                del self.made[key]
                raise
        if self.made[key] is None:
            raise Unfinished
        return self.made[key]

    def make_function(self, key, source, space, name, qualname, free, defaults, keywords, attributes):
        # type: (Any, Any, int, Any, Any, Any, Any, Any, Any) -> Any
        code = code_of(*source)
        cells = dict([(native(each), number) for each, number in free])
        closure = tuple([self.cell(cells.get(each)) for each in code.co_freevars])
        function = FUNCTION(code, self.namespace(space), native(name), None, closure or None)
        self.made[key] = function
        if hasattr(function, '__qualname__'):
            function.__qualname__ = native(qualname)
        if defaults:
            self.todo.append((set_defaults, (function,), defaults))
        if keywords:
            self.todo.append((setattr, (function, '__kwdefaults__'), keywords))
        for each, ref in attributes:
            self.todo.append((setattr, (function, native(each)), ref))
        return function

    def make_decorated(self, key, decorators, inner):
        # type: (Any, Any, Any) -> Any
        """Decorate a function as its source says."""
        value = self.resolve(inner)
        # The last one is the first to be called; but all are looked up before, the first one first.
        found = []
        for each in decorators:
            expression = self.resolve(each)
            self.fill()
            found.append(expression())
        self.fill()
        for decorator in found[::-1]:
            value = decorator(value)
        return value

    def namespace(self, number):
        # type: (int) -> dict[str, Any]
        """Return the globals of functions."""
        key = 'space', number
        if key not in self.made:
            title, package, names = self.spaces[number]
            self.made[key] = {'__builtins__': sys.modules[len.__module__], '__name__': native(title)}
            if package:
                # For relative imports.
                self.made[key]['__package__'] = native(package)
            for name, ref in names:
                self.todo.append((self.made[key].__setitem__, (native(name),), ref))
        return self.made[key]  # type: ignore[no-any-return]

    def cell(self, number):
        # type: (Any) -> Any
        """Return a variable that functions share."""
        key = 'cell', number
        if key not in self.made:
            self.made[key] = Cell()
            if number is not None and self.cells[number]:
                self.todo.append((self.made[key].fill, (), self.cells[number]))
        return self.made[key].cell


class Cell(object):
    """A variable of a function that has ended: made first, and filled later, which Python 3.7 brought."""

    def __init__(self):
        # type: () -> None
        self.content = []   # type: list[Any]
        self.steps = variable(self.content)  # type: Any
        for cell in self.steps:
            self.cell = cell  # type: Any
            break

    def fill(self, value):
        # type: (Any) -> None
        self.content.append(value)
        for _ in self.steps:
            break


def variable(content):
    # type: (list[Any]) -> Any
    """Yield a variable without a value, and then give it the one in `content`."""
    def reader():
        # type: () -> Any
        return value
    # By the name that it has in all Pythons, or by that of Python 2.
    yield (getattr(reader, '__closure__', None) or getattr(reader, 'func_' + 'closure'))[0]
    for value in content:   # noqa: B007 -- it is the variable
        yield None


def set_defaults(function, values):
    # type: (Any, Any) -> None
    if hasattr(function, '__defaults__'):
        function.__defaults__ = values
    else:
        # Before Python 2.6.
        function.func_defaults = values


def code_of(unit, names, futures):
    # type: (Any, Any, Any) -> Any
    """Return the code of the function that `names` lead to in the text of `unit`."""
    key = unit, tuple(names)
    if key not in CODES:
        code = text_of(unit, names, futures)
        for name in names:
            code = inner(code, native(name))
        if code is None:
            raise TypeError('%s: this Python finds no function in its source' % native(names[-1]))
        CODES[key] = code
    return CODES[key]


def inner(code, name):
    # type: (Any, str) -> Any
    """Return the code of that name in `code`: the last one, behind those of default values."""
    found = None
    consts = [each for each in getattr(code, 'co_consts', ()) if hasattr(each, 'co_code')]
    for each in consts:
        if each.co_name == name:
            found = each
    for each in consts:
        if found is None and each.co_name.startswith('<generic parameters'):
            found = inner(each, name)
    return found


def text_of(unit, names, futures):
    # type: (Any, Any, Any) -> Any
    """Return the code of the whole text of `unit`."""
    key = unit, None
    if key not in CODES:
        path, source = home().importer.units[native(unit)][1:]
        path, text = native(path), source.decode('utf-8')
        remember(path, text)
        import __future__
        flags = 0
        for name in list(futures) + FUTURES:
            feature = getattr(__future__, native(name), None)
            if feature and (name in futures or sys.version_info < (3,)):
                flags |= feature.compiler_flag
        CODES[key] = compile(text, path, 'exec', flags, 1)  # type: ignore[call-overload]
    return CODES[key]


def remember(path, text):
    # type: (str, Any) -> None
    """Have tracebacks show the lines of a function, which stand where they stood in the program."""
    lines = []  # type: list[Any]
    for name, unit in list(home().importer.units.items()):
        if unit and not is_text(name) and unit[1] == path and type(unit[2]) is type(EMPTY):
            # A module that was sent: its own lines are all there.
            lines = unit[2].decode('utf-8', 'replace').splitlines(True)
    known = linecache.cache.get(path)
    if not lines and known and len(known) == 4 and known[1] is None:
        lines = list(known[2])
    first, new = shown(text)
    if str is not Text:
        new = [line.encode('utf-8') for line in new]
    lines += ['\n'] * (first - 1 + len(new) - len(lines))
    for number, line in enumerate(new):
        if not lines[first - 1 + number].strip():
            lines[first - 1 + number] = line
    linecache.cache[path] = len(text), None, lines, path


def shown(text):
    # type: (Any) -> tuple[int, list[Any]]
    """Return the number of the first line of the function in `text`, and its lines as they were in the program."""
    at = text.rindex(MARK)
    lines = text[at + len(MARK):].splitlines(True)
    first = int(lines[0])
    if len(lines) > 1:
        return first, [line[1:] for line in lines[1:]]
    return first, text[:at].splitlines(True)[first - 1:]


def is_text(name):
    # type: (str) -> bool
    """Is the unit of that name the text of a function?"""
    return name.startswith('econtext_source_')


def home():
    # type: () -> Any
    return sys.modules['econtext'].program.home  # type: ignore[attr-defined]
