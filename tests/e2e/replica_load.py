"""Ask replicas from inside their network: `replica_load.py ADDRESS COUNT`.

Says `warm` once it has asked all of them, and at a line on stdin asks COUNT times; says how often
it was answered, and at the next line asks as often again, and says `a third` on its way.
"""

import sys
from collections.abc import Iterator
from functools import partial

import numpy as np

from anyres_client import Client
from anyres_client.many import Answer

IN_FLIGHT = 8


def main(address: str, count: int) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (224, 224, 3), np.uint8)
    with Client(address) as client:
        client.wait_ready()
        ask = partial(
            client.predict_many, model="mobilenet_v2_fcn", in_flight=IN_FLIGHT, ordered=False
        )
        for _ in ask([pixels] * 12):
            pass
        say("warm")
        say(answered(ask([pixels] * count)))
        say(answered(ask([pixels] * count), mark=count // 3))


def answered(answers: Iterator[Answer], mark: int = 0) -> str:
    sys.stdin.readline()
    right = 0
    for done, answer in enumerate(answers, start=1):
        right += answer.error is None
        if done == mark:
            say("a third")
    return f"answered {right}"


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


main(sys.argv[1], int(sys.argv[2]))
