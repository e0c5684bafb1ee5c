"""`lrpsweep explain`: one image's heatmap, as a picture or as numbers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from lrpsweep.commands.explain import load_composite
from lrpsweep.commands.outputs import check_output
from lrpsweep.errors import InputError, guess
from lrpsweep.files import write_atomically
from lrpsweep.report import render_heatmap, to_png


def explain_image(
    image: Path,
    composite: Path,
    output: Path,
    *,
    target: str | None = None,
    weights: str | None = None,
    **options: Any,
) -> str:
    """Explains an image file and writes the heatmap, as a picture or (.npy) as numbers.

    weights, options: as `load_composite`. Returns what was explained, in a sentence. Raises
    InputError when `output` is a file that is read for it.
    """
    read = {image: "the image that is explained", composite: "the composite"}
    if weights is not None:
        read[Path(weights)] = "the file of weights"
    check_output(output, (".png", ".npy"), read)
    tuned = load_composite(composite, weights=weights, **options)
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
        content = io.BytesIO()
        np.save(content, heatmap)
        write_atomically(output, content.getvalue())
    else:
        pixels = tuned.pixels(image)
        figure = render_heatmap(heatmap, image=pixels, title=f"class {name}", unit="logit")
        write_atomically(output, to_png(figure))
    return f"{output}: class {name}, relevance {heatmap.sum():.4g} in all."


def _class(target: str, classes: tuple[str, ...]) -> int:
    if target.isdigit():
        return int(target)
    if target in classes:
        return classes.index(target)
    raise InputError(
        f"--target: the model has no class '{target}'; expected an index or a class name."
        f"{guess(target, classes)}"
    )
