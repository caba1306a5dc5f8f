"""Disguise messages as spammers do, to measure how robust the model is.

An attack takes a message, a random generator (so that it can be repeated) and some ham.
"""

from collections.abc import Callable, Sequence
from random import Random
from string import ascii_lowercase

Attack = Callable[[str, Random, Sequence[str]], str]

_HOMOGLYPHS = dict(zip("aceikopsxyABCEHIKMOPTX", "асеіκорѕхуАВСЕНІКМОРТХ", strict=True))
_LEET = {
    "a": "4@",
    "b": "8",
    "e": "3",
    "g": "9",
    "i": "1!",
    "l": "1",
    "o": "0",
    "s": "5$",
    "t": "7",
}
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
_FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_MIN_LETTERS = 3  # shorter words are not worth splitting
_HALF, _THIRTY_PERCENT, _TENTH = 0.5, 0.3, 0.1


def _homoglyphs(message: str, random: Random, _: Sequence[str]) -> str:
    return "".join(
        _HOMOGLYPHS[each] if each in _HOMOGLYPHS and random.random() < _HALF else each
        for each in message
    )


def _zero_width(message: str, random: Random, _: Sequence[str]) -> str:
    return "".join(
        each + random.choice(_INVISIBLE) if random.random() < _THIRTY_PERCENT else each
        for each in message
    )


def _leet(message: str, random: Random, _: Sequence[str]) -> str:
    return "".join(
        random.choice(_LEET[each.lower()])
        if each.lower() in _LEET and random.random() < _THIRTY_PERCENT
        else each
        for each in message
    )


def _split_words(separator: str) -> Attack:
    def attack(message: str, random: Random, _: Sequence[str]) -> str:
        return " ".join(
            separator.join(word)
            if word.isalpha() and len(word) >= _MIN_LETTERS and random.random() < _HALF
            else word
            for word in message.split(" ")
        )

    return attack


def _typos(message: str, random: Random, _: Sequence[str]) -> str:
    """Drop, double, replace or add a letter at one in ten positions."""
    typed = []
    for each in message:
        if each.isalpha() and random.random() < _TENTH:
            other = random.choice(ascii_lowercase)
            typed.append(random.choice(["", each * 2, other, each + other]))
        else:
            typed.append(each)
    return "".join(typed)


def _appended(message: str, random: Random, ham: Sequence[str]) -> str:
    return " ".join([message, *random.sample(ham, 3)])


def _surrounded(message: str, random: Random, ham: Sequence[str]) -> str:
    before, after = random.sample(ham, 2)
    return f"{before} {message} {after}"


ATTACKS: dict[str, Attack] = {
    "as sent": lambda message, *_: message,
    "homoglyphs for half of the letters with a look-alike": _homoglyphs,
    "zero-width characters after 30 % of the characters": _zero_width,
    "full-width letters": lambda message, *_: message.translate(_FULL_WIDTH),
    "leet for 30 % of the letters with a leet form": _leet,
    "half of the words s p a c e d": _split_words(" "),
    "half of the words d.o.t.t.e.d": _split_words("."),
    "typos in 10 % of the letters": _typos,
    "every word s p a c e d": lambda message, *_: " ".join(
        " ".join(word) for word in message.split(" ")
    ),
    "three ham messages appended": _appended,
    "between two ham messages": _surrounded,
}
