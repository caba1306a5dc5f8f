"""Turn a message into the two texts that the model reads; `terms.py` splits them into terms.

A long message is read in windows, so that ham around it cannot hide spam. The model reads two views
of each window. In the *word* view, the parts that vary from spam to spam (phone numbers, links,
amounts) are replaced by tokens in guillemets: `call 0871 222 3344` becomes `call «phone»`. The
*character* view keeps them. `disguise.py` has undone disguises before.

Messages are untrusted input: every quantifier has a bound, so that time is linear in length.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ml.disguise import unleet

MIN_CODE_CHARACTERS = 4  # `KL34` is a code; `gr8` and `4u` are words

_SPECIAL = re.compile(
    r"""
    (?: (?<![a-z]) | (?=[hw\d£$€]) )  # nothing else starts inside a word; saves a third of the time
    (?: (?P<url> https?://\S{1,256} | www\.\S{1,256}
        | (?<![\w.]) (?:[a-z0-9-]{1,63}\.){1,4}
          (?: (?:com|net|org|uk|info|biz|tv|mobi|co|me|ly|io|ru|cn|eu|cc|gl
              |app|club|icu|online|shop|site|top|vip|xyz)\b (?:/\S{0,256})?
            | [a-z]{2,12}/\S{1,256} ) )
    | (?P<mail> (?<![\w.]) [\w.+-]{1,64} @ [\w-]{1,63} \. [\w.-]{1,63} )
    | (?P<money> [£€₹][ ]?\d[\d,.]{0,15}
        | (?<![\w@!|]) \$[ ]?[1-9][\d,.]{0,15} (?![a-z\d@!])  # `$0m3` is a word
        | (?<!\w) \d[\d,.]{0,15}[ ]? (?:pounds?|gbp|usd|eur|dollars?|quid)\b )
    | (?P<phone> (?<!\w) \+?\(?\d (?:[ ()-]{0,2}\d){8,14} (?!\d) )
    | (?P<mixed> (?<![\w@$!|€]) (?=[a-z]{0,31}[0-9@$!|€])  # letters with digits or symbols
        (?:[a-z0-9] | [@$!|€](?=[@$|€]{0,2}[a-z0-9])){1,32} (?!\w) )
    | (?P<number> \d{1,20} )
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Views:
    """Hold the two texts that the model reads."""

    words: str
    characters: str


def windows(text: str, size: int) -> Iterator[str]:
    """Split a text longer than 1.5 times `size` into windows of up to `size` characters, at blanks.

    Windows overlap by a quarter, so that any short phrase lies completely within one window.
    """
    start, step = 0, 3 * size // 4
    while len(text) - start > (size if start else 3 * size // 2):
        end = text.rfind(" ", start + step, start + size)
        yield text[start : end if end > 0 else start + size]
        blank = text.rfind(" ", start + 1, start + step)
        start = blank + 1 if blank > 0 else start + step
    yield text[start:]


def views(text: str) -> Views:
    """Return the two views of a text whose disguises are undone."""
    plain = text.lower()
    words: list[str] = []
    characters: list[str] = []
    end = 0
    for match in _SPECIAL.finditer(plain):
        between = plain[end : match.start()]
        word, fragment = _replace(match.lastgroup or "", match[0])
        words += (between, word)
        characters += (between, fragment)
        end = match.end()
    rest = plain[end:]
    words += (rest, _shape_tokens(text))
    return Views("".join(words), "".join([*characters, rest]))


def _replace(kind: str, found: str) -> tuple[str, str]:
    """Return what replaces a special token in the word view and in the character view."""
    if found.isdigit() and kind != "phone":
        return f" «{len(found)} digits» ", found
    if kind != "mixed":
        return f" «{kind}» ", found
    if word := unleet(found):
        return word, word
    return (found if len(found) < MIN_CODE_CHARACTERS else " «code» "), found


def _shape_tokens(text: str) -> str:
    """Return tokens for the length and the share of capitals; mass mail fills 160 characters."""
    capitals = sum(map(str.isupper, text)) / (1 + sum(map(str.isalpha, text)))
    length, share = 32 * min(5, len(text) // 32), 20 * min(4, int(5 * capitals))
    return f" «{length}+ long» «{share}%+ capitals»"
