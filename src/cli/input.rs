//! Values that commands take as JSON: from the command line, a file or stdin.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::error::CliError;
use crate::config::misspelt_path;
use crate::engine::ids::{LabelKey, LabelValue};
use crate::engine::payload::Payload;

/// Far more than a coordinator accepts; stops a device or a log from being read as input.
const INPUT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Stands for stdin where a file is named.
const STDIN: &str = "-";

/// What a task is to work on.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(multiple = false)]
pub(super) struct PayloadInput {
    /// The payload, as JSON
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// The payload, as plain text
    #[arg(long, value_name = "TEXT")]
    payload_text: Option<String>,
    /// A file that holds the JSON; - for stdin
    #[arg(long, value_name = "FILE")]
    payload_file: Option<PathBuf>,
}

impl PayloadInput {
    pub(super) fn read(&self) -> Result<Option<Payload>, CliError> {
        if let Some(text) = &self.payload {
            return json(text, "--payload").map(Some);
        }
        if let Some(text) = &self.payload_text {
            return Ok(Some(string(text)));
        }
        let Some(path) = &self.payload_file else {
            return Ok(None);
        };
        json(&file(path)?, &path.display().to_string()).map(Some)
    }
}

/// JSON text as a payload, byte for byte but for the space around it.
pub(super) fn json(text: &str, place: &str) -> Result<Payload, CliError> {
    let raw: Box<RawValue> = serde_json::from_str(text.trim())
        .map_err(|error| CliError::input(format!("read {place} as JSON"), error))?;
    Ok(Payload::new(raw))
}

/// Plain text as a JSON string.
pub(super) fn string(text: &str) -> Payload {
    let raw = serde_json::value::to_raw_value(text).expect("a string always encodes as JSON");
    Payload::new(raw)
}

/// A whole file, or stdin for `-`.
pub(super) fn file(path: &Path) -> Result<String, CliError> {
    let failed = |error: io::Error| CliError::input(format!("read {}", path.display()), error);
    if path == Path::new(STDIN) {
        return bounded(io::stdin().lock()).map_err(failed);
    }
    check_place(path)?;
    bounded(File::open(path).map_err(failed)?).map_err(failed)
}

/// Checks a path to write to; one that is surely a mistake is refused with a better spelling.
pub(super) fn check_place(path: &Path) -> Result<(), CliError> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    match path.to_str().and_then(misspelt_path) {
        Some(misfit) => Err(CliError::misspelt(misfit.what, misfit.right)),
        None => Ok(()),
    }
}

/// The same for bytes that need not be text.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, CliError> {
    let failed = |error: io::Error| CliError::input(format!("read {}", path.display()), error);
    if path == Path::new(STDIN) {
        return bounded_bytes(io::stdin().lock()).map_err(failed);
    }
    bounded_bytes(File::open(path).map_err(failed)?).map_err(failed)
}

fn bounded(source: impl Read) -> io::Result<String> {
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8");
    String::from_utf8(bounded_bytes(source)?).map_err(not_text)
}

fn bounded_bytes(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        let problem = format!("it is longer than {INPUT_BYTES_MAX} bytes");
        return Err(io::Error::other(problem));
    }
    Ok(bytes)
}

/// `NAME=VALUE`, for clap.
pub(super) fn label(text: &str) -> Result<(LabelKey, LabelValue), String> {
    let (key, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let key = key.parse().map_err(|error| format!("{error}"))?;
    let value = value.parse().map_err(|error| format!("{error}"))?;
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_kept_byte_for_byte() {
        let payload = json(" {\"b\":1.50,  \"a\":1}\n", "it").expect("it is JSON");
        assert_eq!(payload.as_json(), "{\"b\":1.50,  \"a\":1}");
        assert!(json("{", "it").is_err());
        assert_eq!(string("a\"b").as_json(), r#""a\"b""#);
    }

    #[test]
    fn too_much_is_refused() {
        assert!(bounded(io::repeat(b' ')).is_err());
    }

    #[test]
    fn labels_have_a_name_and_a_value() {
        assert!(label("area=parser").is_ok());
        assert!(label("area=a=b").is_ok());
        assert!(label("area").is_err());
        assert!(label("=x").is_err());
    }
}
