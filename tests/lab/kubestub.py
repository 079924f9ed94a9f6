"""As much of a Kubernetes API server as `kubectl exec` asks for, on loopback, within the test process.

    with KubeStub(folder, {('shop', 'web-0'): Pod({'app': ['chroot', ROOT]})}) as server:
        kubectl --kubeconfig server.config exec -i web-0 -n shop -c app -- COMMAND

What is executed runs on this machine, behind the words that its container is given. Discovery, pods, and exec over
WebSocket (v5, v4); what is refused is said in the words and with the codes of a real server. No SPDY, so the client
must be of 1.30 or newer.

Invariants:
* Everything is bound to loopback. By HTTP the client hands over no token, so who asks shows in the path.
* After `stop` no thread, descriptor or process of it is left.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import socketserver
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lab.sshd import reserve

STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255  # channels: the first byte of each message
BINARY, CLOSED, PING, PONG = 2, 8, 9, 10  # opcodes of WebSocket
HANDSHAKE = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
FIXED: dict[str, Any] = {
    '/version': {'major': '1', 'minor': '32', 'gitVersion': 'v1.32.0-stub'},
    '/api': {'kind': 'APIVersions', 'versions': ['v1']},
    '/apis': {'kind': 'APIGroupList', 'apiVersion': 'v1', 'groups': []},
    '/api/v1': {'kind': 'APIResourceList', 'apiVersion': 'v1', 'groupVersion': 'v1', 'resources': [
        {'name': 'pods', 'singularName': 'pod', 'namespaced': True, 'kind': 'Pod', 'verbs': ['get', 'list'],
         'shortNames': ['po']}]},
}  # fmt: skip
# How a real server says that a program of the command is not there; the dots are names and numbers.
NO_PROGRAM = (
    'error executing command in container: failed to exec in container: failed to start exec "…": OCI runtime exec '
    'failed: exec failed: unable to start container process: exec: "%s": executable file not found in $PATH: unknown'
)


@dataclass(frozen=True)
class Pod:
    """Containers by name, each with the words that run a command in it; None: it has not started."""

    containers: Mapping[str, Sequence[str] | None]
    phase: str = 'Running'


class KubeStub:
    """A server of `pods`, which are (namespace, name) -> Pod. In the namespace `closed` nothing is allowed."""

    def __init__(self, directory: Path, pods: Mapping[tuple[str, str], Pod]) -> None:
        self.pods = pods
        self.config = directory / 'kubeconfig'
        self._server = _Server(('127.0.0.1', 0), _Handler)
        self._server.stub = self
        self._down = reserve('127.0.0.1')
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name='kubestub')

    def start(self) -> None:
        """Serve; `config` has the contexts `lab`, `stranger` (whom it does not know) and `down` (nobody answers)."""
        port = self._server.server_address[1]
        servers = {'lab': port, 'stranger': f'{port}/stranger', 'down': self._down.getsockname()[1]}
        self.config.write_text(json.dumps({
            'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'lab',
            'clusters': [{'name': n, 'cluster': {'server': f'http://127.0.0.1:{p}'}} for n, p in servers.items()],
            'users': [{'name': n, 'user': {'token': n}} for n in servers],
            'contexts': [{'name': n, 'context': {'cluster': n, 'user': n, 'namespace': 'shop'}} for n in servers],
        }))  # fmt: skip
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._down.close()

    def __enter__(self) -> KubeStub:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    stub: KubeStub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes in the middle is no event."""


