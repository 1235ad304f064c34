"""Send a message by Apprise, the one library for pushes, e-mail and messengers; its only home.

Imported when the first message is sent: Apprise loads a hundred services. What it logs may hold addresses, so its log
goes nowhere; only the HTTP status is taken from it, because Apprise itself says no more than yes or no.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from birdwatchd.address import Secret
from birdwatchd.channels.webhook import from_status
from birdwatchd.errors import ChannelError, ChannelRefused, ChannelUnreachable

if TYPE_CHECKING:
    import apprise

__all__ = ["Push", "service_of"]

_LOUD = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib")  # these log addresses and their paths
_STATUS = re.compile(r"\berror=(\d{3})\b")  # how Apprise's services log an HTTP status


def service_of(address: Secret) -> apprise.NotifyBase:
    """The service that an address means.

    Raises:
        ChannelRefused: Apprise makes nothing of it.
    """
    import apprise

    for name in _LOUD:
        quiet = logging.getLogger(name)
        quiet.propagate = False
        quiet.setLevel(logging.WARNING)
        if not quiet.handlers:
            quiet.addHandler(logging.NullHandler())  # without any, logging would print warnings all the same
    # With a timeout (60 s by default) services run in a pool of Apprise's own, for whose threads Python waits when it
    # ends. They wait no more than four seconds for a connection and four for an answer by themselves.
    asset = apprise.AppriseAsset(
        app_id="birdwatchd", app_desc="birdwatchd", app_url="", async_mode=False, service_timeout=0
    )
    service = apprise.Apprise.instantiate(address.reveal(), asset=asset)
    if service is None:
        raise ChannelRefused("Apprise does not know such an address", "see github.com/caronc/apprise for its services")
    return service


class Push:
    """One address of Apprise."""

    def __init__(self, address: Secret) -> None:
        self._address = address
        self._apprise: apprise.Apprise | None = None

    def send(self, title: str, body: str, image: bytes | None) -> None:
        """Send one message.

        Args:
            image: a JPEG, for services that take one.

        Raises:
            ChannelUnreachable, ChannelRefused: it was not taken.
        """
        import apprise
        from apprise.attachment.memory import AttachMemory

        if self._apprise is None:
            service = service_of(self._address)
            self._apprise = apprise.Apprise(asset=service.asset)
            self._apprise.add(service)
        attach = None
        if image:
            attach = AttachMemory(content=image, name="bird.jpg", mimetype="image/jpeg")  # type: ignore[no-untyped-call]
        text = apprise.NotifyFormat.TEXT
        result = self._apprise.notify(body=body, title=title, body_format=text, attach=attach)
        if not result:
            raise _failure(entry.message for entry in result.logs())


def _failure(messages: Iterable[str]) -> ChannelError:
    """What Apprise's log says of why; without a status it may be anything, and is tried again."""
    found = [int(match[1]) for text in messages for match in _STATUS.finditer(text)]
    if found and found[-1] >= 300:
        return from_status(found[-1])
    return ChannelUnreachable("the service could not be reached, or did not take the message")
