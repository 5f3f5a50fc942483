//! One row of the table of settings, and how rows are written.

use std::ops::Deref;
use std::path::PathBuf;
use std::str::FromStr;

use super::given::RawValue;
use super::host::Host;
use super::kinds::{Choice, Count, Kind, Or, Plain, ServicePort, Words};
use super::problem::Misfit;
use super::value;
use crate::edge::ports::Service;

/// One setting, with the kind of value it has. Whoever only describes it takes it as a [`Spec`].
#[derive(Debug)]
pub struct Setting<K> {
    pub spec: Spec,
    pub kind: K,
}

/// What can be said of every setting, whatever kind of value it has.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Its key in the file, with its section before the dot.
    pub key: &'static str,
    /// What kind of value it has, and within which bounds.
    pub kind: Kind,
    /// What it is for, as sentences. The first is the help of its flag.
    pub doc: &'static str,
    /// The environment variables it is read from, in this order.
    pub variables: &'static [&'static str],
    /// Its command line flag. A secret's flag names a file: command lines are visible to everybody.
    pub flag: Option<&'static str>,
    /// What stands for the flag's value in the help.
    pub value_name: &'static str,
    /// Its name among systemd's credentials.
    pub credential: Option<&'static str>,
    /// A reload takes it up. The others need a restart.
    pub reloads: bool,
    /// A value for the example file, where the kind has no default; items of a list are joined by commas.
    pub sample: &'static str,
}

/// Writes a table of settings: a static for each row, and the list of them all, which begins with those
/// that it shares with another table.
macro_rules! settings {
    (
        $(#[$about:meta])*
        $table:ident: [$($shared:ident),*];
        $($(#[$comment:meta])* $name:ident: $kind:ty = $row:expr;)+
    ) => {
        $($(#[$comment])* pub static $name: $crate::config::setting::Setting<$kind> = $row;)+

        $(#[$about])*
        pub static $table: &[&$crate::config::setting::Spec] =
            &[$(&$shared.spec,)* $(&$name.spec),+];
    };
}
pub(super) use settings;

impl Spec {
    const fn new(key: &'static str, kind: Kind) -> Self {
        Self {
            key,
            kind,
            doc: "",
            variables: &[],
            flag: None,
            value_name: "",
            credential: None,
            reloads: false,
            sample: "",
        }
    }

    /// The section of the file, and the key in it.
    pub fn section_and_leaf(&self) -> (Option<&'static str>, &'static str) {
        match self.key.split_once('.') {
            Some((section, leaf)) => (Some(section), leaf),
            None => (None, self.key),
        }
    }

    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret)
    }

    /// All variables it is read from, those that name a file included.
    pub fn all_variables(&self) -> impl Iterator<Item = String> {
        self.variables.iter().flat_map(|name| {
            let file = self.is_secret().then(|| format!("{name}_FILE"));
            std::iter::once((*name).to_owned()).chain(file)
        })
    }
}

impl<K> Setting<K> {
    const fn new(key: &'static str, kind: Kind, typed: K) -> Self {
        Self {
            spec: Spec::new(key, kind),
            kind: typed,
        }
    }

    pub(super) const fn doc(mut self, doc: &'static str) -> Self {
        self.spec.doc = doc;
        self
    }

    pub(super) const fn variables(mut self, variables: &'static [&'static str]) -> Self {
        self.spec.variables = variables;
        self
    }

    pub(super) const fn flag(mut self, flag: &'static str, value_name: &'static str) -> Self {
        self.spec.flag = Some(flag);
        self.spec.value_name = value_name;
        self
    }

    pub(super) const fn credential(mut self, credential: &'static str) -> Self {
        self.spec.credential = Some(credential);
        self
    }

    /// A reload takes it up: `app/reload.rs` hands the new value to what runs.
    pub(super) const fn reloads(mut self) -> Self {
        self.spec.reloads = true;
        self
    }
}

impl<T> Setting<Plain<T>> {
    /// The same with a default, which the sample shows.
    pub(super) const fn or(self, default: fn() -> T) -> Setting<Or<T>> {
        let read = self.kind.read;
        Setting {
            spec: self.spec,
            kind: Or { read, default },
        }
    }
}

impl<K> Deref for Setting<K> {
    type Target = Spec;

    fn deref(&self) -> &Spec {
        &self.spec
    }
}

/// A choice between words, of which the one at `default` holds when nobody chooses.
pub(super) const fn choice<T, const N: usize>(
    key: &'static str,
    words: &'static [&'static str; N],
    values: &'static [T; N],
    default: usize,
) -> Setting<Choice<T>> {
    let words = Words { words, default };
    Setting::new(key, Kind::Choice(words), Choice { words, values })
}

/// A number from `min` to `max`.
pub(super) const fn count(
    key: &'static str,
    unit: &'static str,
    min: u64,
    max: u64,
    default: u64,
) -> Setting<Count> {
    let count = Count {
        unit,
        min,
        max,
        default,
    };
    Setting::new(key, Kind::Count(count), count)
}

/// Off unless switched on.
pub(super) const fn boolean(key: &'static str) -> Setting<Or<bool>> {
    of(key, Kind::Boolean, value::boolean, "").or(|| false)
}

pub(super) const fn port(key: &'static str, service: Service) -> Setting<ServicePort> {
    Setting::new(key, Kind::Port(service), ServicePort(service))
}

/// Loopback unless it is set.
pub(super) const fn host(key: &'static str) -> Setting<Or<Host>> {
    of(key, Kind::Host, value::parsed, "").or(|| Host::LOOPBACK)
}

/// Empty unless it is set.
pub(super) const fn list<T: FromStr<Err = Misfit>>(
    key: &'static str,
    kind: Kind,
    sample: &'static str,
) -> Setting<Or<Vec<T>>> {
    of(key, kind, value::list, sample).or(Vec::new)
}

pub(super) const fn path(key: &'static str, sample: &'static str) -> Setting<Plain<PathBuf>> {
    of(key, Kind::Path, value::path, sample)
}

/// A value without a default, and how it is read.
pub(super) const fn of<T>(
    key: &'static str,
    kind: Kind,
    read: fn(&RawValue) -> Result<T, Misfit>,
    sample: &'static str,
) -> Setting<Plain<T>> {
    let mut setting = Setting::new(key, kind, Plain { read });
    setting.spec.sample = sample;
    setting
}
