"""Past visits that look like one visit, or like a picture: nearest by embedding, of the same model only."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from birdwatchd.config import Config
from birdwatchd.daemon import model_cache
from birdwatchd.errors import ConfigError, StoreError
from birdwatchd.records import FloatArray, Visit
from birdwatchd.store import Catalogue
from birdwatchd.terminal import err, name_of, out, shown

__all__ = ["Alike", "SimilarOptions", "run_similar"]

PER_VISIT = 8  # moments of one visit that may stand before the next visit's best


@dataclass(frozen=True, slots=True)
class SimilarOptions:
    """What the command line asked for: a visit's id, or the path of a picture."""

    what: str
    count: int = 10
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Alike:
    """A visit, and how much its most similar picture is like what was asked for: cosine, -1 … 1."""

    visit: Visit
    similarity: float


def run_similar(config: Config, options: SimilarOptions) -> int:
    """Print the visits that look most alike, best first.

    Raises:
        StoreError, ModelError: as their classes say.
        ConfigError: it is neither a visit nor a picture.
    """
    with Catalogue.open_existing(config.home) as store:
        asked = store.visit(options.what)
        model, embedding = _of_visit(store, asked) if asked is not None else _of_picture(config, Path(options.what))
        found = _alike(store, model, embedding, options, except_for=asked.visit_id if asked else "")
    if options.as_json:
        for one in found:
            line = {**one.visit.to_json(), "similarity": round(one.similarity, 4)}
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    elif found:
        out.print(_table(found, config), soft_wrap=True)
    else:
        err.print(f"no other visit has an embedding of {shown(model)}")
    return 0


def _of_visit(store: Catalogue, visit: Visit) -> tuple[str, FloatArray]:
    """A visit's model and the mean of its embeddings, better pictures counting more: shape (dim,)."""
    moments = [moment for moment in store.moments(visit.visit_id) if moment.model == visit.model]
    if not moments:
        raise StoreError(f"visit {visit.visit_id} has no embedding", "no picture of it could be classified")
    vectors = np.stack([moment.embedding.astype(np.float32) for moment in moments])
    return visit.model, np.average(vectors, axis=0, weights=[0.2 + m.quality for m in moments]).astype(np.float32)


def _of_picture(config: Config, path: Path) -> tuple[str, FloatArray]:
    """The configured model and its embedding of a picture."""
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise ConfigError(f"{path} is neither a visit nor a picture", "see `birdwatchd visits` for the ids")
    from birdwatchd.species.network import load_network

    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        raise ConfigError(f"{path} is no picture that can be read", "give a JPEG or PNG of the bird") from None
    network = load_network(config.model, model_cache(config), progress=True)
    _, embeddings = network.infer(network.prepare(picture)[None])
    return network.model_id, embeddings[0]


def _alike(
    store: Catalogue, model: str, embedding: FloatArray, options: SimilarOptions, except_for: str
) -> list[Alike]:
    from birdwatchd.species.memory import Memory

    memory = Memory(len(embedding))
    for page in store.embeddings(model):
        memory.add(page.visits, page.indices, page.vectors)
    best: dict[str, float] = {}
    for found in memory.nearest(embedding, (options.count + 1) * PER_VISIT):
        if found.visit_id != except_for:
            best.setdefault(found.visit_id, found.similarity)
    visits = ((store.visit(visit_id), similarity) for visit_id, similarity in best.items())
    return [Alike(visit, similarity) for visit, similarity in visits if visit is not None][: options.count]


def _table(found: Sequence[Alike], config: Config) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for heading in ("alike", "when", "camera", "bird", "visit"):
        table.add_column(heading, justify="right" if heading == "alike" else "left", no_wrap=True)
    for one in found:
        table.add_row(
            f"{one.similarity:.3f}",
            one.visit.start.astimezone(config.station.zone).strftime("%Y-%m-%d %H:%M:%S"),
            shown(one.visit.camera),
            shown(name_of(one.visit.verdict)),
            f"[dim]{shown(one.visit.visit_id)}[/]",
        )
    return table
