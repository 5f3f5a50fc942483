//! Reads the event that a CLI writes to stdin.

use std::io::{self, IsTerminal, Read};

use serde_json::Value;

use super::event::Payload;
use super::quiet::say;

/// The largest event that is read. A longer one is a file's text, and a model does not write a megabyte.
const BYTES_MAX: u64 = 1024 * 1024;

/// The event; `None`, after a line on stderr, where there is nothing that this version understands.
pub(super) fn read() -> Result<Option<Payload>, String> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err("a CLI runs this as a hook, with the event as JSON on stdin".to_owned());
    }
    let failed = |error| format!("cannot read the event on stdin: {error}");
    let mut bytes = Vec::new();
    let mut stdin = stdin.lock();
    let read = stdin.by_ref().take(BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        // Read to its end, so that no CLI meets a closed pipe.
        io::copy(&mut stdin, &mut io::sink()).map_err(failed)?;
        say(&format!(
            "no opinion: the event is larger than {BYTES_MAX} bytes"
        ));
        return Ok(None);
    }
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(value) => Ok(Some(Payload(value))),
        Err(error) => {
            say(&format!(
                "no opinion: the event on stdin is no JSON: {error}"
            ));
            Ok(None)
        }
    }
}
