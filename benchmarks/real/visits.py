"""Scan clips as `birdwatchd scan` does, and give each visit's moments with the network's logits and its verdict."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.real.rules import Moments
from birdwatchd.commands.scan import ScanOptions, run_scan
from birdwatchd.records import Label, Rank, State, Verdict
from birdwatchd.settings.config import Config
from birdwatchd.species.network.checkpoint import read_checkpoint
from birdwatchd.species.taxonomy import bundled_taxonomy
from birdwatchd.species.verdict.same_species import SameSpecies
from birdwatchd.store import StoreReader

__all__ = ["Model", "Seen", "read_model", "scan_clips", "scan_spans"]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """The one network that all rules ask.

    Attributes:
        by_species: its classes; those of one species are added up, for all rules alike.
    """

    file: Path
    sha256: str
    by_species: SameSpecies

    @property
    def labels(self) -> tuple[Label, ...]:
        """Its species, in the order of the columns of `Moments`."""
        return self.by_species.labels


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A visit that birdwatchd found.

    Attributes:
        path: of its clip.
        moments: None where no picture could be taken of it.
    """

    path: Path
    verdict: Verdict
    moments: Moments | None

    @property
    def species(self) -> str | None:
        """What birdwatchd says, if it is a species and confirmed."""
        return self.verdict.species

    @property
    def group(self) -> str | None:
        """The genus or family that birdwatchd confirms where it confirms no species."""
        coarse = self.verdict.state is State.CONFIRMED and self.verdict.rank is not Rank.SPECIES
        return self.verdict.scientific_name if coarse else None


def read_model(file: Path) -> Model:
    """Read the weights' names.

    Raises:
        ModelUnusable: it is no such file.
    """
    checkpoint = read_checkpoint(_config(file, file.parent).model, file.parent, progress=False)
    return Model(file, checkpoint.sha256, SameSpecies(bundled_taxonomy().labels(checkpoint.classes)))


def scan_clips(paths: Sequence[Path], model: Model) -> list[Seen]:
    """All visits in some clips, with default settings, in a home of their own.

    Raises:
        RuntimeError: the scan was stopped.
    """
    with _scanned(paths, model) as store:
        return [
            Seen(Path(visit.media or ""), visit.verdict, _moments(store, visit.visit_id, model))
            for visit in store.visits.find()
        ]


def scan_spans(paths: Sequence[Path], model: Model) -> Mapping[Path, list[tuple[float, float]]]:
    """From when to when the visits of each clip last, in seconds of the clip, scanned in the same way.

    Raises:
        RuntimeError: the scan was stopped.
    """
    spans: dict[Path, list[tuple[float, float]]] = {path: [] for path in paths}
    with _scanned(paths, model) as store:
        for visit in store.visits.find():
            if visit.start_s is not None and visit.end_s is not None:
                spans[Path(visit.media or "")].append((visit.start_s, visit.end_s))
    return spans


@contextmanager
def _scanned(paths: Sequence[Path], model: Model) -> Iterator[StoreReader]:
    with tempfile.TemporaryDirectory(prefix="birdwatchd-real-") as home:
        config = _config(model.file, Path(home))
        if run_scan(config, ScanOptions(tuple(paths))) != 0:
            raise RuntimeError("the scan was stopped")
        with StoreReader.open_existing(config.home) as store:
            yield store


def _config(file: Path, home: Path) -> Config:
    return Config.model_validate({"home": home, "model": {"file": file}})


def _moments(store: StoreReader, visit_id: str, model: Model) -> Moments | None:
    """The moments of a visit; logits are stored as float16, which moves a probability by less than 0.005."""
    found = [(moment.at.timestamp(), moment.logits) for moment in store.visits.moments(visit_id)]
    given = sorted(((at_s, logits) for at_s, logits in found if logits is not None), key=lambda one: one[0])
    if not given:
        return None
    merged = model.by_species.merge(np.stack([logits for _, logits in given]))
    is_species = np.array([label.is_species for label in model.labels])
    return Moments(tuple(at_s for at_s, _ in given), merged.astype(np.float64), is_species)
