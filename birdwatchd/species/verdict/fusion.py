"""Late fusion: combine the logits of a visit's moments with prior and experience into one verdict with reasons.

The logits of the moments that show most of a bird are averaged (`birdwatchd.species.verdict.best_moments`), then
softmax. The result is weighted by what is expected here and now (`birdwatchd.species.verdict.prior`). A classifier
always answers, so abstaining is done here: a species is `confirmed` from its threshold on; else a genus or a family may
be; else the species is `uncertain` from `uncertain` on, and `unknown` below. Moments that contradict each other confirm
nothing: one lucky frame decides nothing. When the best class is no bird (birder's `Unknown`), the visit never has a
name, and it is `rejected` if even the moments that show most of a bird are sure of that. Last, the visit is compared
with earlier ones (`birdwatchd.species.learned.experience`): one that is similar to corrected visits gets their name,
and an outlier is not confirmed.

All of this is about species: classes that are one species (subspecies) are added up in every moment before anything
else (`birdwatchd.species.verdict.same_species`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import FloatArray, Label, Rank, State, Verdict
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.learned.experience import Assessment, Experience
from birdwatchd.species.taxonomy import name_key, names_of, species_keys
from birdwatchd.species.verdict.best_moments import BestMoments, BirdEvidence, Counted
from birdwatchd.species.verdict.prior import Expectation
from birdwatchd.species.verdict.rollup import Group, Groups
from birdwatchd.species.verdict.same_species import SameSpecies

__all__ = ["Fusion", "RunningVerdict", "unmatched_species"]

TOP = 5
MIN_AGREEMENT = 0.5  # share of the moments that count whose best class must be that of all together
FEW_MOMENTS = 3  # with a bird: fewer are an accident where most of a visit's moments show none
MIN_BIRDS = 0.2  # share of a visit's moments, of which fewer than FEW_MOMENTS must be
UNKNOWN_RATIO = 2.0  # outlier ratio from which on a visit loses its name
Top = tuple[tuple[str, float], ...]


class Fusion:
    """Turns logits into verdicts, for the classes of one model.

    Attributes:
        evidence: how much of a bird there is in logits of the species.
    """

    def __init__(
        self,
        labels: Sequence[Label],
        settings: SpeciesSettings,
        expected: Callable[[datetime], Expectation] | None = None,
        *,
        temperature: float = 1.0,
        experience: Experience | None = None,
    ) -> None:
        """
        Args:
            labels: of the model's classes.
            expected: what to expect of the species (`self.labels`) at a time; None where nothing is known of place
                and season.
            temperature: what logits are divided by before they become probabilities (`calibration`).
            experience: what earlier visits taught. May be replaced at any time, from any thread.
        """
        self.by_species = SameSpecies(labels)
        self.labels = self.by_species.labels
        """The species, and classes that are none; in the order of the classes."""
        self.experience = experience or Experience(self.labels)
        self.evidence = BirdEvidence(self.labels)
        self._settings, self._expected, self._temperature = settings, expected, temperature
        self._groups = Groups(self.labels)
        self._species = np.array([label.is_species for label in self.labels], bool)
        wanted = {name_key(name): threshold for name, threshold in settings.per_species.items()}
        self._thresholds = tuple(_threshold(label, wanted, settings.threshold) for label in self.labels)

    def fuse(
        self,
        logits: FloatArray,
        at: datetime | None = None,
        qualities: Sequence[float] | None = None,
        embeddings: FloatArray | None = None,
        others: int = 0,
    ) -> Verdict:
        """The verdict on all moments of a visit at once.

        Args:
            logits: float32, shape (moments, classes); no moments at all give `unknown`.
            at: when the visit began; None leaves place and season out.
            qualities: of the moments' crops, 0 … 1, to choose between moments that show as much of a bird.
            embeddings: shape (moments, dim); without them experience is not used.
            others: how many more moments it had, which showed less of a bird than these and were not kept.
        """
        running = RunningVerdict(self, at, BestMoments(self.evidence, seen=others))
        given = qualities if qualities is not None else [1.0] * len(logits)
        vectors: Sequence[FloatArray | None] = [None] * len(logits) if embeddings is None else list(embeddings)
        for row, quality, embedding in zip(logits, given, vectors, strict=True):
            running.add(row, quality, embedding)
        return running.verdict()

    def running(self, at: datetime | None = None) -> RunningVerdict:
        """A verdict that is revised as moments arrive, for a new visit that began at a time."""
        return RunningVerdict(self, at)

    def top(self, logits: FloatArray) -> Top:
        """The five most probable classes of one moment, by the network alone."""
        return self._top(_softmax(np.asarray(self.by_species.merge(logits), np.float64) / self._temperature))

    def bird_evidence(self, logits: FloatArray) -> float:
        """How much of a bird one moment shows, a logarithm of odds (`best_moments`)."""
        return self.evidence.of(self.by_species.merge(logits))

    def fuse_counted(self, counted: Counted, at: datetime | None = None) -> Verdict:
        """The verdict on the moments that were chosen of a visit.

        Args:
            counted: of the species; without embeddings, experience is not used.
            at: when the visit began.
        """
        raw = _softmax(counted.logits / self._temperature)
        expectation = self._expected(at) if self._expected is not None and at is not None else None
        p = raw if expectation is None else self._reweighted(raw, expectation.weights)
        assessment = Assessment()
        if counted.embeddings is not None:
            energy = self.evidence.energy(counted.logits)
            assessment = self.experience.assess(counted.embeddings.mean(axis=0), int(p.argmax()), energy)
        if assessment.corrections and assessment.comparable:
            verdict = self._corrected(p, counted, assessment)
        else:
            verdict = _downgraded(self._uncorrected(p, raw, counted, expectation), assessment)
        return verdict if expectation is None else self._with_raw(verdict, raw, expectation)

    def _uncorrected(
        self, p: NDArray[np.float64], raw: NDArray[np.float64], counted: Counted, expectation: Expectation | None
    ) -> Verdict:
        """The verdict by network, place and season."""
        if expectation is None:
            return self._verdict(p, counted)
        likely = int(raw.argmax())
        strong = raw[likely] >= max(self._settings.rare, self._thresholds[likely]) and expectation.weights[likely] > 0
        rarity = bool(expectation.rare[likely]) and bool(strong)
        return self._rarity(p, raw, likely, counted) if rarity else self._verdict(p, counted)

    def _corrected(self, p: NDArray[np.float64], counted: Counted, assessment: Assessment) -> Verdict:
        """The verdict on a visit similar to corrected ones: their name gets the probability and votes of the best."""
        best, truth = int(p.argmax()), assessment.truth
        count = assessment.corrections
        visits = "a visit" if count == 1 else f"{count} visits"
        nothing = Verdict(State.REJECTED, Rank.BIRD, None, None, float(p[best]), self._top(p))
        if truth is None:
            return replace(nothing, reasons=(f"resembles {visits} you marked as not a bird",))
        reason = f"resembles {visits} you corrected to {truth.common_name}, not {self.labels[best].common_name}"
        keys = species_keys(truth)
        index = next((i for i, label in enumerate(self.labels) if set(keys) & set(species_keys(label))), None)
        if index is None:
            state = State.CONFIRMED if p[best] >= self._thresholds[best] else State.UNCERTAIN
            named = replace(nothing, state=state, rank=Rank.SPECIES, common_name=truth.common_name)
            return replace(named, scientific_name=truth.scientific_name, reasons=(reason,))
        moved, moved_votes = p.copy(), Counter(counted.votes)
        moved[index], moved[best] = p[index] + p[best], 0.0
        moved_votes[index] += moved_votes.pop(best, 0)
        verdict = self._verdict(moved, replace(counted, votes=moved_votes))
        verdict = replace(verdict, raw_score=float(p[index]), raw_top=self._top(p))
        return replace(verdict, reasons=(reason, *verdict.reasons))

    def _reweighted(self, raw: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weight the species' probabilities, and scale them so that their sum stays what it was."""
        p, species = raw * weights, self._species
        total = float(p[species].sum())
        if total > 0:
            p[species] *= float(raw[species].sum()) / total
        result: NDArray[np.float64] = p / p.sum() if p.sum() > 0 else raw
        return result

    def _with_raw(self, verdict: Verdict, raw: NDArray[np.float64], expectation: Expectation) -> Verdict:
        """The verdict with the network's own probabilities beside it."""
        top = self._top(raw)
        index = next((i for i, label in enumerate(self.labels) if label.common_name == verdict.common_name), None)
        raw_score, reasons, rare = float(raw.max()), verdict.reasons, verdict.rare
        if verdict.rank is Rank.SPECIES and index is not None:
            raw_score = float(raw[index])
            rare = rare or (verdict.state is State.CONFIRMED and bool(expectation.rare[index]))
            if top[0][0] != verdict.common_name:
                reasons = (*reasons, f"{top[0][1]:.2f} for {top[0][0]}, which is not expected here and now")
        elif verdict.rank is not Rank.BIRD:
            raw_score = self._groups.share(raw, verdict.rank, verdict.scientific_name or "")
        return replace(verdict, raw_score=raw_score, raw_top=top, reasons=reasons, rare=rare)

    def _rarity(self, p: NDArray[np.float64], raw: NDArray[np.float64], best: int, counted: Counted) -> Verdict:
        """The verdict on a species that is not expected and of which the network is sure: two moments must agree."""
        label = self.labels[best]
        conflict = "one crop is not enough for a rarity" if counted.votes[best] < 2 else self._conflict(best, counted)
        state = State.UNCERTAIN if conflict else State.CONFIRMED
        reasons = (f"{label.common_name} is not expected here and now", *_some(conflict))
        name, scientific = label.common_name, label.scientific_name
        return Verdict(state, Rank.SPECIES, name, scientific, float(p[best]), self._top(p), reasons, rare=True)

    def _verdict(self, p: NDArray[np.float64], counted: Counted) -> Verdict:
        best = int(np.argsort(-p, kind="stable")[0])
        label, score, threshold = self.labels[best], float(p[best]), self._thresholds[best]
        nothing = Verdict(State.UNKNOWN, Rank.BIRD, None, None, score, self._top(p))
        if not label.is_species:
            state = State.REJECTED if self._sure_of_none(counted, threshold) else State.UNKNOWN
            return replace(
                nothing, state=state, reasons=(f"{score:.2f} for {label.common_name}, which is not a species",)
            )
        named = replace(
            nothing, rank=Rank.SPECIES, common_name=label.common_name, scientific_name=label.scientific_name
        )
        conflict = self._conflict(best, counted)
        if score >= threshold:
            return replace(named, state=State.UNCERTAIN if conflict else State.CONFIRMED, reasons=_some(conflict))
        below = f"{_below(score, threshold)} for {label.common_name}"
        group = self._certain_group(p)
        if group is not None and group.rank is not Rank.ORDER:
            conflict = self._group_conflict(group, counted)
            state = State.UNCERTAIN if conflict else State.CONFIRMED
            return _of_group(nothing, group, state, (below, *_some(conflict)))
        if score >= self._settings.uncertain:
            return replace(named, state=State.UNCERTAIN, reasons=(below,))
        if group is not None:
            return _of_group(nothing, group, State.UNCERTAIN, (below, "only its order is certain"))
        return replace(nothing, reasons=(f"{_below(score, self._settings.uncertain)} for {label.common_name}",))

    def _sure_of_none(self, counted: Counted, threshold: float) -> bool:
        """Whether each of the moments that show most of a bird is sure that there is none; one alone as sure as two."""
        none = [float(_softmax(row / self._temperature)[~self._species].sum()) for row in counted.each]
        alone = 1 - (1 - threshold) ** 2
        return min(none) >= (threshold if len(none) > 1 else alone)

    def _certain_group(self, p: NDArray[np.float64]) -> Group | None:
        return next((group for group in self._groups.best(p) if group.share >= self._settings.threshold), None)

    def _conflict(self, best: int, counted: Counted) -> str:
        """The reason if too few moments have the class of all together as their best; empty if enough do."""
        total, mine = counted.votes.total(), counted.votes[best]
        if total < 2 or mine >= MIN_AGREEMENT * total:
            return _few_birds(counted)
        return f"crops contradict each other: {mine} of {total} say {self.labels[best].common_name}"

    def _group_conflict(self, group: Group, counted: Counted) -> str:
        """The same for a group."""
        total = counted.votes.total()
        mine = sum(count for index, count in counted.votes.items() if self._groups.has(group, index))
        if total < 2 or mine >= MIN_AGREEMENT * total:
            return _few_birds(counted)
        return f"{mine} of {total} crops say {group.name}"

    def _top(self, p: NDArray[np.float64]) -> Top:
        return tuple((self.labels[i].common_name, float(p[i])) for i in np.argsort(-p, kind="stable")[:TOP])


