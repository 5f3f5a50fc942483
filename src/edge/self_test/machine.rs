//! What the box is: for support, and for the report of a freshly flashed one.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;
use serde::Serialize;

use super::journal::SyncLatency;
use super::{firewall, told};
use crate::build_info::{COMMIT, TARGET, VERSION};

/// The box, as far as the kernel tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    pub version: &'static str,
    pub commit: &'static str,
    /// What this program was built for.
    pub target: &'static str,
    /// What the device tree or the firmware calls it.
    pub model: Option<String>,
    pub system: Option<String>,
    pub kernel: Option<String>,
    pub cores: usize,
    pub memory_bytes: Option<u64>,
    pub memory_available_bytes: Option<u64>,
    /// What the test was made on.
    pub medium: Medium,
    /// `None` when the journal could not be tried.
    pub sync: Option<SyncLatency>,
    /// How many files, and so connections, one process may have open.
    pub open_files_max: Option<u64>,
    /// What the kernel has of what boxes like to have, in the order of their names.
    pub features: Vec<Feature>,
}

/// A file system and what it is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Medium {
    pub folder: String,
    pub file_system: Option<String>,
    pub device: Option<String>,
    pub size_bytes: Option<u64>,
    pub free_bytes: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Feature {
    pub name: &'static str,
    pub present: bool,
}

/// Where the presence of a feature shows.
const FEATURES: &[(&str, &str)] = &[
    ("cgroup2", "/sys/fs/cgroup/cgroup.controllers"),
    ("ipv6", "/proc/net/if_inet6"),
    ("landlock", "/proc/sys/kernel/landlock"),
    ("pressure", "/proc/pressure/io"),
    ("rtc", "/sys/class/rtc/rtc0"),
    ("seccomp", "/proc/sys/kernel/seccomp"),
    ("watchdog", "/dev/watchdog"),
];
/// File systems that an image of a box uses.
const FILE_SYSTEMS: &[&str] = &["overlay", "squashfs"];

impl Machine {
    pub(super) fn look(folder: &Path, sync: Option<SyncLatency>) -> Self {
        let memory = told("/proc/meminfo").unwrap_or_default();
        Self {
            version: VERSION,
            commit: COMMIT,
            target: TARGET,
            model: told("/proc/device-tree/model")
                .or_else(|| told("/sys/class/dmi/id/product_name")),
            system: told("/etc/os-release").and_then(|text| field(&text, "PRETTY_NAME=")),
            kernel: told("/proc/sys/kernel/osrelease"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kibibytes(&memory, "MemTotal:"),
            memory_available_bytes: kibibytes(&memory, "MemAvailable:"),
            medium: Medium::of(folder),
            sync,
            open_files_max: getrlimit(Resource::RLIMIT_NOFILE)
                .ok()
                .map(|(_, hard)| hard),
            features: features(),
        }
    }
}

impl Medium {
    fn of(folder: &Path) -> Self {
        let mounts = told("/proc/self/mountinfo").unwrap_or_default();
        let mount = mount_of(&mounts, folder);
        let space = statvfs(folder).ok();
        Self {
            folder: folder.parent().unwrap_or(folder).display().to_string(),
            file_system: mount.as_ref().map(|mount| mount.0.clone()),
            device: mount.map(|mount| mount.1),
            size_bytes: space
                .and_then(|it| u64::checked_mul(wide(it.blocks()), wide(it.fragment_size()))),
            free_bytes: space.and_then(|it| {
                u64::checked_mul(wide(it.blocks_available()), wide(it.fragment_size()))
            }),
        }
    }

    /// Whether what was measured is the machine's memory, and no flash.
    pub fn is_memory(&self) -> bool {
        matches!(self.file_system.as_deref(), Some("tmpfs" | "ramfs"))
    }
}

/// What is narrower than 64 bits on some targets.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

/// File system and device of the innermost mount that a path is in. A line of mountinfo is
/// `36 35 98:0 /root /mount rw,noatime master:1 - ext4 /dev/root rw`.
fn mount_of(mounts: &str, path: &Path) -> Option<(String, String)> {
    let mounts = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let place = Path::new(place.split(' ').nth(4)?);
        let mut kind = kind.split(' ');
        path.starts_with(place)
            .then_some((place, kind.next()?, kind.next()?))
    });
    // A later mount hides an earlier one on the same place.
    let innermost = mounts.max_by_key(|(place, ..)| place.components().count())?;
    Some((innermost.1.to_owned(), innermost.2.to_owned()))
}

fn features() -> Vec<Feature> {
    let known = told("/proc/filesystems").unwrap_or_default();
    let has = |name: &str| known.split_ascii_whitespace().any(|word| word == name);
    let by_path = FEATURES.iter().map(|(name, path)| Feature {
        name,
        present: Path::new(path).exists(),
    });
    let by_name = FILE_SYSTEMS.iter().map(|name| Feature {
        name,
        present: has(name),
    });
    let nft = Feature {
        name: "nf_tables",
        present: firewall::in_kernel(),
    };
    let mut all: Vec<Feature> = by_path.chain(by_name).chain([nft]).collect();
    all.sort_by_key(|feature| feature.name);
    all
}

/// The value of a line `NAME="value"`.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_matches('"').to_owned())
}

/// The value of a line `NAME: 123 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    number.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_counts() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/root rw\n\
                      2 1 8:2 / /var rw,noatime shared:1 - f2fs /dev/mmcblk0p3 rw\n\
                      3 1 0:9 / /variety rw - tmpfs none rw\n\
                      4 1 0:9 / /run rw - tmpfs tmpfs rw\n\
                      5 1 8:3 / /run rw - overlay overlay rw";
        let check = |path: &str, kind: &str, device: &str| {
            let expected = Some((kind.to_owned(), device.to_owned()));
            assert_eq!(mount_of(mounts, Path::new(path)), expected, "{path}");
        };
        check("/home/x", "ext4", "/dev/root");
        check("/var/lib/coord", "f2fs", "/dev/mmcblk0p3");
        check("/run/x", "overlay", "overlay");
        assert_eq!(mount_of("nonsense", Path::new("/")), None);
    }

    #[test]
    fn texts_of_the_kernel_are_read() {
        let memory = "MemTotal:       24684512 kB\nMemFree: 1 kB\n";
        assert_eq!(kibibytes(memory, "MemTotal:"), Some(24_684_512 * 1024));
        assert_eq!(kibibytes(memory, "MemAvailable:"), None);
        let release = "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n";
        assert_eq!(
            field(release, "PRETTY_NAME=").as_deref(),
            Some("Debian GNU/Linux 12")
        );
    }
}
