//! What was typed, from each source, with its provenance. Nothing is judged here but what kind of
//! thing stands there; what it means is for `parsed`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use super::env::Environment;
use super::file;
use super::flags::Flags;
use super::given::{GivenValue, RawValue};
use super::problem::{Problem, Warning};
use super::secret::{self, Secret};
use super::settings::Spec;
use super::source::Source;
use super::spelling;
use super::token_form;

/// For each setting that any source has, the value of the first one, before it was understood.
#[derive(Debug, Default)]
pub(super) struct RawConfig {
    values: BTreeMap<&'static str, RawValue>,
    /// The values of the other sources.
    overridden: BTreeMap<&'static str, Vec<RawValue>>,
}

/// What was read, and what was noticed while reading.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) raw: RawConfig,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

impl RawConfig {
    pub(super) fn value(&self, spec: &Spec) -> Option<&RawValue> {
        self.values.get(spec.key)
    }

    /// What would hold if it were not for [`Self::value`], in the order of the sources.
    pub(super) fn overridden(&self, spec: &Spec) -> &[RawValue] {
        self.overridden.get(spec.key).map_or(&[], Vec::as_slice)
    }
}

/// Asks every source for every setting of the table. The first source that has one wins.
pub(super) fn gather(
    table: &[&'static Spec],
    flags: &Flags,
    environment: &dyn Environment,
    file: Option<&Path>,
) -> Gathered {
    let mut gathered = Gathered::default();
    let mut sources: [BTreeMap<&'static str, RawValue>; 4] = Default::default();
    for spec in table {
        gathered.read_flag(spec, flags, &mut sources[0]);
    }
    for spec in table {
        gathered.read_variables(spec, environment, &mut sources[1]);
        gathered.read_credential(spec, environment, &mut sources[2]);
    }
    if let Some(path) = file {
        for entry in file::read(path, table, &mut gathered.problems) {
            if entry.names_file {
                let folder = path.parent().unwrap_or(Path::new(""));
                gathered.accept_file(entry.spec, entry.value, folder, &mut sources[3]);
            } else {
                gathered.insert(entry.spec, entry.value, &mut sources[3]);
            }
        }
    }
    for (key, value) in sources.into_iter().flatten() {
        let raw = &mut gathered.raw;
        match raw.values.entry(key) {
            Entry::Vacant(place) => drop(place.insert(value)),
            Entry::Occupied(_) => raw.overridden.entry(key).or_default().push(value),
        }
    }
    gathered
}

impl Gathered {
    fn read_flag(
        &mut self,
        spec: &'static Spec,
        flags: &Flags,
        values: &mut BTreeMap<&'static str, RawValue>,
    ) {
        if let (Some(name), Some(text)) = (spec.flag, flags.get(spec)) {
            let given = GivenValue::Word(text.to_owned());
            self.accept(spec, given, Source::Flag { name }, values);
        }
    }

    fn read_variables(
        &mut self,
        spec: &'static Spec,
        environment: &dyn Environment,
        values: &mut BTreeMap<&'static str, RawValue>,
    ) {
        for &name in spec.variables {
            let source = Source::Variable {
                name: name.to_owned(),
            };
            match environment.variable(name) {
                // Of several names of one setting, the first that is set counts.
                Ok(Some(_)) if values.contains_key(spec.key) => {}
                Ok(Some(text)) => {
                    let given = if spec.is_secret() {
                        GivenValue::Secret(Secret::new(text))
                    } else {
                        GivenValue::Word(text)
                    };
                    self.insert(spec, RawValue { given, source }, values);
                }
                Ok(None) => {}
                Err(error) => self.problem(spec, source, error.to_string(), "set it to plain text"),
            }
            if !spec.is_secret() {
                continue;
            }
            let name = format!("{name}_FILE");
            match environment.variable(&name) {
                Ok(Some(path)) => {
                    self.accept(
                        spec,
                        GivenValue::Word(path),
                        Source::Variable { name },
                        values,
                    );
                }
                Ok(None) => {}
                Err(error) => {
                    let source = Source::Variable { name };
                    self.problem(spec, source, error.to_string(), "set it to a path");
                }
            }
        }
    }

    fn read_credential(
        &mut self,
        spec: &'static Spec,
        environment: &dyn Environment,
        values: &mut BTreeMap<&'static str, RawValue>,
    ) {
        let Some(name) = spec.credential else { return };
        if let Some(path) = environment.credential(name) {
            let given = GivenValue::Word(path.to_string_lossy().into_owned());
            self.accept(spec, given, Source::Credential { name }, values);
        }
    }

    /// Takes a value; that of a secret setting is the path of a file to read it from.
    fn accept(
        &mut self,
        spec: &'static Spec,
        given: GivenValue,
        source: Source,
        values: &mut BTreeMap<&'static str, RawValue>,
    ) {
        let value = RawValue { given, source };
        if spec.is_secret() {
            self.accept_file(spec, value, Path::new(""), values);
        } else {
            self.insert(spec, value, values);
        }
    }

    /// Reads a secret from the file a value names, relative to a folder.
    fn accept_file(
        &mut self,
        spec: &'static Spec,
        value: RawValue,
        folder: &Path,
        values: &mut BTreeMap<&'static str, RawValue>,
    ) {
        let RawValue { given, source } = value;
        let (GivenValue::Word(name) | GivenValue::Text(name)) = given else {
            return self.problem(
                spec,
                source,
                "it is not a path".to_owned(),
                "write the path of a file, in quotes",
            );
        };
        let path = folder.join(&name);
        if !path.exists()
            && let Some(misfit) = spelling::misspelt_path(&name)
        {
            return self.problem(spec, source, misfit.what, &misfit.right);
        }
        match secret::read(&path) {
            Ok(file) => {
                if file.world_readable && !matches!(source, Source::Credential { .. }) {
                    self.warnings.push(Warning {
                        origin: source.clone(),
                        text: format!(
                            "everybody on this machine can read {}; run chmod 600 on it",
                            path.display()
                        ),
                    });
                }
                let given = GivenValue::Secret(file.secret);
                self.insert(spec, RawValue { given, source }, values);
            }
            Err(_) if token_form::is_secret_itself(&name) && !path.exists() => {
                let what = "it is not a file, and looks like a secret itself".to_owned();
                let right = spec.variables.first().map_or_else(
                    || "give a file that contains only the secret".to_owned(),
                    |name| {
                        format!(
                            "give a file that contains only the secret, or set {name} to the secret"
                        )
                    },
                );
                self.problem(spec, source, what, &right);
            }
            Err(error) => {
                let what = format!("cannot read {}: {error}", path.display());
                self.problem(
                    spec,
                    source,
                    what,
                    "give a file that contains only the secret",
                );
            }
        }
    }

    /// Within one source a setting has one value; a secret and a file for it are two.
    fn insert(
        &mut self,
        spec: &'static Spec,
        value: RawValue,
        values: &mut BTreeMap<&'static str, RawValue>,
    ) {
        if let Some(other) = values.get(spec.key) {
            let what = format!("{} is already given by {}", spec.key, other.source);
            return self.problem(spec, value.source, what, "keep one of the two");
        }
        values.insert(spec.key, value);
    }

    fn problem(&mut self, spec: &Spec, origin: Source, what: String, right: &str) {
        self.problems.push(Problem {
            key: spec.key.to_owned(),
            origin,
            what,
            right: right.to_owned(),
        });
    }
}
