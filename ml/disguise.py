"""Remove the disguises that spam wears to get past filters; `normalise.py` reads what is below.

    full-width, mathematical, circled letters   NFKD, which Unicode made for this
    accents, invisible characters, `&#102;`      deleted, read
    Cyrillic, Greek, Lisu, ... look-alikes      replaced, by the table below
    small capitals, letters with hooks, ...     replaced, by their Unicode names
    `f r e e`, `f.r.e.e`, a sign between all     joined, dropped
    `fr33`, `c@$h`                              spelt out, word by word (`unleet`)

Messages come from strangers: every quantifier has a bound, so that time is linear in length.
"""
# ruff: noqa: RUF001  (look-alikes are the subject)

import re
import unicodedata
from collections import Counter
from html import unescape
from typing import NamedTuple

from ml.errors import InvalidMessage

MAX_CHARACTERS = 8_192  # an SMS has 160, ten joined ones 1,530; what lies beyond is not read

_LOOK_ALIKES = {
    "a": "аαɑⲁ", "b": "ьвβßƅᏏⲃ", "c": "сϲ¢ⲥ", "d": "ԁɗðᏧժ", "e": "еєҽɘəɛℯⲉ", "f": "ƒẝғք",
    "g": "ɡցǥ", "h": "һнհɦᏂⲏ", "i": "іιıɩɪӏǀ¡ⲓ", "j": "јϳյ", "k": "кκҡⲕ", "l": "ⅼɭ", "m": "мⲙ",
    "n": "пηոռɴⲛ", "o": "оοσօөøⲟ", "p": "рρþƿⲣ", "q": "ԛգզ", "r": "гяɾʀ", "s": "ѕʂꜱ§",
    "t": "тτեƭⲧ", "u": "υսʋџ", "v": "νѵᴠ", "w": "ԝωшщɯաⲱ", "x": "хχ×ⲭ", "y": "уүγʏყⲩ",
    "z": "ʐᴢʒⲍ", "A": "АΑᎪꓮⲀ₳ᗩ", "B": "ВΒᏴꓐⲂ฿ᗷ", "C": "СϹᏟꓚⲤ₵ᑕ", "D": "ᎠÐꓓĐᗪ", "E": "ЕΕᎬꓰⲈ",
    "F": "Ϝꓝ",
    "G": "ԌᏀꓖ", "H": "НΗᎻꓧⲎ", "I": "ІΙӀᏆꓲⲒ", "J": "ЈᎫꓙ", "K": "КΚᏦꓗⲔ₭", "L": "Ꮮꓡ", "M": "МΜᎷꓟⲘ",
    "N": "ΝꓠⲚИ₦", "O": "ОΟՕӨØꓳⲞ", "P": "РΡᏢꓑⲢ₱", "Q": "Ԛ", "R": "ЯᏒꓣ", "S": "ЅՏᏚꓢ", "T": "ТΤᎢꓔⲦ₮",
    "U": "Սꓴ", "V": "ѴᏙꓦ", "W": "ԜᎳꓪⲰШ₩", "X": "ХΧꓫⲬ", "Y": "УΥҮꓬⲨ¥", "Z": "ΖᏃꓜⲌ",
}  # fmt: skip
# What nobody sees between letters: control and format characters, accents (which NFKD parts from
# their letters), private and unassigned ones; and blanks that Unicode takes for letters or signs.
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Me", "Mn"})
_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"
_CONTROLS = str.maketrans(dict.fromkeys(map(chr, {*range(32), 127} - {*b"\t\n\v\f\r"}), ""))
_NAMED = (
    *range(0x00C0, 0x02B0),  # Latin with strokes, hooks and tails
    *range(0x1D00, 0x1D80),  # small capitals
    *range(0x2C60, 0x2C80),
    *range(0xA720, 0xA800),
    *range(0x1F110, 0x1F200),  # in boxes and bubbles; regional indicators
)
_LETTER_NAME = re.compile(
    r"(?:NEGATIVE |REGIONAL |CROSSED )?(?:CIRCLED |SQUARED |INDICATOR )?(?:LATIN |SYMBOL )"
    r"(?P<case>SMALL |CAPITAL )?LETTER (?:SMALL CAPITAL )?(?P<letter>[A-Z])(?: WITH [A-Z ]{1,40})?"
)
_SPACED = re.compile(  # f r e e, f.r.e.e, f - r - e - e, 8 0 0 8 6
    r"""
    (?<!\w) (?: [^\W\d_] ([\W_]{1,3}) (?:[^\W\d_]\1){1,30} [^\W\d_]
              | \d ([\W_]{1,3}) (?:\d\2){2,30} \d ) (?!\w)
    """,
    re.VERBOSE,
)
# HTML for a letter, or for nothing; not `&lt;`, which nobody hides behind.
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|shy|nbsp|zwn?j);?", re.IGNORECASE)
_REPEATED = re.compile(r"([^\w\s])\1{3,}")  # a line says no more than three dashes
_FILLER_SHARE = 3  # of so many characters one sign: it stands between letters, and not for itself
_SHORTEST_FILLED = 12  # characters; `:-)` is no filler
_CHUNK = 128  # characters: where many accents follow each other, NFKD takes the square of the time
_UNLEET = str.maketrans("01345789@$!|€", "oieastbgasile")
_UNITS = "am|days?|gb|hrs?|mb|mins?|nd|pm|ppm|pp?|pts?|rd|st|th|wks?|yrs?|[dgkmsx]"
_LEET = re.compile(  # not `150p`, `18yrs`; not `KL341`: 2 and 6 stand for no letter
    rf"""
    (?! \d{{1,32}} (?:{_UNITS}) $ ) (?! [^26]{{0,32}} [26] ) (?! .{{0,32}} \d{{3}} )
    (?= .{{0,31}} [a-z] ) .{{2,32}}
    """,
    re.VERBOSE,
)


