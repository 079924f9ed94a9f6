"""
What a failure to connect means, and what a person can do about it.

Below the controller a failure is data: a kind, and the last lines seen.  Here
the kind becomes words.

Invariants:

* Every kind that ``parent.handshake`` or a connector can report has an entry.
* A remedy is one imperative sentence.

Pure; any thread may enter.
"""

from __future__ import annotations

import re

__all__ = ['BY_HAND', 'REMEDIES', 'explain']

BY_HAND = 'Run the same command by hand to see why.'

# kind: (what happened, what to do)
REMEDIES: dict[str, tuple[str, str]] = {
    'no-python': (
        'no Python interpreter was found there',
        'Install Python there, or name its path with python=.',
    ),
    'broken-python': (
        'the Python interpreter there does not start',
        'Repair that interpreter, or name another one with python=.',
    ),
    'unsupported-python': (
        'the interpreter there is neither CPython nor PyPy',
        'Name the path of one of those with python=.',
    ),
    'eaten-input': (
        'something there read what was meant for Python',
        'Let no start-up file of that login shell read its input (`read`), or start another shell (`exec zsh`), '
        'where it is not interactive.',
    ),
    'no-input': (
        'the interpreter had started there, and found no input',
        'Let the command pass its standard input on (`docker exec -i`, ssh without -n), and no start-up file close it.',
    ),
    'limits': (
        'the limits there leave no room for a process of ours',
        'Raise the limits of that account: processes, open files, memory; ulimit -a shows them there.',
    ),
    'refused-key': (
        'the server accepts none of the keys that were offered',
        'Add the public key to authorized_keys of that account, or give identity_file=, username= or password=.',
    ),
    'no-identity': (
        'the file of the private key cannot be read',
        'Correct identity_file=, or have that file on the machine that connects, readable by its user.',
    ),
    'unknown-host-key': (
        "the host's key is not known",
        'Connect once by hand to check and record the key, add it to known_hosts, or give host_key=.',
    ),
    'changed-host-key': (
        "the host's key is not the one that was recorded",
        'Find out why it changed, and only then remove the old key with ssh-keygen -R.',
    ),
    'wrong-password': (
        'the password or passphrase was refused',
        'Correct it, or give answers= for a second factor: nothing is typed twice, so that no account gets locked.',
    ),
    'password-required': (
        'a password was asked for and none was given',
        'Give password=, or arrange for access without one (a key for ssh, NOPASSWD for sudo).',
    ),
    'answer-required': (
        'something was asked that there is no answer to',
        'Give answers=, a function that gets each such question and returns what to type.',
    ),
    'endless-questions': (
        'it asked one question after the other, without end',
        'Log in by hand and see what it asks: what answers= gives may lead nowhere.',
    ),
    'passphrase-required': (
        'the private key is protected by a passphrase and none was given',
        'Load the key into ssh-agent with ssh-add, or give passphrase=.',
    ),
    'no-such-host': (
        "the host's name cannot be resolved",
        'Check the spelling of the name, and the DNS or HostName that it depends on.',
    ),
    'unreachable': (
        'there is no way through the network to the host',
        'Check the network, the routes, and that the host is up.',
    ),
    'connection-refused': (
        'nothing listens at that address and port',
        'Start the ssh server there, or correct port=.',
    ),
    'hung-up': (
        'the server ended the connection before it let us in',
        'Look into the log of the ssh server there: it may serve no more at once (MaxStartups), or nobody from here.',
    ),
    'proxy-ended': (
        'the ProxyCommand or ProxyJump of the ssh configuration has ended',
        'Run that ProxyCommand by hand, or connect to the host of ProxyJump, to see why.',
    ),
    'timeout': (
        'no answer came in time',
        'Check that the host is up and that no firewall drops the packets, or give it longer with connect_timeout=.',
    ),
    'stalled': (
        'the server answered, and then nothing more came',
        'Look for a tunnel or firewall that loses large packets (ping -M do -s 1400), or raise connect_timeout=.',
    ),
    'no-such-user': (
        'there is no such user',
        'Correct the name (username= or user=), or create that account.',
    ),
    'no-folder': (
        'the folder to start in cannot be entered',
        'Correct cwd=, or create that folder and let the user there enter it.',
    ),
    'no-processor': (
        'the processors that were named cannot be had',
        'Name processors that are there with cpus=, and an interpreter of Python 3.3 or newer.',
    ),
    'not-allowed': (
        'the security policy there does not allow it',
        'Ask the administrator of that machine to allow this user to run a Python interpreter that way.',
    ),
    'tty-required': (
        'the program asks for a terminal, and none could be had',
        'Make terminals available where the program starts (/dev/ptmx and /dev/pts), or let it do without one.',
    ),
    'expired-password': (
        'the password has expired and must be changed first',
        'Log in by hand and change the password.',
    ),
    'no-login': (
        'the login shell of that account ended without running the command',
        'Give the account a login shell that runs commands, let no start-up file of that shell exit, and have no '
        'ForkAfterAuthentication in the ssh configuration.',
    ),
    'not-found': (
        'the program that makes the connection cannot be executed',
        'Install it on the machine that connects, or name its path with an option such as ssh_path= or sudo_path=.',
    ),
    'no-such-box': (
        'there is no container, pod, folder or process of that name',
        'Correct the name, and check that the engine, namespace or project asked is the one that has it.',
    ),
    'no-such-image': (
        'there is no such image, and it could not be fetched',
        'Correct image=, or pull that image on the machine of the engine first.',
    ),
    'not-running': (
        'it does not run',
        'Start it, or continue it where it is paused, and check the name.',
    ),
    'paused': (
        'it is paused',
        'Unpause it.',
    ),
    'busy': (
        'somebody else uses it, and it is not shared',
        'End the other one, or give each a copy (for systemd_nspawn, nspawn_args=["--ephemeral"]).',
    ),
    'engine-refused': (
        'this user may not use the engine',
        "Give this user access to the engine, or start the context from a user who has it, such as sudo()'s.",
    ),
    'engine-down': (
        'the engine does not answer',
        'Start its service, or correct the address it is looked for at (such as DOCKER_HOST, or the kube context).',
    ),
    'engine-broken': (
        'the engine cannot start what it needs itself',
        'Run the engine alone as that user (podman info, docker version), and mend what it says there.',
    ),
    'remote-command': (
        'the ssh configuration says to run another command on that host (RemoteCommand)',
        "Give ssh_args=['-o', 'RemoteCommand=none'], or give the host another name there without RemoteCommand.",
    ),
    'no-command': (
        'the ssh configuration keeps the command or its input from that host',
        "Give ssh_args=['-o', 'StdinNull=no', '-o', 'ForkAfterAuthentication=no', '-o', 'SessionType=default'], "
        'or give the host another name there without these.',
    ),
    'not-privileged': (
        'this user lacks the right to do that',
        "Start the context from one of a user who has it, such as sudo()'s.",
    ),
    'no-shell': (
        'there is no shell, so no interpreter can be searched for',
        'Name the path of the interpreter there with python=.',
    ),
    'exec-format': (
        'what is there cannot be executed by this kind of machine',
        'Use an image built for this processor, or name an interpreter that is with python=.',
    ),
    'noise': (
        'something there prints without end where Python should start',
        'Silence the start-up files of that login shell where they are not interactive.',
    ),
    'died': (
        'the interpreter had started there, and ended at once',
        'Look at the limits of that account (ulimit -a: processes, files, memory), and at what ends processes there.',
    ),
    'ended': (
        'the program ended before Python had started',
        BY_HAND,
    ),
}


