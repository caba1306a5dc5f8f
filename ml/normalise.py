"""Turn a message into the two texts that the model reads; `terms.py` cuts them up.

The model reads each message twice. Its *words*, where what varies from spam to spam (the number to
call, the link, the sum) is replaced by a name in guillemets: `call 0871 222 3344` becomes
`call «phone»`. And its *characters*, where all stays. From both, disguises are removed first:
`fr33`, `f r e e`, `f.r.e.e`, and `free` with full-width, Cyrillic or invisible letters, are `free`.

Messages come from strangers: every quantifier has a bound, so that time is linear in length.
"""
# ruff: noqa: RUF001  (look-alikes are the subject)

import re
import unicodedata
from dataclasses import dataclass

from ml.errors import InvalidMessage

MAX_CHARACTERS = 8_192  # an SMS has 160, ten joined ones 1,530; what lies beyond is not read
SHORTEST_CODE = 4  # characters: `KL34` is one, `gr8` and `4u` are words

_LOOK_ALIKES = {
    "a": "аα", "b": "ьβ", "c": "сϲ", "d": "ԁ", "e": "еє", "g": "ɡ", "h": "һ", "i": "іιı", "j": "ј",
    "k": "кκ", "l": "ӏǀ", "m": "м", "n": "пη", "o": "оο", "p": "рρ", "q": "ԛ", "r": "г", "s": "ѕ",
    "t": "тτ", "u": "υ", "v": "ν", "w": "ԝω", "x": "хχ", "y": "уү",
    "A": "АΑ", "B": "ВΒ", "C": "СϹ", "E": "ЕΕ", "H": "НΗ", "I": "ІΙӀ", "J": "Ј", "K": "КΚ",
    "M": "МΜ", "N": "Ν", "O": "ОΟ", "P": "РΡ", "S": "Ѕ", "T": "ТΤ", "X": "ХΧ", "Y": "УΥ", "Z": "Ζ",
}  # fmt: skip
_INVISIBLE = (
    *(0x00AD, 0x061C, 0x180E, 0xFEFF),  # soft hyphen, direction and vowel marks, byte order mark
    *range(0x200B, 0x2010),  # zero-width blanks, joiners and marks
    *range(0x202A, 0x202F),  # embeddings
    *range(0x2060, 0x2070),  # more joiners and embeddings
    *range(0xFE00, 0xFE10),  # variation selectors
    *range(0x0300, 0x0370),  # accents that NFKC found no letter for
)
_UNDISGUISE = str.maketrans(
    {alike: letter for letter, alikes in _LOOK_ALIKES.items() for alike in alikes}
    | {chr(code): "" for code in _INVISIBLE}
    | {"«": '"', "»": '"'}  # ours alone: nobody can write `«phone»` into a message
)
_UNLEET = str.maketrans("013457@$!|€", "oleastasile")

_SPACED = re.compile(r"(?<!\w)[^\W_]([ .\-_*])(?:[^\W_]\1){2,30}[^\W_](?!\w)")  # f r e e, f.r.e.e
_SPECIAL = re.compile(
    r"""
    (?: (?<![a-z]) | (?=[hw\d£$€]) )  # inside a word nothing else starts: saves a third
    (?: (?P<url> https?://\S{1,256} | www\.\S{1,256}
        | (?<![\w.]) (?:[a-z0-9-]{1,63}\.){1,4}
          (?:com|net|org|uk|info|biz|tv|mobi|co|me|ly|io|ru|cn|xyz|top)\b (?:/\S{0,256})? )
    | (?P<mail> (?<![\w.]) [\w.+-]{1,64} @ [\w-]{1,63} \. [\w.-]{1,63} )
    | (?P<money> [£$€][ ]?\d[\d,.]{0,15}
        | (?<!\w) \d[\d,.]{0,15}[ ]? (?:pounds?|gbp|usd|eur|dollars?|quid)\b )
    | (?P<phone> (?<!\w) \+?\(?\d (?:[ ()-]{0,2}\d){8,14} (?!\d) )
    | (?P<mixed> (?<![\w@$!|€]) (?=[a-z]{0,31}[0-9@$!|€])  # has more than letters
        (?:[a-z0-9] | [@$!|€](?=[a-z0-9])){1,32} (?!\w) )
    | (?P<number> \d{1,20} )
    )""",
    re.VERBOSE,
)
_LEET = re.compile(  # at least two letters, and not `150p`, `2nd`, `18yrs`
    r"(?!\d{1,32}[a-z]{0,3}$) (?=.{0,31}[a-z].{0,31}[a-z]) [a-z013457@$!|€]{3,32}", re.VERBOSE
)


@dataclass(frozen=True, slots=True)
class Views:
    """Hold the two texts that the model reads; `truncated` when there was more to read."""

    words: str
    characters: str
    truncated: bool


def views(message: str) -> Views:
    """Read a message as the model does, in 0.02 ms for an SMS and 0.02 s at the worst.

    Raises:
        InvalidMessage: it has a lone surrogate.
    """
    text = message[:MAX_CHARACTERS]
    truncated = len(message) > MAX_CHARACTERS
    if not message.isascii():
        _require_unicode(message)
        text = unicodedata.normalize("NFKC", text)  # may be 18 times as long
        truncated = truncated or len(text) > MAX_CHARACTERS
        text = text[:MAX_CHARACTERS].translate(_UNDISGUISE)
    plain = _SPACED.sub(lambda match: match[0].replace(match[1], ""), text.lower())
    words: list[str] = []
    characters: list[str] = []
    end = 0
    for match in _SPECIAL.finditer(plain):
        between = plain[end : match.start()]
        word, fragment = _name(match.lastgroup or "", match[0])
        words += (between, word)
        characters += (between, fragment)
        end = match.end()
    rest = plain[end:]
    words += (rest, _shape(text))
    return Views("".join(words), "".join([*characters, rest]), truncated)


def _require_unicode(message: str) -> None:
    try:
        message.encode()
    except UnicodeEncodeError as error:
        raise InvalidMessage(error.start) from error


def _name(kind: str, found: str) -> tuple[str, str]:
    """Say what stands for a special token among the words and among the characters."""
    if found.isdigit() and kind != "phone":
        return f" «{len(found)} digits» ", found
    if kind != "mixed":
        return f" «{kind}» ", found
    if _LEET.fullmatch(found) and 2 * sum(map(str.isalpha, found)) >= len(found):
        word = found.translate(_UNLEET)
        return word, word
    return (found if len(found) < SHORTEST_CODE else " «code» "), found


def _shape(text: str) -> str:
    """Name the length and the share of capitals, in steps: mass mail fills its 160 characters."""
    capitals = sum(map(str.isupper, text)) / (1 + sum(map(str.isalpha, text)))
    length, share = 32 * min(5, len(text) // 32), 20 * min(4, int(5 * capitals))
    return f" «{length}+ long» «{share}%+ capitals»"
