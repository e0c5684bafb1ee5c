"""A Ray cluster of one node with two CPUs: prints its address, and ends when its input does.

The token that RAY_AUTH_TOKEN holds is the cluster's.
"""

import sys

from ray.cluster_utils import Cluster

if __name__ == "__main__":
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 0})
    print(nodes.address, flush=True)
    sys.stdin.read()
    nodes.shutdown()
