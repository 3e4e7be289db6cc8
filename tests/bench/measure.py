"""What the benchmarks share: CPU time and memory of a process, medians, and the JSON form (design, section 13)."""
import json
import statistics
from pathlib import Path


def cpu_s(pid):
    """Seconds that all threads of a process have run, user and kernel."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def memory_bytes(pid, field="VmRSS"):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def child_of(pid):
    """The one child of a supervisor: the server."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def threads_of(pid):
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


class Results:
    """Figures as they come, shown at once, and written as the list the design describes."""

    def __init__(self, subject="funnel-ingress"):
        self.subject = subject
        self.rows = []

    def add(self, measure, values, unit, **parameters):
        values = values if isinstance(values, list) else [values]
        row = {"measure": measure, "subject": self.subject, "median": statistics.median(values), "min": min(values),
               "max": max(values), "unit": unit, **parameters}
        self.rows.append(row)
        shown = " ".join(f"{k}={v}" for k, v in parameters.items())
        print(f"{measure:30} {self.subject:16} {row['median']:>14,.3f} {unit:14} "
              f"({row['min']:,.3f} to {row['max']:,.3f}) {shown}", flush=True)
        return row["median"]

    def write(self, file):
        if file:
            Path(file).write_text(json.dumps(self.rows, indent=1) + "\n")
