"""A driver in a process of its own: python driver.py RUNS_DIR '{"sampler": ..., "seconds": ...}'.

Prints a line for each trial that is done, and how the run ended.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from quadratic import Build, plan

from lrpsweep.results import TrialRecord
from lrpsweep.sweep.search import Progress, Silent
from lrpsweep.sweep.study import run_study


class Printing(Silent):
    def told(self, record: TrialRecord) -> None:
        pass

    def progressed(self, progress: Progress) -> None:
        print(f"{progress.stage} {progress.done}", flush=True)


def main() -> None:
    runs_dir, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    seconds = options.pop("seconds", 0.0)
    executor = options.pop("executor", "local")
    takeover = options.pop("takeover", False)
    study = plan(build=Build(seconds), **options)
    try:
        run_study(
            study, runs_dir=runs_dir, executor=executor, takeover=takeover, observer=Printing()
        )
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        sys.exit(1)
    print("finished", flush=True)


if __name__ == "__main__":
    main()
