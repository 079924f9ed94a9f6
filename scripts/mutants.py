"""Changes code in one place at a time, and looks whether the unit tests find each change; scripts/mutation calls it.

mutmut says which changes there are. The table [tool.mutmut] of pyproject.toml says in which files, and which tests are
to find them. The tests are collected once. Then each change has a process of its own, forked from that one: it gives
the functions of the changed source their new code, and runs the tests that run the changed statement, the quickest
first, until one fails.

Invariants:

* No file of the tree is written. What became of a change is added to RESULTS at once: a run that was stopped goes on.
* A result counts as long as the changed function is as it was, and so is the function of the test that found the
  change; for a change that none has found, all files of tests. `--again` forgets the results.
* A change in KNOWN has no effect that a test could see, and the file says why.

Ends with 1 if the tests find less than LEAST of 100 changes, or miss one that is not in KNOWN.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import fnmatch
import functools
import gc
import hashlib
import json
import os
import resource
import select
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import libcst
import pytest
from libcst._nodes.internal import CodegenState
from mutmut.configuration import config
from mutmut.mutation.file_mutation import create_mutations, deep_replace

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / '.venv' / 'mutants.jsonl'
REACHED = ROOT / '.venv' / 'mutants_reached.json'
KNOWN = ROOT / 'scripts' / 'mutants_known.txt'
LEAST = 95
FOUND, ENDLESS, MISSED, UNREACHED, LEFT_OUT = (
    'found', 'found, by running too long', 'not found', 'reached by no test', 'left out: a process cannot take it')
OPTIONS = ['-q', '-s', '-m', 'not slow', '-p', 'no:cacheprovider', '--tb=line', '--assert=plain']
MEMORY = 4 << 30        # bytes that a changed program may have
PATIENCE = 15.0     # seconds that the tests of a change may take, beyond ten times what they took unchanged


@dataclass(frozen=True)
class Change:
    """One change: the lines `old` of `function`, from line `at` on, become the lines `new`."""

    path: Path
    module: str
    function: str
    at: int
    old: tuple[str, ...]
    new: tuple[str, ...]
    key: str
    #: All of the file, as it is and changed.
    text: str
    changed: str

    @property
    def name(self) -> str:
        return f'{self.module}.{self.function}'

    @property
    def lines(self) -> list[str]:
        """Return the change in the form of KNOWN."""
        return [self.name, *('- ' + line.strip() for line in self.old), *('+ ' + line.strip() for line in self.new)]


# -- changes -------------------------------------------------------------------


def functions_of(body: Any, classes: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], libcst.FunctionDef]]:
    """Yield the functions of a module and of its classes, each with the names of these and its own."""
    for node in body:
        if isinstance(node, libcst.FunctionDef):
            yield (*classes, node.name.value), node
        elif isinstance(node, libcst.ClassDef):
            yield from functions_of(node.body.body, (*classes, node.name.value))


def code_of(tree: libcst.Module, node: Any, depth: int) -> str:
    """Return the code of a function that stands in so many classes."""
    state = CodegenState(tree.default_indent, tree.default_newline)
    for _ in range(depth):
        state.increase_indent(tree.default_indent)
    node._codegen(state)
    return ''.join(state.tokens)


def changes_of(path: Path, patterns: list[str]) -> Iterator[Change]:
    """Yield each change that mutmut makes in the functions of a file whose names fit."""
    text = path.read_text('utf-8')
    tree, mutations = create_mutations(str(path), text)[:2]
    module = '.'.join(path.relative_to(ROOT / 'src').with_suffix('').parts)
    at = 0
    places = {}
    for names, function in functions_of(tree.body):
        code = code_of(tree, function, len(names) - 1)
        at = text.index(code, at)
        places[function] = names, at, code
        at += len(code)
    met = set()
    for mutation in mutations:
        within: Any = mutation.contained_by_top_level_function
        if within not in places:
            continue
        names, at, code = places[within]
        name = '.'.join(names)
        if patterns and not any(fnmatch.fnmatchcase(f'{module}.{name}', pattern) for pattern in patterns):
            continue
        changed = code_of(tree, deep_replace(within, mutation.original_node, mutation.mutated_node), len(names) - 1)
        key = hashlib.sha256('\0'.join((module, name, code, changed)).encode()).hexdigest()[:20]
        if key in met:
            continue
        met.add(key)
        old, new = code.splitlines(), changed.splitlines()
        blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        blocks = [block for block in blocks if block[0] != 'equal']
        if not blocks:
            continue
        first, last = blocks[0], blocks[-1]
        yield Change(
            path, module, name, text.count('\n', 0, at) + 1 + first[1], tuple(old[first[1]:last[2]]),
            tuple(new[first[3]:last[4]]), key, text, text[:at] + changed + text[at + len(code):])


@functools.cache
def statements(text: str) -> list[range]:
    """Return the lines of each statement; of a statement that holds others, those before these."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.stmt, ast.ExceptHandler)):
            last = node.end_lineno or node.lineno
            body = getattr(node, 'body', None)
            if body and not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
                last = max(node.lineno, body[0].lineno - 1)
            found.append(range(node.lineno, last + 1))
    return found


