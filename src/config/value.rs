//! From what was typed to plain values: text, numbers, truth values, lists.
//!
//! A flag or a variable is text and may mean any of them. In a file they look different, and a
//! number in quotes is a mistake.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::given::{GivenValue, RawValue};
use super::problem::{Misfit, quoted};
use super::secret::Secret;
use super::source::Source;
use super::spelling;
use super::suggest;
use super::token_form;
use crate::edge::ports::{Port, PortError, PortRange, PortRangeError};
use crate::engine::ids::{NameError, ProjectName, SeatName};

/// A shorter token could be guessed.
pub(super) const TOKEN_CHARS_MIN: usize = 32;

pub(super) fn text(raw: &RawValue) -> Result<&str, Misfit> {
    match &raw.given {
        GivenValue::Word(text) | GivenValue::Text(text) if text.is_empty() => Err(Misfit::new(
            "it is empty",
            "give it a value, or leave it out",
        )),
        GivenValue::Word(text) | GivenValue::Text(text) => Ok(text),
        other => Err(Misfit::new(
            format!("it is {}", found(other)),
            "write text, in quotes",
        )),
    }
}

pub(super) fn string(raw: &RawValue) -> Result<String, Misfit> {
    text(raw).map(str::to_owned)
}

pub(super) fn parsed<T: FromStr<Err = Misfit>>(raw: &RawValue) -> Result<T, Misfit> {
    text(raw)?.parse()
}

pub(super) fn project(raw: &RawValue) -> Result<ProjectName, Misfit> {
    let named = text(raw)?.parse();
    named.map_err(|error: NameError| Misfit::new(error.to_string(), "use a project name"))
}

pub(super) fn seat(raw: &RawValue) -> Result<SeatName, Misfit> {
    let named = text(raw)?.parse();
    let right =
        "use a short name such as claude-3f2a; the agent before the slash comes from the token";
    named.map_err(|error: NameError| Misfit::new(error.to_string(), right))
}

/// A path; in a file, a relative one counts from the file's folder.
pub(super) fn path(raw: &RawValue) -> Result<PathBuf, Misfit> {
    let text = text(raw)?;
    if let Some(misfit) = spelling::misspelt_path(text) {
        return Err(misfit);
    }
    Ok(match &raw.source {
        Source::File { path, .. } => path.parent().unwrap_or(Path::new("")).join(text),
        _ => PathBuf::from(text),
    })
}

pub(super) fn boolean(raw: &RawValue) -> Result<bool, Misfit> {
    let wrong = |what| Misfit::new(what, "use true or false (1, 0, yes and no work too)");
    match &raw.given {
        GivenValue::Boolean(truth) => Ok(*truth),
        GivenValue::Word(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Ok(true),
            "false" | "0" | "no" => Ok(false),
            _ => Err(wrong(format!("{} is neither true nor false", quoted(text)))),
        },
        other => Err(Misfit::new(
            format!("it is {}", found(other)),
            "use true or false, without quotes",
        )),
    }
}

pub(super) fn port(raw: &RawValue) -> Result<Port, Misfit> {
    let wrong = |what| Misfit::new(what, "use a port from 1 to 65535");
    match &raw.given {
        GivenValue::Word(text) | GivenValue::Text(text) if text.contains('-') => Err(range(text)),
        GivenValue::Word(text) => text
            .parse()
            .map_err(|error: PortError| wrong(brief(&error, text))),
        GivenValue::Integer(Some(0)) => Err(wrong(PortError::Zero.to_string())),
        GivenValue::Integer(number) => number
            .and_then(|number| u16::try_from(number).ok())
            .and_then(Port::new)
            .ok_or_else(|| wrong(not_within(*number, "a port"))),
        other => Err(no_number(other)),
    }
}

/// A service has one port, and somebody wrote two.
fn range(text: &str) -> Misfit {
    let right = "use a port from 1 to 65535; `coord ports run` can choose one from a range";
    match text.parse::<PortRange>() {
        Ok(range) => Misfit::new(format!("{range} is a range, not a port"), right),
        Err(error @ PortRangeError::Reversed { .. }) => {
            let what = format!("it is a range, not a port, and {error}");
            Misfit::new(what, right)
        }
        Err(PortRangeError::Port(_)) => {
            let what = format!("{} is not a port number", quoted(text));
            Misfit::new(what, "use a port from 1 to 65535")
        }
    }
}

pub(super) fn ports(raw: &RawValue) -> Result<PortRange, Misfit> {
    let text = text(raw)?;
    text.parse().map_err(|error: PortRangeError| {
        let what = format!("{} is not a range of ports: {error}", quoted(text));
        Misfit::new(what, "use a range, as in 20000-20999")
    })
}

