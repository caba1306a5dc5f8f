"""Undo the disguises that spam uses against filters; `normalise.py` reads the resulting text.

    full-width, mathematical, circled letters   decomposed (Unicode NFKD)
    accents, invisible characters               deleted
    `&#102;`                                    decoded
    look-alikes (Cyrillic, Greek, Lisu, ...)    replaced, from the table below
    small capitals, letters with hooks, ...     replaced, based on their Unicode names
    `f r e e`, `f.r.e.e`                        joined
    the same symbol between all letters         deleted
    `fr33`, `c@$h`                              spelt in letters, word by word (`unleet`)

Messages are untrusted input: every quantifier has a bound, so that time is linear in length.
"""
# ruff: noqa: RUF001  (look-alikes are the subject)

import re
import unicodedata
from collections import Counter
from html import unescape
from typing import NamedTuple

from ml.errors import InvalidMessage

MAX_CHARACTERS = 8_192  # an SMS has 160, ten joined ones 1,530; the rest of a message is not read

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
# Categories that are invisible between letters: control and format characters, accents (NFKD
# separates them from their letters), private and unassigned characters.
_INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Me", "Mn"})
# Blanks that Unicode classifies as letters or symbols.
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
# HTML entities for a letter or an invisible character. Not `&lt;`, which is no use as a disguise.
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|shy|nbsp|zwn?j);?", re.IGNORECASE)
_REPEATED = re.compile(r"([^\w\s])\1{3,}")  # a drawn line says no more than three dashes
_FILLER_SHARE = 3  # a symbol that makes up at least a third of the text is filler
_MIN_FILLED_CHARACTERS = 12  # so that `:-)` is not filler
_CHUNK_CHARACTERS = 128  # NFKD takes quadratic time in the length of a run of accents
_UNLEET = str.maketrans("01345789@$!|€", "oieastbgasile")
_UNITS = "am|days?|gb|hrs?|mb|mins?|nd|pm|ppm|pp?|pts?|rd|st|th|wks?|yrs?|[dgkmsx]"
_LEET = re.compile(  # neither amounts (`150p`, `18yrs`) nor codes: 2 and 6 stand for no letter
    rf"""
    (?! \d{{1,32}} (?:{_UNITS}) $ ) (?! [^26]{{0,32}} [26] ) (?! .{{0,32}} \d{{3}} )
    (?= .{{0,31}} [a-z] ) .{{2,32}}
    """,
    re.VERBOSE,
)


class PlainText(NamedTuple):
    """Hold a text without its disguises; `truncated` if the rest of it was cut off."""

    text: str
    truncated: bool


def undisguise(message: str) -> PlainText:
    """Undo the disguises in a message's first 8,192 characters.

    Returns:
        At most 8,192 characters.

    Raises:
        InvalidMessage: the message has a lone surrogate.
    """
    text = message[:MAX_CHARACTERS]
    truncated = len(message) > MAX_CHARACTERS
    if "&" in text:
        text = _ENTITY.sub(lambda entity: unescape(entity[0]), text)
    if not message.isascii() or not text.isascii():
        _require_unicode(message)
        text = _decompose(text)  # up to 18 times as long
        truncated = truncated or len(text) > MAX_CHARACTERS
        text = unicodedata.normalize("NFC", text[:MAX_CHARACTERS].translate(_PLAIN))
    text = _drop_filler(_REPEATED.sub(r"\1\1\1", text.translate(_CONTROLS)))
    return PlainText(" ".join(_SPACED.sub(_join, text).split()), truncated)


def unleet(word: str) -> str | None:
    """Spell a lower-case word in letters, or return None if it does not look like leet."""
    return word.translate(_UNLEET) if _LEET.fullmatch(word) else None


def _decompose(text: str) -> str:
    """Apply NFKD and delete invisible characters."""
    starts = range(0, len(text), _CHUNK_CHARACTERS)
    chunks = [text[start : start + _CHUNK_CHARACTERS] for start in starts]
    decomposed = "".join([unicodedata.normalize("NFKD", chunk) for chunk in chunks])
    category = unicodedata.category
    return "".join(
        [each for each in decomposed if each in "\t\n" or category(each) not in _INVISIBLE]
    )


def _drop_filler(text: str) -> str:
    """Delete a symbol that stands between all letters of a text, if there is one."""
    if len(text) < _MIN_FILLED_CHARACTERS:
        return text
    ((symbol, count),) = Counter(text).most_common(1)
    if symbol.isalnum() or symbol.isspace() or _FILLER_SHARE * count < len(text):
        return text
    return text.replace(symbol, "")


def _join(spaced: re.Match[str]) -> str:
    return spaced[0].replace(spaced[1] or spaced[2], "")


def _require_unicode(message: str) -> None:
    try:
        message.encode()
    except UnicodeEncodeError as error:
        raise InvalidMessage(error.start) from error


def _named_letters() -> dict[str, str]:
    """Map letters whose Unicode name has a plain letter: `LATIN LETTER SMALL CAPITAL E`."""
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
    | {"«": '"', "»": '"'}  # reserved for our tokens: no message can contain `«phone»`
)
