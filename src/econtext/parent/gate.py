"""
What is held back from a program that reads its answers where the child will read its preamble.

``sudo -S`` asks on standard error and reads the password on standard input, and so does su without
a terminal.  What was sent to the child would be typed as a password.  So nothing is sent until a shell,
which that program starts last, says on standard output that it begins.  The shell then reads line by line,
throws away what the program has not read, and executes the interpreter at the line that tells it to.

Invariants:

* A gate opens once, and never shuts again: by its word on standard output, and by nothing else.
* Before the gate is open nothing but answers is written to standard input; behind it never an answer.
* What is written first through an open gate is PREFACE: no answer that nobody has read is left to the interpreter.
* The word does not stand in the command line as it is said: a shell that shows the line opens nothing.
* What is said does not depend on how the output is cut into pieces.

Pure: no descriptors, threads or clocks.  One thread at a time may enter.
"""
EMPTY = ''.encode()

# What is said on standard output, and what the first line says that is meant for the shell.
WORD = 'econtext-begins'.encode()
PREFACE = WORD + '\n'.encode()

# Executes "$0" once it is told to.  `read` takes one byte at a time, and so nothing of what follows the line.
SHELL = ('echo econtext-"begins";while read -r l;do case "$l" in *econtext-"begins")exec "$0" "$@";;esac;done;exit 1')


class Gate(object):
    """Holds back, if it is `held` at first, until the word was said."""

    def __init__(self, held):
        # type: (bool) -> None
        self.held = held  # type: bool
        self.tail = EMPTY  # type: bytes

    def feed(self, data):
        # type: (bytes) -> tuple[bytes, bytes]
        """Take what came on standard output; return what is before the word, and what is behind it."""
        if not self.held:
            return EMPTY, data
        seen = self.tail + data
        at = seen.find(WORD)
        if at >= 0:
            self.held, self.tail = False, EMPTY
            return seen[:at], seen[at + len(WORD):]
        kept = len(WORD) - 1
        while kept and not WORD.startswith(seen[len(seen) - min(kept, len(seen)):]):
            kept -= 1
        kept = min(kept, len(seen))
        self.tail = seen[len(seen) - kept:]
        return seen[:len(seen) - kept], EMPTY


def behind(words):
    # type: (list[str]) -> list[str]
    """Return the words that execute `words` behind a gate."""
    return ['sh', '-c', SHELL] + words
