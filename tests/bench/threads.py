"""threads.py - inside the namespace of threads.sh: two workers under load, and what the thread sanitizer says to it."""
import json
import sys
import tempfile
import time
from pathlib import Path

from subjects import FunnelIngress

LOADS = (("conn", 32), ("up", 8), ("down", 8))


class Watched(FunnelIngress):
    def configure(self):
        super().configure()
        file = self.directory / "ingress.yaml"
        self.write(file.name, {**json.loads(file.read_text()), "sandbox": "off"})


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(prefix="funnel-threads.") as directory:
        subject = Watched(Path(directory) / "subject", nodes=4, workers=2)
        try:
            subject.start()
            subject.wait_carries()
            for load in LOADS:
                subject.load.report()
                sunk = subject.backend.report()["bytes"]
                subject.load.tell(*load)
                time.sleep(seconds)
                report, sunk = subject.load.report(), subject.backend.report()["bytes"] - sunk
                subject.load.tell("stop")
                print(f"{load[0]}: {report['done']} connections, {report['failed']} failed, {sunk >> 20} MiB up, "
                      f"{report['bytes'] >> 20} MiB down")
                assert report["failed"] == 0 and (report["done"] or sunk or report["bytes"]), report
            ingress, *nodes = subject.processes
            statuses = [process.stop(60) for process in (ingress, *nodes)]
            said = "\n".join(process.defects(400) for process in subject.processes if process.defects())
        finally:
            subject.stop()
    print(said or "the thread sanitizer has nothing to say")
    assert not said and not any(statuses), f"exit statuses {statuses}"


main()
