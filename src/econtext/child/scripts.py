"""
The far end of a session: a script, a function or a prompt, as the program of a context with streams of its own.

Invariants:

* Standard input, output and error are those of the session, as descriptors and as files of Python, and are what they
  were before once the program has ended.
* The program ends as Python ends one: its threads are waited for, functions of ``atexit`` run, files are flushed.
* A traceback shows no line of econtext.
* SIGINT raises KeyboardInterrupt, and none where econtext stands: there it comes again a moment later.  SIGTERM and
  SIGHUP end the process, as they do with every program.

Sent with the first session.  Entered by the main thread.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

import atexit
import fcntl
import linecache
import os
import signal
import sys
import time
import traceback

from econtext.child import ending, uncaught
from econtext.child.sessions import control_terminal, keep
from econtext.child.transfer import as_bytes
from econtext.core.codec import Text, native
from econtext.core.loop import start_new_thread

AGAIN = 0.01        # seconds until a signal comes again that came while econtext stood there
SAYS_GOODBYE = sys.version_info >= (3, 6)     # Does a console say that it ends, unless told otherwise?
# The streams of the session until its program begins.
OPENED = []  # type: list[int]


def system():
    # type: () -> str
    """Return the name of the system.  What is forked from this context has all loaded that a session needs."""
    __import__('econtext.child.channels')
    return os.uname()[0]


def open_streams(names, terminal):
    # type: (Any, Any) -> int
    """Open the streams of a session; `terminal` is the kind of terminal, None for none. Return our process."""
    flags = os.O_RDONLY, os.O_WRONLY, os.O_WRONLY
    if terminal is not None:
        flags = (os.O_RDWR,) * 3
        os.environ['TERM'] = native(terminal)
    for name, flag in zip(names, flags):
        fd = os.open(native(name), flag)
        OPENED.append(keep(fcntl.fcntl(fd, fcntl.F_DUPFD, 10)))
        # Or the session would wait for output once the program has ended.
        os.close(fd)
    if terminal is not None:
        control_terminal(OPENED[0])
    return os.getpid()


def run_file(path, source, words):
    # type: (Any, Any, Any) -> int
    """Run a script: `source`, in bytes, of the file `path`; return its exit status."""
    path = native(path)
    source = as_bytes(source)
    lines = source.decode('utf-8', 'replace').splitlines(True)
    if str is not Text:
        lines = source.splitlines(True)     # type: ignore[assignment]
        # compile() of Python 2 wants plain newlines, and one at the end.
        source = '\n'.join(source.splitlines()) + '\n'  # type: ignore[arg-type, assignment]
    linecache.cache[path] = len(source), None, lines, path

    def begin(space):
        # type: (dict[str, Any]) -> None
        space['__file__'] = path
        execute(compile(source, path, 'exec', 0, 1), space)  # type: ignore[call-overload]
    return program(begin, [path] + [native(word) for word in words])


def run_function(module, name, args, kwargs, as_json):
    # type: (Any, Any, Any, Any, bool) -> int
    """Call a function of a module, and print what it returns; return the exit status."""
    module, name = native(module), native(name)

    def begin(space):
        # type: (dict[str, Any]) -> None
        call(module, name, args, dict([(native(key), kwargs[key]) for key in kwargs]), as_json)
    return program(begin, [module])


def call(module, name, args, kwargs, as_json):
    # type: (str, str, Any, dict[str, Any], bool) -> None
    __import__(module)
    function = sys.modules[module]  # type: Any
    for part in name.split('.'):
        function = getattr(function, part)
    value = function(*args, **kwargs)
    if as_json:
        value = __import__('json').dumps(value, default=str)
    if value is not None:
        sys.stdout.write('%s\n' % (value,))


def run_prompt(banner, history):
    # type: (Any, Any) -> tuple[int, list[Any]]
    """Be a prompt; without a terminal run what standard input holds. Return the exit status, and the new lines."""
    added = []  # type: list[Any]

    def begin(space):
        # type: (dict[str, Any]) -> None
        if not os.isatty(0):
            text = sys.stdin.read() + '\n'
            linecache.cache['<stdin>'] = len(text), None, text.splitlines(True), '<stdin>'
            code = compile(text, '<stdin>', 'exec', 0, 1)  # type: ignore[call-overload]
            execute(code, space)
            return
        known = remember([native(line) for line in history], space)
        try:
            interact(native(banner), space)
        finally:
            added.extend(known())
    return program(begin, ['']), added


def remember(history, space):
    # type: (list[str], dict[str, Any]) -> Callable[[], list[Any]]
    """Have lines completed and remembered, if this Python can; return what returns the new ones."""
    try:
        readline = __import__('readline')
        completer = __import__('rlcompleter').Completer(space)
    except ImportError:
        return list
    readline.set_completer(completer.complete)
    readline.parse_and_bind('tab: complete')
    if 'libedit' in (readline.__doc__ or ''):
        readline.parse_and_bind('bind ^I rl_complete')
    readline.clear_history()
    for line in history:
        readline.add_history(line)
    before = readline.get_current_history_length()

    def added():
        # type: () -> list[Any]
        return [readline.get_history_item(at + 1) for at in range(before, readline.get_current_history_length())]
    return added


def interact(banner, space):
    # type: (str, dict[str, Any]) -> None
    """Read, run and print until the input ends."""
    for name, text in ('ps1', '>>> '), ('ps2', '... '):
        if not hasattr(sys, name):
            setattr(sys, name, text)
    console = __import__('code').InteractiveConsole(space)
    console.showtraceback = show_traceback
    if SAYS_GOODBYE:
        console.interact(banner, '')
    else:
        console.interact(banner)


def show_traceback():
    # type: () -> None
    """Print why what was typed has failed, as Python would, and keep that for a debugger."""
    kind, value, trace = sys.exc_info()
    # The first line is that of the console itself.
    trace = trace.tb_next  # type: ignore[union-attr]
    for name, last in ('type', kind), ('value', value), ('traceback', trace), ('exc', value):
        setattr(sys, 'last_' + name, last)
    uncaught.tell(strip(kind, value, trace), show_error)


def execute(code, space):
    # type: (Any, dict[str, Any]) -> None
    exec(code, space)


class Streams(object):
    """The streams of the session, in the place of those of the context."""

    def __init__(self):
        # type: () -> None
        if len(OPENED) != 3:
            raise RuntimeError('the streams of the session are not open')
        self.before = sys.stdin, sys.stdout, sys.stderr  # type: Any
        self.kept = [keep(fcntl.fcntl(fd, fcntl.F_DUPFD, 10)) for fd in range(3)]  # type: list[int]
        self.flush()
        while OPENED:
            fd = OPENED.pop()
            os.dup2(fd, len(OPENED))
            os.close(fd)
        files = [self.file(fd, mode) for fd, mode in ((0, 'r'), (1, 'w'), (2, 'w'))]
        sys.stdin, sys.stdout, sys.stderr = files
        # Until the end: Python 2 closes the descriptors with the files.
        self.files = files  # type: list[Any]
        sys.__stdin__, sys.__stdout__, sys.__stderr__ = files   # type: ignore[misc]

    def file(self, fd, mode):
        # type: (int, str) -> Any
        if str is not Text:
            buffering = -1
            if os.isatty(fd):
                buffering = 1
            if fd == 2:
                buffering = 0
            return os.fdopen(fd, mode, buffering)
        errors = 'surrogateescape'
        if fd == 2:
            errors = 'backslashreplace'
        io = __import__('io')
        buffered = io.open(fd, mode + 'b', -1, None, None, None, False)
        return io.TextIOWrapper(buffered, 'utf-8', errors, None, fd == 2 or os.isatty(fd))

    def flush(self):
        # type: () -> None
        for file in sys.stdout, sys.stderr:
            try:
                file.flush()
            except:
                # Closed, or nobody reads it.
                pass

    def restore(self):
        # type: () -> None
        self.flush()
        sys.stdin, sys.stdout, sys.stderr = self.before
        for fd, old in enumerate(self.kept):
            os.dup2(old, fd)
            os.close(old)


def program(begin, words):
    # type: (Callable[[dict[str, Any]], None], list[str]) -> int
    """Run a program as ``__main__``, from its first line to its end; return its exit status."""
    main = type(sys)('__main__')
    main.__dict__['__builtins__'] = sys.modules.get('builtins') or sys.modules.get('__builtin__')
    sys.modules['__main__'] = main
    sys.argv = words
    streams = Streams()
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGHUP)]
    for number, _ in before:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, interrupt)
    hook = sys.excepthook
    try:
        status = outcome(begin, main.__dict__)
        streams.flush()
        try:
            ending.wait_for_threads()
            atexit._run_exitfuncs()
        except:
            show_error(*sys.exc_info())
        return status
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number, handler in before:
            signal.signal(number, handler)
        sys.excepthook = hook
        streams.restore()


def interrupt(number, frame):
    # type: (int, Any) -> None
    """Raise KeyboardInterrupt, where that does no harm."""
    if ending.may_leave(frame):
        raise KeyboardInterrupt
    start_new_thread(come_again, (number,))


def come_again(number):
    # type: (int) -> None
    time.sleep(AGAIN)
    os.kill(os.getpid(), number)


def outcome(begin, space):
    # type: (Callable[[dict[str, Any]], None], dict[str, Any]) -> int
    """Run the program; return its exit status, after it has said what went wrong."""
    try:
        begin(space)
        return 0
    except:
        kind, value, trace = sys.exc_info()
    while trace and str(trace.tb_frame.f_globals.get('__name__'))[:9] == 'econtext.':
        trace = trace.tb_next
    return uncaught.end(strip(kind, value, trace), show_error)


def strip(kind, value, trace):
    # type: (Any, Any, Any) -> tuple[Any, Any, Any]
    """Give an exception the traceback that is left of it; return what ``sys.exc_info`` would."""
    if hasattr(value, '__traceback__'):
        value.__traceback__ = trace
    return kind, value, trace


def show_error(*error):
    # type: (Any) -> None
    """Print an exception as Python would: without the lines of econtext."""
    uncaught.write(''.join(without_ours(traceback.format_exception(*error))))


def without_ours(parts):
    # type: (list[Any]) -> list[Any]
    """
    Return the parts of a traceback but those of files of econtext, such as its importer, and of what calls that.

    A traceback that had no other line has no title, either: so Python tells of a script that is no Python.
    """
    # Python, too, leaves these out.
    ours = {'<frozen importlib._bootstrap>': True, '<frozen importlib._bootstrap_external>': True}  # type: dict[Any, bool]
    # Code that came ready has the names of the files that it was compiled from.
    folder = sys._getframe().f_code.co_filename[:-len('econtext/child/scripts.py')]
    for name, module in list(sys.modules.items()):
        if name[:9] == 'econtext.':
            file = getattr(module, '__file__', None)
            ours[file] = ours['%s%s' % (folder, file)] = True
    found = [part for part in parts if not (part[:8] == '  File "' and part[8:].split('"')[0] in ours)]
    if [part[:11] for part in found].count('Traceback (') == 1 and not [
            part for part in found if part[:8] == '  File "' and part.split('\n')[0].find('", line ') > 0
            and part.split('\n')[0].find(', in ') > 0]:
        del found[0]
    return found
