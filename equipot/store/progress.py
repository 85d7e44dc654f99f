"""A bar of progress for work that takes minutes; lines from time to time where nobody watches."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich import console as rich_console
from rich import progress as rich_progress

_EVERY = 30.0  # seconds between lines that are no bar


@contextlib.contextmanager
def shown(title: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Gives a function that is told how much is done, and a word on it.

    Args:
      title: What is done.
      total: How much there is; unknown if 0.
    """
    console = rich_console.Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield _lines(console, title, total)
        return
    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.TaskProgressColumn(),
        rich_progress.TimeRemainingColumn(),
        rich_progress.TextColumn("{task.fields[note]}"),
    )
    with rich_progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=total or None, note="")
        yield lambda done, note: bar.update(task, completed=done, note=note)


def _lines(console: rich_console.Console, title: str, total: int) -> Callable[[int, str], None]:
    began = last = time.monotonic()

    def tell(done: int, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY:
            last = now
            share = f"{done / total:.0%}, " if total else ""
            console.print(f"{title}: {share}{note}, {now - began:.0f} s")

    return tell
