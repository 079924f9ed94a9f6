"""
A context, as the program holds it.

Invariants:

* Bad input is refused before anything is sent.
* All that a context has inside is its node: see ``node``.

Any thread may enter.
"""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, overload

from econtext.child import interpreter
from econtext.child.channels import WINDOW
from econtext.child.labels import seen
from econtext.controller.commands.methods import Commands
from econtext.controller.connect.connectors import Connectors
from econtext.controller.connect.options import ConnectRequest, check_path, check_window
from econtext.controller.errors import stays
from econtext.controller.files.methods import Files
from econtext.controller.runtime.deadlines import is_seconds
from econtext.controller.runtime.signals import interruptible
from econtext.controller.session.callbacks import Allows
from econtext.controller.session.calls import GRACE, Caller, Options, check_isolation
from econtext.controller.session.futures import Future

if TYPE_CHECKING:
    from econtext.controller.node import Node
    from econtext.controller.session.callbacks import Allowed
    from econtext.controller.session.channels import Channel
    from econtext.controller.session.forks import ForkOptions
    from econtext.controller.session.streams import Stream

P = ParamSpec('P')
T = TypeVar('T')


if TYPE_CHECKING:
    Base = Connectors['Context']
else:
    # As a broker starts, the text would be compiled.
    Base = Connectors


