"""How a mail is written: encoded so that it arrives as it was given.

Python's newer way to write heads (`EmailMessage`) loses spaces and commas between words that it
encodes, in some releases; its older one, used here, does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from email.header import Header
from email.message import EmailMessage

_LINE_BREAK = "\r\n"
_FOLD = "\r\n "  # goes on with a line of a head
_LINE_MAX = 74  # of what is encoded: the limit is 76, and `write` may add two
_LONGEST_NAME = "Reply-To"  # of the lines of a head, which begin with it
_NO_FOLD = re.compile(r"\r(?!\n )|(?<!\r)\n")
# ASCII that some server or mailbox on the way alters, unless it is encoded: a line that begins as
# the separator of mails in a file, spaces at the end of a line, control characters.
_FRAGILE = re.compile(r"^From |[ \t]\r?$|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", re.MULTILINE)
_SEPARATOR = re.compile(r"^From ", re.MULTILINE)


def encoded(text: str) -> str:
    """Write text of a head in ASCII; what is ASCII stays as it is, but for spaces around it."""
    if text.isascii() and text == text.strip():
        return text
    header = Header(text, "utf-8", _LINE_MAX, _LONGEST_NAME)
    return header.encode(linesep=_LINE_BREAK)


def listed(items: Sequence[str]) -> str:
    """Write a list of a head, folded where a line would be long."""
    text = items[0]
    for item in items[1:]:
        line = f"{_LONGEST_NAME}: {text.rpartition(_LINE_BREAK)[2]}, {item}"
        text += f",{_FOLD if len(line) > _LINE_MAX else ' '}{item}"
    return text


def write(head: Mapping[str, str], text: str, html: str | None) -> bytes:
    """Write a mail.

    Args:
        head: lines of ASCII by name, folded where they are long.
        text: any kind of line break is one.
        html: the same as HTML.

    Raises:
        ValueError: a line of the head has a linefeed that would begin another.
    """
    for line in head.values():
        if _NO_FOLD.search(line):
            raise ValueError("a line of a head has a linefeed")
    lines = [f"{name}: {line}{_LINE_BREAK}" for name, line in head.items()]
    return "".join(lines).encode("ascii") + _body(text, html)


def _body(text: str, html: str | None) -> bytes:
    from email.policy import SMTP  # noqa: PLC0415  # 0.6 MB that most processes never need

    # Not every server takes 8 bits.
    body = EmailMessage(policy=SMTP.clone(cte_type="7bit", max_line_length=_LINE_MAX))
    body.set_content(text, cte=_encoding(text))
    if html is not None:
        body.add_alternative(html, subtype="html", cte=_encoding(html))
    for part in body.walk():
        if part["Content-Transfer-Encoding"] == "quoted-printable":
            part.set_payload(_SEPARATOR.sub("=46rom ", str(part.get_payload())))
    return body.as_bytes()


def _encoding(text: str) -> str | None:
    """Choose an encoding where Python would send fragile text as it is."""
    return "quoted-printable" if text.isascii() and _FRAGILE.search(text) else None
