"""A cluster of Ray's with two machines of one processor each, on this one, in a process of its own:

two_nodes -> its address          on standard output
kill      -> killed               the second machine, without a word
take      -> taken                every processor, for somebody else
free      -> freed                them again
the end of standard input         the end of the cluster
"""

from __future__ import annotations

import logging
import sys

import ray
from ray.cluster_utils import Cluster

STORE_BYTES = 100 * 2**20


def main() -> None:
    """Start it, and do what is said."""
    machine = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={**machine, "include_dashboard": False})
    second = cluster.add_node(**machine)
    _say(cluster.address)
    for line in sys.stdin:
        match line.strip():
            case "kill":
                cluster.remove_node(second, allow_graceful=False)
                _say("killed")
            case "take":
                ray.init(cluster.address, log_to_driver=False, logging_level=logging.CRITICAL)
                holds = [ray.remote(num_cpus=1)(_Other).remote() for _ in range(2)]
                ray.get([each.here.remote() for each in holds])
                _say("taken")
            case "free":
                ray.shutdown()
                _say("freed")
    cluster.shutdown()


class _Other:
    """Holds a processor for as long as it is there."""

    def here(self) -> None:
        """Answers once it is."""


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
