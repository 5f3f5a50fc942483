"""Drives the real CLIs, with a scripted model, against a real coordinator.

Each cell has a coordinator, a model, a repository and home folders of its own. The whole run has a network of its
own, with nothing in it but loopback, and a process namespace of its own, so that nothing outlives it.
"""

import argparse
import importlib
import os
import pkgutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import cells as all_cells
from cell import cells
from processes import Failure
from scene import Scene

INSIDE = "COORD_FRONTS_INSIDE"


def enter_namespaces():
    """Starts this program again where it is alone."""
    words = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        words.append("--map-root-user")
    os.environ[INSIDE] = "1"
    os.execvp("unshare", [*words, sys.executable, *sys.argv])


def has(coord, command):
    """Whether a build of `coord` has a command."""
    return subprocess.run([coord, command, "--help"], capture_output=True, check=False).returncode == 0


def choose(arguments):
    for module in pkgutil.iter_modules(all_cells.__path__, "cells."):
        importlib.import_module(module.name)
    chosen = [cell for cell in cells if all(word in cell.title for word in arguments.words)]
    for command in sorted({cell.needs for cell in chosen if cell.needs}):
        if not has(arguments.coord, command):
            print(f"no cells about `coord {command}`, which this build does not have")
            chosen = [cell for cell in chosen if cell.needs != command]
    if not chosen:
        sys.exit(f"there is no cell for {' '.join(arguments.words)}")
    return chosen


def run(cell, arguments):
    """Whether the cell passed. What it printed tells why not."""
    begun = time.monotonic()
    scene = Scene(arguments.modules, arguments.coord, cell.cli)
    fault = None
    try:
        scene.coordinator.start()
        cell.run(scene)
    except Exception as raised:  # a fault of any kind is the cell's, the others are run
        fault = raised
    left = scene.close()
    print(f"{'FAILED' if fault else 'passed'} {time.monotonic() - begun:6.1f} s  {cell.title}", flush=True)
    if left and arguments.verbose:
        print(f"    left behind, and killed: {'; '.join(left)}")
    if fault:
        text = str(fault) if isinstance(fault, Failure) else "".join(traceback.format_exception(fault, limit=-2))
        print("    " + text.replace("\n", "\n    "))
    if fault or arguments.verbose:
        for head, body in scene.report():
            print(f"    {head}\n    " + body.replace("\n", "\n    "))
    if not arguments.keep:
        scene.remove()
    else:
        print(f"    kept: {scene.folder}")
    return fault is None


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only cells whose line contains each of these")
    parser.add_argument("--coord", type=Path, required=True, help="the program under test")
    parser.add_argument("--modules", type=Path, required=True, help="node_modules with the CLIs")
    parser.add_argument("--list", action="store_true", help="print the cells")
    parser.add_argument("--keep", action="store_true", help="keep the folders of the cells")
    parser.add_argument("--verbose", action="store_true", help="print what everyone said, of cells that passed too")
    arguments = parser.parse_args()
    arguments.coord = arguments.coord.resolve()
    arguments.modules = arguments.modules.resolve()
    return arguments


def main():
    arguments = parse()
    if INSIDE not in os.environ:
        enter_namespaces()
    chosen = choose(arguments)
    if arguments.list:
        print("\n".join(cell.title for cell in chosen))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    begun = time.monotonic()
    failed = [cell.title for cell in chosen if not run(cell, arguments)]
    print(f"{len(chosen) - len(failed)} of {len(chosen)} cells passed in {time.monotonic() - begun:.0f} s")
    for title in failed:
        print(f"FAILED {title}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
