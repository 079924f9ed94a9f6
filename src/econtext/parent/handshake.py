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
only then they are more than noise.

Invariants:

* What is said does not depend on how the input is cut into pieces.
* Only what stands on the terminal is a question: banners elsewhere may say
  ``password:``.
* No text is typed twice to the same question, for accounts get locked.
* A question without an answer is a failure, never a wait; so are questions without end.
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

from econtext.parent.command import encoded

# Said by the owner in place of an answer: the controller must be asked.
ASK = object()

# The failure it is when a question of this kind has no answer.
LACKING = {
    'password': 'password-required',
    'passphrase': 'passphrase-required',
    'new-password': 'expired-password',
    'host-key': 'unknown-host-key',
    'question': 'answer-required',
}

# Without a pattern for what was printed, the exit status alone says this much:
# what shells return where a program is missing, or cannot be executed.
STATUSES = {126: 'broken-python', 127: 'no-python'}

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

NEWLINE = '\n'.encode()
RETURN = '\r'.encode()
SPACE = ' '.encode()
EMPTY = ''.encode()

# The control characters, and how each is written.
CONTROL = list(range(0x20)) + list(range(0x7f, 0xa0))
HARMLESS = dict([(code, ('\\x%02x' % code).encode().decode()) for code in CONTROL])