pub(super) fn count(raw: &RawValue, unit: &str, min: u64, max: u64) -> Result<u64, Misfit> {
    let unit = if unit.is_empty() {
        String::new()
    } else {
        format!(" {unit}")
    };
    let wrong = |what| {
        Misfit::new(
            what,
            format!("use a whole number from {min} to {max}{unit}"),
        )
    };
    let number = match &raw.given {
        GivenValue::Word(text) => text
            .parse()
            .map_err(|_| wrong(format!("{} is not a whole number", quoted(text))))?,
        GivenValue::Integer(Some(number)) => *number,
        GivenValue::Integer(None) => return Err(wrong("it is out of range".to_owned())),
        other => return Err(no_number(other)),
    };
    u64::try_from(number)
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| wrong(format!("{number} is out of range")))
}

/// The place of the chosen word.
pub(super) fn choice(raw: &RawValue, words: &[&str]) -> Result<usize, Misfit> {
    let text = text(raw)?;
    let exact = words
        .iter()
        .position(|word| text.eq_ignore_ascii_case(word));
    exact.ok_or_else(|| {
        let right = suggest::nearest(text, words.iter().copied()).map_or_else(
            || format!("use one of {}", words.join(", ")),
            |near| format!("did you mean {near}? use one of {}", words.join(", ")),
        );
        Misfit::new(format!("{} is not an allowed value", quoted(text)), right)
    })
}

/// Each item on its own; in one word they are joined by commas.
pub(super) fn list<T: FromStr<Err = Misfit>>(raw: &RawValue) -> Result<Vec<T>, Misfit> {
    match &raw.given {
        GivenValue::Word(text) => text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::parse)
            .collect(),
        GivenValue::List(items) => items.iter().map(|item| item.parse()).collect(),
        other => {
            let what = format!("it is {}", found(other));
            Err(Misfit::new(what, "write a list of texts, in brackets"))
        }
    }
}

pub(super) fn secret(raw: &RawValue) -> Result<Secret, Misfit> {
    match &raw.given {
        GivenValue::Secret(secret) if secret.expose().is_empty() => Err(Misfit::new(
            "it is empty",
            "give it a value, or leave it out",
        )),
        GivenValue::Secret(secret) => Ok(secret.clone()),
        other => Err(Misfit::new(
            format!("it is {}", found(other)),
            "write text, in quotes",
        )),
    }
}

/// A token that is chosen by hand or by a program: long enough that nobody guesses it, and of
/// characters that a header can carry.
pub(super) fn token(raw: &RawValue) -> Result<Secret, Misfit> {
    let secret = secret(raw)?;
    let right =
        "use at least 32 visible ASCII characters, such as the output of `openssl rand -hex 32`";
    let text = secret.expose();
    if let Some(misfit) = token_form::misfit(text) {
        return Err(Misfit::new(misfit.what, right));
    }
    if text.len() < TOKEN_CHARS_MIN {
        return Err(Misfit::new("it is too short to be safe", right));
    }
    Ok(secret)
}

/// A token that a coordinator made. Blanks and line breaks after it are no part of it.
pub(super) fn made_token(raw: &RawValue) -> Result<Secret, Misfit> {
    let secret = secret(raw)?.without_end();
    match token_form::misfit(secret.expose()) {
        Some(misfit) => Err(misfit),
        None if secret.expose().is_empty() => Err(Misfit::new(
            "it is empty",
            "give it a value, or leave it out",
        )),
        None => Ok(secret),
    }
}

/// What a value looks like, without repeating it.
fn found(given: &GivenValue) -> &'static str {
    match given {
        GivenValue::Word(_) | GivenValue::Text(_) | GivenValue::Secret(_) => "text",
        GivenValue::Integer(_) => "a number",
        GivenValue::Boolean(_) => "true or false",
        GivenValue::List(_) => "a list",
        GivenValue::Unfit(what) => what,
    }
}

fn no_number(given: &GivenValue) -> Misfit {
    let what = match given {
        GivenValue::Text(text) => format!("{} is text", quoted(text)),
        other => format!("it is {}", found(other)),
    };
    Misfit::new(what, "use a whole number, without quotes")
}

fn not_within(number: Option<i64>, what: &str) -> String {
    number.map_or_else(
        || format!("it is too large for {what}"),
        |number| format!("{number} is not {what}"),
    )
}

/// A port error quotes what it was given, which may be long, or something pasted into the wrong place.
fn brief(error: &PortError, text: &str) -> String {
    match error {
        PortError::NotANumber(_) => format!("{} is not a port number", quoted(text)),
        PortError::TooLarge(_) => format!("{} is above 65535", quoted(text)),
        PortError::Zero => error.to_string(),
    }
}