class Plain(NamedTuple):
    """Hold a text without its disguises; `truncated` when there was more to read."""

    text: str
    truncated: bool


def undisguise(message: str) -> Plain:
    """Give the plain text of a message's first 8,192 characters, itself no longer than that.

    Raises:
        InvalidMessage: it has a lone surrogate.
    """
    text = message[:MAX_CHARACTERS]
    truncated = len(message) > MAX_CHARACTERS
    if "&" in text:
        text = _ENTITY.sub(lambda entity: unescape(entity[0]), text)
    if not message.isascii() or not text.isascii():
        _require_unicode(message)
        text = _compatible(text)  # may be 18 times as long
        truncated = truncated or len(text) > MAX_CHARACTERS
        text = unicodedata.normalize("NFC", text[:MAX_CHARACTERS].translate(_PLAIN))
    text = _without_filler(_REPEATED.sub(r"\1\1\1", text.translate(_CONTROLS)))
    return Plain(" ".join(_SPACED.sub(_join, text).split()), truncated)


def unleet(word: str) -> str | None:
    """Spell a word of lower-case letters, digits and signs in letters, if it can be a disguise."""
    return word.translate(_UNLEET) if _LEET.fullmatch(word) else None


def _compatible(text: str) -> str:
    """Give what Unicode takes for the same letters, without what nobody sees."""
    chunks = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    decomposed = "".join([unicodedata.normalize("NFKD", chunk) for chunk in chunks])
    category = unicodedata.category
    return "".join([each for each in decomposed if each in "\t\n" or category(each) not in _UNSEEN])


def _without_filler(text: str) -> str:
    """Drop the sign that stands between all letters of a text, if one does."""
    if len(text) < _SHORTEST_FILLED:
        return text
    ((sign, count),) = Counter(text).most_common(1)
    if sign.isalnum() or sign.isspace() or _FILLER_SHARE * count < len(text):
        return text
    return text.replace(sign, "")


def _join(spaced: re.Match[str]) -> str:
    return spaced[0].replace(spaced[1] or spaced[2], "")


def _require_unicode(message: str) -> None:
    try:
        message.encode()
    except UnicodeEncodeError as error:
        raise InvalidMessage(error.start) from error


def _named_letters() -> dict[str, str]:
    """Find letters that Unicode names after a plain one: `LATIN LETTER SMALL CAPITAL E`."""
    letters = {}
    for character in map(chr, _NAMED):
        if match := _LETTER_NAME.fullmatch(unicodedata.name(character, "")):
            is_small = match["case"] == "SMALL "
            letters[character] = match["letter"].lower() if is_small else match["letter"]
    return letters


_PLAIN = str.maketrans(
    _named_letters()
    | {alike: letter for letter, alikes in _LOOK_ALIKES.items() for alike in alikes}
    | dict.fromkeys(_BLANKS, "")
    | {"«": '"', "»": '"'}  # ours alone: nobody can write `«phone»` into a message
)
