"""A TCP proxy that keeps every byte, and reads the text inside masked WebSocket frames too."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class Wiretap:
    """Forwards connections on `port` to `target_port`, both on loopback, and remembers what passed."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._uplinks: list[bytearray] = []
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def heard(self) -> bytes:
        """Everything that was sent towards the target: raw bytes, and WebSocket payloads with their mask taken off."""
        streams = [bytes(uplink) for uplink in self._uplinks]
        return b"\n".join([*streams, *(unmasked(stream) for stream in streams)])

    def close(self) -> None:
        """Stop listening and cut every connection."""
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                return
            uplink = bytearray()
            self._uplinks.append(uplink)
            self._sockets += [client, server]
            threading.Thread(target=_pump, args=(client, server, uplink), daemon=True).start()
            threading.Thread(target=_pump, args=(server, client, None), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, record: bytearray | None) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(65536):
            if record is not None:
                record += block
            sink.sendall(block)
        sink.shutdown(socket.SHUT_WR)


def unmasked(stream: bytes) -> bytes:
    """Payloads of the client-to-server WebSocket frames (RFC 6455 §5.2) after the upgrade request; else nothing."""
    head, blank, rest = stream.partition(b"\r\n\r\n")
    if not blank or b"upgrade: websocket" not in head.lower():
        return b""
    return b"\n".join(_payloads(rest))


def _payloads(frames: bytes) -> Iterator[bytes]:
    at = 0
    while at + 2 <= len(frames):
        length, at = frames[at + 1] & 0x7F, at + 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(frames[at : at + size]), at + size
        mask, at = frames[at : at + 4], at + 4
        yield bytes(byte ^ mask[index % 4] for index, byte in enumerate(frames[at : at + length]))
        at += length
