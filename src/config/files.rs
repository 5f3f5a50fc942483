//! Files that settings name: found missing when the configuration is read, not when they are opened.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::problem::Misfit;
use super::reader::Reader;
use super::secret;
use super::settings::{self, Spec};
use super::source::Source;

/// Certificate and key belong together, must be readable, and do nothing unless TLS is on.
pub(super) fn check_tls(
    reader: &mut Reader,
    on: bool,
    certificate: Option<&Path>,
    key: Option<&Path>,
) {
    let files = [
        (&settings::TLS_CERTIFICATE_FILE, certificate),
        (&settings::TLS_KEY_FILE, key),
    ];
    for (index, (spec, path)) in files.into_iter().enumerate() {
        let Some(path) = path else { continue };
        let source = reader.source(spec);
        let (other, other_path) = files[1 - index];
        if other_path.is_none() && reader.given_by(other).is_none() {
            let what = format!("{} is missing", other.key);
            let right = "set both, or neither for a self-signed certificate";
            reader.problem(spec, source.clone(), Misfit::new(what, right));
        }
        check_readable(reader, spec, path);
        if !on && !matches!(source, Source::Credential { .. }) {
            let text = format!("{} has no effect, because websocket.tls is off", spec.key);
            reader.warn(source, text);
        }
    }
    if let Some(path) = key {
        private(reader, &settings::TLS_KEY_FILE, path);
    }
}

/// A file that is only opened later should not be found missing only then.
pub(super) fn check_readable(reader: &mut Reader, spec: &Spec, path: &Path) {
    if let Err(error) = File::open(path) {
        let what = format!("cannot read {}: {error}", path.display());
        let misfit = Misfit::new(what, "give a file that this user may read");
        reader.problem(spec, reader.source(spec), misfit);
    }
}

fn private(reader: &mut Reader, spec: &Spec, path: &Path) {
    let source = reader.source(spec);
    // Systemd keeps its credentials from others by the folder they lie in.
    if matches!(source, Source::Credential { .. }) {
        return;
    }
    let mode = path.metadata().map_or(0, |metadata| metadata.mode());
    if secret::is_world_readable(mode) {
        let text = format!(
            "everybody on this machine can read {}; run chmod 600 on it",
            path.display()
        );
        reader.warn(source, text);
    }
}
