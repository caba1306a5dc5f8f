"""Extract the text of an e-mail from its source: the subject, a blank line and the body.

Other headers are left out. Senders and hosts tell where a corpus was collected, not what spam is.

Sources are untrusted input. Every step is bounded, so that a source takes at most about 0.02 s. No
source raises an error: a part that cannot be decoded is read as it is.
"""

import codecs
import re
from binascii import Error as BinasciiError
from collections.abc import Iterator
from email.errors import MessageError
from email.header import decode_header
from email.message import Message

from ml.page import looks_like_html, visible_text

# In characters or bytes; the rest is not read.
MAX_SOURCE = 262_144
MAX_BODY = 65_536  # all text parts together, still encoded
MAX_HEAD = 65_536  # all headers together
MAX_HEADER = 1_000  # one header; RFC 5322 allows 998 a line
MAX_PARTS = 30  # multiparts and their parts; later ones are mostly attachments

_HEADER_LINE = re.compile(r"[!-9;-~]{1,76}:(?:\s|$)|[ \t]+\S")  # or a continuation line
_WANTED = re.compile(
    r"^(subject|content-type|content-transfer-encoding)[ \t]*:"
    r"(.{0,2000}(?:\n[ \t].{0,2000}){0,20})",
    re.IGNORECASE | re.MULTILINE,
)
_KNOWN = re.compile(
    r"^(?:(from|to|cc|subject|date|sender|reply-to|organization|content-type)"
    r"|(received|return-path|delivered-to|message-id|mime-version|dkim-signature|x-[\w-]{1,60}))"
    r"[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)
_ENVELOPE = re.compile(r"\s{0,99}(?:>?From [^\n]{0,998}\n)?")  # the separator line of an mbox
_MAX_HEAD_LINES = 200  # examined to decide whether a text is a source
# The head ends before the first line that is neither a header nor the continuation of one. Not
# possessive, because Python before 3.11.5 then loses parts of the match (gh-106052).
_HEAD = re.compile(r"(?:(?:>?From |[!-9;-~]+[ \t]*:).*\n?(?:[ \t].*\n?)*)*")
# Only charsets of human text: codecs such as `idna` and `punycode` are slow, and some produce lone
# surrogates. ASCII is missing because e-mails that wrongly claim it are usually cp1252.
_CHARSET = re.compile(r"(?:utf|iso|latin|windows|cp|koi8|gb|big5|euc|shift|ks_c|mac)")
_PLAIN, _HTML, _FORWARD, _MULTIPART = "text/plain", "text/html", "message/rfc822", "multipart/*"


def looks_like_source(text: str) -> bool:
    """Return whether a text is the source of an e-mail: it starts with well-known headers."""
    begin = _ENVELOPE.match(text)
    start = begin.end() if begin else 0
    lines = text[start : start + MAX_HEAD].splitlines()[:_MAX_HEAD_LINES]
    end = next((number for number, line in enumerate(lines) if not line.strip()), len(lines))
    head = lines[:end]
    if not head or head[0][0].isspace() or not all(map(_HEADER_LINE.match, head)):
        return False
    found = [match for line in head if (match := _KNOWN.match(line))]
    return any(match[2] for match in found) or len({match[1].lower() for match in found}) > 1


def extract_text(source: bytes | str) -> str:
    """Return the subject, a blank line and the body of an e-mail; never raises.

    The body consists of the text/plain parts, or of the visible text of the text/html parts if the
    plain ones are empty.
    """
    if isinstance(source, str):
        source = source[:MAX_SOURCE].encode("utf-8", "replace")
    # one character for each byte: headers and boundaries are ASCII, and parts are decoded later
    raw = source[:MAX_SOURCE].decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
    begin = _ENVELOPE.match(raw)
    head, body = _split_head(raw[begin.end() if begin else 0 :])
    texts = list(_text_parts(head, body))
    read = "\n".join([text for kind, text in texts if kind == _PLAIN and text.strip()])
    read = read or "\n".join([text for kind, text in texts if kind != _PLAIN])
    text = f"{_subject(head)}\n\n{read}".strip()
    return text.encode("utf-8", "replace").decode()  # some charsets can encode lone surrogates


def _split_head(part: str) -> tuple[dict[str, str], str]:
    """Split a part into the three headers that we need and its body."""
    found = _HEAD.match(part)
    end = found.end() if found else 0
    head, body = part[:end], part[end:].removeprefix("\n")
    headers: dict[str, str] = {}
    for name, value in _WANTED.findall(head[:MAX_HEAD]):
        headers.setdefault(name.lower(), value.replace("\n", " ").strip()[:MAX_HEADER])
    return headers, body


def _text_parts(head: dict[str, str], body: str) -> Iterator[tuple[str, str]]:
    """Yield the type and text of each text part, in order."""
    parts = [(head, body)]
    left = MAX_BODY
    for _ in range(MAX_PARTS):
        if not parts:
            return
        head, body = parts.pop()
        part = _parse_head(head)
        kind, boundary = _classify(part)
        if kind == _FORWARD:
            parts.append(_split_head(body.lstrip("\n")))
        elif kind == _MULTIPART:
            parts += reversed(_split_multipart(body, boundary))
        elif kind in (_PLAIN, _HTML):
            text = _decode_part(part, body[:left])
            left -= min(left, len(body))
            is_html = kind == _HTML or looks_like_html(text)
            yield (_HTML, visible_text(text)) if is_html else (_PLAIN, text)


def _split_multipart(body: str, boundary: str) -> list[tuple[dict[str, str], str]]:
    preamble, *pieces = f"\n{body}".split(f"\n--{boundary}", MAX_PARTS)
    # `--` after a boundary marks the end; the rest of a boundary's line is ignored
    parts = [piece.partition("\n")[2] for piece in pieces if not piece.startswith("--")]
    return [_split_head(part) for part in parts[:MAX_PARTS]] if parts else [({}, preamble)]


def _parse_head(head: dict[str, str]) -> Message:
    part = Message()
    for name in ("content-type", "content-transfer-encoding"):
        if name in head:
            part[name] = head[name]
    return part


def _classify(part: Message) -> tuple[str, str]:
    """Return the type of a part and, for a multipart, its boundary."""
    try:
        kind, boundary = part.get_content_type(), str(part.get_boundary("")).strip()
    except (ValueError, TypeError, MessageError, LookupError):  # a deliberately malformed header
        return _PLAIN, ""
    if kind.startswith("multipart/"):
        return (_MULTIPART, boundary) if boundary else (_PLAIN, "")
    if kind.startswith("text/"):
        return (_HTML if kind == _HTML else _PLAIN), ""
    return kind, ""


def _decode_part(part: Message, body: str) -> str:
    try:
        part.set_payload(body)
        content = part.get_payload(decode=True)
        charset = part.get_content_charset("")
    except (ValueError, TypeError, MessageError, LookupError):  # a deliberately malformed header
        return body
    return _decode(content, charset) if isinstance(content, bytes) else body


def _decode(content: bytes, charset: str) -> str:
    """Decode as UTF-8 if the bytes are valid, else with the declared charset, else as cp1252."""
    if not content.isascii():
        try:  # incrementally, because the last character may be cut off
            text = codecs.getincrementaldecoder("utf-8")().decode(content)
        except UnicodeDecodeError:
            text = ""
        if not text.isascii():  # ASCII text means that the decoder dropped the end: `Caf\xe9`
            return text
    try:
        return content.decode(charset if _CHARSET.match(charset.lower()) else "cp1252", "replace")
    except (LookupError, ValueError):
        return content.decode("cp1252", "replace")


def _subject(head: dict[str, str]) -> str:
    value = head.get("subject", "")
    try:
        pieces = decode_header(value)
    except (ValueError, MessageError, BinasciiError):
        pieces = [(value, None)]
    decoded = [
        _decode(piece.encode("latin-1", "replace") if isinstance(piece, str) else piece, name or "")
        for piece, name in pieces
    ]
    return " ".join("".join(decoded).split())
