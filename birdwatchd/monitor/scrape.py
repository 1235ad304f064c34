"""Read the metrics of a daemon that runs on this machine."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from birdwatchd.monitor.catalogue import PREFIX

__all__ = ["Live", "NotServed", "read_live"]

TIMEOUT_S = 3.0
MOST_BYTES = 4_000_000  # a hundred cameras give 300 kB


class NotServed(Exception):
    """Nothing, or something else than birdwatchd, answers; the text says what happened."""


@dataclass(frozen=True, slots=True)
class Live:
    """The numbers of a running daemon, by name (as in `CATALOGUE`) and labels."""

    values: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def get(self, name: str, **labels: str) -> float | None:
        """One number, or None where there is none."""
        return self.values.get((name, frozenset(labels.items())))

    def total(self, name: str, **labels: str) -> float:
        """The sum of one name over all labels that are not given."""
        given = set(labels.items())
        return sum(value for (found, of), value in self.values.items() if found == name and given <= of)

    def labels(self, name: str) -> dict[str, str]:
        """The labels of the sample of `name` that is 1 (an info); empty where there is none."""
        return next((dict(of) for (found, of), value in self.values.items() if found == name and value == 1.0), {})


def read_live(url: str) -> Live:
    """Read /metrics below an address such as http://127.0.0.1:9108.

    Raises:
        NotServed: nobody answers, or not birdwatchd.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine is behind no proxy
    try:
        with opener.open(f"{url}/metrics", timeout=TIMEOUT_S) as response:
            text = response.read(MOST_BYTES).decode()
        families = list(text_string_to_metric_families(text))
    except urllib.error.URLError as error:
        reason = error.reason
        raise NotServed(reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)) from None
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise NotServed(f"the answer is not birdwatchd's ({type(error).__name__})") from None
    values = {
        (sample.name.removeprefix(PREFIX), frozenset(sample.labels.items())): float(sample.value)
        for family in families
        for sample in family.samples
    }
    if ("ready", frozenset()) not in values:
        raise NotServed("the answer is not birdwatchd's")
    return Live(values)
