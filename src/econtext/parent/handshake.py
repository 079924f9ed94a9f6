"""
Understand what a starting program prints until the child speaks.

Fed with everything that arrives on three ways: ``out`` (where the mark comes,
and noise of login shells before it), ``err``, and ``tty``, the terminal that
the program has for its questions.

The strategy: a question is text that ends without a line break.  One that a
table knows is answered as soon as its last character is there, so that nothing
waits on a clock.  One that no table knows (sudo can be told to ask anything)
counts once the terminal has come to rest, which the owner sees and tells by
``rested()``.  Failures are read off the lines once the program has ended, since
only then they are more than noise; but a shell that names the preamble as a
command that it does not find has read what Python will miss.

Invariants:

* What is said does not depend on how the input is cut into pieces.
* Only what stands on the terminal is a question: banners elsewhere may say
  ``password:``.  While a ``gate`` is held, what stands on standard error is one too.
* An answer to what was asked on standard error is typed while the gate is held, or never.
* One question at a time is left to the controller.
* No text is typed twice to the same question, for accounts get locked.
* A question without an answer is a failure, never a wait; so are questions without end.  Text that
  does not end as questions do is one only if it has an answer, and rests for long.
* One verdict, ``ready`` or ``failed``; behind it nothing is looked at.
* What is kept is bounded, and shows no control character of theirs.

Pure: no descriptors, threads or clocks.  One thread at a time may enter.
"""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    #: Rows of texts: a part of what is seen, and what it means.
    Table = Sequence[tuple[str, str]]

import zlib

from econtext.parent.command import NO_INPUT, encoded
from econtext.parent.gate import PREFACE, Gate

# Said by the owner in place of an answer: the controller must be asked.
ASK = object()

# The failure it is when a question of this kind has no answer.
LACKING = {
    'password': 'password-required',
    'passphrase': 'passphrase-required',
    'new-password': 'expired-password',
    'host_key': 'unknown-host-key',
    'question': 'answer-required',
}

# The failure it is when the same question comes again, where that is another than a wrong password.
AGAIN = {'host_key': 'unknown-host-key'}

# Without a pattern for what was printed, the exit status alone says this much:
# what shells return where a program is missing, or cannot be executed.
STATUSES = {126: 'broken-python', 127: 'no-python', NO_INPUT: 'no-input'}  # type: dict[int | None, str]

# What a program of ours returns that was able to hand on another's status.
RETURNED = range(255)

# How the known questions end, and the unknown ones once they rest.
KNOWN_ENDS = [end.encode() for end in (': ', '? ', '> ')]
ENDS = [end.encode() for end in (':', '?', '>')]

# How much is remembered, in lines, and in characters of the last ones.
LINES = 20

# How many questions a start may ask, whatever the answers are.
MOST = 32
TEXT = 4096
# The end of a line that is looked at for a known question.
ASKING = 1024

# How many bytes a start may say before its mark: more than any honest one does, ssh that tells all of several hops
# and start-up files that list what they do included, and little enough to be looked through in a moment.
LIMIT = 1 << 18
# How many of these on the terminal, where any byte may end a question, and where programs only ask.
SCREEN = 1 << 16

# How each preamble begins, and how bash spells that: other shells write what no terminal shows.
HEAD = zlib.compress(''.encode(), 9)[:2]
SPELLED = 'x\\332'.encode()
# How shells say that it is no command, in lower case.
TAKEN = 'x\\332*not found'

NEWLINE = '\n'.encode()
RETURN = '\r'.encode()
SPACE = ' '.encode()
COLON = ': '.encode()
EMPTY = ''.encode()

# The control characters, and how each is written.
CONTROL = list(range(0x20)) + list(range(0x7f, 0xa0))
HARMLESS = dict([(code, ('\\x%02x' % code).encode().decode()) for code in CONTROL])


