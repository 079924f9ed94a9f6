"""
Functions that another interpreter finds in no module: their sources, and copies of what they use.

The strategy: what a function refers to, and what that refers to, is walked over once a call.  What another
interpreter finds under a name goes as that name: modules, functions and classes of modules.  What has a source goes as
its source: functions and classes that were typed in, and those inside of functions.  All else is a value and is copied,
as an argument is.  ``child.sourced`` makes the functions again.

Invariants:

* What cannot be sent is refused before anything is sent, by the name under which the function has it.
* Globals are copied too, whatever file the function is in: its module is imported there only for a global that cannot
  be copied, such as a lock, which the module makes there as well.
* Functions that share a variable here, or call each other, do so there.
* What a text is called follows from what it holds: a context gets each text once.

Any thread may enter.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import logging
import marshal
import operator
import re
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from econtext.child import rich
from econtext.child.labels import seen
from econtext.controller.modules import functions
from econtext.controller.modules.functions import Missing, Source
from econtext.controller.protocol import values
from econtext.controller.protocol.names import NoName, Served, is_typed, reach, refuse_later

if TYPE_CHECKING:
    from econtext.controller.modules.repository import Modules
    from econtext.controller.protocol.names import Names

PREFIX = 'econtext_source_'
CARRIER = 'econtext.child.sourced'
Ref = tuple[Any, ...]
# How code asks for a global name.
LOADS = frozenset(('LOAD_GLOBAL', 'LOAD_NAME', 'LOAD_FROM_DICT_OR_GLOBALS', 'STORE_GLOBAL', 'DELETE_GLOBAL'))
ATTRIBUTES = frozenset(('LOAD_ATTR', 'LOAD_METHOD', 'LOOKUP_METHOD'))
# What is made again by the function of that name: its arguments.
RECIPES: dict[type, tuple[str, str, Callable[[Any], tuple[Any, ...]]]] = {
    re.Pattern: ('re', 'compile', lambda value: (value.pattern, value.flags)),
    logging.Logger: ('logging', 'getLogger', lambda value: (value.name,)),
    logging.RootLogger: ('logging', 'getLogger', lambda value: ()),
}
# What `operator` makes, by the arguments.
RECIPES.update({
    getattr(operator, name): ('operator', name, lambda value: value.__reduce__()[1])
    for name in ('itemgetter', 'attrgetter')})


class Captured(Served):
    """Where a function without a module is found: ``run`` of the module that makes such again."""


def is_text(name: str) -> bool:
    """Is the unit of that name the text of a function?"""
    return name.startswith(PREFIX)


@functools.lru_cache(maxsize=4096)
def uses_of(key: functions.Key) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the global names that code uses, each with the attributes that are looked up of it at once."""
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    for code in functions.codes(key.code):
        name, chain = '', []
        for instruction in dis.get_instructions(code):
            if name and instruction.opname in ATTRIBUTES:
                chain.append(str(instruction.argval))
                continue
            if name:
                found[name, tuple(chain)] = None
            name, chain = '', []
            if instruction.opname in LOADS:
                name = str(instruction.argval)
        if name:
            found[name, tuple(chain)] = None
    return tuple(found)


