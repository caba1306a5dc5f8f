import time
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.mail import extract_text, looks_like_source

MB = 1 << 20
HTML = "Content-Type: text/html\n\n"
MIXED = "Content-Type: multipart/mixed; boundary=b\n\n"
BASE64 = "Content-Transfer-Encoding: base64\n\n"

# Fragments of e-mails that a fuzzer would take long to find; tests combine them at random.
PIECES = [
    "\n",
    "\n\n",
    "--b",
    "--b--\n",
    "Content-Type: ",
    "text/plain",
    "text/html",
    "message/rfc822",
    "multipart/mixed; boundary=b",
    "; charset=",
    "; charset*=utf-8''x",
    "; charset*0=a",
    "; boundary*=b",
    "; boundary*1=",
    "utf-7",
    "utf-16-le",
    "idna",
    "hex",
    "Content-Transfer-Encoding: ",
    "base64",
    "quoted-printable",
    "x-uuencode",
    "begin 644 x\n",
    "Subject: ",
    "=?utf-7?q?+2AA-?=",
    "=?x?b?A?=",
    "=?utf-8?b?gICA?=",
    "+2AA-",
    "<!--",
    "<script>",
    "&#xD800;",
    "&#" + "9" * 5000,
    "\x00",
    "\ud800",
    "é",
]


def test_text_is_the_subject_a_blank_line_and_the_body():
    assert extract_text(b"Subject: Lunch\n\nAt noon?\n") == "Lunch\n\nAt noon?"


def test_a_source_can_be_a_string():
    assert extract_text("Subject: Lunch\n\nAt the café?\n") == "Lunch\n\nAt the café?"


def test_lines_can_end_with_crlf():
    assert extract_text(b"Subject: Lunch\r\n\r\nAt noon?\r\nYes\r\n") == "Lunch\n\nAt noon?\nYes"


def test_only_the_subject_header_is_read():
    source = (
        b"Received: from mx.example.com\nFrom: Ann <ann@example.com>\nTo: Bob\nDate: today\n"
        b"List-Id: people\nX-Spam-Flag: YES\nSubject: Lunch\nMessage-ID: <1@example.com>\n\nNoon?"
    )

    assert extract_text(source) == "Lunch\n\nNoon?"


def test_header_names_are_case_insensitive():
    assert (
        extract_text(b"SUBJECT: Lunch\ncontent-TYPE: text/html\n\n<b>Noon?</b>") == "Lunch\n\nNoon?"
    )


def test_the_first_of_two_subjects_is_used():
    assert extract_text(b"Subject: one\nSubject: two\n\nbody") == "one\n\nbody"


def test_a_folded_subject_is_joined():
    assert (
        extract_text(b"Subject: You have\n\twon\n a prize\n\nbody")
        == "You have won a prize\n\nbody"
    )


def test_a_subject_line_in_the_body_is_part_of_the_body():
    assert extract_text(b"From: Ann\n\nSubject: no\n") == "Subject: no"


@pytest.mark.parametrize(
    "subject",
    [
        b"=?utf-8?q?Caf=C3=A9_at_noon?=",
        b"=?UTF-8?B?Q2Fmw6kgYXQgbm9vbg==?=",
        b"=?iso-8859-1?q?Caf=E9?= at noon",
        b"=?utf-8?q?Ca?=\n =?utf-8?b?ZsOp?= at noon",
        b"=?no-such-charset?q?Caf=C3=A9?= at noon",
        b"Caf\xc3\xa9 at noon",
        b"Caf\xe9 at noon",
    ],
)
def test_an_encoded_subject_is_decoded(subject: bytes):
    assert extract_text(b"Subject: " + subject + b"\n\nbody") == "Café at noon\n\nbody"


def test_a_subject_that_cannot_be_decoded_stays_as_it_is():
    assert extract_text(b"Subject: =?utf-8?b?A?=\n\nbody") == "=?utf-8?b?A?=\n\nbody"


def test_a_quoted_printable_body_is_decoded():
    source = (
        b"Content-Type: text/plain; charset=iso-8859-1\n"
        b"Content-Transfer-Encoding: quoted-printable\n\nCaf=E9 at =\nnoon"
    )

    assert extract_text(source) == "Café at noon"


def test_a_base64_body_is_decoded():
    body = b64encode("Café at noon".encode())

    assert extract_text(b"Content-Transfer-Encoding: base64\n\n" + body) == "Café at noon"


