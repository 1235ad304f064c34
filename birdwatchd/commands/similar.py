"""Past visits that look like one visit, or like a picture: nearest by embedding, of the same model only."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.table import Table

from birdwatchd.commands.progress import track
from birdwatchd.commands.terminal import err, name_of, out, shown
from birdwatchd.errors import ConfigError, StoreError
from birdwatchd.records import FloatArray, Visit, moment_weight
from birdwatchd.settings.config import Config
from birdwatchd.store import StoreReader

__all__ = ["Alike", "SimilarOptions", "run_similar"]

FEW = 20  # pages that are read without a word


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
    with StoreReader.open_existing(config.home) as store:
        asked = store.visits.get(options.what)
        question = _of_visit(config, store, asked) if asked is not None else _of_picture(config, Path(options.what))
        found = _alike(store, question, options.count, except_for=asked.visit_id if asked else "")
    if options.as_json:
        for one in found:
            line = {**one.visit.to_json(), "similarity": round(one.similarity, 4)}
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    elif found:
        out.print(_table(found, config), soft_wrap=True)
    else:
        err.print(f"no other visit has an embedding of {shown(question.model)}")
    return 0


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """What to look for: a model's embedding, shape (dim,); and the device on which to look, as torch names it."""

    model: str
    embedding: FloatArray
    device: str


def _of_visit(config: Config, store: StoreReader, visit: Visit) -> _Question:
    """The mean of a visit's embeddings, better pictures counting more."""
    moments = [moment for moment in store.visits.moments(visit.visit_id) if moment.model == visit.model]
    if not moments:
        raise StoreError(f"visit {visit.visit_id} has no embedding", "no picture of it could be classified")
    vectors = np.stack([moment.embedding.astype(np.float32) for moment in moments])
    mean = np.average(vectors, axis=0, weights=[moment_weight(m.quality) for m in moments]).astype(np.float32)
    return _Question(visit.model, mean, _device_without_network(config.model.device))


def _device_without_network(wanted: str) -> str:
    """Where no network is loaded, the CPU has answered before torch has found out whether there is another device."""
    if not wanted.startswith("cuda"):
        return "cpu"
    from birdwatchd.species.network.network import choose_device

    return str(choose_device(wanted))


def _of_picture(config: Config, path: Path) -> _Question:
    """What the configured model makes of a picture."""
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise ConfigError(f"{path} is neither a visit nor a picture", "see `birdwatchd visits` for the ids")
    from birdwatchd.species.network.network import load_network

    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        raise ConfigError(f"{path} is no picture that can be read", "give a JPEG or PNG of the bird") from None
    network = load_network(config.model, config.model_cache, progress=True)
    _, embeddings = network.infer(network.preprocess(picture)[None])
    return _Question(network.model_id, embeddings[0], network.torch_device)


def _alike(store: StoreReader, question: _Question, count: int, except_for: str) -> list[Alike]:
    from birdwatchd.search.codes import OnDevice, OnHost
    from birdwatchd.search.likeness import Likeness

    hold = OnHost if question.device == "cpu" else partial(OnDevice, device=question.device)
    likeness = Likeness(store, question.model, len(question.embedding), hold=hold, say=_say, watch=_watch)
    likeness.catch_up()
    found = [one for one in likeness.nearest(question.embedding, count + 1) if one.visit_id != except_for]
    visits = ((store.visits.get(one.visit_id), one.similarity) for one in found)
    return [Alike(visit, similarity) for visit, similarity in visits if visit is not None][:count]


def _say(text: str) -> None:
    err.print(shown(text), soft_wrap=True)


def _watch(pages: range) -> Iterable[int]:
    """Show that embeddings are read, where it takes a while."""
    return pages if len(pages) <= FEW else track(pages, "reading embeddings", len(pages))


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
