"""A cluster of two nodes on this machine, a CPU each, and a study on it.

python cluster.py RUNS_DIR prints how many workers ran trials, then how many trials have results.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))

from quadratic import Build, job, plan
from ray.cluster_utils import Cluster

from lrpsweep.sweep.execution import Job, Outcome, Resources, cluster_has_gpu, ray_executor
from lrpsweep.sweep.study import run_study


class Jobs:
    """A source of these jobs; `outcomes` as they come."""

    def __init__(self, jobs: list[Job]) -> None:
        self._waiting = jobs
        self._running = 0
        self.outcomes: list[Outcome] = []

    @property
    def finished(self) -> bool:
        return not self._waiting and not self._running

    def next(self) -> Job | None:
        if not self._waiting:
            return None
        self._running += 1
        return self._waiting.pop(0)

    def done(self, task: Job, outcome: Outcome) -> None:
        self._running -= 1
        self.outcomes.append(outcome)


def main() -> None:
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0})
    nodes.add_node(num_cpus=1, num_gpus=0)
    nodes.wait_for_nodes()
    tasks = Jobs([job(x=i / 20) for i in range(20)])
    try:
        with ray_executor(Resources(), nodes.address) as workers:
            workers.run(tasks, Build(0.3))
        print("workers", len({outcome.worker for outcome in tasks.outcomes}), flush=True)
        results = run_study(plan(trials=6), runs_dir=Path(sys.argv[1]), address=nodes.address)
        print("trials", len(results.complete), flush=True)
        print("gpu", cluster_has_gpu(nodes.address), flush=True)
    finally:
        nodes.shutdown()


if __name__ == "__main__":
    main()
