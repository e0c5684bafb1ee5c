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

from lrpsweep.sweep.execution import Outcome, Resources, cluster_has_gpu, ray_executor
from lrpsweep.sweep.study import run_study
from lrpsweep.sweep.validation import JobList


def main() -> None:
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0})
    nodes.add_node(num_cpus=1, num_gpus=0)
    nodes.wait_for_nodes()
    outcomes: list[Outcome] = []
    tasks = JobList({str(i): job(x=i / 20) for i in range(20)}, outcomes.append)
    try:
        with ray_executor(Resources(), nodes.address) as workers:
            workers.run(tasks, Build(0.3))
        print("workers", len({outcome.worker for outcome in outcomes}), flush=True)
        results = run_study(plan(trials=6), runs_dir=Path(sys.argv[1]), address=nodes.address)
        print("trials", len(results.complete), flush=True)
        print("gpu", cluster_has_gpu(nodes.address), flush=True)
    finally:
        nodes.shutdown()


if __name__ == "__main__":
    main()
