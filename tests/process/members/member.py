"""A member in Python: member.py DIRECTORY LISTEN SEEDS, the seeds with commas between them, or `-` to found the ring.

Prints `ready ID`, answers each line of its input (`status`, `get KEY`), and ends in order when the input ends.
"""

import json
import sys

import ringkeep


def status(node: ringkeep.Node) -> str:
    members = [
        {"id": member.id, "state": member.state, "hints_pending": member.hints_pending}
        for member in node.cluster.status().members
    ]
    return json.dumps({"status": {"members": members}, "metrics": dict(node.metrics())})


def get(node: ringkeep.Node, key: str) -> str:
    try:
        value = node.get(key, r=1)
    except ringkeep.Error as error:
        return f"error {error}"
    return "-" if value is None else value.decode()


def main(path: str, listen: str, seeds: str) -> None:
    seeds_given = [] if seeds == "-" else seeds.split(",")
    with ringkeep.open(path, listen=listen, create=not seeds_given, seeds=seeds_given, insecure=True) as node:
        node.ready()
        print("ready", node.id, flush=True)
        for line in sys.stdin:
            command, _, key = line.rstrip("\n").partition(" ")
            print(get(node, key) if command == "get" else status(node), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