class Context(Base, Allows, Commands, Files, concurrent.futures.Executor):
    """
    A place where functions of this program run.

    Made by a connector: ``broker.ssh('web1')``, ``context.sudo()``.  It is a
    ``concurrent.futures.Executor``; calls run one after the other in its main
    thread, unless it was started with ``threads=``.  As a context manager it ends
    with its block.
    """

    _crosses_as = 'econtext'
    __reduce_ex__: Callable[..., Any] = stays

    def __init__(self, node: Node) -> None:
        if isinstance(node, str):
            raise TypeError("a context is started by a broker: with econtext.Broker() as broker: broker.ssh('web1')")
        super().__init__()
        self._node = node
        self._plainly: Caller = Caller(node, None)
        node.facade = self

    def __repr__(self) -> str:
        return self._node.__repr__()

    def _repr_html_(self) -> str:
        return self._node.as_table('econtext.Context')

    @property
    def name(self) -> str:
        """The name in logs and errors."""
        return self._node.name

    @property
    def via(self) -> Context | None:
        """The context that started this one; None if the program itself did."""
        above = self._node.via
        facade: Context | None = above.facade if above is not None else None
        return facade

    @property
    def python_version(self) -> tuple[int, ...]:
        """The version of the interpreter there, such as (3, 11, 2); empty until it is ready."""
        return self._node.python_version

    @property
    def executable(self) -> str:
        """The path of the interpreter there; empty until it is ready."""
        return self._node.executable

    @property
    def pid(self) -> int:
        """The number of the process there; 0 until it is ready."""
        return self._node.pid

    @overload
    def call(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    @interruptible
    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """
        Run ``function(*args, **kwargs)`` there and return its result.

        `function` is a function of a module, a class, a static or class method,
        or a built-in.  Its module, and what that imports, is sent along; `args`
        and `kwargs` are values that cross.  Of any other function, such as a lambda or
        one that was typed in, the source is sent, with copies of what it uses.  A
        coroutine function is run there by ``asyncio.run``, on Python 3.7 and later.

        Raises CallError (also of the built-in type that was raised there),
        ConnectError, ContextLost.  Before anything is sent: TypeError or ValueError
        for what cannot be called or cannot cross, NotAllowed for a module that may
        not leave the program, SyntaxError for one that the Python there cannot read.

        Ctrl-C, or what a handler of a signal raises, leaves the call at once.  Nobody can get
        its result then, so the function is interrupted as at a deadline: see options().

        Example::

            load = web.call(os.getloadavg)
        """
        __tracebackhide__ = True
        return self._plainly.run(function, args, kwargs)

    @overload
    def submit(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]: ...
    @overload
    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """
        Send the call and return a Future at once.

        `function`, `args` and `kwargs` are as for call().  Raises what call() does
        before anything is sent, and RuntimeError after shutdown() or close(); all else,
        also that the context is gone already, is raised by the future's result().

        Example::

            futures = [web.submit(install, 'app') for web in webs]
            results = [future.result() for future in futures]
        """
        return self._plainly.launch(function, args, kwargs)

    @overload
    def options(
        self, *, timeout: float | None = None, grace: float = GRACE, fork: Literal[False] = False
    ) -> Options: ...
    @overload
    def options(
        self, *, timeout: float | None = None, grace: float = GRACE, fork: Literal[True],
        max_output: int | None = None, capture: bool = True,
    ) -> ForkOptions: ...

    def options(
        self, *, timeout: float | None = None, grace: float = GRACE, fork: bool = False,
        max_output: int | None = None, capture: bool = True,
    ) -> Options | ForkOptions:
        """
        Return what has ``call``, ``submit`` and ``stream`` with these options.

        `timeout` is in seconds; at the deadline CallTimeout is raised, and the
        function is interrupted where it stands: the programs it has started are told
        to end, then ``econtext.Interrupted`` is raised there.  If it has not stopped
        after `grace` seconds, 1 unless given, the context is ended, and further calls
        raise ContextLost.  A call that has not begun is dropped.  The same happens to a
        blocking call that Ctrl-C leaves, with a `timeout` or without.

        With `fork` each call runs in a fork of the context, a process of its own, and returns a ForkResult:
        the value, and what the process wrote to standard output and error.  What the function changes, it changes
        in that process.  A call that is given up has its process ended, with its process group: SIGTERM, and
        SIGKILL after `grace` seconds; the context goes on.  `max_output` is how many bytes the process may write,
        16 MiB unless given; a process that writes more is ended, and the call raises ForkExited.  Without
        `capture` the output is that of the context, and goes to its logger.  Such options have no ``stream``.

        Raises ValueError for what is no number of seconds or bytes, and for `max_output` or `capture` without `fork`.

        Example::

            web.options(timeout=5).call(install_app)
            print(web.options(fork=True).call(install_app).stdout)
        """
        if timeout is not None and not is_seconds(timeout):
            raise ValueError(f'timeout= must be a number of seconds, not {seen(timeout)}')
        if not is_seconds(grace):
            raise ValueError(f'grace= must be a number of seconds, not {seen(grace)}')
        if fork:
            from econtext.controller.session import forks
            return forks.ForkOptions(self._node, timeout, grace, max_output, capture)
        check_isolation(fork, max_output, capture)
        return Options(self._node, timeout, grace)

    @interruptible
    def same_interpreter(self, python: str | os.PathLike[str]) -> bool:
        """
        Return whether `python` is the interpreter of this context, under whatever name.

        `python` is a path there, or a name that is looked up on the PATH of the context.  Two names are the same
        interpreter if they lead to one file, such as ``/usr/bin/python3`` and ``/usr/bin/python3.11``, and to the same
        virtual environment or none: the links of two environments are two interpreters.  What is not there is
        not the same, and neither is a script that starts the interpreter.  Nothing is executed.

        Raises TypeError for what is no path, ValueError for an empty one, and what call() does.

        Example::

            if not web.same_interpreter('/usr/bin/python3'):
                web = web.local(python='/usr/bin/python3')
        """
        same: bool = self._plainly.run(interpreter.is_same, (check_path('python', python),), {})
        return same

    def wait_ready(self, timeout: float | None = None) -> Context:
        """
        Wait until the context has answered, and return it.

        Raises ConnectError if it could not be started, ContextLost if it has ended
        since, CallTimeout after `timeout` seconds.  Needed by nobody who goes on
        to call.

        Example::

            root = web.sudo().wait_ready()
        """
        self._node.wait_ready(timeout)
        return self

    def channel(self, *, window: int = WINDOW) -> Channel:
        """
        Return a channel, one end here, the other for a function called there.

        `window` is how many bytes may be under way, or wait to be read, each way:
        65,536 or more; 1 MiB unless given.  One value may be larger.  Raises
        ValueError for another number; that the context is gone shows when the
        channel is used.

        Example::

            channel = web.channel()
            web.submit(tail_log_file, channel, '/var/log/messages')
            for chunk in channel:
                ...
        """
        check_window('window', window)
        return self._node.channel(window=window)

    def stream(
        self, function: Callable[P, Iterable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Stream[T]:
        """
        Iterate over what ``function(*args, **kwargs)`` yields there.

        `function`, `args` and `kwargs` are as for call().  Values come as they are
        made; who does not read them stops the function.  Raises what call() does,
        behind the values that came before.  Leaving the loop ends the function.

        Example::

            for line in web.stream(follow, '/var/log/messages'):
                print(line)
        """
        from econtext.controller.session import streams  # most programs stream nothing

        return streams.Stream(self._plainly, function, args, kwargs)

    @interruptible
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """
        Take no more calls, let those that were sent finish, then end the context.

        With `cancel_futures` those that have not begun are cancelled; without `wait` it
        returns at once, and the context ends behind the last of them.  close() waits
        for none.  Leaving a ``with`` statement does this, or close() if by an
        exception.  Raises nothing.

        Example::

            with broker.ssh('web1') as web:
                web.submit(install_app)
        """
        node = self._node
        node.shut = True
        pending = list(node.pending)
        if cancel_futures:
            # The last first: none of those before them is begun meanwhile for nothing.
            for future in sorted(pending, key=lambda future: -future._handle):
                future.cancel()
        if wait or node.error or not pending:
            concurrent.futures.wait(pending)
            self.close()
            return
        for future in pending:
            future.add_done_callback(node.end_behind)

    def close(self) -> None:
        """
        End the context and all below it, within seconds; calls get ContextLost.

        Raises nothing; that it did not end in time is logged.

        Example::

            root.close()
        """
        self._node.close()

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if exc_info[0] is None:
            self.shutdown()
        else:
            self.close()

    def _start(self, request: ConnectRequest) -> Context:
        facade: Context = self._node.start(request).facade
        return facade

    def _prefix(self) -> str:
        return self._node.prefix()

    def _allowed(self) -> Allowed:
        return self._node.broker.name_of, self._node.allowed

    def _cross(self) -> tuple[int, str]:
        return self._node.id, self._node.name
