"""
The connector that pyinfra finds: ``@econtext/HOST``.

The strategy: what pyinfra's own connectors do with a command is done here, too, with pyinfra's functions.  What is in
front of the command to become another user is left to a context of that user; ``users`` says where that is the same.
Without a password, the words themselves run the first command: if they fail, they say why in their own words.

Invariants:

* A command runs once: the way by a context of another user is left before anything has run there.
* A password that was refused is not tried again by another way.

Entered by greenlets of pyinfra.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterable, Iterator
from getpass import getpass
from typing import IO, Any, TypedDict

from econtext.pyinfra import bases, client, data, frames, users

MOST_IN_MEMORY = 1 << 23    # bytes of an upload that has no name here
OUT, ERR = b'O', b'E'
STREAMS: dict[bytes, str] = {OUT: 'stdout', ERR: 'stderr'}


class ConnectorData(TypedDict):
    """The data of a host that the connector reads: that of ``@ssh``, and some more."""

    ssh_hostname: str
    ssh_port: int
    ssh_user: str
    ssh_password: str
    ssh_key: str
    ssh_key_password: str
    ssh_allow_agent: bool
    ssh_look_for_keys: bool
    ssh_forward_agent: bool
    ssh_config_file: str
    ssh_known_hosts_file: str
    ssh_strict_host_key_checking: str
    ssh_paramiko_connect_kwargs: dict[str, Any]
    ssh_connect_retries: int
    ssh_connect_retry_min_delay: float
    ssh_connect_retry_max_delay: float
    ssh_file_transfer_protocol: str
    econtext_via: Any
    econtext_python: Any
    econtext_connector: str
    econtext_options: dict[str, Any]


meta: Any = bases.DataMeta
DATA: dict[str, Any] = {
    'ssh_hostname': meta('SSH hostname'),
    'ssh_port': meta('SSH port'),
    'ssh_user': meta('SSH user'),
    'ssh_password': meta('SSH password'),
    'ssh_key': meta('SSH key filename'),
    'ssh_key_password': meta('SSH key password'),
    'ssh_allow_agent': meta('Whether to use an SSH agent', True),
    'ssh_look_for_keys': meta('Whether to use the keys of the SSH configuration, and the usual ones', True),
    'ssh_forward_agent': meta('Whether to forward the SSH agent', False),
    'ssh_config_file': meta('SSH config filename'),
    'ssh_known_hosts_file': meta('SSH known_hosts filename'),
    'ssh_strict_host_key_checking': meta('SSH strict host key checking', 'accept-new'),
    'ssh_paramiko_connect_kwargs': meta('Words for paramiko; those that OpenSSH has no option for are refused'),
    'ssh_connect_retries': meta('Number of further tries to connect', 0),
    'ssh_connect_retry_min_delay': meta('Least number of seconds between two tries', 0.1),
    'ssh_connect_retry_max_delay': meta('Greatest number of seconds between two tries', 0.5),
    'ssh_file_transfer_protocol': meta('Read by @ssh alone: files go through the link', 'sftp'),
    'econtext_via': meta('The host through which this one is reached, or a list of them'),
    'econtext_python': meta('Path of the Python there, or a list of words that ends with it'),
    'econtext_connector': meta('The connector of econtext', 'ssh'),
    'econtext_options': meta('More options of the connector of econtext'),
}


class EcontextConnector(bases.BaseConnector):
    """
    Connect to hosts through econtext: over the OpenSSH client, once, with a Python process there that stays.

    The data of ``@ssh`` count here, too. The host needs a Python, from 2.4 on:

    .. code:: shell

        pyinfra @econtext/my-host.net,@econtext/deploy@other-host.net:2222 ...
    """

    __examples_doc__ = """
    An inventory file (``inventory.py``) with a host behind another one:

    .. code:: python

        hosts = [
            ("@econtext/my-host.net", {"ssh_user": "deploy"}),
            ("@econtext/inner", {"econtext_via": "deploy@my-host.net"}),
        ]
    """

    handles_execution: bool = True
    data_cls: Any = ConnectorData
    data_meta: dict[str, Any] = DATA

    def __init__(self, state: Any, host: Any) -> None:
        super().__init__(state, host)
        self.client: client.Client | None = None
        #: How to become whom worked by the words themselves, and how a context cannot.
        self.proved: set[tuple[users.Step, ...]] = set()
        self.refused: set[tuple[users.Step, ...]] = set()

    @staticmethod
    def make_names_data(name: str | None = None) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        """Yield the one host that `name` is, with its data."""
        try:
            found = data.split(name or '')
        except data.Unusable as error:
            raise bases.InventoryError(f'@econtext: {error}') from None
        yield f'@econtext/{name}', found, []

    # The connection.

    def connect(self) -> None:
        """Connect to the host; raise pyinfra's ConnectError."""
        values = dict(self.data)
        values['ssh_hostname'] = values['ssh_hostname'] or self.host.name
        try:
            chain = data.chain(values, self.state.cwd, self.state.config.CONNECT_TIMEOUT)
        except (data.Unusable, TypeError, ValueError) as error:
            raise bases.ConnectError(str(error)) from None
        left = values['ssh_connect_retries'] or 0
        while True:
            self.client = client.client_of(self.state, self.host.name)
            try:
                self.client.do(
                    frames.CONNECT, self.host.name, self.host.name.removeprefix('@econtext/'), chain,
                    bool(bases.pyinfra.is_cli), answer=self.prompt)
                return
            except client.Failed as failed:
                self.disconnect()
                passing = failed.kind == frames.CONNECTING and failed.args[2]
                if not passing or left <= 0:
                    raise bases.ConnectError(str(failed.args[1])) from None
            left -= 1
            bases.gevent.sleep(random.uniform(
                values['ssh_connect_retry_min_delay'], values['ssh_connect_retry_max_delay']))

    def prompt(self, question: str) -> str:
        return getpass(f'{self.host.print_prefix}{question.strip()} ')

    def disconnect(self) -> None:
        """Close the contexts of the host."""
        found, self.client = self.client, None
        self.proved.clear()
        self.refused.clear()
        if found is None:
            return
        if self.host.connected:
            # pyinfra does so once a host is disconnected, when no command can be run any more.
            self.client = found
            try:
                bases.commands.remove_any_sudo_askpass_file(self.host)
            finally:
                self.client = None
        try:
            found.do(frames.CLOSE, self.host.name)
        except client.Failed:
            pass
        client.leave(self.state, found, self.host.name)

    def helper(self) -> client.Client:
        if self.client is None:
            raise ConnectionError(f'{self.host.name} is not connected')
        return self.client

    def error(self, failed: client.Failed) -> OSError:
        """Return the error that pyinfra expects of a connector whose host has failed."""
        if failed.kind == frames.TIMEOUT:
            return TimeoutError()
        if failed.kind == frames.SYSTEM:
            return OSError(failed.args[1], failed.args[2])
        return ConnectionError(str(failed.args[-1]))

    # Commands.

    def run_shell_command(
        self, command: Any, print_output: bool = False, print_input: bool = False, **arguments: Any,
    ) -> tuple[bool, Any]:
        """
        Run a command on the host; return whether it succeeded, and its output as pyinfra's CommandOutput.

        `arguments` are pyinfra's, such as ``_sudo``.  Raises TimeoutError when ``_timeout`` is over, by which the
        command is ended, and ConnectionError when the host is lost.
        """
        control = bases.commands.extract_control_arguments(arguments)
        codes = control.get('_success_exit_codes')
        options = {
            'input': read_input(control.get('_stdin')), 'timeout': control.get('_timeout') or None, 'login': False,
            'terminal': bool(control.get('_get_pty')), 'live': print_output, 'settles': False,
        }

        def execute() -> tuple[int, Any]:
            return self.execute(command, print_input, arguments, options)

        status, found = bases.commands.execute_command_with_sudo_retry(self.host, arguments, execute)
        return (status in codes if codes else status == 0), found

    def execute(
        self, command: Any, print_input: bool, arguments: dict[str, Any], options: dict[str, Any],
    ) -> tuple[int, Any]:
        """Run a command once; return its status and its output."""
        arguments = self.with_password(arguments)
        wanted = users.steps(arguments)
        inner = inner_command(command, arguments)
        settles = bool(users.UNSETTLING.search(inner))
        if wanted and not settles and self.may_use(wanted):
            if print_input:
                self.show(self.displayed(command, arguments))
            shell = users.shell(arguments)
            assert shell is not None, 'looked at by steps()'
            try:
                return self.run(wanted, [*map(os.fsencode, shell), b'-c', encoded(inner)], options)
            except client.Failed as failed:
                refusal = self.refusal(wanted, failed)
                if refusal is not None:
                    return refusal
                print_input = False
        return self.execute_as_is(command, print_input, arguments, options, wanted, inner, settles)

    def execute_as_is(
        self, command: Any, print_input: bool, arguments: dict[str, Any], options: dict[str, Any],
        wanted: tuple[users.Step, ...] | None, inner: str, settles: bool,
    ) -> tuple[int, Any]:
        """Run a command with the words in its front that make it another user's."""
        shell = users.shell(arguments)
        options = {**options, 'settles': settles}
        if wanted == () and shell is not None:
            words = [*map(os.fsencode, shell), b'-c', encoded(inner)]
            shown = self.displayed(command, arguments)
        else:
            shown = bases.commands.make_unix_command_for_host(self.state, self.host, command, **arguments)
            words = [b'/bin/sh', b'-c', encoded(shown.get_raw_value())]
            if arguments.get('_shell_executable', 'sh') is None:
                words, options['login'] = words[1:], True
        if print_input:
            self.show(shown)
        try:
            status, found = self.run((), words, options)
        except client.Failed as failed:
            raise self.error(failed) from None
        if wanted and status == 0:
            self.proved.add(wanted)
        return status, found

    def with_password(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments with the password that pyinfra has asked for, if sudo needs one."""
        asked = self.host.connector_data.get('prompted_sudo_password')
        if arguments.get('_sudo') and not arguments.get('_sudo_password') and asked:
            return {**arguments, '_sudo_password': asked}
        return arguments

    def may_use(self, wanted: tuple[users.Step, ...]) -> bool:
        """May a context stand for these steps?"""
        return wanted not in self.refused and (wanted in self.proved or users.has_password(wanted))

    def refusal(self, wanted: tuple[users.Step, ...], failed: client.Failed) -> tuple[int, Any] | None:
        """Return what a command came to by a password that was refused; None if it is to be run as it is."""
        self.proved.discard(wanted)
        if failed.kind == frames.STALE:
            return None
        if failed.kind != frames.CANNOT:
            raise self.error(failed) from None
        self.refused.add(wanted)
        if failed.args[1] == 'wrong-password':
            # Tried no further: accounts get locked.
            self.refused.discard(wanted)
            kinds = [step[0] for step in wanted if step[2]]
            return 1, output_of([ERR + encoded(f'{kinds[-1]}: Sorry, the password is wrong\n')])
        return None

    def run(
        self, wanted: tuple[users.Step, ...], words: list[bytes], options: dict[str, Any],
    ) -> tuple[int, Any]:
        asking: Any = self.helper().ask(frames.RUN, self.host.name, wanted, words, options)
        lines = Lines(self.host.print_prefix if options['live'] else None)
        while True:
            try:
                lines.feed(next(asking))
            except StopIteration as end:
                status, pieces = end.value
                for piece in pieces:
                    lines.feed(piece)
                lines.flush()
                return status, bases.CommandOutput(lines.found)

    def displayed(self, command: Any, arguments: dict[str, Any]) -> Any:
        """Return the command as pyinfra would run it, for people."""
        return bases.commands.make_unix_command(command, **arguments)

    def show(self, shown: Any) -> None:
        bases.output.echo(f'{self.host.print_prefix}>>> {shown}', err=True)

    # Files.

    def put_file(
        self, filename_or_io: str | IO[Any], remote_filename: str, remote_temp_filename: str | None = None,
        print_output: bool = False, print_input: bool = False, **arguments: Any,
    ) -> bool:
        """
        Write a file there, as the user of the connection, or as whom `arguments` name; return whether it could be.

        A file that is there keeps its owner and mode.  Raises OSError for the user of the connection.
        """
        arguments = self.with_password(arguments)
        wanted = self.steps_of_files(arguments)
        if wanted is not None:
            try:
                self.send_file(wanted, filename_or_io, remote_filename)
            except client.Failed as failed:
                if not wanted:
                    raise self.error(failed) from None
                if failed.kind in (frames.SYSTEM, frames.STALE, frames.CANNOT):
                    # A folder, for example, in which `cp` would make a file.
                    if failed.kind != frames.SYSTEM and self.refusal(wanted, failed) is not None:
                        return self.failed('File upload error: the password is wrong')
                    wanted = None
                else:
                    raise self.error(failed) from None
        if wanted is None and not self.put_by_copy(
                filename_or_io, remote_filename, remote_temp_filename, print_output, print_input, arguments):
            return False
        if print_output:
            bases.output.echo(f'{self.host.print_prefix}file uploaded: {remote_filename}', err=True)
        return True

    def steps_of_files(self, arguments: dict[str, Any]) -> tuple[users.Step, ...] | None:
        """Return the steps to the context that reads or writes a file itself; None if it is to be copied there."""
        wanted = users.steps(arguments)
        if wanted and (arguments.get('_chdir') or not self.may_use(wanted)):
            return None
        return wanted

    def send_file(self, wanted: tuple[users.Step, ...], filename_or_io: Any, path: str) -> None:
        if isinstance(filename_or_io, str):
            with bases.files.get_file_io(filename_or_io) as found:
                source = os.path.abspath(found.name)
            self.helper().do(frames.PUT, self.host.name, wanted, source, path)
            return
        with bases.files.get_file_io(filename_or_io) as found:
            content = as_bytes(found.read(MOST_IN_MEMORY))
            if len(content) < MOST_IN_MEMORY:
                self.helper().do(frames.PUT, self.host.name, wanted, content, path)
                return
            with tempfile.NamedTemporaryFile() as copy:
                while content:
                    copy.write(content)
                    content = as_bytes(found.read(MOST_IN_MEMORY))
                copy.flush()
                self.helper().do(frames.PUT, self.host.name, wanted, copy.name, path)

    def put_by_copy(
        self, filename_or_io: Any, path: str, temporary: str | None, print_output: bool, print_input: bool,
        arguments: dict[str, Any],
    ) -> bool:
        """Write a file of the user of the connection, and have the other user copy it."""
        temporary = temporary or self.host.get_temp_filename(path)
        try:
            self.send_file((), filename_or_io, temporary)
        except client.Failed as failed:
            raise self.error(failed) from None
        own = {key: value for key, value in arguments.items() if key not in BECOMING}
        shows = {'print_output': print_output, 'print_input': print_input}
        other = next((arguments[key] for key in OTHERS if arguments.get(key)), None)
        if other:
            done, found = self.run_shell_command(
                bases.StringCommand('setfacl', '-m', f'u:{other}:r', temporary), **shows, **own)
            if not done:
                return self.failed(f'Error on handover to sudo/su user: {found.stderr}')
        done, found = self.run_shell_command(
            bases.StringCommand('cp', temporary, bases.QuoteString(path)), **shows, **arguments)
        if not done:
            return self.failed(f'File upload error: {found.stderr}')
        done, found = self.run_shell_command(bases.StringCommand('rm', '-f', temporary), **shows, **own)
        return bool(done) or self.failed(f'Unable to remove temporary file: {found.stderr}')

    def failed(self, text: str) -> bool:
        bases.pyinfra.logger.error(text)
        return False

    def get_file(
        self, remote_filename: str, filename_or_io: str | IO[Any], remote_temp_filename: str | None = None,
        print_output: bool = False, print_input: bool = False, **arguments: Any,
    ) -> bool:
        """
        Read a file there, as the user of the connection, or as whom `arguments` name; return whether it could be.

        Raises OSError for the user of the connection, before anything is written here.
        """
        arguments = self.with_password(arguments)
        wanted = self.steps_of_files(arguments)
        if wanted is not None:
            try:
                self.receive_file(wanted, remote_filename, filename_or_io)
            except client.Failed as failed:
                if not wanted or failed.kind not in (frames.SYSTEM, frames.STALE, frames.CANNOT):
                    raise self.error(failed) from None
                if failed.kind == frames.SYSTEM:
                    return self.failed(f'File download error: {failed.args[2]}')
                if self.refusal(wanted, failed) is not None:
                    return self.failed('File download error: the password is wrong')
                wanted = None
        if wanted is None and not self.get_by_copy(
                remote_filename, filename_or_io, remote_temp_filename, print_output, print_input, arguments):
            return False
        if print_output:
            bases.output.echo(f'{self.host.print_prefix}file downloaded: {remote_filename}', err=True)
        return True

    def receive_file(self, wanted: tuple[users.Step, ...], path: str, filename_or_io: Any) -> None:
        asking: Any = self.helper().ask(frames.GET, self.host.name, wanted, path)
        # The first piece says that the file can be read.
        next(asking)
        with bases.files.get_file_io(filename_or_io, 'wb') as target:
            for piece in asking:
                target.write(piece)

    def get_by_copy(
        self, path: str, filename_or_io: Any, temporary: str | None, print_output: bool, print_input: bool,
        arguments: dict[str, Any],
    ) -> bool:
        """Have the other user copy a file to where the user of the connection can read it."""
        temporary = temporary or self.host.get_temp_filename(path)
        shows = {'print_output': print_output, 'print_input': print_input}
        done, found = self.run_shell_command(
            bases.StringCommand('cp', path, temporary, '&&', 'chmod', '+r', temporary), **shows, **arguments)
        if not done:
            return self.failed(f'File download copy temp error: {found.stderr}')
        try:
            self.receive_file((), temporary, filename_or_io)
        except client.Failed as failed:
            raise self.error(failed) from None
        finally:
            done, found = self.run_shell_command(
                bases.StringCommand('rm', '-f', temporary), **shows, **arguments)
        return bool(done) or self.failed(f'File download remove temp error: {found.stderr}')

    # rsync.

    def check_can_rsync(self) -> None:
        """Raise NotImplementedError where rsync cannot be had."""
        from shutil import which
        try:
            data.rsync_words({**self.data, 'ssh_hostname': self.data['ssh_hostname'] or self.host.name}, self.state.cwd)
        except data.Unusable as error:
            raise NotImplementedError(str(error)) from None
        if not which('rsync'):
            raise NotImplementedError('The `rsync` binary is not available on this system.')

    def rsync(
        self, src: str, dest: str, flags: Iterable[str], print_output: bool = False, print_input: bool = False,
        **arguments: Any,
    ) -> bool:
        """Run rsync here, which starts an ssh of its own; raise OSError if it fails."""
        import shlex
        ssh, target = data.rsync_words(
            {**self.data, 'ssh_hostname': self.data['ssh_hostname'] or self.host.name}, self.state.cwd)
        remote = 'rsync'
        if arguments.get('_sudo'):
            user = arguments.get('_sudo_user')
            remote = f'sudo -u {shlex.quote(user)} rsync' if user else 'sudo rsync'
        command = ' '.join([
            'rsync', *flags, '--rsh', shlex.quote(shlex.join(ssh)), '--rsync-path', shlex.quote(remote), src,
            f'{shlex.quote(target)}:{dest}'])
        if print_input:
            self.show(command)
        status, found = bases.commands.run_local_process(
            command, print_output=print_output, print_prefix=self.host.print_prefix)
        if status:
            raise OSError(found.stderr)
        return True


#: Arguments that make a command another user's, and those that name one.
BECOMING = (
    '_sudo', '_sudo_user', '_doas', '_doas_user', '_dzdo', '_dzdo_user', '_su_user', '_chdir')
OTHERS = ('_su_user', '_sudo_user', '_doas_user', '_dzdo_user')
#: What is left of the arguments of the command itself.
INNER = ('_env', '_chdir')


def inner_command(command: Any, arguments: dict[str, Any]) -> str:
    """Return what the shell is to run, without whom it is run as."""
    kept = {key: arguments[key] for key in INNER if arguments.get(key)}
    text: str = bases.commands.make_unix_command(command, _shell_executable=None, **kept).get_raw_value()
    return text


def encoded(text: str) -> bytes:
    return text.encode('utf-8', 'surrogateescape')


def as_bytes(content: Any) -> bytes:
    return content.encode() if isinstance(content, str) else bytes(content)


def read_input(given: Any) -> bytes:
    """Return what a command reads: lines, each of which has an end."""
    if not given:
        return b''
    if hasattr(given, 'readlines'):
        given = given.readlines()
    if not isinstance(given, (list, tuple)):
        given = [given]
    lines = [line.decode() if isinstance(line, bytes) else str(line) for line in given]
    return encoded(''.join(line if line.endswith('\n') else line + '\n' for line in lines))


class Lines:
    """Makes lines of pieces of output; with a prefix it prints each."""

    def __init__(self, prefix: str | None) -> None:
        self.prefix: str | None = prefix
        self.found: list[Any] = []
        self.rest: dict[bytes, bytes] = {OUT: b'', ERR: b''}

    def feed(self, piece: bytes) -> None:
        tag = piece[:1]
        *lines, self.rest[tag] = (self.rest[tag] + piece[1:]).split(b'\n')
        for line in lines:
            self.add(tag, line)

    def flush(self) -> None:
        for tag, rest in self.rest.items():
            if rest:
                self.add(tag, rest)

    def add(self, tag: bytes, raw: bytes) -> None:
        # What is no text becomes visible, and fails nothing.
        line = raw.decode('utf-8', 'backslashreplace')
        self.found.append(bases.OutputLine(STREAMS[tag], line))
        if self.prefix is not None:
            shown = bases.output.format_text(line, 'red') if tag == ERR else line
            bases.output.echo(f'{self.prefix}{shown}', err=True)


def output_of(pieces: list[bytes]) -> Any:
    lines = Lines(None)
    for piece in pieces:
        lines.feed(piece)
    return bases.CommandOutput(lines.found)
