"""What a taken-over server could do: the kernel's own account of it, and what a server is seen to be refused."""
import base64
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

import visitor
from processes import wait_for

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root may change user or look into memory")


def server_of(ingress):
    """The server child's pid."""
    return next(pid for pid in ingress.descendants() if pid != ingress.pid)


def status_of(pid):
    return dict(re.findall(r"^(\w+):\t(.*)$", Path(f"/proc/{pid}/status").read_text(), re.M))


def has_landlock(ingress):
    return re.search(r"sandbox .*landlock=[1-9]", ingress.log())


def is_served(world, website, authority):
    return visitor.fetch(world.ingress.port, "site.test", authority).body == website.page


def test_server_has_no_privileges(site_world, website, authority):
    world = site_world.start()
    assert is_served(world, website, authority)
    server = server_of(world.ingress)
    for thread in Path(f"/proc/{server}/task").iterdir():
        status = status_of(f"{server}/task/{thread.name}")
        assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
        assert all(int(status[kind], 16) == 0 for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"))
    limits = Path(f"/proc/{server}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)


def leaks_are_not_looked_for(ingress):
    """The leak checker attaches to its own process, which one that has changed user does not allow (newer ones say so
    and fail); the other tests look for leaks."""
    ingress.env["ASAN_OPTIONS"] = ":".join(filter(None, [ingress.env.get("ASAN_OPTIONS"), "detect_leaks=0"]))


@as_root
def test_server_runs_as_another_user(site_world, website, authority):
    world = site_world
    world.ingress.config["user"] = "64998:64997"
    leaks_are_not_looked_for(world.ingress)
    open_to_others(world.ingress.directory)
    os.chown(world.ingress.directory / "state", 64998, 64997)
    world.start()
    assert is_served(world, website, authority)
    status = status_of(server_of(world.ingress))
    assert status["Uid"].split() == ["64998"] * 4 and status["Gid"].split() == ["64997"] * 4
    assert not status["Groups"].strip() and int(status["CapBnd"], 16) == 0
    assert (world.ingress.directory / "state/wireguard-stamp").stat().st_uid == 64998
    world.ingress.reload()


@as_root
def test_feed_its_user_cannot_read_fails_at_start(site_world):
    ingress = site_world.ingress
    ingress.config["user"] = "64998"
    leaks_are_not_looked_for(ingress)
    open_to_others(ingress.directory)
    ingress.write_config()
    ingress.write_feed()
    ingress.feed_file.chmod(0o600)
    super(type(ingress), ingress).start()
    assert ingress.wait(15) != 0
    assert re.search(r"feed\.path: is read by the server, which runs as uid 64998", ingress.log())
    assert "event=ready" not in ingress.log()


def open_to_others(directory):
    """Let other users reach a test's folder."""
    for path in (directory, *directory.parents):
        if path.owner() == "root" and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)


def test_feed_in_another_folder_needs_a_restart(site_world, website, authority):
    """Not even root's server opens a file elsewhere; nor is what it serves changed by the attempt."""
    world, ingress = site_world, site_world.ingress
    world.start()
    if not has_landlock(ingress):
        pytest.skip("NOT TESTED: this kernel has no Landlock")
    elsewhere = ingress.directory.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(ingress.feed_file, elsewhere / "nodes.json")

    ingress.config["feed"]["path"] = str(elsewhere / "nodes.json")
    ingress.write_config()
    log = ingress.reload("failed")
    assert "another folder needs a restart" in log
    assert is_served(world, website, authority)

    ingress.feed_file.unlink()
    ingress.feed_file.symlink_to(elsewhere / "nodes.json")
    ingress.config["feed"]["path"] = "nodes.json"
    ingress.write_config()
    assert "another folder needs a restart" in ingress.reload("failed")

    assert ingress.stop() == 0
    mark = ingress.mark()
    super(type(ingress), ingress).start()
    ingress.wait_log(" server .*event=ready", since=mark)
    wait_for("the page is served again", lambda: is_served(world, website, authority), 30)
    ingress.reload()  # where the link led at the start may be read


def test_feed_may_be_replaced_by_renaming(site_world, website, authority):
    world, ingress = site_world, site_world.ingress
    world.start()
    for _ in range(3):
        fresh = ingress.directory / "nodes.json.new"
        shutil.copy(ingress.feed_file, fresh)
        fresh.rename(ingress.feed_file)
        ingress.reload()
    assert is_served(world, website, authority)


def test_a_denied_call_is_named_and_the_server_replaced(site_world, website, authority):
    """SIGSYS from outside takes the same way as one from the filter: said, ended, replaced."""
    world, ingress = site_world, site_world.ingress
    world.start()
    server = server_of(ingress)
    os.kill(server, signal.SIGSYS)
    ingress.wait_log(r"error sandbox event=denied syscall=\d+")
    ingress.wait_log(rf" supervisor event=ended pid={server} signal=SYS")
    wait_for("the page is served again", lambda: is_served(world, website, authority), 30)
    assert status_of(server_of(ingress))["Seccomp"] == "2"


def test_sandbox_can_be_off_for_debuggers(site_world, website, authority):
    world = site_world
    world.ingress.config["sandbox"] = "off"
    world.start()
    assert is_served(world, website, authority)
    status = status_of(server_of(world.ingress))
    # one filter is left: the one without which libuv would use io_uring
    assert status["Seccomp_filters"] == "1" and status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == 0
    assert re.search(r"warn sandbox sandbox=off", world.ingress.log())


def mappings(pid):
    """(start, end, rights, flags) of its memory; the sanitizer's huge shadow left out."""
    place = None
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if found := re.match(r"(\w+)-(\w+) (\S+)", line):
            place = int(found[1], 16), int(found[2], 16), found[3]
        elif line.startswith("VmFlags:") and place[1] - place[0] < 256 << 20:
            yield *place, line.split()[1:]


@as_root
def test_identity_keys_only_stand_in_memory_kept_from_dumps(site_world, website, authority):
    """In both processes, after a reload too: no copy on a stack, on the heap or in a buffer of messages."""
    world, ingress = site_world, site_world.ingress
    world.start()
    assert is_served(world, website, authority)
    ingress.reload()
    text = (ingress.directory / "ingress.key").read_text().strip()
    forms = base64.b64decode(text), text.encode()
    for pid in ingress.descendants():
        kept, found = 0, []
        with open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for start, end, rights, flags in mappings(pid):
                try:
                    memory.seek(start)
                    content = memory.read(end - start)
                except (OSError, OverflowError):  # guard pages; what belongs to the kernel
                    continue
                if any(form in content for form in forms):
                    kept += "dd" in flags
                    found += [] if "dd" in flags else [f"{start:x}-{end:x} {rights} {' '.join(flags)}"]
        assert kept > 0, "this did not look into the right memory"
        assert not found, f"pid {pid} ({'supervisor' if pid == ingress.pid else 'server'})"
