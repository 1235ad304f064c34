"""Connect classify, record and learn between mailbox and database, the same for live cameras and recordings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from birdwatchd.flow import Handover, Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import TEST_CAMERA, Prediction, Visit
from birdwatchd.settings.config import Config
from birdwatchd.stages.classify import ClassifiedEvidence, Classify
from birdwatchd.stages.learn import Learn
from birdwatchd.stages.record import Record, Withdraw, Write
from birdwatchd.store import Clocks, MomentRow, Store, Writer

if TYPE_CHECKING:
    from birdwatchd.species.network.network import Network
    from birdwatchd.species.verdict.fusion import Fusion


__all__ = ["build_stages"]


def build_stages(
    config: Config,
    network: Network,
    mailbox: Mailbox,
    metrics: Metrics,
    store: Store,
    writer: Writer,
    *,
    stop: Stop,
    on_visit: Callable[[Visit], None],
    wake: Callable[[], None] = lambda: None,
    on_withdrawn: Callable[[Visit], None] = lambda visit: None,
    show_known: bool = False,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    on_test: Callable[[Visit, Sequence[MomentRow]], None] = lambda visit, moments: None,
) -> tuple[Classify, Record, Learn]:
    """Build the stages classify, record and learn, connected with each other.

    Args:
        on_withdrawn: is given every visit that turned out to be none.
        clock: wall time, UTC.
        on_test: is given the visits of self-tests, which are not written.
        show_known: give `on_visit` also what was stored before (a recording that is read again).
    """
    from birdwatchd.species.network.classifier import Classifier
    from birdwatchd.species.verdict.build import fusion_for

    handover: Handover[tuple[ClassifiedEvidence, ...]] = Handover("record", metrics)
    temperature = store.examples.temperature(network.model_id)
    fusion = fusion_for(network.labels, config.species, config.station.zone, temperature=temperature)
    learn = Learn(store.examples, network, fusion, config.species)
    learn.run_once(time.monotonic())

    classify = Classify(
        mailbox,
        handover,
        Classifier(network, config.model, metrics),
        fusion.running,
        metrics,
        max_wait_s=config.model.max_wait_ms / 1000,
        stop=stop,
    )
    write = _write_with(store.clocks, writer, fusion, clock, on_test, show_known=show_known)
    record = Record(
        handover,
        write,
        network.model_id,
        metrics,
        stop=stop,
        wake=wake,
        on_visit=on_visit,
        withdraw=_withdraw_with(store.clocks, writer, clock),
        on_withdrawn=on_withdrawn,
    )
    return classify, record, learn


def _write_with(
    clocks: Clocks,
    writer: Writer,
    fusion: Fusion,
    clock: Callable[[], datetime],
    on_test: Callable[[Visit, Sequence[MomentRow]], None],
    *,
    show_known: bool,
) -> Write:
    def write(visit: Visit, predictions: Sequence[Prediction]) -> bool:
        with clocks.alone():  # the clock is not put right between reading it and writing by it
            visit, moments = clocks.dated(visit, [p.moment for p in predictions])
            rows = [
                MomentRow(moment, p.embedding, fusion.top(p.logits), p.logits, fusion.bird_evidence(p.logits))
                for moment, p in zip(moments, predictions, strict=True)
            ]
            if visit.camera == TEST_CAMERA:
                on_test(visit, rows)
                return False
            recorded = writer.record(visit, rows, clock())
        return (recorded.recorded and not recorded.only_clip) or show_known

    return write


def _withdraw_with(clocks: Clocks, writer: Writer, clock: Callable[[], datetime]) -> Withdraw:
    def withdraw(visit: Visit) -> None:
        with clocks.alone():
            dated, _ = clocks.dated(visit, [])
            writer.withdraw(dated, clock())

    return withdraw
