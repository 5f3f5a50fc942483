//! The documented example file, made from the table of settings. Pure.

use serde_json::json;

use super::settings::{self, Count, Kind, Spec, Words};

/// How wide a comment may be.
const COMMENT_CHARS_MAX: usize = 98;

const HEAD: &str = "\
# A coordinator's configuration, with every setting.
# `coord serve` reads it from --config, COORD_CONFIG, systemd's configuration directory,
# ~/.config/coord/coord.toml or /etc/coord/coord.toml, whichever is found first.
# What stands here gives way to environment variables, and those to flags.
# `coord config check FILE` says what is wrong with a file, `coord config show` what holds and why.
# Commented values are the defaults, or examples where there is none.
";

/// Every setting of a coordinator, commented out, with what it is for.
pub fn render() -> String {
    let mut lines: Vec<String> = HEAD.lines().map(str::to_owned).collect();
    let mut section = None;
    for spec in settings::SERVER {
        let (of, leaf) = spec.section_and_leaf();
        if of != section {
            section = of;
            lines.extend(of.map(|name| format!("\n[{name}]")));
        }
        lines.push(String::new());
        lines.extend(comment(&describe(spec)));
        lines.push(format!("# {leaf} = {}", value(spec)));
        if spec.is_secret() {
            lines.push(format!("# {leaf}_file = \"{leaf}\""));
        }
    }
    lines.join("\n") + "\n"
}

/// The default, or else the sample. TOML writes numbers and texts as JSON does, and short lists too but for
/// the blanks.
fn value(spec: &Spec) -> String {
    if let Some(default) = spec.kind.default() {
        return default.to_string();
    }
    let quoted = |text: &str| json!(text).to_string();
    if spec.kind.is_list() {
        let items: Vec<String> = spec.sample.split(", ").map(quoted).collect();
        return format!("[{}]", items.join(", "));
    }
    quoted(spec.sample)
}

/// What it is for, within which bounds, and where else it can be set.
fn describe(spec: &Spec) -> String {
    let bounds = match spec.kind {
        Kind::Count(Count { unit, min, max, .. }) => {
            format!("From {min} to {max} {unit}").trim_end().to_owned() + "."
        }
        Kind::Choice(Words { words, .. }) => format!("One of {}.", words.join(", ")),
        Kind::Port(_) => "Default: the profile's.".to_owned(),
        _ => String::new(),
    };
    let elsewhere: Vec<String> = spec
        .flag
        .map(str::to_owned)
        .into_iter()
        .chain(spec.all_variables())
        .chain(spec.credential.map(|name| format!("credential {name}")))
        .collect();
    format!("{} {bounds} ({})", spec.doc, elsewhere.join(", "))
}

/// Comment lines, broken at spaces.
fn comment(text: &str) -> Vec<String> {
    let mut lines = vec!["#".to_owned()];
    for word in text.split_whitespace() {
        let line = lines
            .last_mut()
            .expect("it begins with one line and only grows");
        if line.chars().count() + 1 + word.chars().count() > COMMENT_CHARS_MAX {
            lines.push(format!("# {word}"));
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines
}
