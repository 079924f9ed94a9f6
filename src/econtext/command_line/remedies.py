"""
What to do about a failure, as a person at the command line does that: by options of the command, and at the terminal.

Invariants:

* No remedy names an option that the command line does not have.

Pure; any thread may enter.
"""

from __future__ import annotations

import re

from econtext.controller import failures

# An option as errors name it, where the command line has one of the same name.
OPTION = re.compile(r'\b(connect_timeout|identity_file|port|python|username)=(?=[\s.,:;)]|\Z)')
# Of failures whose remedy for a program is an option that the command line does not have.
HERE = {
    'unknown-host-key': 'Type the command in a terminal: it shows the fingerprint of the key, and asks. Or connect '
                        'once with ssh, or add the key to known_hosts.',
    'refused-key': 'Add the public key to authorized_keys of that account, or give --identity-file or --username.',
    'wrong-password': 'Correct it: nothing is typed twice, so that no account gets locked.',
    'password-required': 'Type the command in a terminal, which asks for it; or arrange for access without one (a key '
                         'for ssh, NOPASSWD for sudo).',
    'answer-required': 'Type the command in a terminal, which shows the question and takes the answer.',
    'endless-questions': 'Log in by hand and see what it asks.',
    'passphrase-required': 'Load the key into ssh-agent with ssh-add, or type the command in a terminal, which asks.',
    'no-such-user': 'Correct the name, or create that account.',
    'not-found': 'Install it on the machine that connects, in a directory of PATH.',
    'no-command': 'Give -o StdinNull=no -o ForkAfterAuthentication=no -o SessionType=default, or give the host another '
                  'name there without these.',
    'remote-command': 'Give -o RemoteCommand=none, or give the host another name there without RemoteCommand.',
}


def with_remedy(text: str, kind: str) -> str:
    """Return the `text` of a failure of that `kind` with the remedy, and the names of options, that there are here."""
    if kind in HERE:
        text = text.replace(failures.REMEDIES[kind][1], HERE[kind])
    return OPTION.sub(lambda found: '--' + found[1].replace('_', '-'), text)
