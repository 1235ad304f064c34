"""Read a model's embeddings of visits by version: a number that changes whenever a visit's embeddings do.

So an index of embeddings can be kept up to date from two lists: the versions that are there and those it has read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from birdwatchd.errors import StoreError
from birdwatchd.records import HalfArray
from birdwatchd.store import schema

__all__ = ["VisitEmbeddings", "embeddings_of", "models_embedded", "versions_of"]

PAGE = 500  # versions in one query; SQLite takes 32,766 parameters


@dataclass(frozen=True, slots=True, eq=False)
class VisitEmbeddings:
    """What one model made of a visit's moments.

    Attributes:
        version: another number whenever any of these embeddings changes (column `embedded.stamp`, see schema.py).
        vectors: float16, shape (moments, dim), in the moments' order.
    """

    version: int
    visit_id: str
    vectors: HalfArray


def models_embedded(connection: Connection) -> list[tuple[str, str]]:
    """Name and version of each model that has embeddings."""
    model = schema.model.c
    has = sa.exists().where(schema.embedded.c.model_id == model.id)
    return [(row.name, row.version) for row in connection.execute(sa.select(model.name, model.version).where(has))]


def versions_of(connection: Connection, name: str, model_version: str) -> NDArray[np.int64]:
    """The versions of all visits that a model gave embeddings of, by visit id."""
    model, embedded = schema.model.c, schema.embedded.c
    number = connection.execute(sa.select(model.id).where(model.name == name, model.version == model_version)).scalar()
    query = sa.select(embedded.stamp).where(embedded.model_id == number).order_by(embedded.visit_id)
    return np.fromiter((row[0] for row in connection.execute(query)), np.int64)


def embeddings_of(connection: Connection, versions: Sequence[int]) -> list[VisitEmbeddings]:
    """The embeddings with these versions, by visit id; without those that have another version by now, or are gone.

    Raises:
        StoreError: one is not as long as its model's are.
    """
    moment, embedded = schema.moment.c, schema.embedded.c
    joined = sa.and_(moment.visit_id == embedded.visit_id, moment.model_id == embedded.model_id)
    query = (
        sa.select(embedded.stamp, moment.visit_id, schema.model.c.dim, moment.embedding)
        .select_from(schema.embedded)
        .join(schema.moment, joined)
        .join(schema.model, schema.model.c.id == embedded.model_id)
        .join(schema.visit, schema.visit.c.id == embedded.visit_id)
        .order_by(moment.visit_id, moment.idx)
    )
    found: dict[tuple[str, int], list[bytes]] = {}
    for first in range(0, len(versions), PAGE):
        some = query.where(embedded.stamp.in_(versions[first : first + PAGE]))
        for version, visit_id, dim, vector in connection.execute(some):
            if len(vector) != 2 * dim:
                raise StoreError(f"visit {visit_id}: an embedding is damaged", "restore the database from a backup")
            found.setdefault((visit_id, version), []).append(vector)
    return [VisitEmbeddings(version, visit_id, _vectors(parts)) for (visit_id, version), parts in found.items()]


def _vectors(parts: Sequence[bytes]) -> HalfArray:
    return np.frombuffer(b"".join(parts), "<f2").astype(np.float16).reshape(len(parts), -1)
