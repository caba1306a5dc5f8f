"""Remove the disguises that spam wears to get past filters; `normalise.py` reads what is below.

    full-width, mathematical, circled letters   NFKD, which Unicode made for this
    accents, invisible characters               deleted
    Cyrillic, Greek, Lisu, ... look-alikes      replaced, by the table below
    small capitals, letters with hooks, ...     replaced, by their Unicode names
    `f r e e`, `f.r.e.e`                        joined
    `fr33`, `c@$h`                              spelt out, word by word (`unleet`)

Messages come from strangers: every quantifier has a bound, so that time is linear in length.
"""
# ruff: noqa: RUF001  (look-alikes are the subject)

import re
import unicodedata
from typing import NamedTuple

from ml.errors import InvalidMessage

MAX_CHARACTERS = 8_192  # an SMS has 160, ten joined ones 1,530; what lies beyond is not read

_LOOK_ALIKES = {
    "a": "аαɑⲁ", "b": "ьвβßƅᏏⲃ", "c": "сϲ¢ⲥ", "d": "ԁɗðᏧժ", "e": "еєҽɘəɛℯⲉ", "f": "ƒẝғք",
    "g": "ɡցǥ", "h": "һнհɦᏂⲏ", "i": "іιıɩɪӏǀ¡ⲓ", "j": "јϳյ", "k": "кκҡⲕ", "l": "ⅼɭ", "m": "мⲙ",
    "n": "пηոռɴⲛ", "o": "оοσօөøⲟ", "p": "рρþƿⲣ", "q": "ԛգզ", "r": "гяɾʀ", "s": "ѕʂꜱ§",
    "t": "тτեƭⲧ", "u": "υսʋџ", "v": "νѵᴠ", "w": "ԝωшщɯաⲱ", "x": "хχ×ⲭ", "y": "уүγʏყⲩ",
    "z": "ʐᴢʒⲍ", "A": "АΑᎪꓮⲀ", "B": "ВΒᏴꓐⲂ", "C": "СϹᏟꓚⲤ", "D": "ᎠÐꓓ", "E": "ЕΕᎬꓰⲈ", "F": "Ϝꓝ",
    "G": "ԌᏀꓖ", "H": "НΗᎻꓧⲎ", "I": "ІΙӀᏆꓲⲒ", "J": "ЈᎫꓙ", "K": "КΚᏦꓗⲔ", "L": "Ꮮꓡ", "M": "МΜᎷꓟⲘ",
    "N": "ΝꓠⲚ", "O": "ОΟՕӨØꓳⲞ", "P": "РΡᏢꓑⲢ", "Q": "Ԛ", "R": "ЯᏒꓣ", "S": "ЅՏᏚꓢ", "T": "ТΤᎢꓔⲦ",
    "U": "Սꓴ", "V": "ѴᏙꓦ", "W": "ԜᎳꓪⲰ", "X": "ХΧꓫⲬ", "Y": "УΥҮꓬⲨ", "Z": "ΖᏃꓜⲌ",
}  # fmt: skip
_INVISIBLE = (
    *(0x00AD, 0x061C, 0x115F, 0x1160, 0x180E, 0x3164, 0xFEFF, 0xFFA0),  # hyphens, marks, fillers
    *range(0x200B, 0x2010),  # zero-width blanks, joiners and marks
    *range(0x202A, 0x202F),  # embeddings
    *range(0x2060, 0x2070),  # more joiners and embeddings
    *range(0xFE00, 0xFE10),  # variation selectors
    *range(0x0300, 0x0370),  # accents, which NFKD parts from their letters
    *range(0x1AB0, 0x1B00),
    *range(0x20D0, 0x2100),
    *range(0xE0000, 0xE0080),  # tags
)
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
_SPACED = re.compile(  # f r e e, f.r.e.e, 8 0 0 8 6
    r"""
    (?<!\w) (?: [^\W\d_] ([ .\-_*·•‧∙|~]) (?:[^\W\d_]\1){1,30} [^\W\d_]
              | \d ([ .\-_*·•‧∙|~]) (?:\d\2){2,30} \d ) (?!\w)
    """,
    re.VERBOSE,
)
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
    if not message.isascii():
        _require_unicode(message)
        text = unicodedata.normalize("NFKD", text)  # may be 18 times as long
        truncated = truncated or len(text) > MAX_CHARACTERS
        text = unicodedata.normalize("NFC", text[:MAX_CHARACTERS].translate(_PLAIN))
    return Plain(_SPACED.sub(_join, text), truncated)


def unleet(word: str) -> str | None:
    """Spell a word of lower-case letters, digits and signs in letters, if it can be a disguise."""
    return word.translate(_UNLEET) if _LEET.fullmatch(word) else None


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
    | {chr(code): "" for code in _INVISIBLE}
    | {"«": '"', "»": '"'}  # ours alone: nobody can write `«phone»` into a message
)
