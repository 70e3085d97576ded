"""Run a command as the child of a process that holds next to nothing, and measure it.

Usage: python -I -S launching.py COMMAND…

The kernel counts what a process held before it became another program as that program's, so no
child of the benchmark would ever be said to take less than the benchmark does. Hence a process
between the two, without as much as `site`: it tells the process id of the command and what it took,
a line each, to the file descriptor that FIGURES_FD names.
"""

import os
import sys
import threading
import time

_LOOK_SECONDS = 0.1
# macOS says bytes.
_MAXRSS_PER_KIB = 1024 if sys.platform == "darwin" else 1


def main() -> None:
    """Run the command to its end."""
    told = int(os.environ.pop("FIGURES_FD"))
    os.set_inheritable(told, False)
    begun = time.monotonic()
    pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
    os.write(told, f"{pid}\n".encode())
    sampler = Sampler(pid)
    sampler.start()
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - begun
    cpu = usage.ru_utime + usage.ru_stime
    peak_kib = max(usage.ru_maxrss // _MAXRSS_PER_KIB, sampler.tree_kib)
    code = os.waitstatus_to_exitcode(status)
    os.write(told, f"{code} {begun} {wall} {cpu} {peak_kib}\n".encode())


class Sampler(threading.Thread):
    """Looks now and then at what the processes of a tree hold together, once there are several.

    What they share counts for each of them. The peak of a single process is the kernel's to say.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.tree_kib = 0
        self._pid = pid

    def run(self) -> None:
        """Look until the process ends."""
        while True:
            time.sleep(_LOOK_SECONDS)
            tree = family(self._pid)
            if len(tree) > 1:
                self.tree_kib = max(self.tree_kib, sum(map(resident_kib, tree)))


def family(pid: int) -> list[int]:
    """Return a process and those that it or they began; it alone where there is no /proc."""
    try:
        later = sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())
    except OSError:
        later = []
    found = [pid]
    # Numbers rise until they wrap, so who was begun comes after who began it.
    for one in later:
        if one > pid and parent_of(one) in found:
            found.append(one)
    return found


def parent_of(pid: int) -> int:
    """Return a process's parent, 0 once it has ended."""
    # The second field, a name in parentheses, may hold anything.
    fields = read_of(pid, "stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def resident_kib(pid: int) -> int:
    """Return what a process holds now, 0 once it has ended."""
    fields = read_of(pid, "statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") // 1024 if fields else 0


def read_of(pid: int, name: str) -> str:
    """Return a file of /proc, nothing once the process has ended."""
    try:
        with open(f"/proc/{pid}/{name}", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
