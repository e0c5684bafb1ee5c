"""From a study file to what its user holds in the end: composite, heatmaps, report, MLflow runs.

Everything written here can be written again from the database: the folder `runs/NAME` is a view.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lrpsweep.attribution.zennit.export import certify, zennit_data, zennit_source
from lrpsweep.commands.composite_json import composite_document, write_composite
from lrpsweep.commands.describe import predicted
from lrpsweep.commands.explain import load_composite
from lrpsweep.composites.file import read_composite
from lrpsweep.errors import InputError, WorkError, guess
from lrpsweep.evaluation import METRICS
from lrpsweep.report import (
    comparison_lines,
    figure_distributions,
    render_heatmap,
    to_png,
    write_report,
)
from lrpsweep.report.mlflow import Publisher, publish
from lrpsweep.results import StudyResults, TrialRecord
from lrpsweep.study import StudySpec, identity
from lrpsweep.sweep.search import Estimate, Observer, Progress, Silent
from lrpsweep.sweep.study import (
    ExecutorName,
    Plan,
    decide_device,
    load_results,
    planned_results,
    run_study,
    worker_build,
)
from lrpsweep.trial.context import Context, Given, Task, prepare
from lrpsweep.trial.illustrate import illustrate, read_illustrations, write_illustrations
from lrpsweep.trial.literature import baselines, composite_key, literature_points

COMPARED = 2
"""Of how many search images an exported composite's relevance is compared with zennit's."""

SAME = 1e-6
"""Relevance that differs by less of its largest is the same."""

PACKAGES = ("lrpsweep", "torch", "torchvision", "opencv-python-headless", "optuna", "ray")


def plan_study(spec: StudySpec, context: Context, device: str) -> Plan:
    """All that the sweep has to know of a prepared study."""
    spec_hash, canonical = _identity(context)
    validated = len(context.split.validation.ids) > 0
    return Plan(
        spec=spec,
        direction=METRICS[spec.objective].direction,
        identity=canonical,
        spec_hash=spec_hash,
        build=worker_build(context.pack(), device),
        literature=literature_points(context),
        baselines=baselines(context) if validated else (),
        meaning=partial(composite_key, context),
        device=device,
        provenance={
            "score": spec.evaluation.score,
            "versions": {name: metadata.version(name) for name in PACKAGES},
        },
    )


def _identity(context: Context) -> tuple[str, dict[str, Any]]:
    splits = (context.split.search, context.split.validation)
    return identity(
        context.spec,
        fingerprint=context.model.fingerprint,
        image_ids=[image for split in splits for image in split.ids],
        image_hashes=[mark for split in splits for mark in split.hashes],
        targets=[*context.targets["search"].tolist(), *context.targets["validation"].tolist()],
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
    the images of `data.python`; allow_code: for `model.factory` (see `Given`). tracking_uri: None
    publishes nothing. Raises as `run_study` does; a tracking server that is down is only
    complained of.
    """
    observer, runs_dir = observer or Silent(), Path(runs_dir)
    device = decide_device(spec.run.device, address)
    given = Given(model, images, allow_code)
    context = prepare(spec, "cpu" if address is not None else device, given)
    for warning in predicted(context)["warnings"]:
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


def write_outcome(context: Context, results: StudyResults, runs_dir: Path) -> StudyResults:
    """Writes heatmaps.npz, composite.json and report.html; gives the results with them."""
    folder = runs_dir / results.name
    folder.mkdir(parents=True, exist_ok=True)
    best = recommended_trial(results)
    illustrations = illustrate(context, best.values, _strongest_baseline(context, results))
    document = composite_document(context, results, best)
    write_illustrations(illustrations, folder / "heatmaps.npz")
    write_composite(document, folder / "composite.json")
    results = replace(results, illustrations=illustrations, composite=document)
    write_report(results, folder / "report.html")
    return results


def recommended_trial(results: StudyResults) -> TrialRecord:
    """The trial that was validated, else the best one on the search images."""
    ranked = results.ranked()
    if not ranked:
        raise InputError(f"study '{results.name}': no trial has a result yet.")
    if results.recommendation is None:
        return ranked[0]
    return next(t for t in ranked if t.number == results.recommendation.number)


def _strongest_baseline(context: Context, results: StudyResults) -> str:
    """The published composite with the best validation score, else the first that fits."""
    found = results.recommendation
    if found is None or not found.comparisons:
        return baselines(context)[0]
    sign = 1 if results.direction == "minimize" else -1
    return min(found.comparisons, key=lambda c: sign * c.mean).baseline


