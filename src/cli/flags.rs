//! The flags that a coordinator is configured with, made from the table of settings.

use clap::error::Error;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::config::Flags;
use crate::config::settings::{self, Kind, Spec};

const HEADING: &str = "Configuration";
const FILE: &str = "config";

/// All values are texts: the configuration checks them, and reports all problems at once.
impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(FILE)
            .long(FILE)
            .value_name("FILE")
            .help("The configuration file")
            .help_heading(HEADING);
        command.arg(file).args(with_flag().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        if let Some(file) = matches.get_one::<String>(FILE) {
            self.config = Some(file.clone());
        }
        for (name, setting) in with_flag() {
            let values = matches.get_many::<String>(name);
            let values: Option<Vec<&str>> = values.map(|it| it.map(String::as_str).collect());
            self.set(setting, values.map(|values| values.join(",")));
        }
        Ok(())
    }
}

/// The settings that have a flag, by its name without the dashes.
fn with_flag() -> impl Iterator<Item = (&'static str, &'static Spec)> {
    let settings = settings::SERVER.iter();
    settings.filter_map(|setting| Some((setting.flag?.trim_start_matches('-'), *setting)))
}

fn argument((name, setting): (&'static str, &'static Spec)) -> Arg {
    let argument = Arg::new(name)
        .long(name)
        .value_name(setting.value_name)
        .help(help(setting))
        .help_heading(HEADING);
    match setting.kind {
        Kind::Boolean => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        kind if kind.is_list() => argument.action(ArgAction::Append),
        _ => argument,
    }
}

/// The first sentence of what the setting is for.
fn help(setting: &Spec) -> String {
    let sentence = setting
        .doc
        .split_once(". ")
        .map_or(setting.doc, |(first, _)| first);
    let sentence = sentence.trim_end_matches('.');
    match setting.kind {
        Kind::Choice(choice) => format!("{sentence} ({})", choice.words.join(", ")),
        Kind::Secret => format!("A file with {}", uncapitalised(sentence)),
        _ => sentence.to_owned(),
    }
}

fn uncapitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}
