//! Reads a small text file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::WebError;

/// More than certificates of a whole company take; keeps a device or a log from being read as one.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

pub(super) fn text_of(path: &Path) -> Result<String, WebError> {
    read(path).map_err(|source| WebError::Read {
        path: path.into(),
        source,
    })
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        let what = format!("it is longer than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::other(what));
    }
    Ok(text)
}
