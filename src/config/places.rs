//! Where files and folders are looked for when nobody says so.

use std::path::{Path, PathBuf};

use super::env::Environment;
use super::reader::Reader;
use super::settings;
use super::source::Source;

/// What our folders are called inside those of the desktop specification.
const FOLDER: &str = "coord";
const SERVER_FILE: &str = "coord.toml";
const CLIENT_FILE: &str = "client.toml";

/// A coordinator's file: the one that was named, or else the first that exists of systemd's
/// configuration directory, the user's and the machine's.
pub(super) fn server_file(flag: Option<&str>, environment: &dyn Environment) -> Option<PathBuf> {
    let systemd = variable(environment, "CONFIGURATION_DIRECTORY")
        .and_then(|folders| folders.split(':').next().map(PathBuf::from));
    let folders = [
        systemd,
        user_config(environment),
        environment.system_folder(),
    ];
    named(flag, settings::CONFIG_VARIABLE, environment)
        .or_else(|| first_existing(folders, SERVER_FILE))
}

/// The client's file: the one that was named, or else that of the user.
pub(super) fn client_file(flag: Option<&str>, environment: &dyn Environment) -> Option<PathBuf> {
    named(flag, settings::CLIENT_CONFIG_VARIABLE, environment)
        .or_else(|| first_existing([user_config(environment)], CLIENT_FILE))
}

/// Where the client's file belongs, whether it is there or not.
pub fn client_file_place(flag: Option<&str>, environment: &dyn Environment) -> Option<PathBuf> {
    named(flag, settings::CLIENT_CONFIG_VARIABLE, environment)
        .or_else(|| Some(user_config(environment)?.join(CLIENT_FILE)))
}

/// The state directory; `None` when there is no place for it, or the one given is wrong.
pub(super) fn state_dir(reader: &mut Reader, environment: &dyn Environment) -> Option<PathBuf> {
    let setting = &settings::STATE_DIR;
    let given = reader.given_by(setting).cloned();
    if let Some(source) = given {
        let path = reader.optional(setting)?;
        let of_systemd =
            matches!(&source, Source::Variable { name } if name == settings::STATE_DIRECTORY);
        // With several `StateDirectory=` entries systemd joins them; the first is the main one.
        let path = match path.to_str().and_then(|text| text.split(':').next()) {
            Some(first) if of_systemd => PathBuf::from(first),
            _ => path,
        };
        reader.note(setting, source, &path);
        return Some(path);
    }
    let found = xdg(environment, "XDG_STATE_HOME", ".local/state");
    if let Some(path) = &found {
        reader.note(setting, Source::Default, path);
    }
    found
}

fn named(flag: Option<&str>, name: &str, environment: &dyn Environment) -> Option<PathBuf> {
    flag.map(str::to_owned)
        .or_else(|| variable(environment, name))
        .map(PathBuf::from)
}

/// One that exists but cannot be read counts: it is reported rather than passed over.
fn first_existing(
    folders: impl IntoIterator<Item = Option<PathBuf>>,
    name: &str,
) -> Option<PathBuf> {
    folders
        .into_iter()
        .flatten()
        .map(|folder| folder.join(name))
        .find(|path| path.symlink_metadata().is_ok())
}

fn user_config(environment: &dyn Environment) -> Option<PathBuf> {
    xdg(environment, "XDG_CONFIG_HOME", ".config")
}

/// The desktop specification says to ignore a relative folder.
fn xdg(environment: &dyn Environment, name: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    variable(environment, name)
        .map(PathBuf::from)
        .filter(absolute)
        .or_else(|| {
            let home = variable(environment, "HOME").map(PathBuf::from);
            Some(home.filter(absolute)?.join(Path::new(below_home)))
        })
        .map(|folder| folder.join(FOLDER))
}

fn variable(environment: &dyn Environment, name: &str) -> Option<String> {
    environment.variable(name).ok().flatten()
}
