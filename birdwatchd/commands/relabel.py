"""`birdwatchd relabel`: classify stored visits again, after reviews or a change of lists, bar chart or model.

Where the same model was used before, its stored logits are enough. Where another was, the stored crops are classified
again. Earlier verdicts are kept in the database, and a reviewer's verdict stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from birdwatchd.alerts.engine import build_alert_engine
from birdwatchd.commands.progress import track
from birdwatchd.commands.terminal import counted, err, name_of, out, shown
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.build import build_composer
from birdwatchd.records import Crop, Moment, Prediction, Verdict, Visit
from birdwatchd.settings.config import Config
from birdwatchd.species.verdict.second_look import SecondLooks, look_again
from birdwatchd.stages.learn import experience_of
from birdwatchd.stages.named_files import require_species_files
from birdwatchd.store import MomentRow, Store, StoredMoment

if TYPE_CHECKING:
    from birdwatchd.species.network.classifier import Classifier
    from birdwatchd.species.verdict.fusion import Fusion

__all__ = ["RelabelOptions", "run_relabel"]

SAME_SCORE = 0.005  # logits are stored as float16: smaller differences are rounding


@dataclass(frozen=True, slots=True)
class RelabelOptions:
    """What the command line asked for.

    Attributes:
        since: visits that began before are left alone.
        tell: also publish over MQTT what changed, and apply alert rules.
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
    require_species_files(config.species)
    zone, unkept = config.station.zone, config.without_pictures
    with Store.open(config.home, zone=zone, without_pictures=unkept, existing=True) as store:
        if not options.dry_run:
            store.claim("relabel")
        from birdwatchd.species.network.classifier import Classifier  # the home first: PyTorch takes its time
        from birdwatchd.species.network.network import load_network
        from birdwatchd.species.verdict.build import fusion_for

        network = load_network(config.model, config.model_cache, progress=True)
        temperature = store.examples.temperature(network.model_id)
        fusion = fusion_for(network.labels, config.species, config.station.zone, temperature=temperature)
        fusion.experience = experience_of(store.examples, network, fusion.by_species, config.species)
        classifier = Classifier(network, config.model, Metrics())
        relabel = _Relabel(store, fusion, classifier, network.model_id, config, options)
        for visit in track(store.visits.to_relabel(options.since, options.camera), "visits"):
            relabel.visit(visit)
    relabel.print_summary()
    return 0


class _Relabel:
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
            self._writer = store.writer(build_composer(config), build_alert_engine(config, fusion.labels))
        self._changes: Counter[tuple[str, str]] = Counter()
        self._unchanged = self._missing = 0

    def visit(self, visit: Visit) -> None:
        """Relabel one visit, if there are logits or crops of it."""
        moments = self._visits.moments(visit.visit_id)
        stored = [self._stored_row(moment) for moment in moments]
        new = self._classify([moment for moment, row in zip(moments, stored, strict=True) if row is None], visit.start)
        by_index = {row.moment.index: row for row in [*filter(None, stored), *new]}
        if not by_index:
            self._missing += 1
            return
        rows = [by_index[index] for index in sorted(by_index)]
        logits = np.stack([row.logits for row in rows if row.logits is not None])
        embeddings = np.stack([np.asarray(row.embedding, np.float32) for row in rows])
        others = max(0, visit.moments - len(moments)) if len(rows) == len(moments) else 0  # lost crops showed as much
        verdict = self._fusion.fuse(logits, visit.start, [row.moment.quality for row in rows], embeddings, others)
        if not new and visit.model == self._model and _same(verdict, visit.verdict):
            self._unchanged += 1
            return
        if not self._options.dry_run:
            self._writer.relabel(visit.visit_id, verdict, self._model, new, datetime.now(UTC))
        self._changes[name_of(visit.verdict), name_of(verdict)] += 1

    def print_summary(self) -> None:
        """Print how many visits changed from which name to which."""
        for (before, after), count in self._changes.most_common():
            if before != after:
                out.print(f"{count:6} × {shown(before)} → [bold]{shown(after)}[/]", soft_wrap=True)
        same = self._unchanged + sum(count for (before, after), count in self._changes.items() if before == after)
        out.print(f"{same:6} unchanged", soft_wrap=True)
        if self._missing:
            err.print(
                f"{counted(self._missing, 'visit')} left as before: no crops, and no results of {shown(self._model)}",
                soft_wrap=True,
            )
        if self._options.dry_run:
            err.print("nothing was saved (--dry-run)")

    def _stored_row(self, moment: StoredMoment) -> MomentRow | None:
        """The stored outputs of this model for a moment; None where another model classified it."""
        if moment.model != self._model or moment.logits is None:
            return None
        embedding = moment.embedding.astype(np.float32)
        return MomentRow(_moment(moment, b""), embedding, moment.top, moment.logits, moment.bird_evidence)

    def _classify(self, moments: Sequence[StoredMoment], start: datetime) -> list[MomentRow]:
        """Classify stored crops, some of them again, as live ones are; those whose files are gone are left out."""
        readable = []
        for moment in moments:
            try:
                readable.append((moment.visit_id, _moment(moment, moment.crop.read_bytes() if moment.crop else b"")))
            except OSError:
                continue
        predictions = self._classifier.predict([one for one in readable if one[1].crop.jpeg]) if readable else []
        if not predictions:
            return []
        running = self._fusion.running(start)
        visits = {predictions[0].visit_id: (running, SecondLooks(running.branch()))}
        together, _ = look_again(self._classifier.predict, predictions, visits)
        return [self._row(prediction) for prediction in together]

    def _row(self, prediction: Prediction) -> MomentRow:
        top = self._fusion.top(prediction.logits)
        evidence = self._fusion.bird_evidence(prediction.logits)
        return MomentRow(prediction.moment, prediction.embedding, top, prediction.logits, evidence)


def _moment(moment: StoredMoment, jpeg: bytes) -> Moment:
    return Moment(moment.idx, moment.at, moment.box, moment.quality, Crop(jpeg, moment.width, moment.height))


def _same(one: Verdict, other: Verdict) -> bool:
    first, second = ((v.state, v.rank, v.common_name, v.scientific_name, v.rare) for v in (one, other))
    return first == second and abs(one.score - other.score) < SAME_SCORE
