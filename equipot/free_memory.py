"""The memory that is free: of the machine, and of the control groups that a process runs in."""

import os
from pathlib import Path


def of_machine() -> int | None:
    """What the kernel says that programs can still have."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        (line,) = (own for own in lines if own.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (OSError, ValueError):
        return None


def of_group() -> int | None:
    """What the control groups of a container or of a job leave, whichever leaves least."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = Path("/sys/fs/cgroup"), ("memory.max", "memory.current", "inactive_file")
        elif controllers == "memory":
            root = Path("/sys/fs/cgroup/memory")
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        inner = root / path.lstrip("/")
        groups = [own for own in (inner, *inner.parents) if own.is_relative_to(root)]
        found += [left for own in groups if (left := _left_by(own, *names)) is not None]
    return min(found, default=None)


def _left_by(group: Path, most: str, taken: str, cached: str) -> int | None:
    """What one control group leaves; files that it only caches make way."""
    try:
        limit, used = (int((group / name).read_text()) for name in (most, taken))
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return max(limit - used + int(stat.get(cached, 0)), 0)
