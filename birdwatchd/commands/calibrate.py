"""`birdwatchd calibrate`: fit a model's temperature to reviewed visits, and print how well it is calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from birdwatchd.commands.terminal import counted, err, out, shown
from birdwatchd.errors import StoreError
from birdwatchd.records import Label
from birdwatchd.settings.config import Config
from birdwatchd.species.taxonomy import name_key, species_keys
from birdwatchd.species.verdict.best_moments import BirdEvidence
from birdwatchd.species.verdict.calibration import MIN_REVIEWS, Reliability, fit_temperature, out_of_fold, reliability
from birdwatchd.species.verdict.same_species import SameSpecies
from birdwatchd.store import ReviewVerdict, Store, Visits

__all__ = ["run_calibrate"]


@dataclass(frozen=True, slots=True)
class _Reviewed:
    """The reviewed visits of one model: logits, shape (visits, species), and the right species of each.

    `skipped` counts those of another model, or of a species that this one does not know.
    """

    logits: NDArray[np.float64]
    truth: list[int]
    skipped: int


def run_calibrate(config: Config, *, dry_run: bool = False) -> int:
    """Print the reliability table before and after, and store the temperature for the daemon's next start.

    Raises:
        ModelError: the model cannot be loaded.
        StoreError: too few visits were reviewed.
    """
    with Store.open(config.home, zone=config.station.zone, existing=True) as store:
        from birdwatchd.species.network.network import load_network  # the home first: PyTorch takes its time

        network = load_network(config.model, config.model_cache, progress=True)
        reviewed = _reviewed(store.visits, network.model_id, network.labels)
        if len(reviewed.truth) < MIN_REVIEWS:
            raise StoreError(
                f"only {counted(len(reviewed.truth), 'reviewed visit')} of {network.model_id} so far;"
                f" {MIN_REVIEWS} are needed",
                "confirming correct names counts too: birdwatchd review VISIT_ID --confirm",
            )
        temperature = fit_temperature(reviewed.logits, reviewed.truth)
        before = reliability(reviewed.logits, reviewed.truth)
        after = reliability(out_of_fold(reviewed.logits, reviewed.truth), reviewed.truth)
        _print(network.model_id, reviewed, temperature, before, after)
        if not dry_run:
            store.writer().calibrate(network.model_id, temperature, len(reviewed.truth), datetime.now(UTC))
    done = "saved; `birdwatchd run` uses it from its next start, `relabel` at once"
    err.print("nothing was saved (--dry-run)" if dry_run else done)
    return 0


def _reviewed(visits: Visits, model: str, labels: Sequence[Label]) -> _Reviewed:
    by_species = SameSpecies(labels)
    numbers = {key: i for i, label in enumerate(by_species.labels) for key in species_keys(label)}
    evidence = BirdEvidence(by_species.labels)
    logits, truth, skipped = [], [], 0
    for visit_id, verdict, species in visits.reviews():
        if verdict == ReviewVerdict.NOT_A_BIRD.value:
            continue
        index = numbers.get(name_key(species)) if species else None
        moments = [m for m in visits.moments(visit_id) if m.model == model and m.logits is not None]
        if index is None or not moments:
            skipped += 1
            continue
        rows = np.stack([m.logits for m in moments if m.logits is not None])
        logits.append(evidence.mean_logits(by_species.merge(rows), [m.quality for m in moments]))
        truth.append(index)
    return _Reviewed(np.array(logits, np.float64).reshape(len(truth), -1), truth, skipped)


def _print(model: str, reviewed: _Reviewed, temperature: float, before: Reliability, after: Reliability) -> None:
    for heading, table in (("before calibration", before), ("after calibration (cross-validated)", after)):
        out.print(_table(heading, table))
    out.print(f"{len(reviewed.truth)} reviewed visits of {shown(model)}: temperature [bold]{temperature:.3f}[/]")
    if reviewed.skipped:
        left_out = counted(reviewed.skipped, "reviewed visit")
        err.print(f"{left_out} not used: named by another model, or a species that this model does not know")


def _table(heading: str, found: Reliability) -> Table:
    table = Table(title=heading, title_justify="left", box=None, header_style="dim", pad_edge=False)
    for name in ("probability", "visits", "claimed", "right"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.bins:
        span = f"{one.low:.2f} … {one.high:.2f}"
        table.add_row(span, str(one.visits), f"{one.confidence:.3f}", f"{one.accuracy:.3f}")
    table.add_row("error", "", f"{found.ece:.3f}", "", style="dim")
    return table
