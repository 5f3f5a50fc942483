//! `coord install --root`: into a system that does not run.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const SERVICE: &str = "usr/local/lib/systemd/system/coord.service";

/// A root folder with nothing in it but what a unit file looks for.
#[derive(Debug)]
struct Image(TempDir);

/// What is told of a file: what it is, its mode, its inode, what is in it.
type Seen = BTreeMap<PathBuf, (bool, u32, u64, Vec<u8>)>;

impl Image {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn install(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_coord"))
            .args(["--json", "install", "--root"])
            .arg(self.0.path())
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .output()
            .unwrap()
    }

    /// What it did to each file, and what it ran.
    #[track_caller]
    fn installed(&self, words: &[&str]) -> (BTreeMap<String, String>, Vec<String>) {
        let output = self.install(words);
        assert!(output.status.success(), "{output:?}");
        let done: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let files = done["files"].as_array().unwrap().iter().map(|file| {
            let path = text(&file["path"]);
            let path = path.strip_prefix(self.0.path().to_str().unwrap()).unwrap();
            (
                path.trim_start_matches('/').to_owned(),
                text(&file["action"]),
            )
        });
        let commands = done["commands"].as_array().unwrap().iter().map(text);
        (files.collect(), commands.collect())
    }

    /// All files and links in it.
    fn all(&self) -> Seen {
        let mut seen = Seen::new();
        look(self.0.path(), self.0.path(), &mut seen);
        seen
    }
}

fn look(root: &Path, folder: &Path, seen: &mut Seen) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            look(root, &path, seen);
            continue;
        }
        let is_link = metadata.is_symlink();
        let content = if is_link {
            fs::read_link(&path)
                .unwrap()
                .into_os_string()
                .into_encoded_bytes()
        } else {
            fs::read(&path).unwrap()
        };
        let name = path.strip_prefix(root).unwrap().to_owned();
        seen.insert(
            name,
            (is_link, metadata.mode() & 0o777, metadata.ino(), content),
        );
    }
}

#[track_caller]
fn check_fails(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
}

#[test]
fn a_second_time_changes_nothing() {
    let image = Image::new();
    image.installed(&["--dry-run"]);
    assert!(image.all().is_empty(), "--dry-run did something");
    let (files, commands) = image.installed(&[]);
    assert!(files.values().all(|action| action == "create"), "{files:?}");
    assert!(
        commands.len() == 1 && commands[0].contains("preset") && commands[0].contains("--root="),
        "nothing of this system is touched: {commands:?}"
    );
    let all = image.all();
    for (name, mode) in [
        ("usr/local/bin/coord", 0o755),
        (SERVICE, 0o644),
        ("etc/coord/coord.toml", 0o644),
    ] {
        assert_eq!(all[Path::new(name)].1, mode, "{name}");
    }
    // Switched on is the service, not the firewall.
    let wants = |unit: &str, target: &str| {
        let link = format!("etc/systemd/system/{target}.wants/{unit}");
        all.contains_key(Path::new(&link))
    };
    assert!(wants("coord.service", "multi-user.target") && wants("coord.socket", "sockets.target"));
    assert!(!wants("coord-firewall.service", "sysinit.target"));

    let (files, commands) = image.installed(&[]);
    assert!(
        files.values().all(|action| action == "unchanged"),
        "{files:?}"
    );
    assert!(commands.is_empty(), "{commands:?}");
    assert_eq!(image.all(), all);
    image.installed(&["--firewall"]);
    let link = image.path("etc/systemd/system/sysinit.target.wants/coord-firewall.service");
    assert!(link.symlink_metadata().unwrap().is_symlink());
    let (_, commands) = image.installed(&["--firewall"]);
    assert!(commands.is_empty(), "{commands:?}");
}

#[test]
fn what_is_ours_is_written_anew_and_what_is_not_is_kept() {
    let image = Image::new();
    // Left by one that was cut off, and not where it seems to be.
    let folder = image.path(SERVICE).parent().unwrap().to_owned();
    fs::create_dir_all(&folder).unwrap();
    symlink("/nowhere/else", folder.join(".coord.service.new")).unwrap();
    image.installed(&[]);
    let shipped = fs::read(image.path(SERVICE)).unwrap();
    fs::write(image.path(SERVICE), "[Service]\nExecStart=/bin/false\n").unwrap();
    fs::set_permissions(image.path(SERVICE), fs::Permissions::from_mode(0o666)).unwrap();
    let own = "profile = \"production\"\n[websocket]\nport = 8800\n";
    fs::write(image.path("etc/coord/coord.toml"), own).unwrap();
    // Switched off by the administrator: it stays so.
    let link = image.path("etc/systemd/system/multi-user.target.wants/coord.service");
    fs::remove_file(&link).unwrap();
    let (files, commands) = image.installed(&[]);
    assert_eq!(files[SERVICE], "replace");
    assert_eq!(files["etc/coord/coord.toml"], "keep");
    assert!(commands.is_empty(), "{commands:?}");
    assert_eq!(fs::read(image.path(SERVICE)).unwrap(), shipped);
    let mode = fs::metadata(image.path(SERVICE))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644);
    assert_eq!(
        fs::read_to_string(image.path("etc/coord/coord.toml")).unwrap(),
        own
    );
    assert!(!link.exists());
    // Its port is the socket's.
    let socket = fs::read_to_string(image.path("usr/local/lib/systemd/system/coord.socket"));
    assert!(socket.unwrap().contains("\nListenStream=127.0.0.1:8800\n"));
    fs::write(image.path("etc/coord/coord.toml"), "profile = \"none\"\n").unwrap();
    check_fails(&image.install(&[]), &["profile", "coord.toml"]);
}

