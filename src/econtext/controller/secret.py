"""
A text that shows nowhere: a password, a token.

Invariants:

* Nothing but ``reveal()`` gives it away: no repr, format, pickle, log or traceback.

Any thread may enter.
"""

from __future__ import annotations

from typing import Any


class Secret:
    """
    Holds a text that must show nowhere.

    May be given for every password, and as an argument or result of a call, where
    it arrives as one.  Whatever prints, formats or logs it shows ``<econtext.Secret>``;
    it is not pickled.  Raises TypeError for what is no text.

    Example::

        token = econtext.Secret(os.environ.pop('TOKEN'))
        web.call(deploy, token)    # there: token.reveal()
    """

    __slots__ = ('_text',)
    _crosses_as = 'econtext'

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            # The value itself may be what must not show.
            raise TypeError(f'a Secret holds a text, not a {type(text).__name__}')
        self._text = str.__str__(text)

    def reveal(self) -> str:
        """
        Return the text. Raises nothing.

        Example::

            connection = connect(user='app', password=token.reveal())
        """
        return self._text

    def __repr__(self) -> str:
        return '<econtext.Secret>'

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        import hmac  # which loads OpenSSL, and few compare

        return hmac.compare_digest(
            self._text.encode('utf-8', 'surrogatepass'), other._text.encode('utf-8', 'surrogatepass'))

    def __hash__(self) -> int:
        return hash(self._text)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Any) -> Secret:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError('a Secret cannot be pickled: pickle what its reveal() returns')


def hidden(value: Any) -> Any:
    """Return the answer to a question for a password so that it does not show: a Secret, or a function."""
    if isinstance(value, str):
        return Secret(value)
    if not (isinstance(value, Secret) or callable(value)):
        raise TypeError(
            f'a password is a text, a Secret, or a function that returns one, not a {type(value).__name__}')
    return value


def revealed(value: Any) -> Any:
    """Return the text that `value` is or holds; None if a function had none to give."""
    if value is None:
        return None
    if not isinstance(value, (str, Secret)):
        raise TypeError(f'a password is a text or a Secret, not a {type(value).__name__}')
    return value.reveal() if isinstance(value, Secret) else str.__str__(value)