class RunningVerdict:
    """One visit's verdict so far; of its moments only the few that make the name are kept."""

    def __init__(self, fusion: Fusion, at: datetime | None = None, moments: BestMoments | None = None) -> None:
        self._fusion, self._at = fusion, at
        self._moments = moments or BestMoments(fusion.evidence)

    @property
    def moments(self) -> int:
        """Moments added so far."""
        return self._moments.seen

    def evidence_of(self, logits: FloatArray) -> float:
        """The bird evidence of a moment, from its logits."""
        return self._fusion.bird_evidence(logits)

    def branch(self) -> RunningVerdict:
        """An independent copy, to try what more moments would change."""
        return RunningVerdict(self._fusion, self._at, self._moments.copy())

    def add(self, logits: FloatArray, quality: float = 1.0, embedding: FloatArray | None = None) -> None:
        """Add one more moment.

        Args:
            logits: float32, shape (classes,).
            quality: of its crop, 0 … 1.
            embedding: shape (dim,).
        """
        self._moments.add(self._fusion.by_species.merge(logits), quality, embedding)

    def verdict(self) -> Verdict:
        """The verdict on all moments so far: that of `Fusion.fuse` in the same order, to the last bit."""
        if self.moments == 0:
            return Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.0, (), ("no crop could be classified",))
        return self._fusion.fuse_counted(self._moments.counted(), self._at)