# What was to be started by its path, as `children` tells, or as an interpreter, as connectors tell.
GIVEN = r'(?m)^(/[^\n]*): [A-Z][^:\n]*$'
TRIED = r'(?m)^tried: (\S*/[^,\n]*)$'
# The one name that was given; several are those that econtext tries by itself.
NAMED = r'(?m)^tried: ([^,\s]+)$'
# What there was no room to start, as `children` tells.
NO_ROOM = r'\A(\S+) could not be started: '


def explain(kind: str, detail: str = '') -> tuple[str, str]:
    """
    Return what happened and what to do; a kind from a newer child means what 'ended' does.

    `detail` is what was seen.  Who gave a path is not told to give one.
    """
    if kind == 'not-found' and (found := re.search(GIVEN, detail)):
        return f'{found[1]} cannot be executed', (
            'Correct that path, which an option such as ssh_path= or sudo_path= gave, or have that program '
            'on the machine that connects.')
    if kind == 'limits' and (found := re.search(NO_ROOM, detail)):
        return f'the limits on the machine that connects leave no room to start {found[1]}', (
            'Raise the limits of the user who connects: processes, open files, memory (ulimit -a shows them); '
            'or connect to fewer hosts at a time.')
    if kind == 'no-python' and (found := re.search(TRIED, detail)):
        return f'no interpreter can be executed as {found[1]} there', (
            'Correct that path, or leave python= out and have one searched for.')
    if kind == 'no-python' and (found := re.search(NAMED, detail)):
        return f'no program called {found[1]} was found there', (
            'Correct that name, or leave python= out and have one searched for.')
    return REMEDIES.get(kind, REMEDIES['ended'])
