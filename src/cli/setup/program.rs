//! How files of other programs call this one.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::front::Front;
use crate::cli::error::CliError;
use crate::config::Environment;

const NAME: &str = "coord";

/// The absolute path of this program. CLIs are started from desktops and editors too, where `PATH` is another.
pub(in crate::cli) fn own(environment: &dyn Environment) -> Result<String, CliError> {
    let running = std::env::current_exe();
    let running = running.map_err(|error| CliError::input("find this program", error))?;
    // A link on PATH stays right when the package behind it is replaced.
    let linked = on_path(NAME, environment).filter(|found| {
        let real = found.canonicalize();
        real.is_ok_and(|real| Some(real) == running.canonicalize().ok())
    });
    let path = linked.unwrap_or(running);
    let text = path
        .to_str()
        .filter(|text| !text.contains(char::is_control));
    text.map(str::to_owned).ok_or_else(|| {
        let what = format!(
            "the path of this program cannot be written to a file: {}",
            path.display()
        );
        CliError::usage(what, "move the program to a path of plain text")
    })
}

/// Where a program is found. A relative folder would mean another program in every repository.
pub(in crate::cli) fn on_path(name: &str, environment: &dyn Environment) -> Option<PathBuf> {
    let path = environment.variable("PATH").ok()??;
    let folders = path.split(':').map(Path::new).filter(|it| it.is_absolute());
    let mut files = folders.map(|folder| folder.join(name));
    files.find(|file| file.is_file() && access(file, AccessFlags::X_OK).is_ok())
}

/// The command line of a hook. It does nothing once the program is gone: Gemini CLI takes any other failure for
/// a refusal of the edit.
pub(in crate::cli) fn hook(program: &str, words: &str) -> String {
    let program = quoted(program);
    format!("[ -x {program} ] || exit 0; exec {program} hook {words}")
}

/// Whether a command line is one of those, whatever program it names.
pub(in crate::cli) fn is_hook(command: &str, front: Front) -> bool {
    let called = command
        .strip_prefix("[ -x ")
        .and_then(|rest| rest.split_once(" ] || exit 0; exec "));
    let Some((program, call)) = called else {
        return false;
    };
    let words = call
        .strip_prefix(program)
        .and_then(|rest| rest.strip_prefix(" hook "));
    let name = front.name();
    words.is_some_and(|words| words == name || words.strip_prefix("wait ") == Some(name))
}

/// For a shell.
pub(in crate::cli) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%,:=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reaches_the_shell_as_it_is() {
        assert_eq!(quoted("/usr/bin/coord"), "/usr/bin/coord");
        for path in ["/a b/it's $HOME/co;rd", "", "~x", "/\"q\"/`id`/\\/*"] {
            let script = format!("printf %s {}", quoted(path));
            let said = std::process::Command::new("sh")
                .args(["-c", &script])
                .output();
            assert_eq!(said.expect("there is a shell").stdout, path.as_bytes());
        }
    }

    #[test]
    fn hooks_of_ours_are_told_from_others() {
        for program in ["/usr/bin/coord", "/a b/coord"] {
            assert!(is_hook(&hook(program, "claude"), Front::Claude));
            assert!(is_hook(&hook(program, "wait claude"), Front::Claude));
            assert!(!is_hook(&hook(program, "claude"), Front::Codex));
            assert!(!is_hook(&hook(program, "claude --x"), Front::Claude));
        }
        for command in [
            "coord hook claude",
            "",
            "[ -x a ] || exit 0; exec b hook claude",
        ] {
            assert!(!is_hook(command, Front::Claude), "{command}");
        }
    }
}
