"""
Kinds of frames that are not needed before the first step, and so not in ``wire``.

Below ``wire.UP`` they go down only, from it on they may also come up.

Pure.
"""

INTERRUPT = 8       # give up the call of that handle, or with WITHDRAW only if it has not begun
GRANT = 9           # so many bytes of output were handled; the handle says how many
BEAT = 27           # handle 1 asks whether somebody is there, 0 says so
PART = 28           # the next bytes of a large frame
ASKED = 29          # a call of a function of the program, from below
BEGUN = 31          # it has begun, and so is not withdrawn

WITHDRAW = '?'.encode()
