//! From what was typed to plain values: text, numbers, truth values, lists.
//!
//! A flag or a variable is text and may mean any of them. In a file they look different, and a
//! number in quotes is a mistake.

use std::str::FromStr;

use super::problem::{Misfit, quoted};
use super::raw::Given;
use super::secret::Secret;
use super::suggest;
use super::token_form;
use crate::ports::{Port, PortError, PortRange, PortRangeError};

/// A shorter token could be guessed.
const TOKEN_CHARS_MIN: usize = 32;

pub(super) fn text(given: &Given) -> Result<&str, Misfit> {
    match given {
        Given::Word(text) | Given::Text(text) if text.is_empty() => Err(Misfit::new(
            "it is empty",
            "give it a value, or leave it out",
        )),
        Given::Word(text) | Given::Text(text) => Ok(text),
        other => Err(Misfit::new(
            format!("it is {}", found(other)),
            "write text, in quotes",
        )),
    }
}

pub(super) fn parsed<T: FromStr<Err = Misfit>>(given: &Given) -> Result<T, Misfit> {
    text(given)?.parse()
}

pub(super) fn boolean(given: &Given) -> Result<bool, Misfit> {
    let wrong = |what| Misfit::new(what, "use true or false (1, 0, yes and no do as well)");
    match given {
        Given::Boolean(truth) => Ok(*truth),
        Given::Word(text) => match text.to_ascii_lowercase().as_str() {
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

pub(super) fn port(given: &Given) -> Result<Port, Misfit> {
    let wrong = |what| Misfit::new(what, "use a port from 1 to 65535");
    match given {
        Given::Word(text) | Given::Text(text) if text.contains('-') => Err(range(text)),
        Given::Word(text) => text
            .parse()
            .map_err(|error: PortError| wrong(brief(&error, text))),
        Given::Integer(Some(0)) => Err(wrong(PortError::Zero.to_string())),
        Given::Integer(number) => number
            .and_then(|number| u16::try_from(number).ok())
            .and_then(Port::new)
            .ok_or_else(|| wrong(not_within(*number, "a port"))),
        other => Err(no_number(other)),
    }
}

/// A service has one port, and somebody wrote two.
fn range(text: &str) -> Misfit {
    let right = "use a port from 1 to 65535; `coord ports run` chooses one of a range";
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

pub(super) fn ports(given: &Given) -> Result<PortRange, Misfit> {
    let text = text(given)?;
    text.parse().map_err(|error: PortRangeError| {
        let what = format!("{} is not a range of ports: {error}", quoted(text));
        Misfit::new(what, "use a range, as in 20000-20999")
    })
}

pub(super) fn count(given: &Given, unit: &str, min: u64, max: u64) -> Result<u64, Misfit> {
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
    let number = match given {
        Given::Word(text) => text
            .parse()
            .map_err(|_| wrong(format!("{} is not such a number", quoted(text))))?,
        Given::Integer(Some(number)) => *number,
        Given::Integer(None) => return Err(wrong("it is out of bounds".to_owned())),
        other => return Err(no_number(other)),
    };
    u64::try_from(number)
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| wrong(format!("{number} is out of bounds")))
}

pub(super) fn choice<'a>(given: &Given, words: &[&'a str]) -> Result<&'a str, Misfit> {
    let text = text(given)?;
    let exact = words.iter().find(|word| text.eq_ignore_ascii_case(word));
    exact.copied().ok_or_else(|| {
        let right = suggest::nearest(text, words.iter().copied()).map_or_else(
            || format!("use one of {}", words.join(", ")),
            |near| format!("did you mean {near}? use one of {}", words.join(", ")),
        );
        Misfit::new(format!("{} is not one of its values", quoted(text)), right)
    })
}

/// Each item on its own; in one word they are joined by commas.
pub(super) fn list<T: FromStr<Err = Misfit>>(given: &Given) -> Result<Vec<T>, Misfit> {
    let words = match given {
        Given::Word(text) => std::slice::from_ref(text),
        Given::Words(words) => words.as_slice(),
        Given::List(items) => return items.iter().map(|item| item.parse()).collect(),
        other => {
            let what = format!("it is {}", found(other));
            return Err(Misfit::new(what, "write a list of texts, in brackets"));
        }
    };
    words
        .iter()
        .flat_map(|word| word.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::parse)
        .collect()
}

pub(super) fn secret(given: &Given) -> Result<Secret, Misfit> {
    match given {
        Given::Secret(secret) if secret.expose().is_empty() => Err(Misfit::new(
            "it is empty",
            "give it a value, or leave it out",
        )),
        Given::Secret(secret) => Ok(secret.clone()),
        other => Err(Misfit::new(
            format!("it is {}", found(other)),
            "write text, in quotes",
        )),
    }
}

/// A token that is chosen by hand or by a program: long enough that nobody guesses it, and of
/// characters that a header can carry.
pub(super) fn token(given: &Given) -> Result<Secret, Misfit> {
    let secret = secret(given)?;
    let right = "use at least 32 visible ASCII characters, such as those of `openssl rand -hex 32`";
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
pub(super) fn made_token(given: &Given) -> Result<Secret, Misfit> {
    let secret = secret(given)?.without_end();
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
fn found(given: &Given) -> &'static str {
    match given {
        Given::Word(_) | Given::Words(_) | Given::Text(_) | Given::Secret(_) => "text",
        Given::Integer(_) => "a number",
        Given::Boolean(_) => "true or false",
        Given::List(_) => "a list",
        Given::Unfit(what) => what,
    }
}

fn no_number(given: &Given) -> Misfit {
    let what = match given {
        Given::Text(text) => format!("{} is text", quoted(text)),
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
