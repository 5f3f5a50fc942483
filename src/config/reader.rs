//! Reads settings one by one, collecting what is wrong instead of stopping at it.

use std::time::Duration;

use serde::Serialize;

use super::kinds::{Count, Fallback, Read};
use super::origins::Origins;
use super::problem::{ConfigErrors, Misfit, Problem, Warning};
use super::raw::{Gathered, RawConfig};
use super::settings::{self, Setting, Spec};
use super::source::Source;
use crate::edge::ports::Profile;

/// Where values are taken from and problems go to. A setting that is wrong reads as its default, so
/// that the rest can be checked; nobody sees that, because the problem is reported in the end.
#[derive(Debug)]
pub(super) struct Reader {
    raw: RawConfig,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
    origins: Origins,
    profile: Profile,
}

impl Reader {
    /// Everything else depends on the profile, so a wrong one reads as the fallback.
    pub(super) fn new(gathered: Gathered) -> Self {
        let mut reader = Self {
            raw: gathered.raw,
            problems: gathered.problems,
            warnings: gathered.warnings,
            origins: Origins::default(),
            profile: Profile::fallback(),
        };
        let chosen_by = if Profile::BAKED.is_some() {
            Source::Baked
        } else {
            Source::Default
        };
        reader.profile = reader.or(&settings::PROFILE, Profile::fallback(), chosen_by);
        reader
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
    pub(super) fn optional<K: Read>(&mut self, setting: &'static Setting<K>) -> Option<K::Value> {
        let value = self.raw.value(setting)?;
        let source = value.source.clone();
        let effective = setting.kind.read(value);
        let overridden = self.raw.overridden(setting).iter();
        let wrong: Vec<(Source, Misfit)> = overridden
            .filter_map(|value| Some((value.source.clone(), setting.kind.read(value).err()?)))
            .collect();
        let meant = match effective {
            Ok(meant) => {
                self.note(setting, source, &meant);
                Some(meant)
            }
            Err(misfit) => {
                self.problem(setting, source, misfit);
                None
            }
        };
        for (source, misfit) in wrong {
            self.problem(setting, source, misfit);
        }
        meant
    }

    /// A setting, or its default.
    pub(super) fn get<K: Fallback>(&mut self, setting: &'static Setting<K>) -> K::Value {
        self.optional(setting)
            .unwrap_or_else(|| self.fallback(setting))
    }

    /// A setting whose default depends on what is around, and where that comes from.
    pub(super) fn or<K: Read>(
        &mut self,
        setting: &'static Setting<K>,
        default: K::Value,
        default_source: Source,
    ) -> K::Value {
        self.optional(setting).unwrap_or_else(|| {
            self.note(setting, default_source, &default);
            default
        })
    }

    /// The default of a setting that nobody set.
    pub(super) fn fallback<K: Fallback>(&mut self, setting: &'static Setting<K>) -> K::Value {
        let (value, source) = setting.kind.fallback(self.profile);
        self.note(setting, source, &value);
        value
    }

    pub(super) fn milliseconds(&mut self, setting: &'static Setting<Count>) -> Duration {
        Duration::from_millis(self.get(setting))
    }

    /// How many there may be of something in memory.
    pub(super) fn size(&mut self, setting: &'static Setting<Count>) -> usize {
        usize::try_from(self.get(setting)).expect("the table bounds it far below 4 GiB")
    }

    /// Which profile holds.
    pub(super) fn profile(&self) -> Profile {
        self.profile
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

    pub(super) fn note(&mut self, spec: &Spec, source: Source, value: &impl Serialize) {
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
