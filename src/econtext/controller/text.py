"""
Text of others made harmless: one sanitizer, for every way in.

What a program or a context says may reach a terminal, an error, a log line, a function
that is asked for a password, or the doctor.  So it passes through here where it comes in:
``messages`` for what contexts say, ``lifecycle.report`` and ``Context.failed`` for what is told
of a start (by a context, or by the program that is started from here), ``output`` for
lines, ``CallError.__str__`` for what a function raised, ``Examination.add`` for all that
the doctor finds.

Invariants:

* What is returned holds no character of the categories Cc, Cf, Zl, Zp and Cs: nothing that
  steers a terminal, turns the direction of writing, ends a line for some readers, is there
  and not seen, or has no encoding.  Tabs stay, and line feeds where lines are kept.
* Each such character is written as Python would: ``\\x1b``, ``\\u202e``, ``\\U000e0041``.
  So are those of honest texts, such as the joiners within an emoji or a soft hyphen.

Pure; any thread may enter.
"""

from __future__ import annotations

import functools

# First and last of each run, over all versions of Unicode; the whole block of tags.
RUNS = (
    (0, 8), (10, 31), (127, 159), (0xAD, 0xAD), (0x600, 0x605), (0x61C, 0x61C), (0x6DD, 0x6DD), (0x70F, 0x70F),
    (0x890, 0x891), (0x8E2, 0x8E2), (0x180B, 0x180F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F),
    (0xD800, 0xDFFF), (0xFEFF, 0xFEFF), (0xFFF0, 0xFFFB), (0x110BD, 0x110BD), (0x110CD, 0x110CD),
    (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE007F),
)  # fmt: skip


def written(code: int) -> str:
    return f'\\x{code:02x}' if code < 0x100 else f'\\u{code:04x}' if code < 0x10000 else f'\\U{code:08x}'


@functools.cache
def table(kept: int = -1) -> dict[int, str]:
    """Return what is written for each character but `kept`; made when there is one to be written so."""
    return {code: written(code) for first, last in RUNS for code in range(first, last + 1) if code != kept}


MARGIN = '    '
SHOWN = 300     # characters


def harmless(text: str) -> str:
    """Return `text`, of one line, without the power to steer a terminal."""
    return text if text.isprintable() else text.translate(table())


def harmless_lines(text: str) -> str:
    """Return `text`, which may have lines, without the power to steer a terminal."""
    return text if text.isprintable() else text.translate(table(10))


def indented(text: str) -> str:
    """Return `text` with its lines but the first set off from the margin."""
    return text.replace('\n', '\n' + MARGIN) if '\n' in text else text


def shown(text: str) -> str:
    """Return what is seen of a text that may be long, on one line."""
    return harmless(text if len(text) <= SHOWN else text[:SHOWN] + ' …')


def counted(number: int, what: str) -> str:
    """Return how many there are: `1 host`, `2 hosts`."""
    return f'{number} {what}' if number == 1 else f'{number} {what}s'
