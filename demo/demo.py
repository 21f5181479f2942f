"""The main job on real data: a ring of three processes in three languages, a client in C, a loss in the middle.

Usage: demo.py [DATA...]. Each DATA is a directory whose files are stored under their paths; the default is the Python
standard library and this repository. The programs beside this file must have been built (`make demo` does it).
"""

from __future__ import annotations

import hashlib
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import ringkeep

ROOT = Path(__file__).resolve().parent.parent
VALUE_BYTES_MAX = 8 << 20
SKIPPED_FOLDERS = {".git", "target", "build", "dist", "node_modules", "__pycache__", ".venv", "site-packages"}
BAR_WIDTH = 40


class Failed(Exception):
    """What the demonstration found wrong."""


@dataclass
class Member:
    """One process of the ring."""

    name: str
    command: list[str]
    directory: Path
    listen: str
    seed: str | None
    process: subprocess.Popen[str] | None = None
    id: str = ""

    def start(self) -> None:
        arguments = [*self.command, str(self.directory), self.listen, *([self.seed] if self.seed else [])]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        words = self.read_line().split()
        if words[:1] != ["ready"]:
            raise Failed(f"the {self.name} member did not start: {' '.join(words)}")
        self.id = words[1]

    def read_line(self) -> str:
        assert self.process is not None and self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"the {self.name} member ended with {self.process.wait()}")
        return line.rstrip("\n")

    def ask(self, key: str) -> str:
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(key + "\n")
        self.process.stdin.flush()
        return self.read_line()

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def list_files(roots: list[Path]) -> list[Path]:
    files = []
    for root in roots:
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
            paths = (Path(folder) / name for name in sorted(names))
            files += [path for path in paths if path.is_file() and not path.is_symlink()]
    return [path for path in files if "\n" not in str(path) and str(path).isprintable()]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def show_bar(label: str, done: int, total: int) -> None:
    filled = BAR_WIDTH * done // max(total, 1)
    end = "\n" if done >= total else ""
    if sys.stderr.isatty() or end:
        bar = "#" * filled + "." * (BAR_WIDTH - filled)
        print(f"\r{label:<28}[{bar}] {done}/{total}{end}", end="", file=sys.stderr, flush=True)


