//! `coord open`: a link to the page that lets its reader in once.

use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::json;

use super::duration::Millis;
use super::error::CliError;
use super::exit::Exit;
use super::shell::Shell;

#[derive(Debug, clap::Args)]
pub(super) struct OpenArgs {
    /// Let the reader do what the token may, not only look; prints the link only
    #[arg(long)]
    operator: bool,
    /// Print the link only, even where there is a browser
    #[arg(long)]
    no_browser: bool,
}

/// The coordinator's answer.
#[derive(Deserialize)]
struct Invitation {
    code: String,
    role: String,
    expires_in_ms: u64,
}

pub(super) async fn run(args: &OpenArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let target = shell.target()?;
    let asked = json!({ "operate": args.operator }).to_string();
    let answer = target.post("/page/code", &asked).await?;
    let invitation: Invitation =
        serde_json::from_slice(&answer).map_err(|source| CliError::Input {
            what: "read the coordinator's answer".to_owned(),
            source: source.into(),
        })?;
    let scheme = if target.url.tls { "https" } else { "http" };
    // Browsers send what is behind the # to nobody, so no log has it.
    let link = format!(
        "{scheme}://{}/#code={}",
        target.url.endpoint, invitation.code
    );
    if shell.out.style().json {
        let answer = json!({ "url": link, "role": invitation.role, "expires_in_ms": invitation.expires_in_ms });
        let answer = serde_json::value::to_raw_value(&answer).map_err(std::io::Error::from)?;
        shell.out.raw(&answer)?;
        return Ok(Exit::Ok);
    }
    shell.out.line(&link)?;
    let (role, left) = (&invitation.role, Millis(invitation.expires_in_ms));
    shell.out.note(format_args!(
        "it works once, within {left}, and its reader is {role}"
    ));
    // Other users of the machine can read a command line, and be faster: what they could get is at most a look.
    if !args.no_browser && !args.operator && has_screen(shell)? {
        show(&link, shell);
    }
    Ok(Exit::Ok)
}

fn has_screen(shell: &Shell<'_>) -> Result<bool, CliError> {
    for name in ["WAYLAND_DISPLAY", "DISPLAY"] {
        let set = shell.environment.variable(name);
        let set = set.map_err(|source| CliError::Input {
            what: format!("read {name}"),
            source: Box::new(source),
        })?;
        if set.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn show(link: &str, shell: &Shell<'_>) {
    let mut command = Command::new("xdg-open");
    let command = command.arg(link).stdin(Stdio::null());
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    // It ends when it has told the browser; nobody needs to wait for that.
    if let Err(error) = command.spawn() {
        shell
            .out
            .note(format_args!("cannot start a browser: {error}"));
    }
}
