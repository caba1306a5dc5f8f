"""E-mail addresses: checked in a time that grows with their length alone.

The parser of Python's `email` takes milliseconds for some addresses, and fails on others.
"""

from __future__ import annotations

import re
from email.utils import formataddr, unquote
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from tasks.mail import encoded

_ADDRESS_MAX = 254  # characters; RFC 5321, erratum 1690
# Characters in front of and behind the address. Python takes 2 s to write fifty names of as many
# words into a head, and the time grows with the square of their length.
_NAME_MAX = 100

# Where these read a character, no more than one alternative fits it: so none of them goes back.
# Source: RFC 5322, 3.2 to 3.4.1, without comments and folding.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_ATOM = rf"{_ATOM}(?:\.{_ATOM})*"
_QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])+"'
_ADDRESS = re.compile(rf"(?:{_DOT_ATOM}|{_QUOTED})@(?:{_DOT_ATOM}|\[[!-Z^-~]+\])")
_NAMED = re.compile(r'(?:("(?:[^"\\]|\\.)*") *|([^"\\()<>\[\]:;@,]*))<([^<>]*)>')

# The mail server may not speak SMTPUTF8, and the worker would be the first to learn it.
_NO_ASCII = PydanticCustomError(
    "ascii_address",
    "not ASCII, and other addresses (SMTPUTF8) cannot be mailed to: write the domain as `xn--...`",
)
_NO_ADDRESS = PydanticCustomError(
    "email_address",
    "not an e-mail address such as ann@example.org or Ann <ann@example.org>",
)
_NOT_NAMED = PydanticCustomError(
    "named_email_address",
    "not an e-mail address such as Ann <ann@example.org>; "
    'quote a name that has one of ()<>[]:;@,": "Lee, Ann" <ann@example.org>',
)
_LONG_NAME = PydanticCustomError(
    "long_name", f"a name of more than {_NAME_MAX} characters in front of an e-mail address"
)


def one_line(text: str) -> str:
    """Check that a text can be a line of a mail's head.

    Raises:
        PydanticCustomError: it could begin another line.
    """
    is_line = text.splitlines() in ([], [text])
    if not is_line or any(c < " " or c == "\x7f" for c in text):
        raise PydanticCustomError("one_line", "not one line of text: it has a control character")
    # Pythons before 3.11.10 and 3.12.5 decode it into a header, line breaks within included.
    if "=?" in text:
        raise PydanticCustomError("encoded_word", "not plain text: it has an encoded word (`=?`)")
    return text


def bare_address(text: str) -> str:
    """Give the address alone, without the name in front of it."""
    named = _NAMED.fullmatch(text)
    return named[3] if named else text


def in_header(text: str) -> str:
    """Write an address as it stands in a mail's head: its name quoted or, if no ASCII, encoded."""
    named = _NAMED.fullmatch(text)
    if not named:
        return text
    quoted, bare, address = named.groups()
    name = unquote(quoted) if quoted else bare.strip()
    if not name:
        return address
    return formataddr((name, address)) if name.isascii() else f"{encoded(name)} <{address}>"


def _checked(text: str) -> str:
    address = bare_address(text)
    if not address.isascii():
        raise _NO_ASCII
    try:
        one_line(text)
    except PydanticCustomError as error:
        raise _NO_ADDRESS from error
    if len(address) > _ADDRESS_MAX or not _ADDRESS.fullmatch(address):
        raise _NOT_NAMED if "<" in text else _NO_ADDRESS
    if len(text) - len(address) > _NAME_MAX:
        raise _LONG_NAME
    return text


#: An address, with or without a name in front of it.
Address = Annotated[str, Field(max_length=_ADDRESS_MAX + _NAME_MAX), AfterValidator(_checked)]
