import time
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.mail import looks_like_source, text_of

MB = 1 << 20
HTML = "Content-Type: text/html\n\n"
MIXED = "Content-Type: multipart/mixed; boundary=b\n\n"
BASE64 = "Content-Transfer-Encoding: base64\n\n"

# What a fuzzer would take long to find: pieces of e-mails, to be put together at random.
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


def test_the_text_is_the_subject_a_blank_line_and_the_body():
    assert text_of(b"Subject: Lunch\n\nAt noon?\n") == "Lunch\n\nAt noon?"


def test_a_source_may_be_text_already():
    assert text_of("Subject: Lunch\n\nAt the café?\n") == "Lunch\n\nAt the café?"


def test_lines_may_end_as_they_do_on_the_wire():
    assert text_of(b"Subject: Lunch\r\n\r\nAt noon?\r\nYes\r\n") == "Lunch\n\nAt noon?\nYes"


def test_of_the_headers_only_the_subject_is_read():
    source = (
        b"Received: from mx.example.com\nFrom: Ann <ann@example.com>\nTo: Bob\nDate: today\n"
        b"List-Id: people\nX-Spam-Flag: YES\nSubject: Lunch\nMessage-ID: <1@example.com>\n\nNoon?"
    )

    assert text_of(source) == "Lunch\n\nNoon?"


def test_names_of_headers_may_have_any_case():
    assert text_of(b"SUBJECT: Lunch\ncontent-TYPE: text/html\n\n<b>Noon?</b>") == "Lunch\n\nNoon?"


def test_the_first_of_two_subjects_counts():
    assert text_of(b"Subject: one\nSubject: two\n\nbody") == "one\n\nbody"


def test_a_subject_may_go_on_in_the_next_line():
    assert text_of(b"Subject: You have\n\twon\n a prize\n\nbody") == "You have won a prize\n\nbody"


def test_a_subject_in_the_body_is_a_part_of_it():
    assert text_of(b"From: Ann\n\nSubject: no\n") == "Subject: no"


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
    assert text_of(b"Subject: " + subject + b"\n\nbody") == "Café at noon\n\nbody"


def test_a_subject_that_cannot_be_decoded_is_read_as_it_is():
    assert text_of(b"Subject: =?utf-8?b?A?=\n\nbody") == "=?utf-8?b?A?=\n\nbody"


def test_a_body_in_quoted_printable_is_decoded():
    source = (
        b"Content-Type: text/plain; charset=iso-8859-1\n"
        b"Content-Transfer-Encoding: quoted-printable\n\nCaf=E9 at =\nnoon"
    )

    assert text_of(source) == "Café at noon"


def test_a_body_in_base64_is_decoded():
    body = b64encode("Café at noon".encode())

    assert text_of(b"Content-Transfer-Encoding: base64\n\n" + body) == "Café at noon"


def test_what_is_not_base64_but_says_so_is_read_as_it_is():
    assert text_of(b"Content-Transfer-Encoding: base64\n\nCall me, now!") == "Call me, now!"


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        (b"utf-8", "Café".encode()),
        (b"iso-8859-1", b"Caf\xe9"),
        (b"windows-1252", b"Caf\xe9"),
        (b"koi8-r", "Café".encode()),  # a lie: it is valid UTF-8
        (b"us-ascii", b"Caf\xe9"),  # another: it is not ASCII
        (b"no-such-charset", b"Caf\xe9"),
        (b"iso-8859-99", b"Caf\xe9"),
        (b"idna", b"Caf\xe9"),
        (b'"iso-8859-1', b"Caf\xe9"),
        (b"", b"Caf\xe9"),
    ],
)
def test_a_charset_that_is_unknown_or_a_lie_does_no_harm(charset: bytes, body: bytes):
    assert text_of(b"Content-Type: text/plain; charset=" + charset + b"\n\n" + body) == "Café"


@pytest.mark.parametrize("name", ["charset", "boundary"])
def test_parameters_that_python_cannot_sort_do_no_harm(name: str):
    assert text_of(f"Content-Type: text/plain; {name}*=a; {name}*0=b\n\nNoon?") == "Noon?"


def test_of_alternatives_the_plain_one_is_read():
    source = (
        "Subject: Lunch\nContent-Type: multipart/alternative; boundary=b\n\nNot shown.\n"
        "--b\nContent-Type: text/html\n\n<p>as HTML</p>\n"
        "--b\nContent-Type: text/plain\n\nas text\n--b--\nNot shown either.\n"
    )

    assert text_of(source) == "Lunch\n\nas text"


def test_an_empty_plain_alternative_leaves_the_html():
    source = f"{MIXED}--b\n\n \n--b\nContent-Type: text/html\n\n<p>as HTML</p>\n--b--\n"

    assert text_of(source) == "as HTML"


def test_of_html_is_read_what_it_shows():
    source = b"Subject: Hi\nContent-Type: text/html\n\n<p>You <b>won</b></p><p>Call &pound;</p>"

    assert text_of(source) == "Hi\n\nYou won\nCall £"


def test_html_that_is_said_to_be_plain_text_is_read_as_html():
    assert text_of(b"Content-Type: text/plain\n\n<html><body>You won</body></html>") == "You won"


