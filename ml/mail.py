"""Read the text of an e-mail from its source: the subject, a blank line, the body; nothing else.

Other headers stay out: who sent a message, and over which hosts, says where a corpus was collected.

Sources come from strangers. Every step has a bound, so that none takes more than some 0.02 s, and
no source raises: what cannot be understood is read as it is.
"""

import codecs
import re
from binascii import Error as BinasciiError
from collections.abc import Iterator
from email.errors import MessageError
from email.header import decode_header
from email.message import Message

from ml.page import looks_like_page, shown

MAX_SOURCE = 262_144  # characters or bytes of a source that are read
MAX_BODY = 65_536  # of all parts together that are text, still encoded
MAX_HEAD = 65_536  # of all headers
MAX_HEADER = 1_000  # of one header; RFC 5322 allows 998 a line
MAX_PARTS = 30  # multiparts and what is in them; the others are mostly attachments

_HEADER_LINE = re.compile(r"[!-9;-~]{1,76}:(?:\s|$)|[ \t]+\S")  # or one that goes on
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
_ENVELOPE = re.compile(r"\s{0,99}(?:>?From [^\n]{0,998}\n)?")  # an mbox puts one in front
_HEAD_LINES = 200  # that are looked at to tell a source from a text
# A head ends before a blank line, or before one that is neither a header nor goes on with one. Not
# possessive: before 3.11.5, Python leaves out what it has tried and not matched (gh-106052).
_HEAD = re.compile(r"(?:(?:>?From |[!-9;-~]+[ \t]*:).*\n?(?:[ \t].*\n?)*)*")
# Of Python's codecs those for text of people: `idna`, `punycode` take long, others make surrogates.
# ASCII is not among them: it is a part of cp1252, which is what lies behind where it is a lie.
_CHARSET = re.compile(r"(?:utf|iso|latin|windows|cp|koi8|gb|big5|euc|shift|ks_c|mac)")
_PLAIN, _PAGE, _FORWARD, _MULTIPART = "text/plain", "text/html", "message/rfc822", "multipart/*"


def looks_like_source(text: str) -> bool:
    """Tell the source of an e-mail from a plain text: it begins with header lines we know."""
    begin = _ENVELOPE.match(text)
    start = begin.end() if begin else 0
    lines = text[start : start + MAX_HEAD].splitlines()[:_HEAD_LINES]
    end = next((number for number, line in enumerate(lines) if not line.strip()), len(lines))
    head = lines[:end]
    if not head or head[0][0].isspace() or not all(map(_HEADER_LINE.match, head)):
        return False
    found = [match for line in head if (match := _KNOWN.match(line))]
    return any(match[2] for match in found) or len({match[1].lower() for match in found}) > 1


def text_of(source: bytes | str) -> str:
    """Read an e-mail's source as the model does: subject, blank line, body; never raises.

    The body is what has the type text/plain, or without any such text what text/html shows.
    """
    if isinstance(source, str):
        source = source[:MAX_SOURCE].encode("utf-8", "replace")
    # each byte as one character: headers and boundaries are ASCII, texts are decoded later
    raw = source[:MAX_SOURCE].decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
    begin = _ENVELOPE.match(raw)
    head, body = _halve(raw[begin.end() if begin else 0 :])
    texts = list(_texts(head, body))
    read = "\n".join([text for kind, text in texts if kind == _PLAIN and text.strip()])
    read = read or "\n".join([text for kind, text in texts if kind != _PLAIN])
    text = f"{_subject(head)}\n\n{read}".strip()
    return text.encode("utf-8", "replace").decode()  # some charsets can spell lone surrogates


def _halve(part: str) -> tuple[dict[str, str], str]:
    """Part headers, of which we keep three, from the body."""
    found = _HEAD.match(part)
    end = found.end() if found else 0
    head, body = part[:end], part[end:].removeprefix("\n")
    headers: dict[str, str] = {}
    for name, value in _WANTED.findall(head[:MAX_HEAD]):
        headers.setdefault(name.lower(), value.replace("\n", " ").strip()[:MAX_HEADER])
    return headers, body


def _texts(head: dict[str, str], body: str) -> Iterator[tuple[str, str]]:
    """Give the kind and the text of each part that is text, from the top."""
    parts = [(head, body)]
    left = MAX_BODY
    for _ in range(MAX_PARTS):
        if not parts:
            return
        head, body = parts.pop()
        part = _part(head)
        kind, boundary = _kind(part)
        if kind == _FORWARD:
            parts.append(_halve(body.lstrip("\n")))
        elif kind == _MULTIPART:
            before, *inner = f"\n{body}".split(f"\n--{boundary}", MAX_PARTS)
            # what begins with `--` ends them; the rest of a boundary's line does not count
            inner = [each.partition("\n")[2] for each in inner if not each.startswith("--")]
            parts += map(_halve, reversed(inner[:MAX_PARTS])) if inner else [({}, before)]
        elif kind in (_PLAIN, _PAGE):
            text = _decoded(part, body[:left])
            left -= min(left, len(body))
            is_page = kind == _PAGE or looks_like_page(text)
            yield (_PAGE, shown(text)) if is_page else (_PLAIN, text)


def _part(head: dict[str, str]) -> Message:
    part = Message()
    for name in ("content-type", "content-transfer-encoding"):
        if name in head:
            part[name] = head[name]
    return part


def _kind(part: Message) -> tuple[str, str]:
    """Say what to do with a part, and what parts its parts."""
    try:
        kind, boundary = part.get_content_type(), str(part.get_boundary("")).strip()
    except (ValueError, TypeError, MessageError, LookupError):  # what nobody sends by accident
        return _PLAIN, ""
    if kind.startswith("multipart/"):
        return (_MULTIPART, boundary) if boundary else (_PLAIN, "")
    if kind.startswith("text/"):
        return (_PAGE if kind == _PAGE else _PLAIN), ""
    return kind, ""


def _decoded(part: Message, body: str) -> str:
    try:
        part.set_payload(body)
        content = part.get_payload(decode=True)
        charset = part.get_content_charset("")
    except (ValueError, TypeError, MessageError, LookupError):  # what nobody sends by accident
        return body
    return _decode(content, charset) if isinstance(content, bytes) else body


def _decode(content: bytes, charset: str) -> str:
    """Decode by what the bytes are, else by what they are said to be, else as Windows does."""
    if not content.isascii():
        try:  # a last character may be cut off
            text = codecs.getincrementaldecoder("utf-8")().decode(content)
        except UnicodeDecodeError:
            text = ""
        if not text.isascii():  # else the end is not one of a character: `Caf\xe9`
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
