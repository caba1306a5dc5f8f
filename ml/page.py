"""Extract the visible text of an HTML page in one pass; `mail.py` finds the pages in e-mails.

Pages are untrusted input, and the standard library's `html.parser` takes seconds for some of 64 KB.
"""

import contextlib
import re
from html import unescape

_HTML = re.compile(r"\s{0,999}<(?:!doctype|html|head|body|table|meta|center|font|div)\b", re.I)
_TAG = re.compile(r"!--|[/!?]?[a-zA-Z\[][a-zA-Z0-9]{0,30}")
_INLINE = frozenset({"a", "b", "i", "u", "em", "strong", "font", "span", "big", "small"})
_HIDDEN_UNTIL = {  # the end of each element that is not visible
    "!--": re.compile("-->"),
    "script": re.compile("/script", re.IGNORECASE),
    "style": re.compile("/style", re.IGNORECASE),
}
_BLANKS = re.compile(r"[^\S\n]+")


def looks_like_html(text: str) -> bool:
    """Return whether a text starts like an HTML page."""
    return _HTML.match(text) is not None


def visible_text(page: str) -> str:
    """Return a page without tags, comments, scripts and styles; never raises."""
    pieces: list[str] = []
    hidden_until: re.Pattern[str] | None = None
    for number, piece in enumerate(page.replace("\n", " ").split("<")):
        tag, closed, text = piece.partition(">")
        name = _TAG.match(tag)
        if hidden_until:
            if found := hidden_until.search(piece):
                hidden_until = None
                pieces.append(piece[found.start() :].partition(">")[2])
        elif number == 0 or not name:
            pieces.append(f"<{piece}" if number else piece)  # `1 < 2`
        elif tag.startswith("!--"):
            hidden_until = None if "-->" in piece else _HIDDEN_UNTIL["!--"]
            pieces.append(piece.partition("-->")[2])
        elif name[0].lower() in _HIDDEN_UNTIL:
            hidden_until = _HIDDEN_UNTIL[name[0].lower()]
        elif closed:
            pieces.append(text if name[0].lower().lstrip("/") in _INLINE else f"\n{text}")
    shown = "".join([_BLANKS.sub(" ", piece) for piece in pieces])
    with contextlib.suppress(ValueError):  # a numeric entity of more than 4,300 digits
        shown = unescape(shown)
    lines = [line.strip() for line in shown.split("\n")]
    return "\n".join([line for line in lines if line])