def store_files(uri: str, files: list[Path], victim: Member) -> tuple[dict[str, str], int]:
    """Stores all files through the C client and kills a member half-way; gives what was skipped, and the retries."""
    listing = tempfile.TemporaryFile("w+")
    listing.writelines(f"{path}\n" for path in files)
    listing.seek(0)
    client = subprocess.Popen([str(ROOT / "build/demo/store"), uri], stdin=listing, stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    skipped: dict[str, str] = {}
    retries, killed, stored = 0, False, 0
    for line in client.stdout:
        word, *rest = line.split(maxsplit=2)
        if word == "skipped":
            skipped[rest[1].rstrip("\n")] = rest[0]
        elif word == "stored":
            stored = int(rest[0])
        elif word == "done":
            stored, retries = int(rest[0]), int(rest[1].split()[1])
        show_bar("C client stores", min(stored + len(skipped), len(files)), len(files))
        if not killed and stored * 2 >= len(files):
            killed = True
            victim.kill()
            print(f"\n  SIGKILL to the {victim.name} member ({victim.id}); the client goes on", file=sys.stderr)
    if client.wait() != 0:
        raise Failed("the C client gave up")
    if not killed:
        raise Failed("the files were stored before the member could be killed: give more DATA")
    return skipped, retries


def read_by_python(uri: str, keys: list[str]) -> dict[str, str]:
    seen = {}
    with ringkeep.connect(uri, timeout=10.0) as client:
        for at in range(0, len(keys), 64):
            batch = keys[at : at + 64]
            for key, value in client.get_many(batch).items():
                seen[str(key)] = hashlib.sha256(value).hexdigest()
            show_bar("Python client reads", min(at + 64, len(keys)), len(keys))
    return seen


def read_by_node(uri: str, keys: list[str]) -> dict[str, str]:
    reader = subprocess.Popen(
        ["node", str(ROOT / "build/demo/read.mjs"), uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT / "build/demo"
    )
    assert reader.stdin is not None and reader.stdout is not None
    text = "".join(f"{key}\n" for key in keys).encode()
    lines: list[str] = []
    rest, sent = b"", 0
    selector = selectors.DefaultSelector()
    os.set_blocking(reader.stdin.fileno(), False)
    selector.register(reader.stdin, selectors.EVENT_WRITE)
    selector.register(reader.stdout, selectors.EVENT_READ)
    while selector.get_map():
        for event, _ in selector.select():
            if event.fileobj is reader.stdin:
                sent += os.write(reader.stdin.fileno(), text[sent : sent + 65536])
                if sent == len(text):
                    selector.unregister(reader.stdin)
                    reader.stdin.close()
            else:
                chunk = os.read(reader.stdout.fileno(), 65536)
                if not chunk:
                    selector.unregister(reader.stdout)
                    continue
                *whole, rest = (rest + chunk).split(b"\n")
                lines += [line.decode() for line in whole]
                show_bar("Node.js client reads", len(lines), len(keys))
    if reader.wait() != 0:
        raise Failed("the Node.js reader failed")
    return dict(zip(keys, lines, strict=True))


def show_owners(uri: str, members: list[Member]) -> None:
    names = {member.id: member.name for member in members}
    with ringkeep.connect(uri) as client:
        ring = client.cluster.ring()
        first = Counter(owners[0] for owners in ring)
        every = Counter(owner for owners in ring for owner in owners)
        print(f"Who owns what: {len(ring)} partitions, epoch {client.cluster.status().epoch}")
        for member in client.cluster.status().members:
            owns, leads = every[member.id], first[member.id]
            print(f"  n{member.number} {names[member.id]:<8} {member.address:<22} owner of {owns}, first of {leads}")


def count_mismatches(expected: dict[str, str], seen: dict[str, str]) -> int:
    return sum(seen.get(key) != digest for key, digest in expected.items())


def wait_until_it_serves(victim: Member, expected: dict[str, str]) -> int:
    """How many of all keys the restarted member serves from its own copy, once it has caught up."""
    deadline = time.monotonic() + 60
    while True:
        good = 0
        for key, digest in expected.items():
            if victim.ask(key) != digest:
                break
            good += 1
            show_bar(f"{victim.name} member, own copy", good, len(expected))
        if good == len(expected) or time.monotonic() > deadline:
            return good
        time.sleep(0.2)


def members_in(folder: Path) -> list[Member]:
    addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
    commands = {
        "Rust": [str(ROOT / "build/demo/node")],
        "Python": [sys.executable, str(ROOT / "demo/node.py")],
        "Node.js": ["node", str(ROOT / "build/demo/node.mjs")],
    }
    return [
        Member(name, command, folder / name.lower(), address, None if address == addresses[0] else addresses[0])
        for (name, command), address in zip(commands.items(), addresses, strict=True)
    ]


def run(files: list[Path], folder: Path) -> int:
    members = members_in(folder)
    victim = members[1]
    started = time.monotonic()
    try:
        for member in members:
            member.start()
            print(f"{member.name} member {member.id} serves at {member.listen}")
        uri = "ringkeep://" + ",".join(member.listen for member in members) + "?timeout=10s"
        show_owners(uri, members)
        skipped, retries = store_files(uri, files, victim)
        stored = [path for path in files if str(path) not in skipped]
        expected = {str(path): sha256(path) for path in stored}
        mismatches = count_mismatches(expected, read_by_python(uri, list(expected)))
        mismatches += count_mismatches(expected, read_by_node(uri, list(expected)))
        print(f"Restarting the {victim.name} member")
        victim.start()
        served = wait_until_it_serves(victim, expected)
        mismatches += len(expected) - served
        seconds = time.monotonic() - started
        for path, reason in skipped.items():
            print(f"  not stored ({reason}): {path}")
        size = sum(path.stat().st_size for path in stored)
        print(
            f"Summary: files {len(stored)}, bytes {size}, skipped {len(skipped)}, seconds {seconds:.1f}, "
            f"retries {retries}, served again by the restarted member {served}, mismatches {mismatches}"
        )
        return 0 if mismatches == 0 else 1
    finally:
        for member in members:
            member.stop()


def main(roots: list[str]) -> int:
    default = [Path(sysconfig.get_path("stdlib")), ROOT]
    files = list_files([Path(root).resolve() for root in roots] or default)
    if not files:
        print("there are no files under DATA", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="ringkeep-demo-"))
    try:
        return run(files, folder)
    except Failed as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
