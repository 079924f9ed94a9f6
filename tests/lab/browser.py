"""A real browser without a screen: Debian's Chromium, spoken to over a pair of pipes in its own protocol.

Invariants:
* The browser has a profile of its own, in the folder that the test gives, and reaches addresses of the loopback alone.
* What a page says to its console as an error, an exception that nobody catches and a resource that cannot be loaded are
  kept: `complaints`.
* After `close` no process of the browser runs.
"""

from __future__ import annotations

import base64
import json
import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from lab import eventually, need

PATIENCE = 120.0  # seconds, for one answer: beside other tests a first page may take a while
# Without the sandbox root may run it, and a machine without user namespaces.
FLAGS = (
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--hide-scrollbars',
    '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-extensions',
    '--disable-crash-reporter', '--no-proxy-server', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
    '--remote-debugging-pipe',
)  # fmt: skip
MOVED = re.compile('navigated or closed|Cannot find context|context was destroyed')
READ, WRITE = 3, 4  # the descriptors of the browser's end, as its protocol has them


class Moved(Exception):
    """The page went away while it was asked: another is on its way."""


class Browser:
    """One page of a browser, `width` pixels wide. `dark` is what the page is told that its reader prefers."""

    def __init__(self, folder: Path, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        self.width = width
        self.complaints: list[str] = []
        self._number = 0
        self._buffer = b''
        self._loaded = 0
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        # Through a shell, which gives the pipes their numbers: they may be anything here.
        command = f'exec "$@" {READ}<&{their_in} {WRITE}>&{their_out}'
        self._process = subprocess.Popen(
            ['bash', '-c', command, 'browser', need('chromium'), *FLAGS, f'--user-data-dir={folder}', 'about:blank'],
            pass_fds=(their_in, their_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True, env={**os.environ, 'HOME': str(folder)},
        )  # fmt: skip
        os.close(their_in)
        os.close(their_out)
        self._session: str | None = None
        try:
            target = self.ask('Target.createTarget', url='about:blank')['targetId']
            self._session = self.ask('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
            for domain in 'Page', 'Runtime', 'Log', 'Network':
                self.ask(domain + '.enable')
            # Not as a telephone, whose page grows with what is too wide: nothing would overflow.
            self.ask('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1,
                     mobile=False)
            scheme = 'dark' if dark else 'light'
            self.ask('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': scheme}])
        except BaseException:
            self.close()
            raise

    def open(self, address: str) -> None:
        """Open a page, and return when all that it names is loaded."""
        before = self._loaded
        answer = self.ask('Page.navigate', url=address)
        assert 'errorText' not in answer, f'{address}: {answer["errorText"]}'
        self._wait_loaded(before)

    def run(self, script: str) -> Any:
        """Return the value of an expression of the page's own language; a promise is awaited."""
        answer = self.ask('Runtime.evaluate', expression=script, returnByValue=True, awaitPromise=True)
        assert 'exceptionDetails' not in answer, answer
        return answer['result'].get('value')

    def follow(self, script: str) -> None:
        """Run what leads to another page, and return when that page is loaded."""
        before = self._loaded
        try:
            self.run(script)
        except Moved:
            pass  # already there
        self._wait_loaded(before)

    def wait(self, script: str) -> Any:
        """Return the value of an expression as soon as it is true; meanwhile the page may change for another."""

        def value() -> Any:
            try:
                return self.run(script)
            except Moved:
                return None

        return eventually(value, PATIENCE, script)

    def picture(self, path: Path, whole: bool = False) -> None:
        """Save a screenshot, of the window or of the whole page, as PNG."""
        answer = self.ask('Page.captureScreenshot', format='png', captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer['data']))

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {'id': number, 'method': method, 'params': parameters}
        if self._session is not None:
            message['sessionId'] = self._session
        data = memoryview(json.dumps(message).encode() + b'\0')
        while data:
            data = data[os.write(self._out, data) :]
        end = time.monotonic() + PATIENCE
        while True:
            answer = self._take(end)
            if answer.get('id') == number:
                if 'error' in answer and MOVED.search(answer['error']['message']):
                    raise Moved(method)
                assert 'error' not in answer, f'{method}: {answer["error"]}'
                return dict(answer['result'])

    def _wait_loaded(self, before: int) -> None:
        end = time.monotonic() + PATIENCE
        while self._loaded == before:
            self._take(end)

    def _take(self, end: float) -> dict[str, Any]:
        """Return the next message, and remember what it says of the page."""
        while b'\0' not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            assert ready, f'the browser did not answer within {PATIENCE} s'
            data = os.read(self._in, 1 << 20)
            assert data, f'the browser ended: {self._process.wait()}'
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b'\0')
        message: dict[str, Any] = json.loads(text)
        said = message.get('params', {})
        match message.get('method'):
            case 'Page.loadEventFired':
                self._loaded += 1
            case 'Runtime.exceptionThrown':
                self.complaints.append(str(said['exceptionDetails']))
            case 'Runtime.consoleAPICalled' if said['type'] in ('error', 'assert', 'warning'):
                self.complaints.append(str(said['args']))
            case 'Log.entryAdded' if said['entry']['level'] in ('error', 'warning'):
                self.complaints.append(f'{said["entry"]["text"]} {said["entry"].get("url", "")}')
            case 'Network.loadingFailed' if not said.get('canceled'):
                self.complaints.append(f'{said["type"]}: {said["errorText"]}')
        return message

    def close(self) -> None:
        """End the browser, with all processes that it started."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
