"""Name stored visits anew, after reviews, or a change of lists, bar chart or model: both verdicts are kept.

Where the same model was asked before, its stored logits are enough and no picture is read. What another model named is
asked again from the stored pictures. What a person said stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from birdwatchd.alerts.engine import alarms_of
from birdwatchd.commands.terminal import err, name_of, out, shown
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.build import composer_of
from birdwatchd.records import Crop, Moment, Prediction, Verdict, Visit
from birdwatchd.settings.config import Config
from birdwatchd.stages.learn import experience_of
from birdwatchd.store import MomentRow, Store, StoredMoment

if TYPE_CHECKING:
    from birdwatchd.species.network.classifier import Classifier
    from birdwatchd.species.verdict.fusion import Fusion

__all__ = ["RelabelOptions", "run_relabel"]

SAME_SCORE = 0.005  # logits are stored as float16; what differs by less is the same


@dataclass(frozen=True, slots=True)
class RelabelOptions:
    """What the command line asked for.

    Attributes:
        since: visits that began before are left alone.
        tell: also say over MQTT what changed, and let alert rules decide.
        dry_run: only show what would change.
    """

    since: datetime | None = None
    camera: str | None = None
    tell: bool = False
    dry_run: bool = False


def run_relabel(config: Config, options: RelabelOptions) -> int:
    """Go through the stored visits and print which names change.

    Raises:
        ModelError, StoreError, ConfigError: as their classes say.
    """
    from birdwatchd.species.network.classifier import Classifier
    from birdwatchd.species.network.network import load_network
    from birdwatchd.species.verdict.build import fusion_for

    with Store.open(config.home, zone=config.station.zone) as store:
        network = load_network(config.model, config.model_cache, progress=True)
        temperature = store.examples.temperature(network.model_id)
        fusion = fusion_for(network.labels, config.species, config.station.zone, temperature=temperature)
        fusion.experience = experience_of(store.examples, network, fusion.labels, config.species)
        classifier = Classifier(network, config.model, Metrics())
        work = _Work(store, fusion, classifier, network.model_id, config, options)
        for visit in _shown_progress(store.visits.to_relabel(options.since, options.camera)):
            work.name(visit)
    work.say()
    return 0


class _Work:
    """One pass over the visits."""

    def __init__(
        self,
        store: Store,
        fusion: Fusion,
        classifier: Classifier,
        model: str,
        config: Config,
        options: RelabelOptions,
    ) -> None:
        self._visits, self._fusion, self._classifier, self._model = store.visits, fusion, classifier, model
        self._options = options
        self._writer = store.writer()
        if options.tell:
            self._writer = store.writer(composer_of(config), alarms_of(config, fusion.labels))
        self._changes: Counter[tuple[str, str]] = Counter()
        self._kept = self._blind = 0

    def name(self, visit: Visit) -> None:
        """Name one visit anew, if there is anything to name it by."""
        moments = self._visits.moments(visit.visit_id)
        rows = [self._said_before(moment) for moment in moments]
        asked = self._ask([moment for moment, row in zip(moments, rows, strict=True) if row is None])
        known = {row.moment.index: row for row in [*filter(None, rows), *asked]}
        if not known:
            self._blind += 1
            return
        ordered = [known[index] for index in sorted(known)]
        logits = np.stack([row.logits for row in ordered if row.logits is not None])
        embeddings = np.stack([np.asarray(row.embedding, np.float32) for row in ordered])
        verdict = self._fusion.fuse(logits, visit.start, [row.moment.quality for row in ordered], embeddings)
        if not asked and visit.model == self._model and _same(verdict, visit.verdict):
            self._kept += 1
            return
        if not self._options.dry_run:
            self._writer.relabel(visit.visit_id, verdict, self._model, asked, datetime.now(UTC))
        self._changes[name_of(visit.verdict), name_of(verdict)] += 1

    def say(self) -> None:
        """What became of it."""
        for (before, after), count in self._changes.most_common():
            if before != after:
                out.print(f"{count:6} × {shown(before)} → [bold]{shown(after)}[/]", soft_wrap=True)
        same = self._kept + sum(count for (before, after), count in self._changes.items() if before == after)
        out.print(f"{same:6} as before", soft_wrap=True)
        if self._blind:
            err.print(f"{self._blind} visits have neither logits of {shown(self._model)} nor pictures", soft_wrap=True)
        if self._options.dry_run:
            err.print("nothing was written (--dry-run)")

    def _said_before(self, moment: StoredMoment) -> MomentRow | None:
        """What this model said of a moment when it came; None where it was not asked."""
        if moment.model != self._model or moment.logits is None:
            return None
        return MomentRow(_moment(moment, b""), moment.embedding.astype(np.float32), moment.top, moment.logits)

    def _ask(self, moments: Sequence[StoredMoment]) -> list[MomentRow]:
        """Ask the network about stored pictures; those that are gone are left out."""
        readable = []
        for moment in moments:
            try:
                readable.append((moment.visit_id, _moment(moment, moment.crop.read_bytes() if moment.crop else b"")))
            except OSError:
                continue
        found = self._classifier.predict([one for one in readable if one[1].crop.jpeg]) if readable else []
        return [self._row(prediction) for prediction in found]

    def _row(self, prediction: Prediction) -> MomentRow:
        top = self._fusion.top(prediction.logits)
        return MomentRow(prediction.moment, prediction.embedding, top, prediction.logits)


def _moment(moment: StoredMoment, jpeg: bytes) -> Moment:
    return Moment(moment.idx, moment.at, moment.box, moment.quality, Crop(jpeg, moment.width, moment.height))


def _same(one: Verdict, other: Verdict) -> bool:
    mine, theirs = ((v.state, v.rank, v.common_name, v.scientific_name, v.rare) for v in (one, other))
    return mine == theirs and abs(one.score - other.score) < SAME_SCORE


def _shown_progress(visits: Iterator[Visit]) -> Iterator[Visit]:
    columns = (TextColumn("visits"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        yield from progress.track(visits, total=None)