def test_attachments_are_not_read():
    source = (
        f"{MIXED}--b\nContent-Type: text/plain\n\nSee it\n"
        f"--b\nContent-Type: image/png\n{BASE64}iVBORw0KGgo=\n--b--\n"
    )

    assert text_of(source) == "See it"


def test_texts_of_several_parts_are_read_in_their_order():
    source = f"{MIXED}--b\n\none\n--b\n\ntwo\n--b\n\nthree\n--b--\n"

    assert text_of(source) == "one\ntwo\nthree"


def test_a_multipart_within_a_multipart_is_read():
    source = (
        'Content-Type: multipart/mixed; boundary="outer"\n\n--outer\n'
        'Content-Type: multipart/alternative;\n boundary="=_in ner"\n\n'
        "--=_in ner\nContent-Type: text/html\n\n<p>as HTML</p>\n--=_in ner\n\nas text\n"
        "--=_in ner--\n\n--outer\n\nand more\n--outer--\n"
    )

    assert text_of(source) == "as text\nand more"


def test_of_a_forwarded_e_mail_the_body_is_read():
    source = (
        f"Subject: Fwd\n{MIXED}--b\n\nLook:\n--b\nContent-Type: message/rfc822\n\n"
        "From: Eve\nSubject: inner\nContent-Type: message/rfc822\n\n"
        "Subject: innermost\nContent-Type: text/html\n\n<p>You won</p>\n--b--\n"
    )

    assert text_of(source) == "Fwd\n\nLook:"
    assert text_of(source.replace("\nLook:\n", "\n \n")) == "Fwd\n\nYou won"


@pytest.mark.parametrize("parameter", ["", "; boundary=", '; boundary=""', "; boundary=other"])
def test_a_multipart_without_its_boundary_is_read_as_it_is(parameter: str):
    assert text_of(f"Content-Type: multipart/mixed{parameter}\n\n--b\nNoon?") == "--b\nNoon?"


def test_a_multipart_that_nothing_ends_is_read():
    assert text_of(f"{MIXED}--b\nContent-Type: text/plain\n\nNoon?") == "Noon?"


@pytest.mark.parametrize("envelope", ["From ann Thu Aug 22 2002\n", ">From ann\n", "\n\n  \n"])
def test_what_an_mbox_puts_in_front_is_left_out(envelope: str):
    assert text_of(f"{envelope}Subject: Lunch\n\nNoon?") == "Lunch\n\nNoon?"


def test_headers_end_where_there_are_no_more_without_a_blank_line_too():
    assert (
        text_of("Subject: Lunch\nAt noon, or later?\n\nBob") == "Lunch\n\nAt noon, or later?\n\nBob"
    )


def test_a_text_without_headers_is_read_as_it_is():
    assert text_of("At noon?\n\nBob") == "At noon?\n\nBob"


def test_no_bytes_are_no_text():
    assert text_of(b"") == ""


def test_bytes_that_are_no_e_mail_are_read_as_it_is_done_on_windows():
    assert text_of(b"\x00\x80\xff\xfe\x89PNG") == "\x00€ÿþ‰PNG"


def test_of_a_long_body_the_beginning_is_read():
    assert text_of("Subject: s\n\n" + "a" * MB) == "s\n\n" + "a" * 65_536


def is_text(text: str) -> bool:
    """Whether it has no lone surrogates."""
    return text.encode().decode() == text


@given(st.binary())
def test_any_bytes_give_a_text(source: bytes):
    assert is_text(text_of(source))


@given(st.text(st.characters(codec=None)))
def test_any_text_gives_a_text(source: str):
    assert is_text(text_of(source))


@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_any_pieces_of_e_mails_give_a_text(pieces: list[str]):
    assert is_text(text_of("".join(pieces)))


@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_any_pieces_of_e_mails_can_be_looked_at(pieces: list[str]):
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
def test_a_hostile_head_costs_little(piece: str):
    assert_cheap(piece * (MB // len(piece)))


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
def test_a_hostile_multipart_costs_little(piece: str):
    assert_cheap(MIXED + piece * (MB // len(piece)))


def test_multiparts_in_multiparts_cost_little():
    levels = [
        f"Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"
        for level in range(18_000)
    ]

    assert_cheap("".join(levels))


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "x-uuencode"])
@pytest.mark.parametrize("piece", ["A", "=", "PGI+", "=3C=62=3E", "begin 644 x\n", "M" * 61 + "\n"])
def test_a_hostile_encoding_costs_little(encoding: str, piece: str):
    head = f"Content-Type: text/html\nContent-Transfer-Encoding: {encoding}\n\n"

    assert_cheap(head + piece * (MB // len(piece)))


@pytest.mark.parametrize("charset", ["utf-7", "utf-16", "hz", "idna", "punycode", "iso2022_jp"])
def test_a_hostile_charset_costs_little(charset: str):
    assert_cheap(f"Content-Type: text/plain; charset={charset}\n\n" + "+2AA-xn--\x1b" * (MB // 10))


def assert_cheap(source: str):
    begin = time.process_time()

    text_of(source)
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
def test_the_source_of_an_e_mail_is_known(source: str):
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
def test_a_plain_text_is_not_taken_for_a_source(text: str):
    assert not looks_like_source(text)