def read_outcome(spec: StudySpec, runs_dir: Path, given: Given | None = None) -> StudyResults:
    """A study's results from its database, with heatmaps and composite of its folder.

    What the folder lacks is made anew, which needs the study's model and images.
    """
    results = load_results(spec, runs_dir)
    folder = runs_dir / results.name
    illustrations = read_illustrations(folder / "heatmaps.npz")
    composite = folder / "composite.json"
    if illustrations is None or not composite.exists():
        return write_outcome(_prepared_as_run(spec, results, given), results, runs_dir)
    return replace(results, illustrations=illustrations, composite=read_composite(composite))


def study_status(spec: StudySpec, runs_dir: Path) -> dict[str, Any]:
    """How far a study is, from its database alone."""
    results = load_results(spec, runs_dir)
    states = [trial.state for trial in results.trials]
    status: dict[str, Any] = {
        "study": results.name,
        "planned": results.planned,
        **{state: states.count(state) for state in dict.fromkeys(("complete", *states))},
        **_remarkable(results),
    }
    if results.complete:
        best = results.ranked()[0]
        assert best.result is not None
        status |= {
            "best trial": best.number,
            f"best {results.objective}": best.result.value,
            "standard error": best.result.stderr,
            **{f"best {name}": value for name, value in best.values.items()},
        }
    if results.recommendation is not None:
        status["verdict"] = results.recommendation.sentence
    return status


def _remarkable(results: StudyResults) -> dict[str, int]:
    """How many complete trials are not like others, by what they are."""
    found = {
        "with the result of an equal composite": sum(
            t.same_as is not None for t in results.complete
        ),
        "beyond a bound": sum(bool(t.exceeded) for t in results.complete),
        "unstable": sum(bool(t.result and t.result.unstable) for t in results.complete),
    }
    return {what: count for what, count in found.items() if count}


def write_study_report(
    spec: StudySpec, runs_dir: Path, output: Path | None = None, given: Given | None = None
) -> Path:
    """Writes the report anew, by default to runs/NAME/report.html, and gives its path."""
    results = read_outcome(spec, runs_dir, given)
    path = output or runs_dir / results.name / "report.html"
    write_report(results, path)
    return path


def publish_study(
    spec: StudySpec, runs_dir: Path, tracking_uri: str, given: Given | None = None
) -> None:
    """Rebuilds a study's MLflow runs."""
    publish(read_outcome(spec, runs_dir, given), tracking_uri=tracking_uri)


def compare_studies(specs: Sequence[StudySpec], runs_dir: Path, output: Path) -> list[str]:
    """Draws the distributions of several studies' scores (.png) and gives lines that compare them.

    Reads their databases alone. Raises InputError when one of them has no result.
    """
    _check_output(output, (".png",))
    studies = [load_results(spec, runs_dir) for spec in specs]
    for study in studies:
        recommended_trial(study)
    output.write_bytes(to_png(figure_distributions(studies)))
    return [*comparison_lines(studies), f"{output}: written."]


def export_composite(
    spec: StudySpec,
    runs_dir: Path,
    output: Path,
    *,
    trial: int | None = None,
    unvalidated: bool = False,
    for_zennit: bool = False,
    given: Given | None = None,
) -> str:
    """Writes the recommended composite, or that of a trial: as JSON, or as Python for zennit.

    Where zennit is installed, its relevance of the first search images is compared with lrpsweep's.
    Returns what was written and how they compare, in a sentence. Raises InputError when the trial
    was not validated and `unvalidated` does not allow that, and for what zennit has no rule for;
    WorkError when what was meant for zennit gives other heatmaps there.
    """
    _check_output(output, (".py",) if for_zennit else (".json",))
    results = load_results(spec, runs_dir)
    record = recommended_trial(results) if trial is None else _trial(results, trial)
    found = results.recommendation
    validated = found is not None and found.number == record.number
    if not validated and not unvalidated:
        raise InputError(
            f"study '{results.name}': trial {record.number} was not tested on validation images; "
            "expected a finished study with data.split.validation above 0, or --unvalidated."
        )
    context = _prepared_as_run(spec, results, given)
    composite = context.composite(Task(values=record.values))
    rules, bounds = composite.rules(context.layers), context.model.pixel_bounds
    if for_zennit:
        data = zennit_data(context.model.net, rules, bounds)
    images = context.model.normalize(context.split.search.images[:COMPARED])
    targets = torch.as_tensor(context.targets["search"][:COMPARED], device=images.device)
    parity = certify(context.model.net, rules, bounds, images, targets)
    compared = _compared(parity)
    if for_zennit:
        _check_same(parity)
        about = (
            f"The LRP composite of trial {record.number} of the study {results.name!r}, for zennit."
            f"\n\nWritten by lrpsweep {metadata.version('lrpsweep')} for the network "
            f"{context.model.name!r} with weights {context.model.fingerprint[:12]}…\n{compared}"
        )
        output.write_text(zennit_source(data, about), encoding="utf-8")
    else:
        write_composite(composite_document(context, results, record, parity), output)
    return f"{output}: written. {compared}"