def test_a_body_wrongly_declared_as_base64_stays_as_it_is():
    assert extract_text(b"Content-Transfer-Encoding: base64\n\nCall me, now!") == "Call me, now!"


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        (b"utf-8", "Café".encode()),
        (b"iso-8859-1", b"Caf\xe9"),
        (b"windows-1252", b"Caf\xe9"),
        (b"koi8-r", "Café".encode()),  # wrong: the body is valid UTF-8
        (b"us-ascii", b"Caf\xe9"),  # wrong: the body is not ASCII
        (b"no-such-charset", b"Caf\xe9"),
        (b"iso-8859-99", b"Caf\xe9"),
        (b"idna", b"Caf\xe9"),
        (b'"iso-8859-1', b"Caf\xe9"),
        (b"", b"Caf\xe9"),
    ],
)
def test_an_unknown_or_wrong_charset_is_tolerated(charset: bytes, body: bytes):
    assert extract_text(b"Content-Type: text/plain; charset=" + charset + b"\n\n" + body) == "Café"


@pytest.mark.parametrize("name", ["charset", "boundary"])
def test_header_parameters_that_break_the_email_module_are_tolerated(name: str):
    assert extract_text(f"Content-Type: text/plain; {name}*=a; {name}*0=b\n\nNoon?") == "Noon?"


def test_the_plain_alternative_is_preferred():
    source = (
        "Subject: Lunch\nContent-Type: multipart/alternative; boundary=b\n\nNot shown.\n"
        "--b\nContent-Type: text/html\n\n<p>as HTML</p>\n"
        "--b\nContent-Type: text/plain\n\nas text\n--b--\nNot shown either.\n"
    )

    assert extract_text(source) == "Lunch\n\nas text"


def test_an_empty_plain_alternative_falls_back_to_html():
    source = f"{MIXED}--b\n\n \n--b\nContent-Type: text/html\n\n<p>as HTML</p>\n--b--\n"

    assert extract_text(source) == "as HTML"


def test_html_is_reduced_to_its_visible_text():
    source = b"Subject: Hi\nContent-Type: text/html\n\n<p>You <b>won</b></p><p>Call &pound;</p>"

    assert extract_text(source) == "Hi\n\nYou won\nCall £"


def test_html_declared_as_plain_text_is_read_as_html():
    assert (
        extract_text(b"Content-Type: text/plain\n\n<html><body>You won</body></html>") == "You won"
    )


def test_attachments_are_not_read():
    source = (
        f"{MIXED}--b\nContent-Type: text/plain\n\nSee it\n"
        f"--b\nContent-Type: image/png\n{BASE64}iVBORw0KGgo=\n--b--\n"
    )

    assert extract_text(source) == "See it"


def test_several_text_parts_are_read_in_order():
    source = f"{MIXED}--b\n\none\n--b\n\ntwo\n--b\n\nthree\n--b--\n"

    assert extract_text(source) == "one\ntwo\nthree"


def test_a_nested_multipart_is_read():
    source = (
        'Content-Type: multipart/mixed; boundary="outer"\n\n--outer\n'
        'Content-Type: multipart/alternative;\n boundary="=_in ner"\n\n'
        "--=_in ner\nContent-Type: text/html\n\n<p>as HTML</p>\n--=_in ner\n\nas text\n"
        "--=_in ner--\n\n--outer\n\nand more\n--outer--\n"
    )

    assert extract_text(source) == "as text\nand more"


def test_the_body_of_a_forwarded_email_is_read():
    source = (
        f"Subject: Fwd\n{MIXED}--b\n\nLook:\n--b\nContent-Type: message/rfc822\n\n"
        "From: Eve\nSubject: inner\nContent-Type: message/rfc822\n\n"
        "Subject: innermost\nContent-Type: text/html\n\n<p>You won</p>\n--b--\n"
    )

    assert extract_text(source) == "Fwd\n\nLook:"
    assert extract_text(source.replace("\nLook:\n", "\n \n")) == "Fwd\n\nYou won"


@pytest.mark.parametrize("parameter", ["", "; boundary=", '; boundary=""', "; boundary=other"])
def test_a_multipart_without_its_boundary_stays_as_it_is(parameter: str):
    assert extract_text(f"Content-Type: multipart/mixed{parameter}\n\n--b\nNoon?") == "--b\nNoon?"


def test_a_multipart_without_an_end_is_read():
    assert extract_text(f"{MIXED}--b\nContent-Type: text/plain\n\nNoon?") == "Noon?"


@pytest.mark.parametrize("envelope", ["From ann Thu Aug 22 2002\n", ">From ann\n", "\n\n  \n"])
def test_the_envelope_of_an_mbox_is_ignored(envelope: str):
    assert extract_text(f"{envelope}Subject: Lunch\n\nNoon?") == "Lunch\n\nNoon?"


def test_headers_can_end_without_a_blank_line():
    assert (
        extract_text("Subject: Lunch\nAt noon, or later?\n\nBob")
        == "Lunch\n\nAt noon, or later?\n\nBob"
    )


