"""Which tokens are accepted, what they grant, and which settings are refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from celeryql.errors import BadSettings
from celeryql.settings import PROJECT_ROOT, Settings
from graphql_api.auth.authenticator import TOKEN_MAX, Authenticator, Scope, Unauthenticated, Viewer
from tests.jwks import jwks, public_jwk
from tests.processes import run_to_end

SECRET = "a secret of the sixty-four bytes that the longest HMAC would ask for"
RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
WEAK_RSA = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)
P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()


def claims(**changed):
    """Make valid claims; None leaves a claim out."""
    values = {"sub": "ann", "exp": time.time() + 60, "scope": "read enqueue"} | changed
    return {name: value for name, value in values.items() if value is not None}


def signed(key=SECRET, algorithm="HS256", headers=None, **changed):
    return "Bearer " + jwt.encode(claims(**changed), key, algorithm, headers)


def segment(content):
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=")


def by_hand(header, key, body=None):
    """Sign a token with HMAC that PyJWT would refuse to sign."""
    content = segment(header) + b"." + segment(body or claims())
    signature = hmac.new(key, content, hashlib.sha256).digest()
    return f"Bearer {(content + b'.' + segment(signature)).decode()}"


@pytest.fixture
def with_secret() -> Authenticator:
    return Authenticator(Settings(auth_jwt_secret=SECRET))


@pytest.fixture
def with_keys(tmp_path) -> Authenticator:
    keys = {"one": RSA, "curve": P256, "edwards": ED25519, "weak": WEAK_RSA}
    path = tmp_path / "jwks.json"
    path.write_text(jwks(**keys))
    return Authenticator(Settings(auth_jwks_file=path))


async def refusal(authenticator, authorization):
    with pytest.raises(Unauthenticated) as refused:
        await authenticator.authenticate(authorization)
    return str(refused.value)


async def test_a_token_names_its_subject_and_scopes(with_secret):
    expires_at = time.time() + 60

    viewer = await with_secret.authenticate(signed(exp=expires_at))

    scopes = frozenset({Scope.READ, Scope.ENQUEUE})
    assert viewer == Viewer("ann", scopes, expires_at=expires_at)


async def test_a_token_can_be_limited_to_definitions_and_tasks(with_secret):
    viewer = await with_secret.authenticate(signed(definitions=["add"], task_ids=["1", "2"]))

    assert (viewer.definitions, viewer.task_ids) == ({"add"}, {"1", "2"})


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (None, set()),
        ("", set()),
        ("read", {Scope.READ}),
        ("openid read  profile cluster", {Scope.READ, Scope.CLUSTER}),
        (["control", "email", 7], {Scope.CONTROL}),
        ("READ Read reader", set()),
    ],
)
async def test_unknown_scopes_are_ignored(with_secret, scope, expected):
    assert (await with_secret.authenticate(signed(scope=scope))).scopes == expected


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
async def test_the_bearer_scheme_is_case_insensitive(with_secret, scheme):
    token = signed().removeprefix("Bearer ")

    assert (await with_secret.authenticate(f"{scheme} {token}")).subject == "ann"


async def test_without_keys_everyone_has_every_scope():
    authenticator = Authenticator(Settings())

    assert not authenticator.is_on
    assert (
        await authenticator.authenticate(None)
        == Viewer()
        == await authenticator.authenticate("Bearer x")
    )
    assert Viewer().scopes == set(Scope)


@pytest.mark.parametrize("header", [None, "", "Basic YTpi", "token"])
async def test_a_request_without_a_bearer_token_is_refused(with_secret, header):
    assert "Bearer" in await refusal(with_secret, header)


NEXT_YEAR = time.time() + 366 * 24 * 3600  # tests are named long before they are run


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"exp": time.time() - 1}, id="expired"),
        {"exp": None},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": True},
        pytest.param({"nbf": NEXT_YEAR}, id="not valid before next year"),
        {"nbf": "later"},
        pytest.param({"iat": NEXT_YEAR}, id="issued next year"),
        {"sub": None},
        {"sub": ""},
        {"sub": "a" * 256},
        {"sub": "\ud800"},
        {"scope": 7},
        {"scope": {"read": True}},
        {"definitions": "add"},
        {"definitions": [7]},
        {"task_ids": {}},
    ],
    ids=str,
)
async def test_invalid_claims_are_refused(with_secret, changed):
    await refusal(with_secret, by_hand({"alg": "HS256"}, SECRET.encode(), claims(**changed)))


async def test_a_subject_that_is_not_text_is_refused(with_secret):
    await refusal(with_secret, by_hand({"alg": "HS256"}, SECRET.encode(), claims(sub=7)))


@pytest.mark.parametrize("name", ["nbf", "iat"])
async def test_the_clock_of_the_issuer_may_be_slightly_ahead(with_secret, name):
    assert await with_secret.authenticate(signed(**{name: time.time() + 5}))


@pytest.mark.parametrize(
    "changed",
    [{"aud": "other"}, {"aud": None}, {"iss": "https://evil.example"}, {"iss": None}, {"aud": 7}],
    ids=str,
)
async def test_a_configured_audience_and_issuer_are_checked(changed):
    issuer = "https://issuer.example"
    settings = Settings(auth_jwt_secret=SECRET, auth_audience="celeryql", auth_issuer=issuer)
    right = {"aud": ["x", "celeryql"], "iss": issuer}

    assert await Authenticator(settings).authenticate(signed(**right))
    await refusal(
        Authenticator(settings),
        by_hand({"alg": "HS256"}, SECRET.encode(), claims(**right | changed)),
    )


async def test_an_audience_is_ignored_if_none_is_configured(with_secret):
    assert await with_secret.authenticate(signed(aud="other"))


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer x",
        "Bearer ..",
        "Bearer a.b.c",
        "Bearer \ud800.x.y",
        "Bearer é.x.y",
        f"Bearer {segment(b'[' * 9_000).decode()}.e30.x",
        f"Bearer {segment(b'7').decode()}.e30.x",
        signed(SECRET + "!"),
        signed("", "none"),
        signed(algorithm="HS384"),
        signed(algorithm="HS512"),
        signed(RSA, "RS256"),
        signed()[:-2],
        signed(padding="x" * TOKEN_MAX),
        by_hand({"alg": ["HS256"]}, SECRET.encode()),
        by_hand({"alg": "HS256", "kid": 7}, SECRET.encode()),
        by_hand({"alg": "HS256", "crit": ["exp"]}, SECRET.encode()),
        by_hand({"alg": "hs256"}, SECRET.encode()),
        by_hand({}, SECRET.encode()),
    ],
)
async def test_a_token_not_signed_with_the_secret_is_refused(with_secret, authorization):
    await refusal(with_secret, authorization)


async def test_a_refusal_reveals_neither_reason_nor_token(with_secret, caplog):
    caplog.set_level(logging.DEBUG)
    wrong_key, expired = signed("another " + SECRET), signed(exp=time.time() - 1, sub="ann-secret")

    messages = {await refusal(with_secret, token) for token in (wrong_key, expired, "Bearer x.y.z")}

    assert messages == {"The token is invalid or has expired: get a new one"}
    assert caplog.messages[0] == "A token was refused: InvalidSignatureError"
    assert not any(token[7:30] in caplog.text for token in (wrong_key, expired))
    assert "ann-secret" not in caplog.text


@pytest.mark.parametrize(
    ("key", "algorithm", "key_id"),
    [
        *((RSA, name, "one") for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        (P256, "ES256", "curve"),
        (ED25519, "EdDSA", "edwards"),
    ],
)
async def test_a_token_signed_with_a_private_key_is_verified_with_its_public_key(
    with_keys, key, algorithm, key_id
):
    assert await with_keys.authenticate(signed(key, algorithm, {"kid": key_id}))


@pytest.mark.parametrize(
    ("key", "algorithm", "headers"),
    [
        (RSA, "RS256", {"kid": "other"}),
        (RSA, "RS256", {"kid": "curve"}),
        (RSA, "RS256", None),
        (P256, "ES256", {"kid": "one"}),
        (rsa.generate_private_key(65_537, 2_048), "RS256", {"kid": "one"}),
        ("", "none", {"kid": "one"}),
        (SECRET, "HS256", {"kid": "one"}),
    ],
)
async def test_a_token_with_another_key_or_algorithm_is_refused(with_keys, key, algorithm, headers):
    await refusal(with_keys, signed(key, algorithm, headers))


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_a_key_that_is_too_short_is_refused(with_keys):
    await refusal(with_keys, signed(WEAK_RSA, "RS256", {"kid": "weak"}))


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
@pytest.mark.parametrize("has_secret", [False, True])
async def test_a_public_key_cannot_be_used_as_a_secret(tmp_path, form, has_secret):
    path = tmp_path / "jwks.json"
    path.write_text(jwks(one=RSA))
    secret = {"auth_jwt_secret": SECRET} if has_secret else {}
    authenticator = Authenticator(Settings(auth_jwks_file=path, **secret))
    published = RSA.public_key().public_bytes(Encoding.PEM, form)

    for key in (published, published.rstrip(), path.read_bytes()):
        await refusal(authenticator, by_hand({"alg": "HS256", "kid": "one"}, key))


async def test_a_key_is_used_only_for_its_algorithm_and_purpose(tmp_path):
    path = tmp_path / "jwks.json"
    keys = [
        public_jwk(RSA, "one") | {"alg": "RS512"},
        public_jwk(P256, "two") | {"use": "enc"},
        {"kty": "oct", "kid": "three", "k": segment(SECRET.encode()).decode()},
    ]
    path.write_text(json.dumps({"keys": keys}))
    authenticator = Authenticator(Settings(auth_jwks_file=path))

    assert await authenticator.authenticate(signed(RSA, "RS512", {"kid": "one"}))
    await refusal(authenticator, signed(RSA, "RS256", {"kid": "one"}))
    await refusal(authenticator, signed(P256, "ES256", {"kid": "two"}))
    await refusal(authenticator, signed(headers={"kid": "three"}))


async def test_secret_and_public_keys_can_both_be_set(tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(jwks(one=RSA))
    authenticator = Authenticator(Settings(auth_jwks_file=path, auth_jwt_secret=SECRET))

    assert await authenticator.authenticate(signed())
    assert await authenticator.authenticate(signed(RSA, "RS256", {"kid": "one"}))
    assert await authenticator.authenticate(signed(RSA, "RS256"))  # the only key needs no name


async def test_a_signed_token_gives_back_its_viewer():
    settings = Settings(auth_jwt_secret=SECRET, auth_audience="celeryql", auth_issuer="us")
    authenticator = Authenticator(settings)
    viewer = Viewer(
        "ann", frozenset({Scope.READ}), frozenset({"add"}), frozenset({"1"}), time.time() + 9
    )

    assert await authenticator.authenticate(f"Bearer {authenticator.sign(viewer)}") == viewer


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"auth_jwt_secret": "x" * 31}, "AUTH_JWT_SECRET is shorter than 32 bytes"),
        ({"auth_audience": "celeryql"}, "there is no key to check tokens with"),
        ({"auth_issuer": "us"}, "there is no key to check tokens with"),
        ({"auth_jwks_file": "/nowhere"}, "AUTH_JWKS_FILE /nowhere is not a readable JWKS"),
        (
            {"auth_jwks_file": "/nowhere", "auth_jwks_url": "https://x.example"},
            "both set: choose one",
        ),
    ],
)
def test_contradictory_settings_are_refused(settings, reason):
    with pytest.raises(BadSettings, match=reason) as refused:
        Authenticator(Settings(**settings))

    assert "xxx" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"keys": []}', '{"keys": [7, {"kty": []}]}'])
def test_a_file_without_public_keys_is_refused(tmp_path, text):
    path = tmp_path / "jwks.json"
    path.write_text(text)

    with pytest.raises(BadSettings, match="is not a readable JWKS"):
        Authenticator(Settings(auth_jwks_file=path))


async def test_only_the_public_part_of_a_private_key_is_used(tmp_path):
    path = tmp_path / "jwks.json"
    whole = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA)) | {"kid": "one"}
    path.write_text(json.dumps({"keys": [whole]}))

    assert await Authenticator(Settings(auth_jwks_file=path)).authenticate(signed(RSA, "RS256"))


@pytest.mark.slow
def test_an_api_with_bad_settings_exits_with_one_sentence():
    script = "from graphql_api.app import create_app; create_app()"

    ended = run_to_end(["-c", script], PROJECT_ROOT, AUTH_JWT_SECRET="hush" * 4)

    assert ended.returncode == os.EX_CONFIG
    assert ended.stderr == "AUTH_JWT_SECRET is shorter than 32 bytes.\n"


def test_a_jwks_url_must_be_http_or_https():
    with pytest.raises(ValueError, match="auth_jwks_url"):
        Settings(auth_jwks_url="file:///etc/passwd")