def statement_lines(change: Change) -> range:
    """Return the lines of the smallest statement that is changed."""
    last = change.at + max(1, len(change.old))
    around = [lines for lines in statements(change.text) if change.at in lines]
    if not around:
        return range(change.at, last)
    smallest = min(around, key=len)
    return range(smallest.start, max(smallest.stop, last))


def known() -> dict[tuple[str, ...], str]:
    """Return the changes of KNOWN, each with the reason why no test can find it."""
    found: dict[tuple[str, ...], str] = {}
    reason = ''
    for part in KNOWN.read_text('utf-8').split('\n\n'):
        lines = [line.strip() for line in part.strip().splitlines()]
        if lines and lines[0].startswith('#'):
            reason = ' '.join(line.lstrip('# ') for line in lines)
        elif lines:
            found[tuple(lines)] = reason
    return found


# -- new code for functions that are there -----------------------------------------


def pairs(old: types.CodeType, new: types.CodeType) -> Iterator[tuple[types.CodeType, types.CodeType]]:
    """Yield what code becomes what other code, from the outermost to the innermost."""
    if old == new:
        return
    yield old, new
    before = [item for item in old.co_consts if isinstance(item, types.CodeType)]
    after = [item for item in new.co_consts if isinstance(item, types.CodeType)]
    for each in before:
        same = [item for item in after if item.co_name == each.co_name]
        if same:
            after.remove(same[0])
            yield from pairs(each, same[0])


@functools.cache
def compiled(text: str, name: str) -> types.CodeType:
    return compile(text, name, 'exec', dont_inherit=True)


