"""The check of image/check-cross: CROSS is the program, SYSROOT that of a Rust toolchain, only read.

    python3 image/lib/check_cross.py CROSS SYSROOT
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
VERSION = "0.2.5"
TARGETS = ("aarch64-unknown-linux-musl", "armv7-unknown-linux-musleabihf", "x86_64-unknown-linux-musl")
PASSED_ON = ("COORD_BAKED_PROFILE", "COORD_COMMIT", "RUSTFLAGS", "SOURCE_DATE_EPOCH")
# The two ways of docs/image.md: the file that is there, and what the environment says of it.
WAYS = (("Cross.toml", {}), ("cross.toml", {"CROSS_CONFIG": "cross.toml"}))
TOOLCHAIN = "stable-x86_64-unknown-linux-gnu"
SECONDS_MAX = 300
# What every cargo writes to, also one that runs at the same time as this.
SHARED_CACHES = ("registry", "git", ".package-cache", ".package-cache-mutate", ".global-cache")

# Each notes a line, its words ended by a unit separator. Of rustup only questions are answered.
RUSTUP = r"""#!/bin/sh
printf 'rustup\037' >>"$NOTES"; printf '%s\037' "$@" >>"$NOTES"; echo >>"$NOTES"
case "$1 $2" in
'toolchain list') echo 'TOOLCHAIN (default)' ;;
'target list') for one in x86_64-unknown-linux-gnu TARGETS; do echo "$one (installed)"; done ;;
'component list') for one in cargo rust-src rustc; do echo "$one (installed)"; done ;;
*) exit 1 ;;
esac
"""
DOCKER = r"""#!/bin/sh
case "$1" in
--help) echo 'a stand-in for docker' ;;
run) printf 'docker\037' >>"$NOTES"; printf '%s\037' "$@" >>"$NOTES"; echo >>"$NOTES" ;;
*) exit 1 ;;
esac
"""
RUSTC = r"""#!/bin/sh
[ "$*" != '--print sysroot' ] || { echo "$RUSTUP_HOME/toolchains/TOOLCHAIN"; exit; }
exec SYSROOT/bin/rustc "$@"
"""
CARGO = '#!/bin/sh\nexec SYSROOT/bin/cargo "$@"\n'


def check(holds, what, *context):
    if not holds:
        told = "\n".join(str(one) for one in context)
        sys.exit(f"check-cross: {what}\n{told}\n  next: see cross.toml and image/lib/check_cross.py")


def real_homes():
    """Every file of the real homes with size, time and number, to see afterwards that none changed."""
    seen = {}
    for variable, usual in (("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")):
        home = pathlib.Path(os.environ.get(variable) or pathlib.Path.home() / usual)
        for folder, folders, files in os.walk(home):
            if pathlib.Path(folder) == home and variable == "CARGO_HOME":
                folders[:] = [one for one in folders if one not in SHARED_CACHES]
                files = [one for one in files if one not in SHARED_CACHES]
            for name in folders + files:
                path = os.path.join(folder, name)
                stat = os.lstat(path)
                seen[path] = (stat.st_ino, stat.st_mode, stat.st_size, stat.st_mtime_ns)
    return seen


class Place:
    """A folder with all that cross gets to see, but for the toolchain's own programs."""

    def __init__(self, folder, sysroot):
        self.folder = pathlib.Path(folder)
        self.notes = self.folder / "notes"
        programs = self.folder / "bin"
        for made in ("bin", "home", "cargo", f"rustup/toolchains/{TOOLCHAIN}"):
            (self.folder / made).mkdir(parents=True)
        stand_ins = {"rustup": RUSTUP, "docker": DOCKER, "rustc": RUSTC, "cargo": CARGO}
        for name, script in stand_ins.items():
            script = script.replace("SYSROOT", sysroot).replace("TOOLCHAIN", TOOLCHAIN)
            (programs / name).write_text(script.replace("TARGETS", " ".join(TARGETS)))
            (programs / name).chmod(0o755)
        self.environment = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(self.folder / "home"),
            "CARGO_HOME": str(self.folder / "cargo"),
            "RUSTUP_HOME": str(self.folder / "rustup"),
            # Should anything look for it after all, it leads nowhere.
            "RUSTUP_DIST_SERVER": "http://127.0.0.1:1",
            "CROSS_CONTAINER_ENGINE": str(programs / "docker"),
            "NOTES": str(self.notes),
        }
        for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "SSL_CERT_FILE", "CARGO_HTTP_CAINFO"):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        # Where crates come from is asked once, since cross wants to know what this package needs.
        usual = os.environ.get("CARGO_HOME") or pathlib.Path.home() / ".cargo"
        for name in ("config.toml", "config"):
            if (pathlib.Path(usual) / name).is_file():
                shutil.copy(pathlib.Path(usual) / name, self.folder / "cargo" / name)

    def source(self, config):
        """The package as cross sees it, with only this one of the two files."""
        source = self.folder / f"source-{len(list(self.folder.glob('source-*')))}"
        source.mkdir()
        for name in ("Cargo.toml", "Cargo.lock", "build.rs", config):
            shutil.copy(ROOT / name, source / name)
        for name in ("src", "benches"):
            shutil.copytree(ROOT / name, source / name)
        return source

    def run(self, cross, source, words, more):
        """Runs cross; what the stand-ins noted of it, and what it said."""
        self.notes.write_text("")
        done = subprocess.run([cross, *words], cwd=source, env={**self.environment, **more},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS_MAX)
        said = done.stdout + done.stderr
        check(done.returncode == 0, f"`cross {' '.join(words)}` exits with {done.returncode}", said)
        notes = [line.rstrip("\n\x1f").split("\x1f") for line in self.notes.open(encoding="utf-8")]
        return notes, said


