"""Compares what was measured with image/budgets.toml, and prints both.

    python3 image/lib/check_budgets.py FOLDER FIGURES ARCH...
"""

import json
import pathlib
import sys

try:
    import tomllib
except ImportError:  # Python 3.10 and older; pip has its own.
    from pip._vendor import tomli as tomllib

BUDGETS = pathlib.Path(__file__).resolve().parents[1] / "budgets.toml"
# What a promise, or growth, may be missed by.
TOLERANCE = 1.05
# Budgets of binaries, by their folder.
SIZES = {"aarch64": "binary_bytes", "x86_64": "x86_64_bytes"}
# Budgets by what the benchmark calls the figure.
FIGURES = {
    "RSS without sessions": "rss_mib",
    "RSS per idle session": "session_kib",
    "empty start to first upgrade": "start_ms",
}


def problem(budget, value):
    """Why the value is not good enough, or None."""
    if not budget.get("repeatable"):
        if value > budget["at_most"] * TOLERANCE:
            return "misses its promise by more than 5 %"
        return None
    if value > budget["at_most"]:
        return "misses its promise"
    if value > budget["last"] * TOLERANCE:
        return f"has grown by more than 5 % since it was {budget['last']}"
    return None


def main(folder, figures, *built):
    budgets = tomllib.loads(BUDGETS.read_text())
    measured = {}
    for arch, name in SIZES.items():
        binary = pathlib.Path(folder, arch, "coord")
        measured[name] = binary.stat().st_size if arch in built else None
    for figure in json.loads(pathlib.Path(figures).read_text())["figures"]:
        if figure["what"] in FIGURES:
            measured[FIGURES[figure["what"]]] = figure["value"]
    if measured.keys() != budgets.keys():
        sys.exit(f"check-budgets: measured {sorted(measured)}, promised {sorted(budgets)}\n"
                 "  next: image/budgets.toml and image/lib/check_budgets.py should name the same")
    bad = []
    for name, budget in budgets.items():
        value = measured[name]
        if value is None:
            print(f"{budget['what']}: not built, at most {budget['at_most']:,} (last {budget['last']:,})")
            continue
        why = problem(budget, value)
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.1f}"
        print(f"{budget['what']}: {shown} {budget['unit']}, at most {budget['at_most']:,}"
              f" (last {budget['last']:,}){'  FAILED' if why else ''}")
        if why:
            bad.append(f"{budget['what']} {why}")
    if bad:
        sys.exit("check-budgets: " + "; ".join(bad) + "\n  next: find out what made it grow; a growth that is"
                 " meant goes into image/budgets.toml, within its promise")


if __name__ == "__main__":
    main(*sys.argv[1:])
