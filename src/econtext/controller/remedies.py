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

__all__ = ['REMEDIES', 'explain']

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
    'refused-key': (
        'the server accepts none of the keys that were offered',
        'Add the public key to authorized_keys of that account, or give identity_file=, username= or password=.',
    ),
    'unknown-host-key': (
        "the host's key is not known",
        'Connect once by hand to check and record the key, or add it to known_hosts.',
    ),
    'changed-host-key': (
        "the host's key is not the one that was recorded",
        'Find out why it changed, and only then remove the old key with ssh-keygen -R.',
    ),
    'wrong-password': (
        'the password or passphrase was refused',
        'Correct the password: it was typed once and is not tried again, so that no account gets locked.',
    ),
    'password-required': (
        'a password was asked for and none was given',
        'Give password=, or arrange for access without one (a key for ssh, NOPASSWD for sudo).',
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
    'timeout': (
        'no answer came in time',
        'Check that the host is up and that no firewall drops the packets, or give it longer with connect_timeout=.',
    ),
    'no-such-user': (
        'there is no such user',
        'Correct username=, or create that account.',
    ),
    'not-allowed': (
        'the security policy there does not allow it',
        'Ask the administrator of that machine to allow this user to run a Python interpreter by sudo.',
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
        'Give the account a login shell that runs commands, and let no start-up file of that shell exit.',
    ),
    'not-found': (
        'the program that makes the connection cannot be executed',
        'Install it on the machine that connects, or name its path with ssh_path= or sudo_path=.',
    ),
    'noise': (
        'something there prints without end where Python should start',
        'Silence the start-up files of that login shell where they are not interactive.',
    ),
    'ended': (
        'the program ended before Python had started',
        'Run the same command by hand to see why.',
    ),
}


def explain(kind: str) -> tuple[str, str]:
    """Return what happened and what to do; a kind from a newer child means what 'ended' does."""
    return REMEDIES.get(kind, REMEDIES['ended'])
