//! Reads settings one by one, collecting what is wrong instead of stopping at it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::problem::{ConfigErrors, Misfit, Problem, Warning};
use super::raw::{Gathered, Given, Origins, RawConfig, Source};
use super::secret::Secret;
use super::settings::{Kind, Spec};
use super::spelling;
use super::value;
use crate::ports::{Port, Profile};

/// Where values are taken from and problems go to. A setting that is wrong reads as its default, so
/// that the rest can be checked; nobody sees that, because the problem is reported in the end.
#[derive(Debug)]
pub(super) struct Reader {
    raw: RawConfig,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
    origins: Origins,
}

impl Reader {
    pub(super) fn new(gathered: Gathered) -> Self {
        Self {
            raw: gathered.raw,
            problems: gathered.problems,
            warnings: gathered.warnings,
            origins: Origins::default(),
        }
    }

    /// Every value's origin and all warnings, unless something was wrong.
    pub(super) fn finish(self) -> Result<(Origins, Vec<Warning>), ConfigErrors> {
        ConfigErrors::check(self.problems)?;
        Ok((self.origins, self.warnings))
    }

    /// Leaves out what is wrong with settings that the caller has no use for.
    pub(super) fn forget_problems(&mut self, of_key: impl Fn(&str) -> bool) {
        self.problems.retain(|problem| !of_key(&problem.key));
    }

    /// A setting that may be absent. What a source with more say overrides has to be right too:
    /// or taking that away would be what breaks the next start.
    pub(super) fn optional<T: Serialize>(
        &mut self,
        spec: &'static Spec,
        read: impl Fn(&Given) -> Result<T, Misfit>,
    ) -> Option<T> {
        let value = self.raw.value(spec)?;
        let source = value.source.clone();
        let effective = read(&value.given);
        let overridden = self.raw.overridden(spec).iter();
        let wrong: Vec<(Source, Misfit)> = overridden
            .filter_map(|value| Some((value.source.clone(), read(&value.given).err()?)))
            .collect();
        let meant = match effective {
            Ok(meant) => {
                self.origins.note(spec, source, &meant);
                Some(meant)
            }
            Err(misfit) => {
                self.problem(spec, source, misfit);
                None
            }
        };
        for (source, misfit) in wrong {
            self.problem(spec, source, misfit);
        }
        meant
    }

    /// A setting with a default, and where that comes from.
    pub(super) fn or<T: Serialize>(
        &mut self,
        spec: &'static Spec,
        default: T,
        default_source: Source,
        read: impl Fn(&Given) -> Result<T, Misfit>,
    ) -> T {
        self.optional(spec, read).unwrap_or_else(|| {
            self.origins.note(spec, default_source, &default);
            default
        })
    }

    pub(super) fn boolean(&mut self, spec: &'static Spec) -> bool {
        self.or(spec, false, Source::Default, value::boolean)
    }

    /// A number within the bounds its table entry names.
    pub(super) fn count(&mut self, spec: &'static Spec) -> u64 {
        let Kind::Count {
            unit,
            min,
            max,
            default,
        } = spec.kind
        else {
            unreachable!("{} is no count in the table of settings", spec.key)
        };
        self.or(spec, default, Source::Default, |given| {
            value::count(given, unit, min, max)
        })
    }

    /// The port of the service its table entry names.
    pub(super) fn port(&mut self, spec: &'static Spec, profile: Profile) -> Port {
        let Kind::Port(service) = spec.kind else {
            unreachable!("{} is no port in the table of settings", spec.key)
        };
        let default = profile.port(service);
        self.or(spec, default, Source::profile(profile), value::port)
    }

    /// One of the words its table entry lists.
    pub(super) fn choice(&mut self, spec: &'static Spec) -> &'static str {
        let Kind::Choice(words) = spec.kind else {
            unreachable!("{} is no choice in the table of settings", spec.key)
        };
        self.or(spec, words[0], Source::Default, |given| {
            value::choice(given, words)
        })
    }

    /// The token that a client shows.
    pub(super) fn made_token(&mut self, spec: &'static Spec) -> Option<Secret> {
        self.optional(spec, value::made_token)
    }

    pub(super) fn secret(&mut self, spec: &'static Spec) -> Option<Secret> {
        self.optional(spec, value::secret)
    }

    /// A path; in a file, a relative one counts from the file's folder.
    pub(super) fn path(&mut self, spec: &'static Spec) -> Option<PathBuf> {
        let folder = match &self.raw.value(spec)?.source {
            Source::File { path, .. } => path.parent().map(Path::to_owned),
            _ => None,
        };
        self.optional(spec, |given| {
            let text = value::text(given)?;
            if let Some(misfit) = spelling::misspelt_path(text) {
                return Err(misfit);
            }
            let path = PathBuf::from(text);
            Ok(folder
                .as_ref()
                .map_or_else(|| path.clone(), |folder| folder.join(&path)))
        })
    }

    /// Which profile holds: everything else depends on it, so a wrong one reads as the fallback.
    pub(super) fn profile(&mut self, spec: &'static Spec) -> Profile {
        let Kind::Choice(words) = spec.kind else {
            unreachable!("{} is no choice in the table of settings", spec.key)
        };
        let default_source = if Profile::BAKED.is_some() {
            Source::Baked
        } else {
            Source::Default
        };
        self.or(spec, Profile::fallback(), default_source, |given| {
            let word = value::choice(given, words)?;
            Ok(word
                .parse()
                .expect("the words of the table are the profiles' names"))
        })
    }

    /// Where the setting was given, if anywhere; not yet whether it is right.
    pub(super) fn given_by(&self, spec: &Spec) -> Option<&Source> {
        self.raw.value(spec).map(|value| &value.source)
    }

    /// Where the value that holds came from.
    pub(super) fn source(&self, spec: &Spec) -> Source {
        self.given_by(spec)
            .unwrap_or_else(|| self.origins.source(spec))
            .clone()
    }

    pub(super) fn note(&mut self, spec: &'static Spec, source: Source, value: &impl Serialize) {
        self.origins.note(spec, source, value);
    }

    pub(super) fn problem(&mut self, spec: &Spec, origin: Source, misfit: Misfit) {
        self.problems.push(Problem {
            key: spec.key.to_owned(),
            origin,
            what: misfit.what,
            right: misfit.right,
        });
    }

    pub(super) fn warn(&mut self, origin: Source, text: impl Into<String>) {
        self.warnings.push(Warning {
            origin,
            text: text.into(),
        });
    }
}
