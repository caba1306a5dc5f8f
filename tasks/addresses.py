"""Own the validation of e-mail addresses, in time linear in their length.

The parser in Python's `email` package takes milliseconds for some addresses, and fails on others.
"""

from __future__ import annotations

import re
from email.utils import formataddr, unquote
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from tasks.mail import encode_header_text

_ADDRESS_MAX = 254  # characters; RFC 5321, erratum 1690
# Characters around the address. Python takes 2 s to write fifty names of 100 words into a header,
# and the time is quadratic in their length.
_NAME_MAX = 100

# At each character at most one alternative matches, so these patterns never backtrack. Source: RFC
# 5322, 3.2 to 3.4.1, without comments and folding.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_ATOM = rf"{_ATOM}(?:\.{_ATOM})*"
_QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])+"'
_ADDRESS = re.compile(rf"(?:{_DOT_ATOM}|{_QUOTED})@(?:{_DOT_ATOM}|\[[!-Z^-~]+\])")
_NAMED = re.compile(r'(?:("(?:[^"\\]|\\.)*") *|([^"\\()<>\[\]:;@,]*))<([^<>]*)>')

# Whether the mail server supports SMTPUTF8 is known only when the worker sends the message.
_NOT_ASCII = PydanticCustomError(
    "ascii_address",
    "not ASCII, and SMTPUTF8 addresses are not supported: write the domain as `xn--...`",
)
_NOT_AN_ADDRESS = PydanticCustomError(
    "email_address",
    "not an e-mail address such as ann@example.org or Ann <ann@example.org>",
)
_NOT_NAMED = PydanticCustomError(
    "named_email_address",
    "not an e-mail address such as Ann <ann@example.org>; "
    'quote a name that contains one of ()<>[]:;@,": "Lee, Ann" <ann@example.org>',
)
_LONG_NAME = PydanticCustomError(
    "long_name", f"the name before the e-mail address has more than {_NAME_MAX} characters"
)


def one_line(text: str) -> str:
    """Check that a text fits in one header line and cannot inject another.

    Raises:
        PydanticCustomError: the text has a control character or an encoded word.
    """
    is_line = text.splitlines() in ([], [text])
    if not is_line or any(c < " " or c == "\x7f" for c in text):
        raise PydanticCustomError(
            "one_line", "not one line of text: it contains a control character"
        )
    # Python before 3.11.10 and 3.12.5 decodes encoded words in a header, including line breaks.
    if "=?" in text:
        raise PydanticCustomError(
            "encoded_word", "not plain text: it contains an encoded word (`=?`)"
        )
    return text


def bare_address(text: str) -> str:
    """Return the address without the name before it."""
    named = _NAMED.fullmatch(text)
    return named[3] if named else text


def in_header(text: str) -> str:
    """Format an address for a header: quote the name, or encode it if it is not ASCII."""
    named = _NAMED.fullmatch(text)
    if not named:
        return text
    quoted, bare, address = named.groups()
    name = unquote(quoted) if quoted else bare.strip()
    if not name:
        return address
    return (
        formataddr((name, address)) if name.isascii() else f"{encode_header_text(name)} <{address}>"
    )


def _checked(text: str) -> str:
    address = bare_address(text)
    if not address.isascii():
        raise _NOT_ASCII
    try:
        one_line(text)
    except PydanticCustomError as error:
        raise _NOT_AN_ADDRESS from error
    if len(address) > _ADDRESS_MAX or not _ADDRESS.fullmatch(address):
        raise _NOT_NAMED if "<" in text else _NOT_AN_ADDRESS
    if len(text) - len(address) > _NAME_MAX:
        raise _LONG_NAME
    return text


#: An address, with or without a name before it.
Address = Annotated[str, Field(max_length=_ADDRESS_MAX + _NAME_MAX), AfterValidator(_checked)]
