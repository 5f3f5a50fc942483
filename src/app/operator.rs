//! The first operator's token, random bytes, and where backups go.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;

use crate::clock;
use crate::config::Config;
use crate::config::client::OPERATOR_TOKEN_FILE;
use crate::driver::core::{Core, SYSTEM_PROJECT};
use crate::driver::secret::secret_hash;
use crate::driver::shell::{BackupWriter, Driver};
use crate::engine::command::{ProjectScope, Role, TokenCreate};
use crate::engine::ids::{Principal, TokenId};
use crate::journal::{Journal, inspect};
use crate::protocol::admin::ServerBackupResult;

/// Why the operator's token could not be created.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the operator's token to {path}")]
pub struct OperatorError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The id of the token that the first start creates.
const OPERATOR_TOKEN: &str = "t-operator";
/// The file in which a coordinator with a shared journal keeps the id of its token, so that coordinators do
/// not replace each other's.
const OPERATOR_ID_FILE: &str = "operator.id";

/// Far more than a token has.
const TOKEN_BYTES_MAX: u64 = 4 * 1024;

/// The operator's access after a start.
#[derive(Debug)]
pub(super) struct Operator {
    /// The file of the created token; `None` if a token is configured.
    pub(super) token_file: Option<PathBuf>,
    /// To be proposed; it replaces an earlier token with the same id.
    pub(super) new_token: Option<TokenCreate>,
}

/// The configured token, or one that the first start creates. It is created again if its file is missing or
/// contains another token: everybody who can write to the state directory is the operator, and a restored
/// journal may come from another machine. The file is durable before the token is valid, so after a crash in
/// between the next start replaces the file.
pub(super) fn prepare(config: &Config, core: &Core) -> Result<Operator, OperatorError> {
    let token_file = config.state_dir.join(OPERATOR_TOKEN_FILE);
    let id = operator_id(config)?;
    let known = known_hash(core, &id);
    if let Some(secret) = &config.operator_token {
        // The earlier token is no longer valid, and its file would be misleading.
        match std::fs::remove_file(&token_file) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                let path = token_file;
                return Err(OperatorError { path, source });
            }
            _ => {}
        }
        let hash = secret_hash(secret.expose());
        let new_token = (known != Some(&hash)).then(|| operator(id, hash.clone()));
        return Ok(Operator {
            token_file: None,
            new_token,
        });
    }
    if known.is_some_and(|known| holds(&token_file, known)) {
        return Ok(Operator {
            token_file: Some(token_file),
            new_token: None,
        });
    }
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random());
    let secret = format!("coord_{text}");
    write(&token_file, &secret).map_err(|source| OperatorError {
        path: token_file.clone(),
        source,
    })?;
    Ok(Operator {
        token_file: Some(token_file),
        new_token: Some(operator(id, secret_hash(&secret))),
    })
}

/// Like [`prepare`], while the coordinator runs: the token to replace, if it changed.
pub(super) fn prepare_again(
    config: &Config,
    driver: &Driver,
) -> Result<Option<TokenCreate>, OperatorError> {
    let prepared = driver.inspect(|core| prepare(config, core));
    prepared.map(|operator| operator.new_token)
}

fn operator_id(config: &Config) -> Result<TokenId, OperatorError> {
    let alone: TokenId = OPERATOR_TOKEN.parse().expect("the id is valid");
    if config.redis.is_none() {
        return Ok(alone);
    }
    let path = config.state_dir.join(OPERATOR_ID_FILE);
    let kept = std::fs::read_to_string(&path);
    if let Some(id) = kept.ok().and_then(|text| text.trim().parse().ok()) {
        return Ok(id);
    }
    let [a, b, c, d, ..] = random();
    let id = format!("t-op-{:08x}", u32::from_le_bytes([a, b, c, d]));
    write(&path, &id).map_err(|source| OperatorError { path, source })?;
    Ok(id.parse().expect("the id is valid"))
}

fn known_hash<'a>(core: &'a Core, id: &TokenId) -> Option<&'a str> {
    let mut engines = core.engines();
    let (_, system) = engines.find(|(name, _)| name.as_str() == SYSTEM_PROJECT)?;
    let token = system.state().tokens.get(id)?;
    Some(&token.secret_hash)
}

/// Whether the file contains the secret of this hash; `false` if it cannot be read.
fn holds(path: &Path, hash: &str) -> bool {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text));
    read.is_ok() && secret_hash(text.trim_end()) == hash
}

fn operator(token: TokenId, secret_hash: String) -> TokenCreate {
    let agent: Principal = "operator".parse().expect("the name is valid");
    TokenCreate {
        token,
        secret_hash,
        agent,
        role: Role::Operator,
        projects: ProjectScope::All,
        ttl_ms: None,
        seats: false,
    }
}

fn write(path: &Path, secret: &str) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// 256 random bits from the system. Without them no secret can be made, so a failure ends the program.
pub(super) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// Backups go into a folder of the state directory, because the service may not write elsewhere.
pub(super) fn backup_writer(state_dir: &Path) -> BackupWriter {
    let folder = state_dir.join("backups");
    Box::new(move |journal, name| {
        write_backup(&folder, journal, name)
            .map_err(|error| format!("cannot write the backup: {error}"))
    })
}

fn write_backup(
    folder: &Path,
    journal: &mut dyn Journal,
    name: Option<String>,
) -> io::Result<ServerBackupResult> {
    let name = name.unwrap_or_else(|| format!("coord-{}.backup", clock::wall_ms()));
    let path = folder.join(name);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let mut options = OpenOptions::new();
    // An older backup of the same name is never overwritten.
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    let mut writer = BufWriter::new(file);
    let written = inspect::backup(journal, &mut writer).map_err(io::Error::other);
    let synced = written.and_then(|records| {
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        File::open(folder)?.sync_all()?;
        Ok(ServerBackupResult {
            path: path.display().to_string(),
            bytes: file.metadata()?.len(),
            records,
        })
    });
    if synced.is_err() {
        // An incomplete backup is removed; a failure to remove it does not change the error.
        let _ = std::fs::remove_file(&path);
    }
    synced
}
