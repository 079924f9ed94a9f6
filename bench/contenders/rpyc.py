"""rpyc, which has to be installed in the child: its children get it from a folder with nothing else in it."""

from __future__ import annotations

import inspect
import subprocess
from collections.abc import Callable
from typing import Any

from bench import far
from bench.contender import Contender, lacks

SERVER = """

import sys
sys.path.insert(0, %r)
import rpyc


class Far(rpyc.Service):
    pass


for function in %r:
    setattr(Far, 'exposed_' + function, staticmethod(globals()[function]))
Far.exposed_getpid = staticmethod(os.getpid)
rpyc.connect_stream(rpyc.PipeStream.from_std(), Far).serve_all()
"""
FUNCTIONS = [name for name, value in vars(far).items() if inspect.isfunction(value)]


class Adapter(Contender):
    title = 'rpyc'
    packages = ('rpyc',)

    def prepare(self) -> None:
        import rpyc

        self.rpyc = rpyc
        self.children: list[Any] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self.names: dict[Any, Any] = {}
        self.code = inspect.getsource(far) + SERVER % (self.ground.installed, FUNCTIONS)

    def close(self) -> None:
        for child in self.children:
            child.close()
        for process in self.processes:
            process.wait()

    def start(self, command: list[str]) -> Any:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child = self.rpyc.connect_pipes(process.stdout, process.stdin, config={'sync_request_timeout': 600})
        self.children.append(child)
        self.processes.append(process)
        return child

    def local(self) -> Any:
        return self.start([self.ground.python, '-c', self.code])

    def ssh(self) -> Any:
        code = "'" + self.code.replace("'", "'\\''") + "'"
        return self.start(['ssh', '-F', self.ground.ssh_config, 'lab', f'{self.ground.python} -c {code}'])

    def below(self, child: Any, how: str) -> Any:
        return lacks('no children of children')

    def connect_all(self, count: int) -> list[Any]:
        children = [self.local() for _ in range(count)]
        for child in children:
            child.root.pid()
        return children

    def function(self, child: Any, function: Callable[..., Any]) -> Any:
        # Held, for each look-up of it is a round trip.
        key = child, function
        found = self.names.get(key)
        if found is None:
            if function.__name__ not in (*FUNCTIONS, 'getpid'):
                lacks('modules do not travel')
            found = self.names[key] = getattr(child.root, function.__name__)
        return found

    def call(self, child: Any, function: Callable[..., Any], *args: Any) -> Any:
        return self.function(child, function)(*args)

    def burst(self, child: Any, function: Callable[..., Any], count: int) -> None:
        send = self.rpyc.async_(self.function(child, function))
        for answer in [send() for _ in range(count)]:
            assert answer.value is None
