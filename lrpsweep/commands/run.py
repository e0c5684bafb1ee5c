"""`lrpsweep run`: a study from its file to its composite, heatmaps, report and MLflow runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from lrpsweep.commands.describe import predicted
from lrpsweep.commands.outcome import image_marks, study_identity, write_outcome
from lrpsweep.commands.status import remarkable
from lrpsweep.evaluation import MEASURES
from lrpsweep.report.mlflow import Publisher
from lrpsweep.report.words import (
    economy_sentences,
    fewer_images,
    stability_sentence,
    trial_counts,
)
from lrpsweep.results import Contender, StudyResults, TrialRecord
from lrpsweep.study import StudySpec, plugins_used
from lrpsweep.sweep.search import Estimate, Observer, Progress, Silent
from lrpsweep.sweep.study import (
    ExecutorName,
    Plan,
    decide_device,
    images_begun_on,
    planned_results,
    run_study,
)
from lrpsweep.sweep.validation import Proof
from lrpsweep.trial.candidates import named, tuned_method
from lrpsweep.trial.context import Context, Given, prepare
from lrpsweep.trial.literature import (
    baselines,
    composite_key,
    current,
    literature_points,
    meaning_of,
    starts,
)
from lrpsweep.trial.worker import build_runner

PACKAGES = ("lrpsweep", "torch", "torchvision", "opencv-python-headless", "optuna", "ray")


def plan_study(spec: StudySpec, context: Context, device: str) -> Plan:
    """All that the sweep has to know of a prepared study."""
    spec_hash, canonical = study_identity(context)
    validation = context.split.validation
    candidates = spec.version > 1 or len(context.split.validation.ids) > 0
    return Plan(
        spec=spec,
        directions=tuple(MEASURES[name].direction for name in spec.objectives),
        identity=canonical,
        spec_hash=spec_hash,
        proof=Proof(
            method=tuned_method(),
            parts=image_marks(context),
            baselines={name: named(name) for name in baselines(context)} if candidates else {},
            current=current(context),
            meaning=partial(meaning_of, context),
            validated=tuple(zip(validation.ids, validation.hashes, strict=True)),
        ),
        build=partial(build_runner, context.pack(), device),
        literature=literature_points(context),
        starts=starts(context).points,
        meaning=partial(composite_key, context),
        device=device,
        provenance={
            "score": spec.evaluation.score,
            "versions": {name: metadata.version(name) for name in PACKAGES}
            | {p.name: p.version for p in plugins_used(spec, context.operations)},
        },
    )


def run(
    spec: StudySpec,
    runs_dir: Path | str = "runs",
    *,
    model: nn.Module | None = None,
    images: Any = None,
    allow_code: bool = False,
    observer: Observer | None = None,
    address: str | None = None,
    takeover: bool = False,
    retry_failed: bool = False,
    tracking_uri: str | None = None,
    executor: ExecutorName = "ray",
) -> StudyResults:
    """Runs what is left of a study and writes its composite, heatmaps, report and MLflow runs.

    Everything about the study is checked first. model, images: the network of `model.python` and
    the images of `data.python`; allow_code: for `model.factory` (see `Given`). address: of a Ray
    cluster; where it is None, that in the environment variable RAY_ADDRESS, as everywhere in Ray.
    tracking_uri: None publishes nothing. Raises as `run_study` does; a tracking server that is down
    is only complained of.
    """
    observer, runs_dir = observer or Silent(), Path(runs_dir)
    if executor == "ray":
        address = address or os.environ.get("RAY_ADDRESS")
    device = decide_device(spec.run.device, address)
    given = Given(model, images, allow_code)
    begun = images_begun_on(spec, runs_dir)
    context = prepare(spec, "cpu" if address is not None else device, given, begun)
    for warning in (*predicted(context)["warnings"], *starts(context).warnings):
        observer.started(f"Warning: {warning}")
    plan = plan_study(spec, context, device)
    with _tracked(plan, tracking_uri, observer) as (watched, finish):
        results = run_study(
            plan,
            runs_dir=runs_dir,
            address=address,
            takeover=takeover,
            retry_failed=retry_failed,
            executor=executor,
            observer=watched,
        )
        observer.started("Drawing heatmaps and figures.")
        results = write_outcome(context, results, runs_dir)
        finish(results)
    return results


@contextlib.contextmanager
def _tracked(
    plan: Plan, tracking_uri: str | None, observer: Observer
) -> Iterator[tuple[Observer, Callable[[StudyResults], None]]]:
    """An observer that also publishes every trial, and what publishes the rest in the end."""
    if tracking_uri is None:
        yield observer, lambda results: None
        return
    publisher = Publisher(planned_results(plan), tracking_uri=tracking_uri, warn=observer.started)
    try:
        yield _Publishing(observer, publisher), publisher.finish
    finally:
        publisher.close()


@dataclass(frozen=True)
class _Publishing:
    """Passes on what it is told, and every trial to the publisher too."""

    observer: Observer
    publisher: Publisher

    def started(self, text: str) -> None:
        self.observer.started(text)

    def estimated(self, estimate: Estimate) -> None:
        self.observer.estimated(estimate)

    def told(self, record: TrialRecord) -> None:
        self.observer.told(record)
        self.publisher.submit(record)

    def progressed(self, progress: Progress) -> None:
        self.observer.progressed(progress)


def outcome_lines(results: StudyResults, runs_dir: Path) -> list[str]:
    """What a finished run says on the console about its result."""
    folder = runs_dir / results.name
    lines = [*_nomination_lines(results), *_front_lines(results), *_statement_lines(results)]
    lines += [f"{count} trials {what}." for what, count in remarkable(results).items()]
    if results.pruned:
        lines.append(f"{trial_counts(results)}.")
    failed = sum(trial.state == "failed" for trial in results.trials)
    if failed:
        lines.append(f"{failed} trials failed; `lrpsweep report` says why.")
    lines += economy_sentences(results)
    composite = folder / "composite.json"
    written = [f"Composite: {composite}"] if results.composite is not None else []
    return [*lines, *written, f"Report:    {folder / 'report.html'}"]


def _nomination_lines(results: StudyResults) -> list[str]:
    """Who is nominated, or the best trial of a study that has no nomination."""
    one, nomination = results.nominee, results.nomination
    lines = [] if one is None else [f"{_heading(results, one)}."]
    if nomination is not None:
        lines.append(nomination.sentence)
        if nomination.stability is not None:
            lines.append(stability_sentence(nomination.stability))
    return lines


def _front_lines(results: StudyResults) -> list[str]:
    """What is on the front of several objectives, and that it is for the user to choose from it."""
    if results.front is None:
        return []
    return [*(_on_front(results, one) for one in results.front.members), results.front.sentence]


def _on_front(results: StudyResults, one: Contender) -> str:
    """'  trial 12: srg 2.1 ± 0.3, auc_morf 1.2 ± 0.2 (gamma1 0.1)'"""
    found = results.result_of(one)
    assert found is not None
    scores = (
        f"{name} {found.mean(name):.4g} ± {found.standard_error(name):.2g}"
        for name in results.objectives
    )
    values = f" ({_shown(one.values)})" if one.values else ""
    return f"  {one.label}: {', '.join(scores)}{values}"


def _heading(results: StudyResults, one: Contender) -> str:
    """'Nominee of 68 candidates: trial 12 (gamma1 0.1), srg 2.1 ± 0.3 on 32 search images'."""
    result, nomination = results.result_of(one), results.nomination
    assert result is not None
    count = len(results.complete)
    among = f"Best of {count} trials"
    if nomination is not None:
        among = f"Nominee of {nomination.candidates} candidates"
    values = f" ({_shown(one.values)})" if one.values else ""
    return (
        f"{among}: {one.label}{values}, {results.objective} "
        f"{result.value:.4g} ± {result.stderr:.2g} on {len(result.scores)} search images"
    )


def _statement_lines(results: StudyResults) -> list[str]:
    found = results.recommendation
    if found is None:
        return []
    labels = {c.baseline: c.baseline + fewer_images(found, c.baseline) for c in found.comparisons}
    width = max(map(len, labels.values()), default=0)
    return [
        f"Verdict: {found.sentence}",
        *([found.current] if found.current else []),
        *(
            f"  {labels[c.baseline]:{width}} {results.objective} {c.mean:8.4g}   difference "
            f"{c.difference:+.4g} [{c.low:+.4g}, {c.high:+.4g}]   p {c.p_adjusted:.2g}"
            for c in found.comparisons
        ),
        *(f"Warning: {warning}" for warning in found.warnings),
    ]


def _shown(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()
    )
