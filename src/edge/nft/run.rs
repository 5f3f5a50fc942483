//! Runs `nft`: by an absolute path, without a shell, with nothing of our environment, its input on
//! stdin, its output and time bounded.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::error::NftError;
use crate::edge::firewall::{FAMILY, TABLE};

/// The paths of nft in distributions. `PATH` is not used.
const PLACES: [&str; 5] = [
    "/usr/sbin/nft",
    "/sbin/nft",
    "/usr/local/sbin/nft",
    "/usr/bin/nft",
    "/bin/nft",
];
/// Its own programs are not needed; libraries and locale files are.
const CLEAN_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
const NFT_MS_MAX: u64 = 20_000;
const NFT_OUTPUT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How much of what it complains of an error repeats.
const COMPLAINT_CHARS_MAX: usize = 600;
/// The bit of `CAP_NET_ADMIN` in a capability set.
const CAPABILITY_NET_ADMIN_BIT: u32 = 12;

/// The program, found and allowed to be used.
#[derive(Debug, Clone)]
pub struct Nft {
    program: PathBuf,
}

impl Nft {
    /// Looks for the program, and whether this process may change a firewall.
    pub fn find() -> Result<Self, NftError> {
        let found = PLACES.iter().map(Path::new).find(|path| path.is_file());
        let program = found.ok_or_else(|| NftError::Missing {
            searched: PLACES.join(", "),
        })?;
        if !may_administer() {
            return Err(NftError::NotPermitted);
        }
        Ok(Self {
            program: program.to_owned(),
        })
    }

    /// Whether `nft` and the kernel would accept the text; changes nothing.
    pub async fn check(&self, text: &str) -> Result<(), NftError> {
        self.run(&["-c", "-f", "-"], text).await.map(|_| ())
    }

    /// The same for the JSON form.
    pub async fn check_json(&self, json: &str) -> Result<(), NftError> {
        self.run(&["-j", "-c", "-f", "-"], json).await.map(|_| ())
    }

    /// Carries out the text, all of it or nothing.
    pub(super) async fn load(&self, text: &str) -> Result<(), NftError> {
        self.run(&["-f", "-"], text).await.map(|_| ())
    }

    /// Our loaded table, without counter values; `None` if there is none.
    pub(super) async fn listing(&self) -> Result<Option<String>, NftError> {
        let listed = self.run(&["-s", "list", "table", FAMILY, TABLE], "").await;
        match listed {
            Ok(text) => Ok(Some(text)),
            Err(NftError::Refused { said }) if is_absent(&said) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Our table's counters, as JSON.
    pub(super) async fn counters(&self) -> Result<String, NftError> {
        self.run(&["-j", "list", "counters", "table", FAMILY, TABLE], "")
            .await
    }

    async fn run(&self, words: &[&str], input: &str) -> Result<String, NftError> {
        let mut child = Command::new(&self.program)
            .args(words)
            .env_clear()
            .env("PATH", CLEAN_PATH)
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(NftError::Run)?;
        let mut stdin = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let feed = async {
            if let Some(stdin) = &mut stdin {
                // One that stops reading says why on stderr.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
            drop(stdin);
        };
        let work = async {
            let ((), said, complained) = tokio::join!(feed, read(stdout), read(stderr));
            let status = child.wait().await.map_err(NftError::Run)?;
            Ok::<_, NftError>((status, said?, complained?))
        };
        let done = tokio::time::timeout(Duration::from_millis(NFT_MS_MAX), work).await;
        let (status, said, complained) =
            done.map_err(|_| NftError::TimedOut { ms: NFT_MS_MAX })??;
        if status.success() {
            return Ok(said);
        }
        Err(complaint(&complained))
    }
}

/// The meaning of an error text of `nft`.
fn complaint(text: &str) -> NftError {
    let said: String = text.trim().chars().take(COMPLAINT_CHARS_MAX).collect();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["Operation not permitted"]) {
        return NftError::NotPermitted;
    }
    if has(&[
        "Unable to initialize Netlink socket",
        "Protocol not supported",
        "Operation not supported",
        "cache initialization failed",
    ]) {
        return NftError::NoKernel { said };
    }
    NftError::Refused { said }
}

fn is_absent(said: &str) -> bool {
    said.contains("No such file or directory")
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> Result<String, NftError> {
    let Some(stream) = stream else {
        return Ok(String::new());
    };
    let mut bytes = Vec::new();
    let mut bounded = stream.take(NFT_OUTPUT_BYTES_MAX + 1);
    bounded
        .read_to_end(&mut bytes)
        .await
        .map_err(NftError::Run)?;
    if bytes.len() as u64 > NFT_OUTPUT_BYTES_MAX {
        return Err(NftError::TooMuch {
            bytes: NFT_OUTPUT_BYTES_MAX,
        });
    }
    let invalid = |_| NftError::Run(io::Error::other("its output is not UTF-8 text"));
    String::from_utf8(bytes).map_err(invalid)
}

/// Root has the capability too, unless it was taken away.
fn may_administer() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    effective.is_some_and(|set| set & (1 << CAPABILITY_NET_ADMIN_BIT) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: &str, expected: &str) {
        let kind = match complaint(said) {
            NftError::NotPermitted => "not permitted",
            NftError::NoKernel { .. } => "no kernel",
            NftError::Refused { .. } => "refused",
            other => panic!("{other:?}"),
        };
        assert_eq!(kind, expected, "{said}");
    }

    #[test]
    fn complaints_are_told_apart() {
        check(
            "Error: Could not process rule: Operation not permitted",
            "not permitted",
        );
        check(
            "netlink.c:59: Unable to initialize Netlink socket: Protocol not supported",
            "no kernel",
        );
        check(
            "Error: cache initialization failed: Invalid argument",
            "no kernel",
        );
        check(
            "Error: Could not process rule: Operation not supported",
            "no kernel",
        );
        check("/dev/stdin:1:1-5: Error: syntax error", "refused");
    }
}