def _compared(parity: Mapping[str, Any] | None) -> str:
    if parity is None:
        return "Not compared with zennit, which is not installed."
    if "not_expressible" in parity:
        return f"Not compared with {parity['against']}: {parity['not_expressible']}."
    return (
        f"Relevance differs from that of {parity['against']} by at most "
        f"{parity['largest_relative_difference']:.1e} of the largest "
        f"({parity['images']} images, float64)."
    )


def _check_same(parity: Mapping[str, Any] | None) -> None:
    found = 0.0 if parity is None else parity["largest_relative_difference"]
    if not found < SAME:
        raise WorkError(
            f"zennit explains this network in another way: relevance differs by {found:.1e} of the "
            "largest. Does forward() overwrite tensors that it uses later?"
        )


def _prepared_as_run(spec: StudySpec, results: StudyResults, given: Given | None) -> Context:
    """The study's context; raises InputError when the file is not the one that was run."""
    context = prepare(spec, given=given)
    if _identity(context)[0] != results.spec_hash:
        raise InputError(
            f"{spec.path}: is not the study '{results.name}' that was run: model, images, "
            "composite, space or evaluation differ. Expected the file as it was, which is kept as "
            "study.yaml in the runs folder."
        )
    return context


def _trial(results: StudyResults, number: int) -> TrialRecord:
    for record in results.complete:
        if record.number == number:
            return record
    raise InputError(
        f"--trial: study '{results.name}' has no complete trial {number}; expected one of "
        f"{len(results.complete)} complete trials, best first: "
        f"{', '.join(str(t.number) for t in results.ranked()[:10])}."
    )


def explain_image(
    image: Path,
    composite: Path,
    output: Path,
    *,
    target: str | None = None,
    **options: Any,
) -> str:
    """Explains an image file and writes the heatmap, as a picture or (.npy) as numbers.

    options: as `load_composite`. Returns what was explained, in a sentence.
    """
    _check_output(output, (".png", ".npy"))
    tuned = load_composite(composite, **options)
    inputs = tuned.read([image])
    chosen = (
        tuned.predict(inputs)
        if target is None
        else inputs.new_tensor([_class(target, tuned.model.classes)]).long()
    )
    heatmap = tuned.explain(inputs, chosen)[0].cpu().numpy()
    index = int(chosen[0])
    name = f"{index} ({tuned.model.classes[index]})" if tuned.model.classes else str(index)
    if output.suffix == ".npy":
        np.save(output, heatmap)
    else:
        pixels = tuned.pixels(image)
        figure = render_heatmap(heatmap, image=pixels, title=f"class {name}", unit="logit")
        output.write_bytes(to_png(figure))
    return f"{output}: class {name}, relevance {heatmap.sum():.4g} in all."


def _check_output(output: Path, suffixes: tuple[str, ...]) -> None:
    if output.suffix not in suffixes:
        raise InputError(
            f"--output {output}: expected a name that ends in {' or '.join(suffixes)}."
        )
    if not output.parent.is_dir():
        raise InputError(f"--output {output}: there is no folder '{output.parent}'.")


def _class(target: str, classes: tuple[str, ...]) -> int:
    if target.isdigit():
        return int(target)
    if target in classes:
        return classes.index(target)
    raise InputError(
        f"--target: the model has no class '{target}'; expected an index or a class name."
        f"{guess(target, classes)}"
    )


def outcome_lines(results: StudyResults, runs_dir: Path) -> list[str]:
    """What a finished run says on the console about its result."""
    best = recommended_trial(results)
    assert best.result is not None
    folder = runs_dir / results.name
    lines = [
        f"Best of {len(results.complete)} trials on the search images: trial {best.number} "
        f"({_shown(best.values)}), {results.objective} {best.result.value:.4g} ± "
        f"{best.result.stderr:.2g}."
    ]
    found = results.recommendation
    if found is not None:
        lines.append(f"Verdict: {found.sentence}")
        width = max((len(c.baseline) for c in found.comparisons), default=0)
        lines += [
            f"  {c.baseline:{width}} {results.objective} {c.mean:8.4g}   difference "
            f"{c.difference:+.4g} [{c.low:+.4g}, {c.high:+.4g}]   p {c.p_holm:.2g}"
            for c in found.comparisons
        ]
        lines += [f"Warning: {warning}" for warning in found.warnings]
    lines += [f"{count} trials {what}." for what, count in _remarkable(results).items()]
    failed = len(results.trials) - len(results.complete)
    if failed:
        lines.append(f"{failed} trials failed; `lrpsweep report` says why.")
    return [
        *lines,
        f"Composite: {folder / 'composite.json'}",
        f"Report:    {folder / 'report.html'}",
    ]


def _shown(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()
    )
