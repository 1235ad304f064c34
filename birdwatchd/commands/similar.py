"""List the stored visits whose embeddings are nearest to those of a visit or a picture: `birdwatchd similar`.

Only embeddings of the same model are compared: of the model that named the visit, or of the configured one.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from birdwatchd.commands.progress import track
from birdwatchd.commands.terminal import err, name_of, out, shown
from birdwatchd.errors import ConfigError, NoSuchVisit, StoreError
from birdwatchd.records import FloatArray, Visit, weight_of
from birdwatchd.search.nearest import Progress, Report, nearest_visits
from birdwatchd.seen_part import seen_part
from birdwatchd.settings.config import Config
from birdwatchd.store import StoredMoment, StoreReader

__all__ = ["SimilarOptions", "run_similar", "similar_visits"]

log = logging.getLogger(__name__)

MOMENTS = 3  # of a visit that are searched for: those that show most of its bird
LEAST_WEIGHT = 0.2  # of a picture of no quality at all, next to 1.2 of a perfect one
QUIET_PAGES = 20  # read without a progress bar


@dataclass(frozen=True, slots=True)
class SimilarOptions:
    """What the command line asked for: a visit's id, or the path of a picture."""

    what: str
    count: int = 10
    as_json: bool = False


def run_similar(config: Config, options: SimilarOptions) -> int:
    """Print the visits that look most alike, best first.

    Raises:
        StoreError, ModelError: as their classes say.
        ConfigError: there is no such visit or image.
    """
    with StoreReader.open_existing(config.home) as store:
        picture = Path(options.what)
        asked = None if picture.is_file() else _visit_named(store, options.what)
        query = _of_visit(store, asked) if asked is not None else _of_picture(config, picture)
        found = _search(store, query, options.count, asked.visit_id if asked else "", _report, _with_bar)
    if options.as_json:
        for visit, similarity in found:
            line = {**visit.to_json(), "similarity": round(similarity, 4)}
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    elif found:
        out.print(_table(found, config), soft_wrap=True)
    else:
        err.print(f"no other visit was classified by {shown(query.model)}")
    return 0


def similar_visits(store: StoreReader, visit: Visit, count: int) -> list[tuple[Visit, float]]:
    """The visits that look most like one, best first, each with the cosine of its most similar picture, -1 … 1.

    None where no picture of the visit was classified.

    Raises:
        StoreError: the database failed.
    """
    if not any(moment.model == visit.model for moment in store.visits.moments(visit.visit_id)):
        return []
    return _search(store, _of_visit(store, visit), count, visit.visit_id, log.warning, iter)


@dataclass(frozen=True, slots=True, eq=False)
class _Query:
    """An embedding, shape (dim,), and the model that made it."""

    model: str
    embedding: FloatArray


def _of_visit(store: StoreReader, visit: Visit) -> _Query:
    """The mean embedding of the pictures that show most of a visit's bird."""
    moments = [moment for moment in store.visits.moments(visit.visit_id) if moment.model == visit.model]
    if not moments:
        raise StoreError(f"visit {visit.visit_id} has no embedding", "none of its crops could be classified")
    best = sorted(moments, key=lambda moment: moment.sort_key, reverse=True)[:MOMENTS]
    vectors = np.stack([moment.embedding.astype(np.float32) for moment in best])
    return _Query(visit.model, np.average(vectors, axis=0, weights=_weights(best)).astype(np.float32))


def _weights(best: Sequence[StoredMoment]) -> list[float]:
    """As in a name, relative to the first's; by quality where it was not kept how much of a bird each shows."""
    weights = [weight_of(one.bird_evidence, one.quality) for one in best if one.bird_evidence is not None]
    if len(weights) < len(best):
        return [LEAST_WEIGHT + moment.quality for moment in best]
    return [math.exp(one - weights[0]) for one in weights]


def _visit_named(store: StoreReader, text: str) -> Visit:
    try:
        return store.visits.named(text)
    except NoSuchVisit as error:
        raise ConfigError(f"no visit or image named {text}", error.hint) from None


def _of_picture(config: Config, path: Path) -> _Query:
    """The embedding that the configured model gives a picture."""
    from PIL import Image, UnidentifiedImageError

    from birdwatchd.species.network.network import load_network

    try:
        with Image.open(path) as image:
            picture = seen_part(image).convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        raise ConfigError(f"{path} cannot be read as an image", "give a JPEG or PNG of the bird") from None
    network = load_network(config.model, config.model_cache, progress=True)
    _, embeddings = network.infer(network.preprocess(picture)[None])
    return _Query(network.model_id, embeddings[0])


def _search(
    store: StoreReader, query: _Query, count: int, except_for: str, report: Report, progress: Progress
) -> list[tuple[Visit, float]]:
    """Other visits, most similar first, each with the cosine of its most similar picture, -1 … 1."""
    # One more than wanted, because the visit itself is the best match.
    matches = nearest_visits(store, query.model, query.embedding, count + 1, report=report, progress=progress)
    others = [match for match in matches if match.visit_id != except_for]
    visits = ((store.visits.get(match.visit_id), match.similarity) for match in others)
    return [(visit, similarity) for visit, similarity in visits if visit is not None][:count]


def _report(text: str) -> None:
    err.print(shown(text), soft_wrap=True)


def _with_bar(pages: range) -> Iterable[int]:
    """Show a progress bar if there are many pages of embeddings to read."""
    return pages if len(pages) <= QUIET_PAGES else track(pages, "reading embeddings", len(pages))


def _table(found: Sequence[tuple[Visit, float]], config: Config) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for heading in ("similarity", "when", "camera", "bird", "visit"):
        table.add_column(heading, justify="right" if heading == "similarity" else "left", no_wrap=True)
    for visit, similarity in found:
        table.add_row(
            f"{similarity:.3f}",
            visit.start.astimezone(config.station.zone).strftime("%Y-%m-%d %H:%M:%S"),
            shown(visit.camera),
            shown(name_of(visit.verdict)),
            f"[dim]{shown(visit.visit_id)}[/]",
        )
    return table
