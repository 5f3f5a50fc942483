//! Variables of the environment that nothing reads: slips of the keyboard, told before they are missed.

use super::env::Environment;
use super::problem::{Misfit, Warning};
use super::settings;
use super::source::Source;
use super::suggest;

/// What our own variables begin with.
const OURS: &str = "COORD_";
/// And those of the settings that others gave their names.
const PREFIXES: [&str; 4] = [OURS, "WEBSOCKET_", "METRICS_", "REDIS_"];

/// What `task work`, `lease run` and `ports run` tell the command that they run, what a build reads, and
/// what the tests of this program do.
const HANDED_ON: [&str; 5] = [
    "COORD_LEASE",
    "COORD_FENCE",
    "COORD_RESOURCES",
    "COORD_BAKED_PROFILE",
    "COORD_COMMIT",
];
const HANDED_ON_PREFIXES: [&str; 5] = [
    "COORD_TASK",
    "COORD_LABEL_",
    "COORD_BUILD_",
    "COORD_TEST_",
    "COORD_CRASH_",
];

/// The variables that say who to be.
const TOKEN: &str = "COORD_TOKEN";
const TOKEN_FILE: &str = "COORD_TOKEN_FILE";
/// Words for what says who somebody is.
const TOKEN_WORDS: [&str; 7] = [
    "TOKEN",
    "TOKN",
    "SECRET",
    "CREDENTIAL",
    "PASSWORD",
    "AUTH",
    "BEARER",
];
/// A name that does not begin as ours do is a slip of ours only if it is this close.
const FOREIGN_EDITS_MAX: usize = 1;

/// Variables that look like one of ours with a slip of the keyboard. Only warned of: others have
/// variables too.
pub(super) fn misspelt(environment: &dyn Environment) -> Vec<Warning> {
    let known = known();
    names(environment)
        .into_iter()
        .filter(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        .filter(|name| !known.contains(name))
        .filter_map(|name| {
            let near = nearest(&name, &known)?;
            Some(warning(name, &format!("did you mean {near}?")))
        })
        .collect()
}

/// The same for clients, which run where many programs have variables of their own: all that begin as
/// ours do, and no others.
pub(super) fn unknown(environment: &dyn Environment) -> Vec<Warning> {
    let known = known();
    unknown_names(environment, &known)
        .map(|name| {
            let near = if is_meant_as_token(&name) {
                Some(token_variable(&name))
            } else {
                nearest(&name, &known)
            };
            let hint = near.map_or_else(
                || "`coord --help` lists the variables of the connection".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            warning(name, &hint)
        })
        .collect()
}

/// A variable that was to say who to be, and says nothing: misspelt, or empty. Whoever set it wants to
/// be somebody, so nobody else's rights may be used in its place.
pub(super) fn failed_token(environment: &dyn Environment) -> Option<(Source, Misfit)> {
    let known = known();
    let misspelt = unknown_names(environment, &known).find(|name| is_meant_as_token(name));
    if let Some(name) = misspelt {
        let right = format!(
            "did you mean {}? unset it to act as the operator",
            token_variable(&name)
        );
        let what = "no setting uses this variable, and without a token the command would act as the operator";
        return Some((Source::Variable { name }, Misfit::new(what, right)));
    }
    let names = names(environment);
    let is_empty = |name: &&str| {
        let set = names.iter().any(|set| set == name);
        set && environment.variable(name) == Ok(None)
    };
    let name = [TOKEN, TOKEN_FILE].into_iter().find(is_empty)?;
    let misfit = Misfit::new(
        "it is set but empty, and without a token the command would act as the operator",
        "give it a value, or unset it to act as the operator",
    );
    let name = name.to_owned();
    Some((Source::Variable { name }, misfit))
}

fn names(environment: &dyn Environment) -> Vec<String> {
    let mut names = environment.names();
    names.sort();
    names
}

/// Set, not empty, ours by its beginning or by a slip in it, and read by nobody.
fn unknown_names<'a>(
    environment: &'a dyn Environment,
    known: &'a [String],
) -> impl Iterator<Item = String> + 'a {
    names(environment).into_iter().filter(move |name| {
        let upper = name.to_ascii_uppercase();
        let handed_on = HANDED_ON.contains(&name.as_str())
            || HANDED_ON_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix));
        let ours = upper.starts_with(OURS) || is_slip_of_token(&upper);
        ours && !handed_on && !known.contains(name) && environment.variable(name) != Ok(None)
    })
}