class Capture:
    """All that one function refers to."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.modules: Modules = names.modules
        self.nodes: list[Any] = []
        self.cells: list[Any] = []
        self.spaces: list[Any] = []
        self.values: list[Any] = []
        #: What was met -> its number; and what keeps the id of each as it is.
        self.known: dict[tuple[str, int], int] = {}
        self.kept: list[Any] = []
        self.needed: dict[str, None] = {CARRIER: None}
        self.space_names: list[dict[str, None]] = []
        self.held: set[int] = set()

    def whole(self, function: Callable[..., Any]) -> Captured:
        """Return what a call of `function` is sent as."""
        root = self.refer(function, label(function), '')
        found = Captured((CARRIER, 'run'))
        found.told = root, self.nodes, self.cells, self.spaces, self.values
        found.modules = tuple(self.needed)
        found.label = label(function).rstrip(',')
        return found

    # What a name refers to.

    def refer(self, value: Any, owner: str, name: str) -> Ref:
        """Return how to get `value` there, which `owner` has as `name`."""
        kind = type(value)
        if kind is types.FunctionType:
            return self.named(value) or self.function(value)
        if kind is types.ModuleType or isinstance(value, types.ModuleType):
            return self.module(value, owner, name)
        if isinstance(value, type):
            return self.kind_named(value) or self.kind(value, owner, name)
        if kind in RECIPES:
            module, maker, arguments = RECIPES[kind]
            items = [self.refer(each, owner, name) for each in arguments(value)]
            return 'called', ('named', module, maker), items
        if kind is functools.partial:
            given = [self.refer(each, owner, name) for each in value.args]
            named = [(key, self.refer(each, owner, name)) for key, each in value.keywords.items()]
            return 'partial', self.refer(value.func, owner, name), given, named
        if kind is operator.methodcaller:
            # The class with its arguments, or with keywords a partial of both.
            made, given = value.__reduce__()
            return 'called', self.refer(made, owner, name), [self.refer(each, owner, name) for each in given]
        if crosses(value):
            return self.value(value)
        if callable(value):
            found = self.named(value) or self.method(value, owner, name) or self.decorated(value)
            if found:
                return found
        if kind in (tuple, list, set, frozenset, dict):
            return self.container(value, owner, name)
        raise TypeError(refusal(value, owner, name))

    def value(self, value: Any) -> Ref:
        number = self.known.get(('value', id(value)))
        if number is None:
            number = self.keep('value', value, self.values)
            self.values.append(value)
        return 'value', number

    def keep(self, what: str, value: Any, table: list[Any]) -> int:
        """Return the number that `value` gets in a table."""
        self.kept.append(value)
        self.known[what, id(value)] = len(table)
        return len(table)

    def container(self, value: Any, owner: str, name: str) -> Ref:
        if id(value) in self.held:
            raise TypeError(f'{owner}{uses(name)} a {type(value).__name__} that contains itself: send it in parts')
        self.held.add(id(value))
        try:
            if type(value) is dict:
                pairs = [(self.refer(key, owner, name), self.refer(each, owner, name)) for key, each in value.items()]
                return 'dict', pairs
            return type(value).__name__, [self.refer(each, owner, name) for each in value]
        finally:
            self.held.discard(id(value))

    def module(self, value: types.ModuleType, owner: str, name: str) -> Ref:
        title = self.travelling(value.__name__)
        if sys.modules.get(value.__name__) is not value or (
                title == self.modules.main and self.modules.unit(title) is None):
            raise TypeError(f'{owner}{uses(name)} module {value.__name__}, which no import finds: '
                            'pass what is needed of it as arguments')
        self.need(title)
        return 'module', title

    def need(self, module: str) -> None:
        self.needed[module] = None

    def travelling(self, module: str) -> str:
        return self.modules.main if module in ('__main__', '__mp_main__') else module

    def named(self, value: Any) -> Ref | None:
        """Return the name under which an import finds `value`, None if there is none."""
        try:
            module, name = self.names.name_of(value, None)
        except NoName:
            return None
        self.need(module)
        return 'named', module, name

    def kind_named(self, value: type) -> Ref | None:
        module, name = value.__module__, value.__qualname__
        if reach(module, name) is not value:
            return None
        title = self.travelling(module)
        if title == self.modules.main and (
                self.modules.unit(title) is None or not self.is_in_file(value)):
            return None
        self.need(title)
        return 'named', title, name

    def is_in_file(self, kind: type) -> bool:
        """Was the class made by the file of the program, rather than typed in later?"""
        return not any(is_typed(each) for each in vars(kind).values() if type(each) is types.FunctionType)

    def method(self, value: Any, owner: str, name: str) -> Ref | None:
        """Return a method of an object that crosses, or of one that is here by a name; None if it is none."""
        bound = getattr(value, '__self__', None)
        if bound is None or isinstance(bound, types.ModuleType):
            return None
        try:
            of = self.refer(bound, owner, name)
        except TypeError as error:
            raise TypeError(f'{seen(value)} is bound to an object of this process: {error}') from None
        return 'attribute', of, value.__name__

    # Functions.

    def function(self, value: types.FunctionType) -> Ref:
        number = self.known.get(('node', id(value)))
        if number is not None:
            return 'node', number
        self.modules.policy.check(self.travelling(str(value.__globals__.get('__name__', ''))))
        if '__wrapped__' in vars(value) and self.is_foreign(value):
            # What another module made of a function that was typed in: that module makes it again there.
            found = self.decorated(value)
            if found:
                return found
        source = self.source(value)
        number = self.keep('node', value, self.nodes)
        self.nodes.append(None)
        self.nodes[number] = self.of_source(value, source, value.__closure__ or (), value.__code__)
        return 'node', number

    def is_foreign(self, value: types.FunctionType) -> bool:
        """Is `value` code of an installed package, or of the standard library?"""
        title = str(value.__globals__.get('__name__', ''))
        return self.is_module(value.__globals__) and not self.modules.is_own(title)

    def source(self, value: types.FunctionType) -> Source:
        try:
            return functions.source_of(value)
        except Missing as error:
            raise TypeError(f'{label(value)} has no module to import it from, and {error}') from None

    def of_source(
        self, value: types.FunctionType, source: Source, closure: tuple[Any, ...], code: types.CodeType
    ) -> Any:
        owner = label(value)
        space = self.space(value.__globals__, code, owner)
        free = [(name, self.cell(cell, owner, name)) for name, cell in zip(code.co_freevars, closure, strict=True)]
        defaults = keywords = None
        if value.__defaults__:
            defaults = 'tuple', [self.refer(each, owner, 'a default') for each in value.__defaults__]
        if value.__kwdefaults__:
            keywords = 'dict', [(self.value(name), self.refer(each, owner, name))
                                for name, each in value.__kwdefaults__.items()]
        attributes = [(name, self.refer(each, owner, name)) for name, each in vars(value).items()]
        return ('function', self.unit(source), space, value.__name__, value.__qualname__, free, defaults, keywords,
                attributes)

    def unit(self, source: Source) -> Any:
        """Return the unit with that text, and how to find the function in it."""
        key = '\0'.join((source.path, source.text, *source.futures))
        name = PREFIX + hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:20]
        self.modules.add_text(name, source.path, source.text)
        self.need(name)
        return name, source.names, source.futures

    def cell(self, cell: types.CellType, owner: str, name: str) -> int:
        number = self.known.get(('cell', id(cell)))
        if number is None:
            number = self.keep('cell', cell, self.cells)
            self.cells.append(None)
            try:
                content = cell.cell_contents
            except ValueError:
                # Nothing was put in there yet.
                return number
            self.cells[number] = self.refer(content, owner, name)
        return number

    def is_module(self, namespace: dict[str, Any]) -> bool:
        """Is it that of a module which an import finds, and not what was typed in?"""
        name = namespace.get('__name__')
        return (isinstance(name, str) and name not in ('__main__', '__mp_main__')
                and getattr(sys.modules.get(name), '__dict__', None) is namespace)

    def space(self, namespace: dict[str, Any], code: types.CodeType, owner: str) -> int:
        """Return the number of a namespace, with what `code` uses of it."""
        number = self.known.get(('space', id(namespace)))
        if number is None:
            number = self.keep('space', namespace, self.spaces)
            package = namespace.get('__package__')
            self.spaces.append((str(namespace.get('__name__', '__main__')), str(package or ''), []))
            self.space_names.append({})
        for name, chain in uses_of(functions.Key(code)):
            self.use(number, namespace, name, chain, owner)
        return number

    def use(self, number: int, namespace: dict[str, Any], name: str, chain: tuple[str, ...], owner: str) -> None:
        """Have the namespace `number` hold what `name` is."""
        if name not in namespace:
            # Built in, or given a value later; or missing, as it is here.
            return
        value = namespace[name]
        if isinstance(value, types.ModuleType):
            self.submodules(value, chain)
        if name in self.space_names[number] or name in ('__name__', '__builtins__'):
            return
        self.space_names[number][name] = None
        self.spaces[number][2].append((name, self.global_ref(namespace, owner, name)))

    def global_ref(self, namespace: dict[str, Any], owner: str, name: str) -> Ref:
        """Return how to get the global `name` of a function."""
        value = namespace[name]
        try:
            return self.refer(value, owner, name)
        except TypeError:
            title = str(namespace.get('__name__'))
            module = self.travelling(title)
            if reach(title, name) is value and is_assigned(self.modules.unit(module), name):
                # No copy of it can be made; its module makes it there as well.
                self.need(module)
                return 'named', module, name
            raise

    def submodules(self, module: types.ModuleType, chain: tuple[str, ...]) -> None:
        """Have modules imported that are reached by way of the package that they are in."""
        for attribute in chain:
            found = getattr(module, attribute, None)
            if not isinstance(found, types.ModuleType) or sys.modules.get(
                    f'{module.__name__}.{attribute}') is not found:
                return
            module = found
            if ('module', module.__name__) not in self.imports:
                self.imports.append(('module', module.__name__))
                self.need(module.__name__)

    @functools.cached_property
    def imports(self) -> list[Ref]:
        """Modules that are imported with the first namespace, under a name that no code can use."""
        found: list[Ref] = []
        self.spaces[0][2].append((' imports', ('list', found)))
        return found

    # What a decorator has made, and classes.

    def decorated(self, value: Any) -> Ref | None:
        """Return what to decorate again; None if `value` is no function that its source decorates."""
        number = self.known.get(('node', id(value)))
        if number is not None:
            return 'node', number
        inner = innermost(value)
        if type(inner) is not types.FunctionType:
            return None
        source = self.source(inner)
        if not source.decorators:
            return None
        owner = label(inner)
        number = self.keep('node', value, self.nodes)
        self.nodes.append(None)
        inner_number = self.keep('node', inner, self.nodes)
        self.nodes.append(None)
        self.nodes[inner_number] = self.of_source(inner, source, inner.__closure__ or (), inner.__code__)
        expressions = [self.expression(each, source, inner, owner) for each in source.decorators]
        self.nodes[number] = 'decorated', expressions, ('node', inner_number)
        return 'node', number

    def expression(self, source: Source, whole: Source, inner: types.FunctionType, owner: str) -> Ref:
        """Return a function that returns a decorator."""
        code = functions.compiled(source)
        if code is None:
            raise TypeError(f'{owner}: a decorator of it has no source that compiles')
        for name, _ in uses_of(functions.Key(code)):
            if name in whole.around:
                raise TypeError(f'{owner} is decorated with {name}, which a function around it has: move the decorator '
                                'to the top of a module')
        space = self.space(inner.__globals__, code, owner)
        cells = dict(zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=True))
        free = [(name, self.cell(cells[name], owner, name)) for name in code.co_freevars]
        number = len(self.nodes)
        self.nodes.append(('function', self.unit(source), space, '<lambda>', '<lambda>', free, None, None, []))
        return 'node', number

    def kind(self, value: type, owner: str, name: str) -> Ref:
        what = f'{owner} uses {name}, {seen(value)}, which' if name else owner
        raise TypeError(f'{what} is found by no import: move the class to a module')


def innermost(value: Any) -> Any:
    """Return the function that decorators have wrapped, by what they say of it."""
    for _ in range(100):
        wrapped = getattr(value, '__wrapped__', None)
        if wrapped is None:
            break
        value = wrapped
    return value


def is_assigned(unit: Any, name: str) -> bool:
    """Does the source of a module give `name` a value?"""
    source = None if unit is None else unit[2]
    return isinstance(source, bytes) and re.search(rb'\b%s\b' % name.encode(), source) is not None


def crosses(value: Any) -> bool:
    """Can a copy of `value` be sent?"""
    try:
        if values.CODE not in marshal.dumps(value, values.BINARY):
            return True
    except (ValueError, RecursionError):
        pass
    try:
        flat = rich.flat(value, lambda item: None)
        return not values.holds_code(flat)
    except (TypeError, RecursionError):
        return False


def refusal(value: Any, owner: str, name: str) -> str:
    """Say why `value` cannot be sent."""
    try:
        rich.flat(value)
    except TypeError as error:
        return f'{owner} uses {name}: {error}' if name else str(error)
    except RecursionError:
        pass
    return f'{owner}{uses(name)} {seen(value)}, which is nested too deeply: send it in parts'


def uses(name: str) -> str:
    return f' uses {name},' if name else ' is'


def label(function: Any) -> str:
    """Return what errors call `function`."""
    name = getattr(function, '__qualname__', None)
    code = getattr(function, '__code__', None)
    if type(name) is not str or code is None:
        return seen(function)
    if '<lambda>' in name:
        return f'the lambda at {code.co_filename}, line {code.co_firstlineno},'
    return name


def check_time(function: Any, streamed: bool, awaited: bool = False) -> None:
    """Refuse a function that would return before it has run, see ``refuse_later``, also below partials."""
    while isinstance(function, functools.partial):
        function = function.func
    refuse_later(function, streamed, awaited)