class Handshake(object):
    """
    Watch for the mark, questions and failures; return what to do as events.

    ``('type', bytes)``             write this to the terminal
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
    question with no answer of its own, but for host keys.  `lacking` overrides LACKING.
    """

    def __init__(self, mark, prompts, failures, answers, limit=LIMIT,
                 lacking=None):
        # type: (bytes, Table, Table, dict[str, Any], int, dict[str, str] | None) -> None
        self.mark = mark
        self.prompts = prompts
        self.failures = failures
        self.answers = answers
        self.lacking = dict(LACKING, **(lacking or {}))  # type: dict[str, str]
        self.left = limit  # type: int
        self.screen = min(limit, SCREEN)  # type: int
        # Whether the program has one, to ask its questions on.
        self.terminal = True
        self.done = False  # type: bool
        self.tail = EMPTY  # type: bytes
        self.lines = []  # type: list[str]
        self.partial = {'out': EMPTY, 'err': EMPTY, 'tty': EMPTY}  # type: dict[str, bytes]
        self.found = len(failures)  # type: int
        self.asked = False  # type: bool
        self.question = None  # type: str | None
        self.answered = {}  # type: dict[str, str]
        self.questions = 0  # type: int

    def feed(self, source, data):
        # type: (str, bytes) -> list[tuple[Any, ...]]
        """Take what arrived on 'out', 'err' or 'tty'; return events."""
        if self.done:
            return []
        known = data[:self.left]
        self.left -= len(data)
        events = []  # type: list[tuple[Any, ...]]
        if source == 'tty':
            known = known[:self.screen]
            self.screen -= len(data)
            events = self.talk(known)
        elif source == 'out':
            seen = self.tail + known
            end = seen.find(self.mark)
            if end >= 0:
                self.listen(source, known[:max(0, end - len(self.tail))])
                self.done = True
                events.append(('ready', seen[end + len(self.mark):] + data[len(known):]))
            else:
                self.listen(source, known)
                self.tail = seen[max(0, len(seen) - len(self.mark) + 1):]
        else:
            events = self.listen(source, known)
        if min(self.left, self.screen) < 0 and not self.done:
            events += self.fail('noise')
        return events

    def rested(self):
        # type: () -> list[tuple[Any, ...]]
        """
        Take the news that for a while nothing came from the terminal.

        To be told when ``pending()``; how long that is, is the owner's to say.
        """
        key = self.key('')
        if key is None or not self.pending():
            return []
        return self.prompted(key)

    def pending(self):
        # type: () -> bool
        """Tell whether the terminal stands at what may be a question."""
        if self.done or self.asked:
            return False
        return self.partial['tty'].rstrip()[-1:] in ENDS

    def answer(self, key, text):
        # type: (str, str | None) -> list[tuple[Any, ...]]
        """Take the controller's answer to ('ask', key, ...); None is none."""
        if self.done or self.question is None:
            return []
        if text is None:
            return self.fail(self.lacking.get(key, 'password-required'))
        question, self.question = self.question, None
        return self.type(key, question, text)

    def ended(self, status):
        # type: (int | None) -> tuple[str, str]
        """Return (kind, detail) for a program that ended before the mark."""
        self.done = True
        for source in 'tty', 'out', 'err':
            self.line(self.partial[source])
            self.partial[source] = EMPTY
        kind, detail = self.verdict(status), self.detail()
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
            if self.line(line[-TEXT:]) and source != 'out':
                self.partial[source] = EMPTY
                return self.fail('wrong-password')
        return []

    def talk(self, data):
        # type: (bytes) -> list[tuple[Any, ...]]
        """Take in what the terminal shows, byte by byte: any may end a question."""
        events = []  # type: list[tuple[Any, ...]]
        for i in range(len(data)):
            byte = data[i:i + 1]
            if byte == NEWLINE:
                self.asked = False
                events += self.listen('tty', byte)
            else:
                self.partial['tty'] = (self.partial['tty'] + byte)[-TEXT:]
                if byte == SPACE:
                    events += self.recognized()
            if self.done:
                break
        return events

    def recognized(self):
        # type: () -> list[tuple[Any, ...]]
        """Take up a question that a table knows, if one has just ended."""
        if self.asked or self.partial['tty'][-2:] not in KNOWN_ENDS:
            return []
        key = self.key(None)
        if key is None:
            return []
        return self.prompted(key)

    def key(self, unknown):
        # type: (str | None) -> str | None
        """Return whose question stands on the terminal; `unknown` is '' or None."""
        text = NEWLINE + self.partial['tty'][-ASKING:].lstrip(RETURN).lower()
        for part, key in self.prompts:
            if part == unknown or part and encoded(part) in text:
                return key
        return None

    def prompted(self, key):
        # type: (str) -> list[tuple[Any, ...]]
        """Answer a question, or say why not."""
        self.asked = True
        question = readable(self.partial['tty'])
        if question in self.answered:
            return self.fail('wrong-password')
        self.questions += 1
        if self.questions > MOST:
            return self.fail('endless-questions')
        if key == 'password' and self.verdict(None) == 'expired-password':
            # Whatever it is called, it is for the new one.
            key = 'new-password'
        answer = self.answers.get(key)
        other = 'question' in self.answers
        guess = self.key(None) is None
        # A guess is good once: the next unknown question wants something else.
        if (guess and (other or self.answered and answer is not ASK)
                or other and answer is None and key != 'host-key'):
            key, answer = 'question', self.answers.get('question')
        if answer is ASK:
            self.question = question
            return [('ask', key, question)]
        if guess and answer is None and self.found < len(self.failures):
            return self.fail(self.failures[self.found][1])
        if answer is None:
            kind = self.lacking.get(key, 'password-required')
            if kind == 'refused-key' and self.verdict(None) == 'no-identity':
                kind = 'no-identity'
            return self.fail(kind)
        return self.type(key, question, answer)

    def type(self, key, question, text):
        # type: (str, str, str) -> list[tuple[Any, ...]]
        """Answer a question; a line break ends what can be typed."""
        self.answered[question] = key
        return [('type', encoded(text).split(NEWLINE)[0] + NEWLINE)]

    def line(self, data):
        # type: (bytes) -> bool
        """Take in a line; tell whether it turns down what was typed."""
        if not data.strip():
            return False
        text = readable(data)
        self.lines = (self.lines + [text])[-LINES:]
        lowered = text.lower()
        for i in range(len(self.failures)):
            part, kind = self.failures[i]
            if part and holds(lowered, part):
                self.found = min(self.found, i)
                return kind == 'wrong-password' and self.answered != {}
        return False

    def fail(self, kind):
        # type: (str) -> list[tuple[Any, ...]]
        """Return the verdict that there will be no child."""
        self.done = True
        return [('failed', kind, self.detail())]

    def verdict(self, status):
        # type: (int | None) -> str
        """Return what went wrong: by what was printed, then by exit status."""
        if self.found < len(self.failures):
            kind = self.failures[self.found][1]
            if kind == 'refused-key' and 'password' in self.answered.values():
                return 'wrong-password'
            if kind == 'wrong-password' and not (self.answered or self.terminal):
                # It turned down what nobody could type.
                return 'tty-required'
            return kind
        if status in STATUSES:
            return STATUSES[status]
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