def values(words, flag):
    return [words[index + 1] for index, word in enumerate(words) if word == flag]


def check_build(place, cross, source, target, more):
    notes, said = place.run(cross, source, ["build", "--release", "--target", target], more)
    asked = [note[1:3] for note in notes if note[0] == "rustup"]
    allowed = (["toolchain", "list"], ["target", "list"], ["component", "list"])
    check(all(one in allowed for one in asked), "rustup was told to do something", asked)
    runs = [note[1:] for note in notes if note[0] == "docker"]
    check(len(runs) == 1, f"the engine was started {len(runs)} times", runs, said)
    words = runs[0]
    image = f"ghcr.io/cross-rs/{target}:{VERSION}"
    check(words[-4:-1] == [image, "sh", "-c"], f"the image is not {image}", words)
    told = words[-1].replace('"', "")
    check(f"cargo build --release --target {target}" in told, "cargo is told something else", told)
    environment = values(words, "-e")
    missing = [name for name in PASSED_ON if name not in environment]
    check(not missing, f"not passed on: {missing}", environment)
    check("CARGO_TARGET_DIR=/target" in environment, "the results go elsewhere", environment)
    volumes = values(words, "-v")
    sysroot = f"{place.folder}/rustup/toolchains/{TOOLCHAIN}:/rust:z,ro"
    wanted = (sysroot, f"{place.folder}/cargo:/cargo:z", f"{source}/target:/target:z")
    check(all(one in volumes for one in wanted), f"the volumes are not {wanted}", volumes)
    check(any(one.startswith(f"{source}:") for one in volumes), "the source is not there", volumes)
    check(not any("docker.sock" in one for one in volumes), "the engine's socket is let in", volumes)
    check("--privileged" not in words, "the container is privileged", words)


def check_unread(place, cross):
    """The check can fail: without CROSS_CONFIG, cross does not read cross.toml and passes nothing on."""
    notes, said = place.run(cross, place.source("cross.toml"), ["build", "--target", TARGETS[0]], {})
    words = next(note for note in notes if note[0] == "docker")
    check("COORD_COMMIT" not in values(words, "-e"), "cross.toml is read without CROSS_CONFIG now", said)


def main(cross, sysroot):
    check((ROOT / "cross.toml").read_bytes() == (ROOT / "Cross.toml").read_bytes(),
          "cross.toml and Cross.toml differ")
    before = real_homes()
    with tempfile.TemporaryDirectory(prefix="check-cross-") as folder:
        place = Place(os.path.realpath(folder), sysroot)
        for config, more in WAYS:
            source = place.source(config)
            for target in TARGETS:
                check_build(place, cross, source, target, more)
        check_unread(place, cross)
    changed = {path for path, stat in real_homes().items() if before.get(path) != stat}
    changed |= before.keys() - real_homes().keys()
    check(not changed, "files of the real homes changed", *sorted(changed)[:20])
    print(f"check-cross: {len(WAYS)} ways for {len(TARGETS)} targets: file read, image, variables, volumes,"
          " command as documented; the real homes are untouched. No engine ran.")


if __name__ == "__main__":
    main(*sys.argv[1:])