class _Refused(Exception):
    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.body = {'kind': 'Status', 'apiVersion': 'v1', 'status': 'Failure', 'message': message, 'reason': reason,
                     'code': code}  # fmt: skip


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer(upgrade=True)

    def do_POST(self) -> None:
        self._answer(upgrade=False)  # SPDY, which the client turns to when WebSocket was refused

    def _answer(self, *, upgrade: bool) -> None:
        url = urlsplit(self.path)
        parts = url.path.strip('/').split('/')  # api v1 namespaces NAMESPACE pods POD [exec]
        try:
            if parts[0] == 'stranger':
                raise _Refused(401, 'Unauthorized', 'Unauthorized')
            if url.path in FIXED:
                self._reply(200, FIXED[url.path])
            elif len(parts) not in (6, 7) or parts[4] != 'pods':
                raise _Refused(404, 'NotFound', 'the server could not find the requested resource')
            elif parts[6:] == ['exec']:
                self._execute(parts[3], parts[5], parse_qs(url.query), upgrade)
            else:
                self._reply(200, described(parts[3], parts[5], self._pod(parts[3], parts[5])))
        except _Refused as refused:
            self._reply(refused.code, refused.body)

    def _reply(self, code: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _pod(self, namespace: str, name: str) -> Pod:
        if namespace == 'closed':
            raise _Refused(403, 'Forbidden', f'pods "{name}" is forbidden: User "lab" cannot get resource "pods" in '
                           f'API group "" in the namespace "{namespace}"')  # fmt: skip
        pod = self.server.stub.pods.get((namespace, name))
        if pod is None:
            raise _Refused(404, 'NotFound', f'pods "{name}" not found')
        return pod

    def _execute(self, namespace: str, name: str, query: dict[str, list[str]], upgrade: bool) -> None:
        pod = self._pod(namespace, name)
        container = query.get('container', [next(iter(pod.containers))])[0]
        if container not in pod.containers:
            raise _Refused(400, 'BadRequest', f'container {container} is not valid for pod {name}')
        before = pod.containers[container]
        if before is None:
            raise _Refused(404, 'NotFound', f'unable to upgrade connection: container not found ("{container}")')
        if not upgrade:
            raise _Refused(400, 'BadRequest', 'SPDY is not spoken here')
        self.close_connection = True
        _run(_WebSocket(self), [*before, *query['command']], query.get('stdin') == ['true'])


def described(namespace: str, name: str, pod: Pod) -> dict[str, Any]:
    """Return a pod as the API shows it."""
    return {
        'kind': 'Pod', 'apiVersion': 'v1', 'metadata': {'name': name, 'namespace': namespace, 'uid': name},
        'spec': {'containers': [{'name': container, 'image': 'lab'} for container in pod.containers]},
        'status': {'phase': pod.phase},
    }  # fmt: skip


def outcome(status: int, words: Sequence[str], said: bytes) -> dict[str, Any]:
    """Return what is told of the end of a command."""
    if status == 0:
        return {'metadata': {}, 'status': 'Success'}
    if status == 127 and said.startswith(b'chroot: failed to run command'):
        message = NO_PROGRAM % said.decode().split('\u2018')[-1].split('\u2019')[0]
        return {'metadata': {}, 'status': 'Failure', 'reason': 'InternalError', 'code': 500,
                'message': f'Internal error occurred: {message}'}  # fmt: skip
    return {'metadata': {}, 'status': 'Failure', 'reason': 'NonZeroExitCode',
            'message': f'command terminated with non-zero exit code: exit status {status}',
            'details': {'causes': [{'reason': 'ExitCode', 'message': str(status)}]}}  # fmt: skip


def _run(socket: _WebSocket, words: Sequence[str], stdin: bool) -> None:
    """Run a command between the client's channels to its end."""
    process = subprocess.Popen(
        words, bufsize=0, start_new_session=True, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    heard: list[bytes] = []
    threads = [
        threading.Thread(target=_outward, args=(socket, process.stdout, STDOUT, [])),
        threading.Thread(target=_outward, args=(socket, process.stderr, STDERR, heard)),
    ]
    inward = threading.Thread(target=_inward, args=(socket, process.stdin))
    for thread in (inward, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    status = process.wait()
    try:
        socket.send(BINARY, bytes([STATUS]) + json.dumps(outcome(status, words, b''.join(heard))).encode())
        socket.send(CLOSED, struct.pack('>H', 1000))
    except OSError:
        pass
    socket.end()
    inward.join()


def _outward(socket: _WebSocket, pipe: Any, channel: int, heard: list[bytes]) -> None:
    with pipe:
        for data in iter(lambda: os.read(pipe.fileno(), 32768), b''):
            heard.append(data[:1000])
            try:
                socket.send(BINARY, bytes([channel]) + data)
            except OSError:  # the client has gone: the command gets SIGPIPE
                return


def _inward(socket: _WebSocket, pipe: Any) -> None:
    try:
        for channel, data in socket:
            if channel == CLOSE:
                break
            if channel == STDIN and pipe:
                while data:
                    data = data[os.write(pipe.fileno(), data) :]
    except OSError:
        pass
    if pipe:  # closed, or the client has gone: end of file for the command
        pipe.close()


class _WebSocket:
    """The server's end of a WebSocket, from a request for it on."""

    def __init__(self, handler: _Handler) -> None:
        self.connection, self.input, self.lock = handler.connection, handler.rfile, threading.Lock()
        offered = handler.headers.get('Sec-WebSocket-Protocol', '').replace(' ', '').split(',')
        version = next((name for name in ('v5.channel.k8s.io', 'v4.channel.k8s.io') if name in offered), '')
        key = hashlib.sha1((handler.headers['Sec-WebSocket-Key'] + HANDSHAKE).encode()).digest()
        self.connection.sendall(
            'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: '
            f'{base64.b64encode(key).decode()}\r\nSec-WebSocket-Protocol: {version}\r\n\r\n'.encode()
        )

    def send(self, opcode: int, data: bytes) -> None:
        size = len(data)
        short, form = (size, '') if size < 126 else (126, 'H') if size < 65536 else (127, 'Q')
        head = bytes([0x80 | opcode, short]) + (struct.pack(f'>{form}', size) if form else b'')
        with self.lock:
            self.connection.sendall(head + data)

    def end(self) -> None:
        """Have whoever still reads find the end."""
        try:
            self.connection.shutdown(0)
        except OSError:
            pass

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield (channel, data) until the client closes or goes."""
        while True:
            head = self.input.read(2)
            if len(head) < 2 or head[0] & 15 == CLOSED:
                return
            size = head[1] & 127
            if size > 125:
                size = int.from_bytes(self.input.read(2 if size == 126 else 8), 'big')
            mask = self.input.read(4)  # a client always masks
            data = self.input.read(size)
            data = (int.from_bytes(data, 'big') ^ int.from_bytes((mask * (size // 4 + 1))[:size], 'big')).to_bytes(
                size, 'big'
            )
            if head[0] & 15 == PING:
                self.send(PONG, data)
            elif data:
                yield data[0], data[1:]
