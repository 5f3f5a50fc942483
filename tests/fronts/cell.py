"""Cells: what must hold, for one CLI or for all in one scene."""

from dataclasses import dataclass
from typing import Callable

from clis import CLIS
from processes import Failure

EVERY = tuple(CLIS)
cells = []


@dataclass(frozen=True)
class Cell:
    name: str
    run: Callable
    cli: str | None
    # The command of `coord` that it is about, if not every build has it.
    needs: str | None = None

    @property
    def title(self):
        return f"{self.cli or 'all':9} {self.name}"


def cell(name, clis=EVERY, needs=None):
    """Registers a function of a scene once for each CLI; with `clis=None` once, and it names the CLIs itself."""
    def register(run):
        cells.extend(Cell(name, run, cli, needs) for cli in (clis or (None,)))
        return run
    return register


def check(condition, what, seen=None):
    if not condition:
        raise Failure(what if seen is None else f"{what}: {seen!r}")