def unmatched_species(settings: SpeciesSettings, labels: Sequence[Label]) -> tuple[tuple[str, str], ...]:
    """Key and name of what the lists of the settings name and no class of the model has, sorted: mostly misspelt."""
    species = {key for label in labels for key in species_keys(label)}
    anything = {key for label in labels for key in names_of(label)}
    lists = {"allow": settings.allow, "deny": settings.deny, "always": settings.always, "months": settings.months}
    wrong = [("per_species", name) for name in settings.per_species if name_key(name) not in species]
    wrong += [(key, name) for key, names in lists.items() for name in names if name_key(name) not in anything]
    return tuple(sorted(wrong))


def _few_birds(counted: Counted) -> str:
    """The reason if one or two of many moments show a bird: of many pictures of a passer-by one may look like one."""
    if counted.birds >= FEW_MOMENTS or counted.birds >= MIN_BIRDS * counted.of:
        return ""
    return f"{counted.birds} of {counted.of} crops show a bird"


def _downgraded(verdict: Verdict, assessment: Assessment) -> Verdict:
    """An outlier, or what is similar to corrected visits as far as can be compared, is not confirmed."""
    if verdict.state is not State.CONFIRMED:
        return verdict
    name, count, ratio = verdict.common_name, assessment.corrections, assessment.outlier_ratio
    if count:
        visits = "a visit" if count == 1 else f"{count} visits"
        marked = f"corrected to {assessment.truth.common_name}" if assessment.truth else "marked as not a bird"
        reason = f"resembles {visits} you {marked}; there is no other {name} from here to compare with"
        return replace(verdict, state=State.UNCERTAIN, reasons=(*verdict.reasons, reason))
    if ratio <= 1 and not assessment.low_energy:
        return verdict
    reason = "looks less like a bird than all earlier visits here"
    if ratio > 1:
        reason = f"differs {ratio:.1f} times as much as usual from earlier visits of {name}"
    if ratio <= UNKNOWN_RATIO:
        return replace(verdict, state=State.UNCERTAIN, reasons=(*verdict.reasons, reason))
    unnamed = replace(verdict, state=State.UNKNOWN, rank=Rank.BIRD, common_name=None, scientific_name=None, rare=False)
    return replace(unnamed, reasons=(*verdict.reasons, f"{verdict.score:.2f} for {name}, but {reason}"))


def _threshold(label: Label, wanted: dict[str, float], default: float) -> float:
    return next((wanted[key] for key in species_keys(label) if key in wanted), default)


def _of_group(nothing: Verdict, group: Group, state: State, reasons: tuple[str, ...]) -> Verdict:
    return replace(
        nothing,
        state=state,
        rank=group.rank,
        common_name=group.common_name,
        scientific_name=group.name,
        score=group.share,
        reasons=reasons,
    )


def _some(*reasons: str) -> tuple[str, ...]:
    return tuple(filter(None, reasons))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max())
    result: NDArray[np.float64] = powers / powers.sum()
    return result


def _below(score: float, threshold: float) -> str:
    """`0.62 is below 0.70`, with as many digits as it takes for the two to differ."""
    digits = next((d for d in (2, 3, 4, 5) if f"{score:.{d}f}" != f"{threshold:.{d}f}"), 6)
    return f"{score:.{digits}f} is below {threshold:.{digits}f}"