#[test]
fn taken_back_nothing_of_ours_is_left() {
    let image = Image::new();
    let others = [
        "usr/local/bin/other",
        "usr/local/lib/systemd/system/other.service",
        "usr/local/lib/systemd/system/coord.service.d/90-own.conf",
        "etc/credstore/coord.operator_token",
        "var/lib/coord/segment-0",
        "var/lib/coord-firewall/kept.json",
    ];
    for name in others {
        fs::create_dir_all(image.path(name).parent().unwrap()).unwrap();
        fs::write(image.path(name), name).unwrap();
    }
    let before = image.all();
    image.installed(&["--firewall"]);
    let (files, commands) = image.installed(&["--uninstall"]);
    assert_eq!(files[SERVICE], "remove");
    assert!(
        commands.iter().all(|it| it.contains("--root=")),
        "{commands:?}"
    );
    let mut after = image.all();
    assert!(after.remove(Path::new("etc/coord/coord.toml")).is_some());
    assert_eq!(after, before);
    let (files, commands) = image.installed(&["--uninstall"]);
    assert!(files.values().all(|action| action == "absent"), "{files:?}");
    assert!(commands.is_empty(), "{commands:?}");
}

#[test]
fn a_package_goes_below_usr() {
    let image = Image::new();
    image.installed(&["--prefix", "/usr"]);
    let unit = fs::read_to_string(image.path("usr/lib/systemd/system/coord.service")).unwrap();
    assert!(
        unit.contains("\nExecStart=/usr/bin/coord serve\n"),
        "{unit}"
    );
    assert!(!image.path("usr/local").exists());
    image.installed(&["--prefix", "/usr", "--uninstall"]);
    assert!(!image.path("usr/bin/coord").exists());
}

/// The drop-in for newer systemd goes by the library that the image has.
#[test]
fn the_image_decides_which_systemd_it_is_for() {
    let drop_in = "usr/local/lib/systemd/system/coord.service.d/10-systemd-254.conf";
    for (library, expected) in [
        ("libsystemd-shared-252.so", false),
        ("libsystemd-shared-257.so", true),
    ] {
        let image = Image::new();
        fs::create_dir_all(image.path("usr/lib/systemd")).unwrap();
        fs::write(image.path("usr/lib/systemd").join(library), "").unwrap();
        image.installed(&[]);
        assert_eq!(image.path(drop_in).exists(), expected, "{library}");
    }
}

/// A configuration that is only whole with what the service gets from the credential store.
#[test]
fn what_the_credential_store_has_is_not_missed() {
    let image = Image::new();
    let halves = "profile = \"production\"\n[websocket]\ntls = true\n[redis]\nhost = \"127.0.0.1\"\n\
                  user = \"coord\"\n";
    fs::create_dir(image.path("etc/coord")).unwrap();
    fs::write(image.path("etc/coord/coord.toml"), halves).unwrap();
    let refused = image.install(&[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("redis.password"), "{said}");
    fs::create_dir(image.path("etc/credstore")).unwrap();
    for name in ["redis_password", "tls_certificate", "tls_key"] {
        let path = image.path(&format!("etc/credstore/coord.{name}"));
        fs::write(path, "in the store").unwrap();
    }
    image.installed(&[]);
}

#[test]
fn it_stays_within_the_image() {
    let elsewhere = tempfile::tempdir().unwrap();
    let image = Image::new();
    fs::create_dir(image.path("usr")).unwrap();
    symlink(elsewhere.path(), image.path("usr/local")).unwrap();
    symlink("/nowhere", image.path("opt")).unwrap();
    for words in [&[][..], &["--uninstall"], &["--prefix", "/opt"]] {
        check_fails(
            &image.install(words),
            &["a link leads from", "out of the image"],
        );
    }
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    check_fails(
        &image.install(&["--prefix", "opt"]),
        &["not an absolute path"],
    );
    check_fails(&image.install(&["--now"]), &["--now"]);
    let nowhere = Command::new(env!("CARGO_BIN_EXE_coord"))
        .args(["install", "--root", "/nowhere"])
        .output()
        .unwrap();
    check_fails(&nowhere, &["/nowhere is not a folder"]);
}