def keep(tree: ast.Module, code: types.CodeType, variables: set[str]) -> None:
    """Have the function that has become `code` use these variables, where that does nothing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (node.name, node.lineno) == (code.co_name, code.co_firstlineno):
            body = [ast.Expr(ast.Name(name, ast.Load())) for name in sorted(variables)]
            node.body.insert(0, ast.If(ast.Constant(False), list(body), []))
            ast.fix_missing_locations(tree)


def apply(change: Change, functions: dict[types.CodeType, list[types.FunctionType]]) -> bool:
    """Give all functions of the changed source their new code; return whether there is one."""
    done = False
    name = str(change.path)
    tree = ast.parse(change.changed)
    original = compiled(change.text, name)
    for old, new in pairs(original, compile(tree, name, 'exec', dont_inherit=True)):
        if functions.get(old) and len(old.co_freevars) > len(new.co_freevars):
            # A function that is there keeps its variables of the function around it.
            keep(tree, new, set(old.co_freevars) - set(new.co_freevars))
    for old, new in pairs(original, compile(tree, name, 'exec', dont_inherit=True)):
        for function in functions.get(old, ()):
            try:
                function.__code__ = new
            except ValueError:
                return False
            done = True
    if done:
        return True
    # Only a default was changed, which is no part of the code of its function.
    for one, other in zip(ast.walk(ast.parse(change.text)), ast.walk(ast.parse(change.changed)), strict=False):
        if (isinstance(one, ast.FunctionDef) and isinstance(other, ast.FunctionDef)
                and ast.dump(one.args) != ast.dump(other.args)):
            for code, there in functions.items():
                if (code.co_name, code.co_firstlineno) == (one.name, one.lineno):
                    for function in there:
                        function.__defaults__ = tuple(
                            [eval(ast.unparse(item), function.__globals__) for item in other.args.defaults])
                        done = True
    return done


def functions_in(paths: set[str]) -> dict[str, dict[types.CodeType, list[types.FunctionType]]]:
    """Return all functions that were made from these files, by file and code."""
    found: dict[str, dict[types.CodeType, list[types.FunctionType]]] = {path: {} for path in paths}
    for item in gc.get_objects():
        if type(item) is types.FunctionType and item.__code__.co_filename in paths:
            found[item.__code__.co_filename].setdefault(item.__code__, []).append(item)
    return found


# -- tests ---------------------------------------------------------------------------


class Reach:
    """Notes which lines of the files each test runs."""

    def __init__(self, paths: set[str]) -> None:
        self.paths = paths
        self.lines: set[tuple[str, int]] = set()

    def __call__(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename in self.paths:
            return self.line
        return None

    def by_path(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for path, line in sorted(self.lines):
            found.setdefault(path, []).append(line)
        return found

    def line(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        self.lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self.line


def run(session: pytest.Session, items: list[pytest.Item]) -> Iterator[tuple[pytest.Item, bool]]:
    """Run tests, and yield each with whether it has failed."""
    for number, item in enumerate(items):
        following = items[number + 1] if number + 1 < len(items) else None
        before = session.testsfailed
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        yield item, session.testsfailed != before


def in_order(names: set[str], tests: dict[str, Any]) -> list[str]:
    """Return tests, the quickest first; those of a file one after the other, for a file may have set-up of its own."""
    files: dict[str, float] = {}
    for name in names:
        file = name.partition('::')[0]
        files[file] = files.get(file, 0.0) + tests[name]['seconds']
    return sorted(names, key=lambda name: (
        files[name.partition('::')[0]], name.partition('::')[0], tests[name]['seconds'], name))


class Child:
    """A process that runs a function of ours, and sends what it returns."""

    def __init__(self, func: Any, wall: float, processor: float) -> None:
        self.begun = time.monotonic()
        self.wall = wall
        ours, theirs = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            status = 1
            try:
                os.setpgid(0, 0)
                os.close(ours)
                nothing = os.open(os.devnull, os.O_RDWR)
                for number in (0, 1, 2):
                    os.dup2(nothing, number)
                os.close(nothing)
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
                seconds = int(processor) + 1
                resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                with open(theirs, 'w', encoding='utf-8', closefd=False) as stream:
                    json.dump(func(), stream)
                status = 0
            finally:
                os._exit(status)
        os.close(theirs)
        self.ours = ours
        self.data = b''

    def fileno(self) -> int:
        return self.ours

    def read(self) -> bool:
        """Read what came; return whether that was all."""
        data = os.read(self.ours, 1 << 20)
        self.data += data
        return not data

    def over(self) -> bool:
        return time.monotonic() - self.begun > self.wall

    def end(self) -> tuple[int, Any]:
        """Return the exit status, a signal as a negative number, and what it has sent."""
        os.close(self.ours)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        try:
            return 0, json.loads(self.data)
        except ValueError:
            return status, None


def finished(children: list[Child]) -> Child | None:
    """Wait for one of the children to end, or to be over its time."""
    ready = select.select(children, [], [], 0.5)[0]
    for child in ready:
        if child.read():
            return child
    for child in children:
        if child.over():
            return child
    return None


class Runner:
    """A plugin of pytest that runs the tests of each change in place of all tests."""

    def __init__(self, changes: list[Change], jobs: int, results: dict[str, dict[str, Any]]) -> None:
        self.changes = changes
        self.jobs = jobs
        self.results = results
        self.failed: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        # The same examples in each run, and no search for the smallest one that fails.
        settings, phase = hypothesis.settings, hypothesis.Phase
        settings.register_profile(
            'mutation', settings.get_profile('econtext'), derandomize=True, database=None,
            phases=(phase.explicit, phase.generate), report_multiple_bugs=False)
        settings.load_profile('mutation')

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            self.failed.append('the tests cannot be collected')
            return True
        self.session = session
        self.items = {item.nodeid: item for item in session.items}
        self.paths = {str(ROOT / path) for path in table()['only_mutate']}
        gc.collect()
        self.functions = functions_in(self.paths)
        for change in self.changes:
            compiled(change.text, str(change.path))     # here, for all of the processes
        gc.freeze()
        tests = self.unchanged()
        self.failed += [name for name, test in tests.items() if test['failed']]
        if not self.failed:
            self.try_all(tests)
        return True

    def unchanged(self) -> dict[str, Any]:
        """Return what `reached` says of each test, now or in an earlier run with the same code."""
        begun = time.monotonic()
        digest = hashlib.sha256(b''.join(Path(path).read_bytes() for path in sorted(self.paths))).hexdigest()
        earlier = json.loads(REACHED.read_text('utf-8')) if REACHED.exists() else {}
        tests: dict[str, Any] = {}
        for name in self.items:
            test = earlier.get(name)
            if test and not test['failed'] and test['digests'] == [digest, digest_of(name.partition('::')[0])]:
                tests[name] = test
        items = [item for name, item in self.items.items() if name not in tests]
        if items:
            child = Child(lambda: self.reached(items), 1800.0, 600.0)
            while finished([child]) is None:
                pass
            found = child.end()[1]
            if found is None:
                self.failed.append('the tests of the code as it is do not end')
                return tests
            self.failed += [f'{name} (in another order)' for name in self.in_another_order(found)]
            for name, test in found.items():
                tests[name] = {**test, 'digests': [digest, digest_of(name.partition('::')[0])]}
            REACHED.write_text(json.dumps(tests), 'utf-8')
        print(f'{len(items)} of {len(self.items)} tests, unchanged: {time.monotonic() - begun:.0f} s', flush=True)
        return tests

    def in_another_order(self, tests: dict[str, Any]) -> list[str]:
        """Return the tests that fail in the order in which they meet a change: that would be no merit of theirs."""
        items = [self.items[name] for name in in_order(set(tests), tests)]
        child = Child(lambda: [item.nodeid for item, failed in run(self.session, items) if failed], 1800.0, 600.0)
        while finished([child]) is None:
            pass
        found: list[str] | None = child.end()[1]
        return ['none, for they do not end'] if found is None else found

    def reached(self, items: list[pytest.Item]) -> dict[str, Any]:
        """Return which lines each test runs, how long it takes, and whether it fails. In a process of its own."""
        found: dict[str, Any] = {}
        reach = Reach(self.paths)
        threading.settrace(reach)
        sys.settrace(reach)
        begun = time.process_time()
        for item, failed in run(self.session, items):
            now = time.process_time()
            found[item.nodeid] = {'seconds': now - begun, 'failed': failed, 'lines': reach.by_path()}
            begun = now
            reach.lines.clear()
            sys.settrace(reach)
        return found

    def try_all(self, tests: dict[str, Any]) -> None:
        reached: dict[tuple[str, int], set[str]] = {}
        for name, test in tests.items():
            for path, lines in test['lines'].items():
                for line in lines:
                    reached.setdefault((path, line), set()).add(name)
        running: dict[Child, Change] = {}
        left = list(reversed(self.changes))
        begun = time.monotonic()
        number = 0
        with RESULTS.open('a', encoding='utf-8') as log:

            def note(change: Change, verdict: str, test: str) -> None:
                result = {'key': change.key, 'verdict': verdict, 'test': test, 'tests': digest_of(test)}
                self.results[change.key] = result
                log.write(json.dumps(result) + '\n')
                log.flush()

            try:
                while left or running:
                    while left and len(running) < self.jobs:
                        change = left.pop()
                        number += 1
                        names = set().union(*(
                            reached.get((str(change.path), line), ()) for line in statement_lines(change)))
                        if not names:
                            note(change, UNREACHED, '')
                            continue
                        ordered = in_order(names, tests)
                        seconds = sum(tests[name]['seconds'] for name in ordered)
                        child = Child(lambda change=change, ordered=ordered: self.attempt(change, ordered),
                                      PATIENCE + 10 * seconds, 5 + 5 * seconds)
                        running[child] = change
                    if not running:
                        break
                    child_done = finished(list(running))
                    if child_done is None:
                        continue
                    change = running.pop(child_done)
                    status, answer = child_done.end()
                    if answer is None:
                        late = child_done.over() or status in (-signal.SIGXCPU, -signal.SIGKILL)
                        answer = [ENDLESS if late else FOUND, '']
                    note(change, *answer)
                    if number % 50 == 0:
                        print(f'{number} of {len(self.changes)}, {time.monotonic() - begun:.0f} s', flush=True)
            finally:
                for each in running:
                    os.killpg(each.pid, signal.SIGKILL)
                    each.end()
        print(f'{len(self.changes)} changes: {time.monotonic() - begun:.0f} s', flush=True)

    def attempt(self, change: Change, names: list[str]) -> list[str]:
        """Return what becomes of a change, and the test that finds it. In a process of its own."""
        if not apply(change, self.functions[str(change.path)]):
            return [LEFT_OUT, '']
        for item, failed in run(self.session, [self.items[name] for name in names]):
            if failed:
                return [FOUND, item.nodeid]
        return [MISSED, '']


def tests_of() -> list[str]:
    return list(table()['pytest_add_cli_args_test_selection'])


def table() -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    found: dict[str, Any] = tomllib.loads((ROOT / 'pyproject.toml').read_text('utf-8'))['tool']['mutmut']
    return found


@functools.cache
def functions_of_tests(path: str) -> dict[str, str]:
    """Return the functions of a file of tests by their names."""
    text = (ROOT / path).read_text('utf-8')
    return {node.name: ast.get_source_segment(text, node) or ''
            for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}


@functools.cache
def digest_of(test: str) -> str:
    """Return a digest of a test, of a file that a path names, or of all files of tests for ''."""
    path, _, name = test.partition('::')
    if name:
        name = name.partition('[')[0].rpartition('::')[2]
        data = functions_of_tests(path).get(name, '').encode() if (ROOT / path).exists() else b''
    else:
        files = [ROOT / each for each in ([path] if path else tests_of())]
        data = b''.join(file.read_bytes() for each in files for file in (
            sorted(each.rglob('*.py')) if each.is_dir() else [each]))
    return hashlib.sha256(data).hexdigest()[:12]


def read_results() -> dict[str, dict[str, Any]]:
    """Return the results that still count, by the keys of their changes."""
    found = {}
    if RESULTS.exists():
        for line in RESULTS.read_text('utf-8').splitlines():
            try:
                result = json.loads(line)
            except ValueError:
                continue
            found[result['key']] = result
    return {key: result for key, result in found.items() if result['tests'] == digest_of(result['test'])}


# -- the report ----------------------------------------------------------------------


def report(changes: list[Change], results: dict[str, dict[str, Any]], whole: bool) -> int:
    explained = known()
    counts: dict[str, int] = {}
    met = set()
    missed = unexplained = 0
    for change in changes:
        verdict = results[change.key]['verdict']
        counts[verdict] = counts.get(verdict, 0) + 1
        lines = tuple(change.lines)
        if verdict in (MISSED, UNREACHED):
            missed += 1
            met.add(lines)
            if lines not in explained:
                unexplained += 1
                print(f'\n# {verdict}: {change.path.relative_to(ROOT)}:{change.at}', *lines, sep='\n')
    print()
    for lines in explained:
        if lines not in met and (whole or any(change.name == lines[0] for change in changes)):
            print('explained, but found or no longer there:', *lines, sep='\n    ')
    found = counts.get(FOUND, 0) + counts.get(ENDLESS, 0)
    print(', '.join(f'{what}: {number}' for what, number in sorted(counts.items())))
    if not found + missed:
        return 1
    print(f'the tests find {found} of {found + missed} changes: {100 * found / (found + missed):.1f} %; '
          f'{missed - unexplained} of the others are explained')
    return int(100 * found < LEAST * (found + missed) or unexplained > 0)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument('--again', action='store_true', help='forget what earlier runs have found')
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('patterns', nargs='*', help='of MODULE.FUNCTION, such as econtext.child.rich*')
    options = parser.parse_args()
    # A shell lets what it begins in the background be deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(ROOT)
    assert config().do_not_mutate_patterns, 'pyproject.toml was not read'
    sys.path[0] = str(ROOT)     # as `python -m pytest` does
    changes = [change for path in table()['only_mutate'] for change in changes_of(ROOT / path, options.patterns)]
    if options.again:
        RESULTS.unlink(missing_ok=True)
    results = read_results()
    left = [change for change in changes if change.key not in results]
    print(f'{len(changes)} changes, {len(left)} of them to try', flush=True)
    if left:
        runner = Runner(left, options.jobs, results)
        pytest.main([*OPTIONS, *tests_of()], [runner])
        if runner.failed or any(change.key not in results for change in left):
            print('the tests of the code as it is fail:', *runner.failed, sep='\n    ')
            return 2
    return report(changes, results, not options.patterns)


if __name__ == '__main__':
    sys.exit(main())
