"""Carry RTSP between a process that may only speak TCP and a camera that sends its pictures over UDP.

The process asks for pictures within its connection (interleaved, RFC 2326 section 10.12), and gets them so. Where the
camera refuses that, or is to be asked for UDP, the relay asks for UDP in its place, receives what comes from the
camera's host, and no other, and puts each packet into the connection. So a camera's process needs no UDP, and its
sandbox stays as it is. What the network swaps is put in order here, since in a connection the process takes packets as
they come; what it loses stays lost, and RTP's numbers tell the decoder.
"""

from __future__ import annotations

import random
import re
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress

__all__ = ["InOrder", "RtspUdpBridge"]

# Answers to SETUP after which UDP is tried: RFC 2326 has 461 for it, and cameras have all of these.
_NOT_SO = {400, 405, 406, 415, 451, 459, 461, 462, 500, 501}
MAX_HEAD = 64 * 1024
CHUNK = 64 * 1024
RECEIVE_BYTES = 2**20  # of pictures that wait in the kernel: a key frame comes as one burst
PORTS = range(40_000, 60_000, 2)  # of which a pair is taken: RTP has the even one
TRIES = 50
HOLD_S = 0.05  # how long a packet waits for those before it; networks that swap packets do it within some milliseconds
MOST_HELD = 256  # packets that wait at once
_TRANSPORT = re.compile(rb"(?im)^Transport:[ \t]*([^\r\n]*)")
_CHANNEL = re.compile(rb"interleaved=(\d+)")
_SERVER_PORT = re.compile(rb"server_port=(\d+)(?:-(\d+))?")
_LENGTH = re.compile(rb"(?im)^Content-Length:[ \t]*(\d+)")


class InOrder:
    """Gives RTP packets in the order in which they were sent (RFC 3550 section 5.1), each once."""

    def __init__(self) -> None:
        self._next: int | None = None  # number of the packet that comes next
        self._held: dict[int, tuple[float, bytes]] = {}  # by number, in the order in which they came, and when

    def add(self, packet: bytes, now_s: float) -> list[bytes]:
        """Take a packet; returns those that are to be passed on now.

        Args:
            now_s: monotonic clock.
        """
        number = int.from_bytes(packet[2:4], "big")
        if self._next is None:
            self._next = number
        ahead = self._ahead(number)
        if ahead >= 0x10000 - MOST_HELD:
            return []  # it came too late, or again
        if ahead > MOST_HELD:  # the camera has begun to count anew
            rest = self._up_to(MOST_HELD)
            self._next = (number + 1) & 0xFFFF
            return [*rest, packet]
        self._held.setdefault(number, (now_s, packet))
        return self._following()

    def wait_s(self, now_s: float) -> float | None:
        """For how long to wait for a packet that is missing; None where none is."""
        oldest_s = next((came_s for came_s, _ in self._held.values()), None)
        return None if oldest_s is None else max(0.0, oldest_s + HOLD_S - now_s)

    def overdue(self, now_s: float) -> list[bytes]:
        """The packets that have waited long enough, and what follows on: what is missing before them is lost."""
        due = [self._ahead(number) for number, (came_s, _) in self._held.items() if now_s - came_s >= HOLD_S]
        return [*self._up_to(max(due)), *self._following()] if due else []

    def _ahead(self, number: int) -> int:
        """How many packets come before it, modulo the range of numbers."""
        return (number - (self._next or 0)) & 0xFFFF

    def _following(self) -> list[bytes]:
        """Those that are next."""
        found = []
        while self._next in self._held:
            found.append(self._held.pop(self._next)[1])
            self._next = (self._next + 1) & 0xFFFF
        return found

    def _up_to(self, most_ahead: int) -> list[bytes]:
        """What waits, in order, as far as that."""
        numbers = sorted((one for one in self._held if self._ahead(one) <= most_ahead), key=self._ahead)
        if numbers:
            self._next = (numbers[-1] + 1) & 0xFFFF
        return [self._held.pop(number)[1] for number in numbers]


