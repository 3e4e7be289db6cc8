"""Programs under test and their helpers: started, watched through what they write, ended by their own pid."""
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

POLL_S = 0.02
# What the sanitizers and BUG_ON write; none of it is ever an acceptable end of a test.
DEFECT = re.compile(r"(AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|ThreadSanitizer|runtime error:| bug at=)")


class Deadline(AssertionError):
    """What was waited for did not happen in time."""


def wait_for(what, condition, timeout=10):
    """Poll until condition() is true and return its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Deadline(f"not within {timeout} s: {what}")
        time.sleep(POLL_S)


def run(argv, timeout=30, check=True, **options):
    """A command to its end; output as text unless text=False."""
    options.setdefault("text", True)
    done = subprocess.run([str(a) for a in argv], capture_output=True, timeout=timeout, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{argv[0]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


class Process:
    """One long-running program. Standard output and error go to files, which restarts continue."""

    def __init__(self, name, argv, directory, env=None):
        self.name = name
        self.argv = [str(a) for a in argv]
        self.directory = Path(directory)
        self.env = {**os.environ, **(env or {})}
        self.out = self.directory / f"{name}.out"
        self.err = self.directory / f"{name}.err"
        self.popen = None

    def start(self):
        assert not self.running(), f"{self.name} runs already"
        with open(self.out, "ab") as out, open(self.err, "ab") as err:
            self.popen = subprocess.Popen(self.argv, cwd=self.directory, env=self.env, stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=err, start_new_session=True)
        return self

    def running(self):
        return self.popen is not None and self.popen.poll() is None

    @property
    def pid(self):
        return self.popen.pid

    def signal(self, number):
        assert self.running(), f"{self.name} has ended with {self.popen.returncode}"
        self.popen.send_signal(number)

    def wait(self, timeout=10):
        """Its exit status."""
        return self.popen.wait(timeout)

    def stop(self, timeout=15):
        """End it politely, or else by force; its exit status, None when it did not run."""
        if self.popen is None:
            return None
        if self.running():
            self.popen.terminate()
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Deadline(f"{self.name} did not end within {timeout} s of SIGTERM") from None

    def kill(self):
        """End it and what it started, at once. The group is its own: see start_new_session."""
        if self.popen is not None and self.popen.returncode is None:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()

    def log(self, since=0):
        if not self.err.exists():
            return ""
        with open(self.err, "rb") as file:
            file.seek(since)
            return file.read().decode("utf-8", "replace")

    def mark(self):
        """A place in the log, for `since`."""
        return self.err.stat().st_size if self.err.exists() else 0

    def wait_log(self, pattern, timeout=10, since=0):
        def found():
            match = re.search(pattern, self.log(since), re.M)
            if not match and not self.running():
                raise AssertionError(f"{self.name} ended with {self.popen.returncode} before it logged {pattern!r}")
            return match
        return wait_for(f"{self.name} logs {pattern!r}", found, timeout)

    def json_lines(self):
        """Whole JSON lines on standard output so far."""
        if not self.out.exists():
            return []
        text = self.out.read_text("utf-8", "replace")
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines() if line.startswith("{")]

    def tail(self, lines=80):
        return "\n".join(self.log().splitlines()[-lines:])

    def defects(self, lines=60):
        """The log from the first sign of a defect on; empty when there is none."""
        log = self.log()
        found = DEFECT.search(log)
        return "\n".join(log[log.rfind("\n", 0, found.start()) + 1:].splitlines()[:lines]) if found else ""

    def descendants(self):
        """Its pid and those of all it started."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
        pids = [self.pid]
        for pid in pids:
            pids += parents.get(pid, [])
        return pids

    def resident_bytes(self):
        """Memory in RAM of the whole process tree."""
        pages = 0
        for pid in self.descendants():
            try:
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except OSError:
                continue
        return pages * os.sysconf("SC_PAGE_SIZE")
