"""Write e-mails, encoded so that servers on the way do not change the text.

Headers use Python's older API (`Header`): in some releases the newer one (`EmailMessage`) loses
spaces and commas between encoded words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from email.header import Header
from email.message import EmailMessage

_LINE_BREAK = "\r\n"
_FOLD = "\r\n "  # continues a header line
_LINE_MAX = 74  # characters of encoded text; the limit is 76, and `write_mail` may add two
_LONGEST_NAME = "Reply-To"  # the longest header name that we write
_NO_FOLD = re.compile(r"\r(?!\n )|(?<!\r)\n")
# ASCII that servers or mailboxes change unless it is encoded: a line that looks like the separator
# in an mbox, spaces at the end of a line, control characters.
_FRAGILE = re.compile(r"^From |[ \t]\r?$|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", re.MULTILINE)
_SEPARATOR = re.compile(r"^From ", re.MULTILINE)


def encode_header_text(text: str) -> str:
    """Encode the text of a header as ASCII; ASCII text without outer spaces stays as it is."""
    if text.isascii() and text == text.strip():
        return text
    header = Header(text, "utf-8", _LINE_MAX, _LONGEST_NAME)
    return header.encode(linesep=_LINE_BREAK)


def fold_list(items: Sequence[str]) -> str:
    """Join the items of a header with commas, and fold long lines."""
    text = items[0]
    for item in items[1:]:
        line = f"{_LONGEST_NAME}: {text.rpartition(_LINE_BREAK)[2]}, {item}"
        text += f",{_FOLD if len(line) > _LINE_MAX else ' '}{item}"
    return text


def write_mail(headers: Mapping[str, str], text: str, html: str | None) -> bytes:
    """Write an e-mail.

    Args:
        headers: ASCII values by name; long ones are folded.
        text: the body, with any kind of line break.
        html: the same body as HTML.

    Raises:
        ValueError: a header has a linefeed that would start another header.
    """
    for name, value in headers.items():
        if _NO_FOLD.search(value):
            raise ValueError(f"header {name} contains a linefeed that would start another header")
    lines = [f"{name}: {value}{_LINE_BREAK}" for name, value in headers.items()]
    return "".join(lines).encode("ascii") + _body(text, html)


def _body(text: str, html: str | None) -> bytes:
    from email.policy import SMTP  # noqa: PLC0415  # takes 0.6 MB, and few processes need it

    # not every server accepts 8-bit text
    body = EmailMessage(policy=SMTP.clone(cte_type="7bit", max_line_length=_LINE_MAX))
    body.set_content(text, cte=_encoding(text))
    if html is not None:
        body.add_alternative(html, subtype="html", cte=_encoding(html))
    for part in body.walk():
        if part["Content-Transfer-Encoding"] == "quoted-printable":
            part.set_payload(_SEPARATOR.sub("=46rom ", str(part.get_payload())))
    return body.as_bytes()


def _encoding(text: str) -> str | None:
    """Return the encoding for fragile ASCII text; None leaves the choice to Python."""
    return "quoted-printable" if text.isascii() and _FRAGILE.search(text) else None
