"""A worker's whole job: one task after another on one device."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from typing import Any

import torch

from lrpsweep.evaluation.racing import read_race
from lrpsweep.results import Candidate
from lrpsweep.trial.context import Packed, Task
from lrpsweep.trial.trial import run_trial


def build_runner(packed: Packed, device: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """The function that runs tasks, as JSON values like `Task`'s fields, on 'cpu' or 'cuda'.

    Its answers are `TrialResult.to_json()`, with how many images passed the network to be explained
    or scored ('forwards') and the worker's memory so far ('memory_bytes').
    """
    context = packed.unpack(device)
    torch.set_num_threads(context.threads)

    def run(given: Mapping[str, Any]) -> dict[str, Any]:
        task = read_task(given)
        result = run_trial(context, task)
        forwards = len(result.scores) + result.counts["forwards"]
        return result.to_json() | {"forwards": forwards, "memory_bytes": _memory(device)}

    return run


def read_task(given: Mapping[str, Any]) -> Task:
    """A task from JSON values: its fields, the candidate by its own."""
    rows, race = given.get("rows"), given.get("race")
    read = {
        "candidate": Candidate(**given["candidate"]),
        "objectives": tuple(given.get("objectives", ())),
        "steps": tuple(given.get("steps", ())),
        "rows": rows and tuple(rows),
        "race": race and read_race(race),
    }
    return Task(**{**given, **read})


def _memory(device: str) -> int:
    """Most memory that this process has held, in bytes: on the GPU where there is one."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
