//! `coord ports free`.

use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::edge::holders;
use crate::edge::ports::{Port, candidates_above};

pub(super) fn run(from: Port, attempts: u16, out: &mut Output<'_>) -> Result<Exit, CliError> {
    let mut tried = 0_u32;
    for port in candidates_above(from, attempts) {
        tried += 1;
        let free = holders::is_free(port.number());
        let free =
            free.map_err(|error| CliError::input(format!("listen on port {port}"), error))?;
        if !free {
            continue;
        }
        if out.style().json {
            out.json(&json!({ "port": port }))?;
        } else {
            out.line(port)?;
        }
        return Ok(Exit::Ok);
    }
    let what = format!("none of the {tried} candidate ports from {from} on is free");
    Err(CliError::unmet(Exit::NotFound, what))
}