fn is_meant_as_token(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    is_slip_of_token(&upper) || TOKEN_WORDS.iter().any(|word| upper.contains(word))
}

fn is_slip_of_token(upper: &str) -> bool {
    let close = |name: &str| strsim::osa_distance(upper, name) <= FOREIGN_EDITS_MAX;
    close(TOKEN) || close(TOKEN_FILE)
}

/// Which of the two a misspelt one was to be.
fn token_variable(name: &str) -> &'static str {
    let upper = name.to_ascii_uppercase();
    if ["FILE", "PATH"].iter().any(|word| upper.contains(word)) {
        return TOKEN_FILE;
    }
    match suggest::nearest(name, [TOKEN, TOKEN_FILE]) {
        Some(TOKEN_FILE) => TOKEN_FILE,
        _ => TOKEN,
    }
}

/// Every variable that a setting is read from.
fn known() -> Vec<String> {
    settings::SERVER
        .iter()
        .chain(settings::CLIENT)
        .flat_map(|spec| spec.all_variables())
        .chain([
            settings::CONFIG_VARIABLE.to_owned(),
            settings::CLIENT_CONFIG_VARIABLE.to_owned(),
        ])
        .collect()
}

fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    suggest::nearest(name, known.iter().map(String::as_str))
}

fn warning(name: String, hint: &str) -> Warning {
    Warning {
        text: format!("no setting uses this variable; {hint}"),
        origin: Source::Variable { name },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MapEnvironment;

    fn check(name: &str, expected: Option<&str>) {
        let environment = MapEnvironment::from([(name, "x")]);
        let warnings = unknown(&environment);
        let told = warnings.first().map(ToString::to_string);
        match expected {
            Some(near) => assert!(
                told.as_ref()
                    .is_some_and(|text| text.contains(&format!("mean {near}?"))),
                "{name}: {told:?}"
            ),
            None => assert_eq!(told, None, "{name}"),
        }
    }

    #[test]
    fn slips_are_told_with_what_was_meant() {
        check("COORD_TOKENFILE", Some("COORD_TOKEN_FILE"));
        check("COORD_TOKEN_PATH", Some("COORD_TOKEN_FILE"));
        check("COORD_TOKEN_FIL", Some("COORD_TOKEN_FILE"));
        check("COORD_TOKKEN", Some("COORD_TOKEN"));
        check("COORD_AGENT_TOKEN", Some("COORD_TOKEN"));
        check("coord_token", Some("COORD_TOKEN"));
        check("CORD_TOKEN", Some("COORD_TOKEN"));
        check("COORDTOKEN", Some("COORD_TOKEN"));
        check("COORD_ULR", Some("COORD_URL"));
        check("COORD_PROJEKT", Some("COORD_PROJECT"));
    }

    #[test]
    fn what_is_handed_on_and_what_is_others_is_not() {
        for name in HANDED_ON.iter().chain(&HANDED_ON_PREFIXES) {
            check(name, None);
        }
        for name in [
            "COORD_TOKEN",
            "COORD_TOKEN_FILE",
            "COORD_STATE_DIR",
            "COORD_LABEL_TOKEN",
        ] {
            check(name, None);
        }
        for name in [
            "REDIS_HOTS",
            "GITHUB_TOKEN",
            "COORDINATES",
            "DISCORD_TOKEN",
            "CORE_TOKEN",
        ] {
            check(name, None);
        }
    }

    #[test]
    fn what_was_to_be_a_token_is_told_from_the_rest() {
        let fails = |name: &str, text: &str| {
            let found = failed_token(&MapEnvironment::from([(name, text)]));
            found.map(|(source, misfit)| format!("{source}: {misfit}"))
        };
        for name in [
            "COORD_TOKENFILE",
            "COORD_TOKKEN",
            "coord_token",
            "COORD_SECRET",
            "CORD_TOKEN",
        ] {
            let text = fails(name, "x").unwrap_or_default();
            assert!(text.contains("act as the operator"), "{name}: {text}");
        }
        for name in [TOKEN, TOKEN_FILE] {
            let text = fails(name, "").unwrap_or_default();
            assert!(text.contains("set but empty"), "{name}: {text}");
            assert_eq!(fails(name, "x"), None);
        }
        assert_eq!(fails("COORD_ULR", "x"), None);
        assert_eq!(fails("COORD_TOKENFILE", ""), None);
        assert_eq!(fails("COORD_LABEL_TOKEN", "x"), None);
    }
}
