"""A member of a ring in Python: node.py DIRECTORY LISTEN [SEED].

Prints one line when it serves. Each line on standard input is a key to read from this node's own copy (r=1); the answer is
its SHA-256, or a dash. The node closes in order when the input ends.
"""

import hashlib
import sys

import ringkeep


def main(path: str, listen: str, seed: str | None = None) -> None:
    with ringkeep.open(path, listen=listen, create=seed is None, seeds=[seed] if seed else []) as node:
        node.ready()
        print("ready", node.id, node.address, flush=True)
        for line in sys.stdin:
            value = node.get(line.rstrip("\n"), r=1)
            print("-" if value is None else hashlib.sha256(value).hexdigest(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
