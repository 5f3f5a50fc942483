//! Names and password hashes: bcrypt, as exporter-toolkit takes them, and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bcrypt::HashParts;

use super::WebError;
use super::read::text_of;

/// A higher cost would keep a small box busy for seconds at every new password.
const COST_MAX: u32 = 14;
/// From here on a box of our smallest kind takes seconds for one password.
const COST_HIGH: u32 = 12;
/// Names are sent with every request.
const USERS_MAX: usize = 64;

/// A bcrypt hash of a cost that this machine can afford. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: Box<str>,
    cost: u32,
}

/// Why a list of users cannot be used. It repeats no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    #[error("the password of {user:?} is not a bcrypt hash (`htpasswd -nBC 10 NAME` makes one)")]
    NotBcrypt { user: String },
    #[error(
        "the password of {user:?} has bcrypt cost {cost}; a check would take seconds, so at most {COST_MAX} is allowed"
    )]
    TooCostly { user: String, cost: u32 },
    #[error("{place} has more than {USERS_MAX} users")]
    TooMany { place: String },
    #[error("{path} line {line} is not NAME:HASH")]
    Line { path: PathBuf, line: usize },
    #[error("{path} names {user:?} twice")]
    Twice { path: PathBuf, user: String },
}

impl PasswordHash {
    pub fn new(user: &str, text: &str) -> Result<Self, UsersError> {
        let user = || user.to_owned();
        let parts =
            HashParts::from_str(text).map_err(|_| UsersError::NotBcrypt { user: user() })?;
        match parts.get_cost() {
            0..4 | 32.. => Err(UsersError::NotBcrypt { user: user() }),
            cost if cost > COST_MAX => Err(UsersError::TooCostly { user: user(), cost }),
            cost => Ok(Self {
                text: text.into(),
                cost,
            }),
        }
    }

    /// One that no password has, of a given cost: a check against it takes as long as a real one.
    pub fn of_nobody(cost: u32) -> Self {
        // A salt and a hash in bcrypt's alphabet; their canonical form is all that matters.
        let text = format!("$2b${cost:02}$.....................u...............................");
        Self {
            text: text.into(),
            cost,
        }
    }

    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// Only for checking a password against it.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

/// Checks the users of a file, and remarks on those that are slow.
pub(super) fn check(
    users: BTreeMap<String, String>,
    place: &Path,
    remarks: &mut Vec<String>,
) -> Result<BTreeMap<String, PasswordHash>, UsersError> {
    if users.len() > USERS_MAX {
        let place = place.display().to_string();
        return Err(UsersError::TooMany { place });
    }
    let mut checked = BTreeMap::new();
    for (user, text) in users {
        let hash = PasswordHash::new(&user, &text)?;
        if hash.cost > COST_HIGH {
            remarks.push(format!(
                "the password of {user:?} has bcrypt cost {}: each new check of it may take seconds on a small box",
                hash.cost
            ));
        }
        checked.insert(user, hash);
    }
    Ok(checked)
}

/// Reads a file of `htpasswd`.
pub(super) fn read_file(path: &Path) -> Result<BTreeMap<String, PasswordHash>, WebError> {
    let mut users = BTreeMap::new();
    for (index, line) in text_of(path)?.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let pair = line.split_once(':').filter(|(user, _)| !user.is_empty());
        let (user, hash) = pair.ok_or_else(|| UsersError::Line {
            path: path.into(),
            line: index + 1,
        })?;
        if users.insert(user.to_owned(), hash.to_owned()).is_some() {
            let (path, user) = (path.into(), user.to_owned());
            return Err(UsersError::Twice { path, user }.into());
        }
    }
    Ok(check(users, path, &mut Vec::new())?)
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PasswordHash(cost {})", self.cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bcrypt_of_a_bearable_cost_is_taken() {
        let hash = |cost: u32| PasswordHash::of_nobody(cost).expose().to_owned();
        assert_eq!(
            PasswordHash::new("ana", &hash(10)).map(|h| h.cost()),
            Ok(10)
        );
        for version in ["$2a$", "$2x$", "$2y$"] {
            let other = hash(5).replacen("$2b$", version, 1);
            assert!(PasswordHash::new("ana", &other).is_ok(), "{version}");
        }
        let costly = PasswordHash::new("ana", &hash(15));
        let (user, cost) = ("ana".to_owned(), 15);
        assert_eq!(costly, Err(UsersError::TooCostly { user, cost }));
        for wrong in ["", "secret", "$apr1$x$y", "{SHA}x", &hash(3), &hash(32)] {
            let user = "ana".to_owned();
            let expected = Err(UsersError::NotBcrypt { user });
            assert_eq!(PasswordHash::new("ana", wrong), expected, "{wrong}");
        }
    }

    #[test]
    fn nobodys_hash_has_no_password_and_costs_as_much_as_said() {
        let nobody = PasswordHash::of_nobody(4);
        assert_eq!(bcrypt::verify("", nobody.expose()).ok(), Some(false));
        assert_eq!(bcrypt::verify("x", nobody.expose()).ok(), Some(false));
    }
}
