"""The network feed of a configuration without an ingress (support/feedtail.c), and the map its steps make."""
import json

from processes import Process, wait_for
from world import BIN


class FeedTail(Process):
    def __init__(self, directory, name="feedtail", resume=None, **feed):
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / f"{name}.yaml"
        config.write_text(json.dumps({"listen": [{"address": "127.0.0.1:443"}],
                                      "identities": [{"name": "default", "key_file": "k"}], "feed": feed}))
        super().__init__(name, [BIN / "tests/feedtail", config, *([resume] if resume else [])], directory)

    def lines(self):
        """Whole ones: the last may be on its way."""
        return self.out.read_text().rpartition("\n")[0].splitlines() if self.out.exists() else []

    def nodes(self):
        """The map, as one that keeps to feed_op.h would have it: id -> row."""
        nodes, staged = {}, None
        for line in self.lines():
            word, _, rest = line.partition(" ")
            if word == "begin":
                assert staged is None
                staged = {}
            elif word == "put":
                row = json.loads(rest)
                (nodes if staged is None else staged)[row["id"]] = row
            elif word in ("remove", "revoke"):
                assert staged is None or word == "revoke"
                (nodes if staged is None else staged).pop(rest, None)
            elif word == "end":
                nodes, staged = staged, None
            elif word == "abort":
                assert staged is not None
                staged = None
        return nodes

    def states(self):
        return [line for line in self.lines() if line.startswith("state ")]

    def count(self, word):
        return sum(line.split(" ")[0] == word for line in self.lines())

    def wait_nodes(self, expected, timeout=10):
        wait_for(f"the map is {sorted(expected)}; it is {sorted(self.nodes())}", lambda: self.nodes() == expected, timeout)

    def wait_state(self, text, timeout=10):
        return wait_for(f"a state with {text!r} in {self.states()[-3:]}",
                        lambda: next((s for s in self.states() if text in s), None), timeout)