class RtspUdpBridge:
    """One connection of a camera's process. Belongs to the thread that carries it."""

    def __init__(
        self,
        near: socket.socket,
        far: socket.socket,
        *,
        udp: bool,
        check: Callable[[bytes], None],
        say: Callable[[str], None],
    ) -> None:
        """
        Args:
            near: the connection of the process.
            far: that to the camera.
            udp: ask for UDP at once; otherwise when the camera refuses TCP.
            check: is shown each answer of the camera, and may raise.
            say: gets a line for the log.
        """
        self._check, self._say = check, say
        self._near, self._far, self._udp = near, far, udp
        self._setup: bytes | None = None  # the request whose answer is waited for
        self._channel = 0  # that it asked for
        self._sockets: dict[int, socket.socket] = {}  # by channel
        self._channels: dict[int, int] = {}  # by the number of their file
        self._order: dict[int, InOrder] = {}  # of the channels that carry pictures
        self._poll = select.poll()
        self._open = ExitStack()

    def run(self) -> bool:
        """Carry until one side ends, or until it is agreed that pictures come over TCP: then True.

        Raises:
            ValueError: what came is no RTSP.
            OSError: one of the two is gone.
        """
        near, far = bytearray(), bytearray()
        with self._open:
            for one in (self._near, self._far):
                self._poll.register(one, select.POLLIN)
            while True:
                ready = {handle for handle, _ in self._poll.poll(self._wait_ms())}
                self._forward_overdue()
                for handle in ready & set(self._channels):
                    self._forward_datagram(handle)
                for one, data, take in ((self._near, near, self._take_near), (self._far, far, self._take_far)):
                    if one.fileno() not in ready:
                        continue
                    got = one.recv(CHUNK)
                    if not got:
                        return False
                    data.extend(got)
                    while (message := _next_message(data)) is not None:
                        if take(message):
                            self._far.sendall(near)
                            self._near.sendall(far)
                            return True

    def _take_near(self, message: bytes) -> bool:
        """Pass on what the process says."""
        if message[:1] == b"$":
            if (socket_ := self._sockets.get(message[1])) is not None:
                with suppress(OSError):  # a report on what was received; the camera does without
                    socket_.send(message[4:])
                return False
        elif message.startswith(b"SETUP "):
            self._setup = message
            found = _CHANNEL.search(message)
            self._channel = int(found[1]) if found else 0
            if self._udp:
                message = self._asking_for_udp(message)
        self._far.sendall(message)
        return False

    def _take_far(self, message: bytes) -> bool:
        """Pass on what the camera says; True when it has agreed to send its pictures over TCP."""
        if message[:1] != b"$":
            self._check(message)
        if message[:1] == b"$" or self._setup is None:
            self._near.sendall(message)
            return False
        asked, self._setup = self._setup, None
        status = int(message.split(b" ", 2)[1])
        if not self._udp and (status in _NOT_SO or (status == 200 and not _CHANNEL.search(message))):
            self._udp, self._setup = True, asked
            self._say("it sends no pictures over TCP; it is asked for UDP")
            self._far.sendall(self._asking_for_udp(asked))
            return False
        if self._udp and status == 200:
            self._listen_to(message)
            agreed = b"Transport: RTP/AVP/TCP;unicast;interleaved=%d-%d" % (self._channel, self._channel + 1)
            message = _TRANSPORT.sub(agreed, message)
        self._near.sendall(message)
        return status == 200 and not self._udp

    def _asking_for_udp(self, request: bytes) -> bytes:
        """The same request, for UDP on a pair of ports of this machine."""
        if self._channel not in self._sockets:
            for number, socket_ in enumerate(_pair(self._far.getsockname()[0], self._far.family)):
                self._open.enter_context(closing(socket_))
                self._sockets[self._channel + number] = socket_
                self._channels[socket_.fileno()] = self._channel + number
            self._order[self._channel] = InOrder()
        port = self._sockets[self._channel].getsockname()[1]
        return _TRANSPORT.sub(b"Transport: RTP/AVP;unicast;client_port=%d-%d" % (port, port + 1), request)

    def _listen_to(self, answer: bytes) -> None:
        """Take packets from the ports of the camera that it named, and from nobody else."""
        host = self._far.getpeername()[0]
        found = _SERVER_PORT.search(answer)
        for number in (0, 1):
            socket_ = self._sockets[self._channel + number]
            if found is not None:
                port = int(found[2 if number and found[2] else 1]) + (1 if number and not found[2] else 0)
                socket_.connect((host, port))
                with suppress(OSError):
                    socket_.send(b"\x80\xc9\x00\x01" + bytes(4))  # an empty report: opens the way through a firewall
            self._poll.register(socket_, select.POLLIN)

    def _forward_datagram(self, handle: int) -> None:
        channel = self._channels[handle]
        try:
            data, sender = self._sockets[channel].recvfrom(CHUNK)
        except ConnectionRefusedError:  # what the last of our reports met
            return
        if sender[0] != self._far.getpeername()[0]:
            return
        order = self._order.get(channel)
        self._forward(channel, [data] if order is None else order.add(data, time.monotonic()))

    def _forward_overdue(self) -> None:
        for channel, order in self._order.items():
            self._forward(channel, order.overdue(time.monotonic()))

    def _forward(self, channel: int, packets: list[bytes]) -> None:
        for packet in packets:
            self._near.sendall(struct.pack(">cBH", b"$", channel, len(packet)) + packet)

    def _wait_ms(self) -> float | None:
        """Milliseconds until a packet has waited long enough; None where none waits."""
        now_s = time.monotonic()
        waits = [wait for order in self._order.values() if (wait := order.wait_s(now_s)) is not None]
        return 1000 * min(waits) if waits else None


def _pair(host: str, family: int) -> tuple[socket.socket, socket.socket]:
    """Two UDP sockets on neighbouring ports of an address of this machine.

    Raises:
        OSError: there are none.
    """
    for _ in range(TRIES):
        port = random.choice(PORTS)
        pair = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
        try:
            for number, socket_ in enumerate(pair):
                socket_.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
                socket_.bind((host, port + number))
        except OSError:
            for socket_ in pair:
                socket_.close()
            continue
        return pair
    raise OSError("no pair of UDP ports is free")


def _next_message(data: bytearray) -> bytes | None:
    """Take the next whole message from what has come: a packet behind `$`, or a request or answer with its body.

    Raises:
        ValueError: it is neither.
    """
    if data[:1] == b"$":
        length = 4 + struct.unpack_from(">H", data, 2)[0] if len(data) >= 4 else MAX_HEAD
    else:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > MAX_HEAD:
                raise ValueError("a head that does not end")
            return None
        found = _LENGTH.search(bytes(data[:end]))
        length = end + 4 + (int(found[1]) if found else 0)
        if length > 2 * MAX_HEAD:
            raise ValueError("a body that does not end")
    if len(data) < length:
        return None
    message = bytes(data[:length])
    del data[:length]
    return message
