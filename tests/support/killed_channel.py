"""Send what waits for the channel `hook`, and die by SIGKILL where a sent row would be deleted. Run by path."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

from birdwatchd.address import Secret
from birdwatchd.channels.channel import Channel
from birdwatchd.channels.webhook import Webhook
from birdwatchd.metrics import Metrics
from birdwatchd.settings.channels import ChannelSettings
from birdwatchd.store import Store

home, url = sys.argv[1:]
store = Store.open(Path(home), zone=ZoneInfo("UTC"))
store.outbox.delivered = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
settings = ChannelSettings(webhook=Secret(url))
Channel("hook", settings, Webhook(Secret(url), {}).send, store.outbox, Metrics()).run_once(0.0)
