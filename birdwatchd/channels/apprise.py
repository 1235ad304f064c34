"""Send notifications through Apprise (push, e-mail, messengers) and translate its failures.

Apprise is imported when the first message is sent, since it loads a hundred services. Its log may hold addresses, so it
is silenced; only the HTTP status is read from it, because Apprise itself reports no more than success or failure.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from birdwatchd.address import Secret
from birdwatchd.channels.webhook import status_error
from birdwatchd.errors import ChannelError, ChannelRefused, ChannelUnreachable

if TYPE_CHECKING:
    import apprise

__all__ = ["AppriseSender", "build_service"]

_LOGGERS = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib")  # these log addresses and their paths
# How the address parsers of some services fail on a malformed address, beside Apprise's own exceptions. (What their
# constructors raise, Apprise catches.)
_PARSER_ERRORS = (AttributeError, LookupError, TypeError, ValueError)
_STATUS = re.compile(r"\berror=(\d{3})\b")  # how Apprise's services log an HTTP status


def build_service(address: Secret) -> apprise.NotifyBase:
    """The Apprise service for an address.

    Raises:
        ChannelRefused: Apprise cannot use the address.
    """
    import apprise

    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())  # without any, logging would print warnings all the same
    # With a timeout (60 s by default) services run in a thread pool of Apprise, which Python joins at exit. Without one
    # they still wait at most four seconds for a connection and four for an answer.
    asset = apprise.AppriseAsset(
        app_id="birdwatchd", app_desc="birdwatchd", app_url="", async_mode=False, service_timeout=0
    )
    text = address.reveal()
    try:
        service = apprise.Apprise.instantiate(text, asset=asset)
    except (apprise.exception.AppriseException, *_PARSER_ERRORS) as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is None:
            raise  # by the call itself, not from within Apprise: a mistake of ours
        service = None
    if service is None:
        raise ChannelRefused(
            "Apprise does not recognise the address", "see https://github.com/caronc/apprise for its services"
        )
    return service


class AppriseSender:
    """Sends to one Apprise address."""

    def __init__(self, address: Secret) -> None:
        self._address = address
        self._apprise: apprise.Apprise | None = None

    def send(self, title: str, body: str, image: bytes | None) -> None:
        """Send one message.

        Args:
            image: a JPEG, for services that support attachments.

        Raises:
            ChannelUnreachable, ChannelRefused: it was not delivered.
        """
        import apprise
        from apprise.attachment.memory import AttachMemory

        if self._apprise is None:
            service = build_service(self._address)
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
    """The error for the HTTP status in Apprise's log; without a status the cause is unknown, and it is tried again."""
    found = [int(match[1]) for text in messages for match in _STATUS.finditer(text)]
    if found and found[-1] >= 300:
        return status_error(found[-1])
    return ChannelUnreachable("the service could not be reached, or did not accept the message")
