"""How results are called on the page, in figures and in MLflow."""

from __future__ import annotations

from lrpsweep.evaluation import MEASURES
from lrpsweep.results import (
    DROPPING_LEVEL,
    Contender,
    Pruned,
    Recommendation,
    Stability,
    StudyResults,
    contender,
)


def shown(results: StudyResults) -> Contender | None:
    """The nominee; where nothing may be nominated, the best trial; None without a complete one.

    With several objectives, that of the front which is best by the first of them.
    """
    ranked = results.ranked()
    members = results.front.members if results.front else ()
    chosen = results.nominee or next(iter(members), None)
    return (chosen or contender(ranked[0])) if ranked else None


def shown_as(results: StudyResults) -> str:
    """What `shown` gives, as a legend calls it: 'nominee (trial 5)'."""
    one = shown(results)
    assert one is not None
    nominated = results.nominee is not None and (results.nomination or results.recommendation)
    best = f"best by {measure_title(results.objective)}" if results.several else "best"
    return f"{'nominee' if nominated else best} ({one.label})"


def nominated_since(results: StudyResults) -> Contender | None:
    """A nominee that is not the one which was last compared on the validation images."""
    found, nomination = results.recommendation, results.nomination
    nominee = nomination.nominee if nomination else None
    return nominee if found and nominee and nominee.label != found.nominee.label else None


def economy_sentences(results: StudyResults) -> list[str]:
    """What the search saved, and what that cost; nothing where nothing is known or was tried."""
    found = results.economy
    if found is None or (found.forwards >= found.plain and not found.steps):
        return []
    said = [
        f"The search passed {found.forwards:,} images through the network, "
        f"{found.forwards / found.plain:.0%} of the {found.plain:,} that all states of all images "
        f"had been; {found.known:.0%} of the states it looked at had been scored before."
    ]
    if found.forwards >= found.plain:
        said.append("Nothing was saved: so many candidates had to be scored on all states.")
    if found.steps:
        error = f" (error {found.error:.2f} standard errors)" if found.error is not None else ""
        said.append(
            f"Trials were scored on {len(found.steps)} states, {found.subset}{error}; "
            f"{len(results.full)} candidates on all of them, and only these were nominated from."
        )
    return said


def fewer_images(found: Recommendation, label: str) -> str:
    """' (32 images)', behind the name of a baseline that was not scored on all of them."""
    images = _fewer(found).get(label)
    return "" if images is None else f" ({images} images)"


def _fewer(found: Recommendation) -> dict[str, int]:
    """On how many validation images baselines were scored that were not on all."""
    return {
        one.baseline: one.images
        for one in found.comparisons
        if one.images is not None and one.images < found.validation_images
    }


def dropped_sentence(found: Recommendation) -> str:
    """What it means that baselines are shown on fewer images; '' where none is."""
    if not _fewer(found):
        return ""
    return (
        "A baseline with fewer images was clearly behind on these, and not scored on the others; "
        f"its interval is that of {early_interval(found)}."
    )


def early_interval(found: Recommendation) -> str:
    """How wide intervals on fewer images are: '99.8 %'."""
    return f"{100 * (1 - 2 * min(found.level, DROPPING_LEVEL)):.6g} %"


def stopped_after(found: Pruned) -> str:
    """'stopped early after 12 images'."""
    return f"stopped early after {found.images} image{'' if found.images == 1 else 's'}"


def trial_counts(results: StudyResults) -> str:
    """'68 trials, 40 complete, 25 stopped early, 3 failed'; of what there is none, nothing."""
    trials, planned = len(results.trials), results.planned
    ends = {
        "stopped early": len(results.pruned),
        "failed": sum(trial.state == "failed" for trial in results.trials),
    }
    complete = len(results.complete)
    ends["unfinished"] = trials - complete - sum(ends.values())
    counts = [f"{count} {end}" for end, count in ends.items() if count]
    number = f"{trials}" if trials == planned else f"{trials} of {planned}"
    return ", ".join([f"{number} trials, {complete} complete", *counts])


def front_labels(results: StudyResults) -> str:
    """The front's members, best by the first objective first; '' where there is none."""
    return ", ".join(one.label for one in results.front.members) if results.front else ""


def measure_title(name: str) -> str:
    """The title of a measure; its name where its plugin is missing."""
    return MEASURES[name].title if name in MEASURES else name


def is_older(found: Recommendation) -> bool:
    """Whether a version before 0.2 stored it: with 95 % BCa intervals and Holm's p."""
    return bool(found.comparisons) and not found.bounds


def interval_name(found: Recommendation) -> str:
    """Of the intervals of its comparisons: '92 % interval'."""
    level = 0.025 if is_older(found) else found.level
    return f"{100 * (1 - 2 * level):.6g} % interval"


def correction_name(found: Recommendation) -> str:
    """Whose correction its p-values have."""
    return "Holm" if is_older(found) else "Hochberg"


def stability_sentence(found: Stability) -> str:
    """How often the search images, drawn again, nominate the same."""
    return (
        f"Search images drawn again {found.draws} times nominate the same composite in "
        f"{100 * found.same:.0f} %, the same region in {100 * found.region:.0f} %."
    )
