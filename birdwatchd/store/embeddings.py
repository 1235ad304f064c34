"""Read a model's embeddings of visits by version: a number that changes whenever a visit's embeddings do.

So an index of embeddings can be kept up to date from two lists: the versions that are there and those it has read.
Embeddings of two models are never compared; a model is known by `name@version` and by the length of its embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection

from birdwatchd.errors import StoreError
from birdwatchd.records import FloatArray, HalfArray
from birdwatchd.store import schema
from birdwatchd.store.database import Database

__all__ = ["Embeddings", "VisitEmbeddings", "half_bytes", "is_model", "model_id", "model_text"]

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


class Embeddings:
    """The embeddings of all visits, by model."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def models(self) -> list[str]:
        """The models that gave embeddings which are stored, as `name@version`."""
        model = schema.model.c
        has = sa.exists().where(schema.embedded.c.model_id == model.id)
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(model.name, model.version).where(has))
            return [model_text(row.name, row.version) for row in rows]

    def versions(self, model: str) -> NDArray[np.int64]:
        """The version of each visit's embeddings by a model: int64, shape (visits,), by visit id."""
        embedded = schema.embedded.c
        number = sa.select(schema.model.c.id).where(is_model(model)).scalar_subquery()
        query = sa.select(embedded.stamp).where(embedded.model_id == number).order_by(embedded.visit_id)
        with self._database.reading() as connection:
            return np.fromiter((row[0] for row in connection.execute(query)), np.int64)

    def read(self, versions: Sequence[int]) -> list[VisitEmbeddings]:
        """The embeddings with these versions, by visit id; without those that have another version by now, or are gone.

        Raises:
            StoreError: one is not as long as its model's are.
        """
        found: dict[tuple[str, int], list[bytes]] = {}
        with self._database.reading() as connection:
            for first in range(0, len(versions), PAGE):
                for version, visit_id, vector in _vectors_of(connection, versions[first : first + PAGE]):
                    found.setdefault((visit_id, version), []).append(vector)
        return [VisitEmbeddings(version, visit_id, _stacked(parts)) for (visit_id, version), parts in found.items()]

    def means(self, model: str, visit_ids: Sequence[str]) -> dict[str, FloatArray]:
        """The mean embedding of each visit by a model: float32, shape (dim,); without visits that have none.

        Raises:
            StoreError: one is not as long as its model's are.
        """
        embedded = schema.embedded.c
        number = sa.select(schema.model.c.id).where(is_model(model)).scalar_subquery()
        found: dict[str, FloatArray] = {}
        for first in range(0, len(visit_ids), PAGE):
            mine = embedded.visit_id.in_(visit_ids[first : first + PAGE])
            with self._database.reading() as connection:
                query = sa.select(embedded.stamp).where(embedded.model_id == number, mine)
                versions = list(connection.execute(query).scalars())
            found |= {one.visit_id: one.vectors.astype(np.float32).mean(axis=0) for one in self.read(versions)}
        return found


def _vectors_of(connection: Connection, versions: Sequence[int]) -> list[tuple[int, str, bytes]]:
    moment, embedded = schema.moment.c, schema.embedded.c
    joined = sa.and_(moment.visit_id == embedded.visit_id, moment.model_id == embedded.model_id)
    query = (
        sa.select(embedded.stamp, moment.visit_id, schema.model.c.dim, moment.embedding)
        .select_from(schema.embedded)
        .join(schema.moment, joined)
        .join(schema.model, schema.model.c.id == embedded.model_id)
        .join(schema.visit, schema.visit.c.id == embedded.visit_id)
        .where(embedded.stamp.in_(versions))
        .order_by(moment.visit_id, moment.idx)
    )
    found = []
    for version, visit_id, dim, vector in connection.execute(query):
        if len(vector) != 2 * dim:
            raise StoreError(f"visit {visit_id}: an embedding is damaged", "restore the database from a backup")
        found.append((version, visit_id, vector))
    return found


def _stacked(parts: Sequence[bytes]) -> HalfArray:
    return np.frombuffer(b"".join(parts), "<f2").astype(np.float16).reshape(len(parts), -1)


def half_bytes(vector: FloatArray) -> bytes:
    """A vector as it is stored: little-endian float16."""
    return np.asarray(vector).astype("<f2").tobytes()


def is_model(model: str) -> sa.ColumnElement[bool]:
    """The condition that a row of `model` is of this model, written `name` or `name@version`."""
    name, _, version = model.partition("@")
    return sa.and_(schema.model.c.name == name, schema.model.c.version == version)


def model_text(name: str, version: str) -> str:
    """A model's name and version as one text."""
    return f"{name}@{version}" if version else name


def model_id(connection: Connection, model: str, dim: int | None) -> int:
    """The row of a model (`name` or `name@version`), made at its first use.

    Args:
        dim: length of its embeddings; None where none is to be written.

    Raises:
        StoreError: its embeddings had another length before.
    """
    table = schema.model
    name, _, version = model.partition("@")
    connection.execute(sqlite.insert(table).values(name=name, version=version, dim=dim).on_conflict_do_nothing())
    row = connection.execute(sa.select(table).where(is_model(model))).one()
    if dim is not None and row.dim is None:
        connection.execute(sa.update(table).where(table.c.id == row.id).values(dim=dim))
    elif dim is not None and row.dim != dim:
        raise StoreError(
            f"model {model} gave embeddings of length {row.dim} before and now {dim}",
            "give changed weights another version",
        )
    return int(row.id)
