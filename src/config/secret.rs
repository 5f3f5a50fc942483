//! Secrets: values that are used and never shown.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Serialize, Serializer};

/// What stands where a secret would.
pub const MASK: &str = "********";

/// Far more than any password or token; keeps a device or a log from being read as one.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// The permission bits that let anybody else read a file.
const MODE_OTHERS_READ: u32 = 0o004;

/// A password or a token. No way of printing it prints it.
#[derive(Clone)]
pub struct Secret {
    text: Box<str>,
    file: Option<Box<Path>>,
}

/// What a file held, and whether anybody on the machine can read it.
pub(super) struct SecretFile {
    pub(super) secret: Secret,
    pub(super) world_readable: bool,
}

impl Secret {
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self {
            text: text.into(),
            file: None,
        }
    }

    /// The secret itself: only for handing it to whoever asks for it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The same without blanks and line breaks at its end.
    pub(super) fn without_end(self) -> Self {
        Self {
            text: self.text.trim_end().into(),
            file: self.file,
        }
    }

    /// The secret as its file has it now; the same if it is from no file.
    pub fn read_again(&self) -> io::Result<Self> {
        match &self.file {
            Some(file) => read(file).map(|read| read.secret),
            None => Ok(self.clone()),
        }
    }

    /// The file that held it alone, if it was read from one. That is no secret.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// Reads a secret from a file, without the newline that editors and `echo` leave at the end.
pub(super) fn read(path: &Path) -> io::Result<SecretFile> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let mut bytes = Vec::new();
    file.take(SECRET_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SECRET_FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "longer than {SECRET_FILE_BYTES_MAX} bytes"
        )));
    }
    if [b"\xff\xfe", b"\xfe\xff"]
        .iter()
        .any(|mark| bytes.starts_with(*mark))
    {
        let what = "it is UTF-16 text, as PowerShell's > writes; save it as UTF-8";
        return Err(io::Error::other(what));
    }
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(io::Error::other("it is empty"));
    }
    Ok(SecretFile {
        secret: Secret {
            text: line.into(),
            file: Some(path.into()),
        },
        world_readable: is_world_readable(metadata.mode()),
    })
}

/// Whether everybody on the machine may read a file of this mode.
pub(super) fn is_world_readable(mode: u32) -> bool {
    mode & MODE_OTHERS_READ != 0
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}