class Handshake(object):
    """
    Watch for the mark, questions and failures; return what to do as events.

    ``('type', bytes)``             write this to the terminal
    ``('enter', bytes)``            write this to standard input, before the next call of ``feed()``
    ``('open', bytes)``             write this to standard input, then what waits for the child
    ``('ask', key, question)``      ask the controller, then call ``answer()``
    ``('ready', rest)``             the child speaks; `rest` is behind the mark
    ``('failed', kind, detail)``    there will be no child

    `prompts` is a table of (part of the question, key), `failures` one of (part
    of a line, kind), both in lower case, the first match counts.  In a part of a line
    an asterisk between two texts stands for whatever is between them.  A question
    matches a part that begins with a line break at its start only.  An empty
    part matches everything: a question at rest that nothing else knows; the end
    of a program that started, with no other failure seen.
    `answers` maps keys to what to type, or ASK; that of ``question`` is for every
    question with no answer of its own, but for host keys: with one of these the controller gets all lines that
    the terminal has shown since the last answer, for they tell the key.  `lacking` overrides LACKING, and
    `statuses` adds to STATUSES.
    `held` says that answers are read from standard input, where the child reads behind its ``gate``.
    """

    def __init__(self, mark, prompts, failures, answers, limit=LIMIT,
                 lacking=None, held=False, statuses=None):
        # type: (bytes, Table, Table, dict[str, Any], int, dict[str, str] | None, bool, dict[int | None, str] | None) -> None
        self.mark = mark
        self.prompts = prompts
        self.failures = failures
        self.answers = answers
        self.lacking = dict(LACKING, **(lacking or {}))  # type: dict[str, str]
        self.statuses = dict(STATUSES)  # type: dict[int | None, str]
        self.statuses.update(statuses or {})
        self.left = limit  # type: int
        self.screen = min(limit, SCREEN)  # type: int
        # Whether the program has one, to ask its questions on.
        self.terminal = True
        self.done = False  # type: bool
        self.tail = EMPTY  # type: bytes
        self.lines = []  # type: list[str]
        self.partial = {'out': EMPTY, 'err': EMPTY, 'tty': EMPTY}  # type: dict[str, bytes]
        self.found = len(failures)  # type: int
        self.gate = Gate(held)  # type: Gate
        # Where what stands there was taken up; what the controller was asked: source, question, whether it must know.
        self.asked = {'err': False, 'tty': False}  # type: dict[str, bool]
        self.question = None  # type: tuple[str, str, bool] | None
        # What stood on standard error when it was taken for a question.
        self.taken = EMPTY  # type: bytes
        # The last text there that ends as no question does, and has no answer.
        self.none = {'err': EMPTY, 'tty': EMPTY}  # type: dict[str, bytes]
        self.answered = {}  # type: dict[tuple[str, str], str]
        # The lines on the terminal since something was typed there.
        self.shown = []  # type: list[str]
        self.questions = 0  # type: int

    def feed(self, source, data):
        # type: (str, bytes) -> list[tuple[Any, ...]]
        """Take what arrived on 'out', 'err' or 'tty'; return events."""
        if self.done:
            return []
        known = data[:self.left]
        self.left -= len(data)
        events = []  # type: list[tuple[Any, ...]]
        if source == 'out':
            events = self.hear(known, data[len(known):])
        elif source == 'tty' or self.gate.held:
            known = known[:self.screen]
            self.screen -= len(data)
            events = self.talk(source, known)
        else:
            events = self.listen(source, known)
        if min(self.left, self.screen) < 0 and not self.done:
            events += self.fail('noise')
        return events

    def hear(self, known, beyond):
        # type: (bytes, bytes) -> list[tuple[Any, ...]]
        """Look for the gate's word and the mark in what came on 'out'; `beyond` is not to be looked at."""
        events = []  # type: list[tuple[Any, ...]]
        if self.gate.held:
            before, known = self.gate.feed(known)
            self.listen('out', before)
            if self.gate.held:
                return events
            events.append(('open', PREFACE))
        seen = self.tail + known
        end = seen.find(self.mark)
        if end >= 0:
            self.listen('out', known[:max(0, end - len(self.tail))])
            self.done = True
            events.append(('ready', seen[end + len(self.mark):] + beyond))
        else:
            self.listen('out', known)
            self.tail = seen[max(0, len(seen) - len(self.mark) + 1):]
        return events

    def rested(self, long=False):
        # type: (bool) -> list[tuple[Any, ...]]
        """
        Take the news that for a while, or a `long` one, nothing came from the terminal.

        To be told when ``pending()``; how long that is, is the owner's to say.
        """
        for source in 'tty', 'err':
            key = self.key(source, '')
            if key is not None and self.stands(source, long):
                if self.stands(source, False):
                    return self.prompted(source, key)
                if 'question' in self.answers or self.key(source, None) in self.answers:
                    return self.prompted(source, key, True)
        return []

    def pending(self, long=False):
        # type: (bool) -> bool
        """Tell whether there stands what may be a question; after a `long` rest that is any text."""
        return self.stands('tty', long) or self.stands('err', long)

    def stands(self, source, long):
        # type: (str, bool) -> bool
        """Tell whether on `source` there stands what may be a question."""
        if self.done or self.question or self.asked[source] or (source == 'err' and not self.gate.held):
            return False
        text = self.partial[source].rstrip()
        return text[-1:] in ENDS or (long and text != EMPTY and text != self.none[source])

    def answer(self, key, text):
        # type: (str, str | None) -> list[tuple[Any, ...]]
        """Take the controller's answer to ('ask', key, ...); None is none."""
        if self.done or self.question is None:
            return []
        (source, question, must), self.question = self.question, None
        if source == 'err' and not self.gate.held:
            # The program went on without it.
            return []
        if text is None:
            if not must:
                return self.ignore(source)
            return self.fail(self.lacking.get(key, 'password-required'))
        return self.type(key, source, question, text)

    def ended(self, status, late=False):
        # type: (int | None, bool) -> tuple[str, str]
        """
        Return (kind, detail) for a program that ended before the mark; status None is of one that was made to.

        A `late` one was told first that its time is over, by the end of its input.  Python would have said the mark
        even so.  What ends with its input by itself has read that; with status 255, ssh and the like has lost its
        connection.
        """
        self.done = True
        for source in 'tty', 'out', 'err':
            self.line(self.partial[source])
            self.partial[source] = EMPTY
        kind, detail = self.verdict(status), self.detail()
        if late:
            if kind != 'eaten-input' and status not in RETURNED:
                return 'timeout', detail
            return 'eaten-input', detail
        if kind == 'ended' and status is not None:
            detail = (detail + '\n' + fate(status)).lstrip('\n')
        return kind, detail

    def detail(self):
        # type: () -> str
        """Return the last lines seen, made harmless."""
        lines = list(self.lines)
        for source in 'out', 'err', 'tty':
            lines.append(readable(self.partial[source]))
        lines = [line for line in lines if line.strip()]
        return '\n'.join(lines[-LINES:])[-TEXT:]

    def listen(self, source, data):
        # type: (str, bytes) -> list[tuple[Any, ...]]
        """Take in lines that ask nothing."""
        lines = (self.partial[source] + data).split(NEWLINE)
        self.partial[source] = lines.pop()[-TEXT:]
        for line in lines:
            kind = self.line(line[-TEXT:])
            if kind and source != 'out':
                self.partial[source] = EMPTY
                return self.fail(kind)
        return []

    def talk(self, source, data):
        # type: (str, bytes) -> list[tuple[Any, ...]]
        """Take in what the terminal shows, or the like, byte by byte: any may end a question."""
        events = []  # type: list[tuple[Any, ...]]
        for i in range(len(data)):
            byte = data[i:i + 1]
            if byte == NEWLINE:
                asked, self.asked[source] = self.asked[source], False
                if source == 'tty' and not asked:
                    self.shown = (self.shown + [readable(self.partial[source])])[-LINES:]
                events += self.listen(source, byte)
            else:
                self.partial[source] = (self.partial[source] + byte)[-TEXT:]
                if byte == SPACE:
                    events += self.recognized(source)
            if self.done:
                break
        return events

    def recognized(self, source):
        # type: (str) -> list[tuple[Any, ...]]
        """Take up a question that a table knows, if one has just ended."""
        if self.question or self.asked[source] or self.partial[source][-2:] not in KNOWN_ENDS:
            return []
        key = self.key(source, None)
        if key is None:
            return []
        return self.prompted(source, key)

    def key(self, source, unknown):
        # type: (str, str | None) -> str | None
        """Return whose question stands on `source`; `unknown` is '' or None."""
        text = NEWLINE + self.partial[source][-ASKING:].lstrip(RETURN).lower().rstrip(SPACE)
        # Not all questions end as the table has it.
        if text[-1:] in ENDS:
            text += SPACE
        else:
            text += COLON
        for part, key in self.prompts:
            if part == unknown or part and encoded(part) in text:
                return key
        return None

    def prompted(self, source, key, loose=False):
        # type: (str, str, bool) -> list[tuple[Any, ...]]
        """Answer a question, or say why not; if it is `loose` it may be none."""
        self.asked[source] = True
        if source == 'err':
            self.taken = self.partial[source]
        question = readable(self.partial[source])
        if (source, question) in self.answered:
            return self.fail(AGAIN.get(key, 'wrong-password'))
        self.questions += 1
        if self.questions > MOST:
            return self.fail('endless-questions')
        if key == 'password' and self.verdict(None) == 'expired-password':
            # Whatever it is called, it is for the new one.
            key = 'new-password'
        answer = self.answers.get(key)
        other = 'question' in self.answers
        guess = self.key(source, None) is None
        # A guess is good once: the next unknown question wants something else.
        if (guess and (other or self.answered and answer is not ASK)
                or other and answer is None and key != 'host_key'):
            key, answer = 'question', self.answers.get('question')
        if answer is ASK:
            self.question = source, question, not loose
            if key == 'host_key':
                question = '\n'.join(self.shown + [question])[-TEXT:]
            return [('ask', key, question)]
        if answer is None and loose:
            return self.ignore(source)
        if guess and answer is None and self.found < len(self.failures):
            return self.fail(self.failures[self.found][1])
        if answer is None:
            kind = self.lacking.get(key, 'password-required')
            if kind == 'refused-key' and self.verdict(None) == 'no-identity':
                kind = 'no-identity'
            return self.fail(kind)
        return self.type(key, source, question, answer)

    def type(self, key, source, question, text):
        # type: (str, str, str, str) -> list[tuple[Any, ...]]
        """Answer a question; a line break ends what can be typed."""
        self.answered[source, question] = key
        self.shown = []
        event = 'type'
        if source == 'err':
            event = 'enter'
            # No line break is shown there for the one that is typed: the next question may follow at once.
            self.asked[source] = False
            self.lines = (self.lines + [question])[-LINES:]
            self.partial[source] = self.partial[source][len(self.taken):]
        return [(event, encoded(text).split(NEWLINE)[0] + NEWLINE)]

    def ignore(self, source):
        # type: (str) -> list[tuple[Any, ...]]
        """Take what stands there for no question, unless more comes."""
        self.asked[source] = False
        self.none[source] = self.partial[source].rstrip()
        return []

    def line(self, data):
        # type: (bytes) -> str | None
        """Take in a line; return the failure that it is at once, if it is one, be it not on standard output."""
        if not data.strip():
            return None
        text = readable(data)
        self.lines = (self.lines + [text])[-LINES:]
        lowered = readable(data.replace(HEAD, SPELLED)).lower()
        for i in range(len(self.failures)):
            part, kind = self.failures[i]
            if part and holds(lowered, part):
                self.found = min(self.found, i)
                if holds(lowered, TAKEN):
                    return 'eaten-input'
                if kind == 'wrong-password' and self.answered:
                    return kind
                break
        return None

    def fail(self, kind):
        # type: (str) -> list[tuple[Any, ...]]
        """Return the verdict that there will be no child."""
        self.done = True
        return [('failed', kind, self.detail())]

    def verdict(self, status):
        # type: (int | None) -> str
        """Return what went wrong: by the status of a first stage, by what was printed, then by another exit status."""
        if status == NO_INPUT:
            return self.statuses[status]
        if self.found < len(self.failures):
            kind = self.failures[self.found][1]
            if kind == 'refused-key' and 'password' in self.answered.values():
                return 'wrong-password'
            if kind == 'wrong-password' and not (self.answered or self.terminal):
                # It turned down what nobody could type.
                return 'tty-required'
            return kind
        if status in self.statuses:
            return self.statuses[status]
        for part, kind in self.failures:
            if not part and status in RETURNED:
                return kind
        return 'ended'


def holds(line, part):
    # type: (str, str) -> bool
    """Are the texts of `part`, between which asterisks stand, in `line`, one behind the other?"""
    if part in line or '*' not in part:
        return part in line
    at = 0
    for piece in part.split('*'):
        at = line.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


def readable(data):
    # type: (bytes) -> str
    """Return what a line says, without the power to steer a terminal."""
    return data.decode('utf-8', 'replace').strip('\r\n').translate(HARMLESS)


def fate(status):
    # type: (int) -> str
    """Return how a program ended, by its exit status; a negative one is of a signal."""
    if status < 0:
        return 'ended by signal %d' % (-status & 127)
    if status not in RETURNED:
        # Where somebody else has waited for the program, `process` knows no better.
        return 'exit status %d, or unknown' % status
    return 'exit status %d' % status
