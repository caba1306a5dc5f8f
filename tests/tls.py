"""TLS in front of a server without TLS, with certificates of a private authority."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Authority:
    """A certificate authority with its files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("authority")
        self.certificate = folder / "ca.pem"
        ca = _builder(self._name, self._name, self._key)
        ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate.write_bytes(_pem(ca.sign(self._key, hashes.SHA256())))

    def issue(self, name: str, *addresses: str) -> tuple[Path, Path]:
        """Issue a certificate and its key, and return the paths of both."""
        key = ec.generate_private_key(ec.SECP256R1())
        built = _builder(_name(name), self._name, key)
        names = [x509.IPAddress(ip_address(address)) for address in addresses]
        if names:
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate, private = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(_pem(built.sign(self._key, hashes.SHA256())))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, private


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(hours=1),
        not_valid_after=now + timedelta(days=1),
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@dataclass
class Front:
    """A listening port, and what it received."""

    port: int = 0
    accepted: int = 0
    first_bytes: list[bytes] = field(default_factory=list)


@contextmanager
def tls_front(host: str, context: ssl.SSLContext, behind: int) -> Iterator[Front]:
    """Terminate TLS in front of a port on loopback."""
    front = Front()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        front.accepted += 1
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", behind)
        await asyncio.gather(_pump(reader, back_writer), _pump(back_reader, writer))

    with _served(host, serve, front, context):
        yield front


@contextmanager
def listening(host: str) -> Iterator[Front]:
    """Listen on a port, record the first bytes of each connection, and close it."""
    front = Front()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        front.first_bytes.append(await reader.read(200))
        writer.close()

    with _served(host, serve, front, None):
        yield front


@contextmanager
def _served(
    host: str, serve: Serve, front: Front, context: ssl.SSLContext | None
) -> Iterator[None]:
    """Serve in a thread until the block ends, and then cancel open connections."""
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def quietly(*streams: Any) -> None:
        with suppress(OSError, asyncio.CancelledError):
            await serve(*streams)

    async def run() -> None:
        stopped = asyncio.Event()
        server = await asyncio.start_server(quietly, host, 0, ssl=context)
        front.port = server.sockets[0].getsockname()[1]
        started.set_result((asyncio.get_running_loop(), stopped))
        await stopped.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="front")
    thread.start()
    loop, stopped = started.result(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