def test_text_without_headers_stays_as_it_is():
    assert extract_text("At noon?\n\nBob") == "At noon?\n\nBob"


def test_an_empty_source_has_no_text():
    assert extract_text(b"") == ""


def test_bytes_that_are_not_an_email_are_decoded_as_cp1252():
    assert extract_text(b"\x00\x80\xff\xfe\x89PNG") == "\x00€ÿþ‰PNG"


def test_only_the_start_of_a_long_body_is_read():
    assert extract_text("Subject: s\n\n" + "a" * MB) == "s\n\n" + "a" * 65_536


def is_text(text: str) -> bool:
    """Return whether a text has no lone surrogates."""
    return text.encode().decode() == text


@given(st.binary())
def test_any_bytes_give_valid_text(source: bytes):
    assert is_text(extract_text(source))


@given(st.text(st.characters(codec=None)))
def test_any_string_gives_valid_text(source: str):
    assert is_text(extract_text(source))


@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_any_pieces_of_emails_give_valid_text(pieces: list[str]):
    assert is_text(extract_text("".join(pieces)))


@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_any_pieces_of_emails_can_be_classified(pieces: list[str]):
    assert looks_like_source("".join(pieces)) in (True, False)


@pytest.mark.parametrize(
    "piece",
    [
        f"{MIXED}--b\n",
        f"{MIXED}--b\nContent-Type: message/rfc822\n\n",
        "Content-Type: message/rfc822\n\n",
        "Subject: x\n",
        "Content-Type: text/plain; a=b;\n c=",
        "x:",
        "From \n",
        "\n",
        " ",
        "\x00",
        "é",
        "Subject: =?utf-8?b?",
    ],
)
def test_a_hostile_head_is_read_fast(piece: str):
    assert_read_fast(piece * (MB // len(piece)))


@pytest.mark.parametrize(
    "piece",
    [
        "--b\n",
        "--b\n\n\n",
        "--b--\n",
        f"--b\n{MIXED}",
        f"--b\n{BASE64}{'PGI+' * 20_000}\n",
        f"--b\n{HTML}{'<' * 10_000}\n",
        f"--b\n{HTML}{'&nbsp;' * 10_000}\n",
    ],
)
def test_a_hostile_multipart_is_read_fast(piece: str):
    assert_read_fast(MIXED + piece * (MB // len(piece)))


def test_deeply_nested_multiparts_are_read_fast():
    levels = [
        f"Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"
        for level in range(18_000)
    ]

    assert_read_fast("".join(levels))


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "x-uuencode"])
@pytest.mark.parametrize("piece", ["A", "=", "PGI+", "=3C=62=3E", "begin 644 x\n", "M" * 61 + "\n"])
def test_a_hostile_encoding_is_read_fast(encoding: str, piece: str):
    head = f"Content-Type: text/html\nContent-Transfer-Encoding: {encoding}\n\n"

    assert_read_fast(head + piece * (MB // len(piece)))


@pytest.mark.parametrize("charset", ["utf-7", "utf-16", "hz", "idna", "punycode", "iso2022_jp"])
def test_a_hostile_charset_is_read_fast(charset: str):
    assert_read_fast(
        f"Content-Type: text/plain; charset={charset}\n\n" + "+2AA-xn--\x1b" * (MB // 10)
    )


def assert_read_fast(source: str):
    begin = time.process_time()

    extract_text(source)
    looks_like_source(source)

    assert time.process_time() - begin < 0.2


@pytest.mark.parametrize(
    "source",
    [
        "From: Ann\nTo: Bob\n\nNoon?",
        "From ann Thu Aug 22 2002\nReturn-Path: <ann@example.com>\n\nNoon?",
        "\n\nReceived: from mx.example.com\n\tby example.com\nSubject: Lunch\n\nNoon?",
        "Subject: Lunch\nContent-Type: text/plain\n\nNoon?",
        "X-Mailer: some\n\nNoon?",
        "subject: Lunch\r\ndate: today\r\n\r\nNoon?",
    ],
)
def test_the_source_of_an_email_is_recognized(source: str):
    assert looks_like_source(source)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "At noon?",
        "Note: bring cake",
        "Subject: Lunch\n\nAt noon?",
        "From: Ann\nto the pub: at noon\nSee you",
        "Subject: hi\nDate me",
        "WINNER!! Claim code: KL341. T&Cs: www.example.com",
        "Hi Bob,\n\nFrom: the pub\nTo: the station\n",
        "FreeMsg: Txt: CALL to No: 86888",
        "  From: Ann\n",
        "http://example.com\nhttps://example.org",
        "Received your letter",
    ],
)
def test_plain_text_is_not_mistaken_for_a_source(text: str):
    assert not looks_like_source(text)
