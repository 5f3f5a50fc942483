//! One program, and what its words say.

use super::owners::printable;

/// How much of an argument is used in a text.
const WORD_CHARS_MAX: usize = 128;
/// The kernel cuts the short name of a program to this.
const SHORT_NAME_BYTES: usize = 15;
/// Programs that run a script; the script's name says more than theirs.
const INTERPRETERS: [&str; 10] = [
    "python", "node", "nodejs", "perl", "ruby", "sh", "bash", "dash", "bun", "deno",
];

/// One program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) pid: u32,
    /// The short name that the kernel knows it by.
    pub(super) short: String,
    /// The path of its executable; empty where this user may not see it.
    pub(super) executable: String,
    /// Its words, the first of which is what it was called by.
    pub(super) words: Vec<String>,
}

impl Program {
    /// Whether it has one of these names, by what the kernel calls it, its executable, what it was called by, or
    /// the script it runs. A process chooses most of that itself, so a name is enough to refuse, never to act.
    pub(super) fn is(&self, names: &[&str]) -> bool {
        self.names().iter().any(|name| names.contains(name))
    }

    /// Whether one of its names begins so.
    pub(super) fn begins(&self, part: &str) -> bool {
        self.names().iter().any(|name| name.starts_with(part))
    }

    fn names(&self) -> Vec<&str> {
        let short = Some(self.short.as_str()).filter(|name| name.len() < SHORT_NAME_BYTES);
        let executable = Some(base(&self.executable));
        // Programs write a title over their words: `sshd: ana@pts/0`, `PM2 v5: God Daemon`.
        let first = self.words.first();
        let title = first.and_then(|word| word.split([' ', ':']).next());
        let names = [
            short,
            executable,
            first.map(|word| base(word)),
            title.map(base),
        ];
        let names = names.into_iter().flatten().chain(self.script().map(base));
        names.filter(|name| !name.is_empty()).collect()
    }

    /// The script that an interpreter runs.
    fn script(&self) -> Option<&str> {
        let is_interpreter = [base(&self.executable), base(self.words.first()?)]
            .iter()
            .any(|name| {
                INTERPRETERS
                    .contains(&name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'))
            });
        let mut words = self.words.iter().skip(1).map(String::as_str);
        let words = is_interpreter.then_some(&mut words)?;
        while let Some(word) = words.next() {
            match word {
                "-c" | "-e" => return None,
                "-m" => return words.next(),
                _ if word.starts_with('-') => {}
                _ => return Some(word),
            }
        }
        None
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }

    /// Whether some word contains this.
    pub(super) fn mentions(&self, part: &str) -> bool {
        self.executable.contains(part) || self.words.iter().any(|word| word.contains(part))
    }

    /// What stands after an option, as a word of its own or behind `=`; only what can be used in a command as it is.
    pub(super) fn value(&self, option: &str) -> Option<&str> {
        let mut words = self.words.iter();
        let found = words.find_map(|own| {
            let rest = own.strip_prefix(option)?;
            match rest.strip_prefix('=') {
                Some(value) => Some(Some(value)),
                None => rest.is_empty().then_some(None),
            }
        })?;
        word(found.or_else(|| words.next().map(String::as_str))?)
    }

    /// As it is named to people.
    pub(super) fn named(&self) -> String {
        format!("{} (process {})", printable(&self.short), self.pid)
    }
}

/// A text that is the same word in every shell and says nothing to a terminal; others chose it, and people
/// copy commands.
pub(super) fn word(text: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.@:/+,-".contains(c);
    let usable = !text.is_empty()
        && !text.starts_with('-')
        && text.len() <= WORD_CHARS_MAX
        && text.chars().all(plain);
    usable.then_some(text)
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
impl Program {
    pub(super) fn of_words(words: &str) -> Self {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let executable = words[0].clone();
        Self {
            pid: 77,
            short: base(&executable).chars().take(SHORT_NAME_BYTES).collect(),
            executable,
            words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_any_of_its_names() {
        let mut program = Program {
            short: "python3".into(),
            executable: "/usr/bin/python3.13".into(),
            words: ["docker-proxy", "-c", "supervisord"]
                .map(str::to_owned)
                .into(),
            ..Program::default()
        };
        assert!(program.is(&["docker-proxy"]) && program.is(&["python3"]));
        assert!(!program.is(&["supervisord"]), "that is code, not a script");
        program.words = ["/usr/bin/python3", "-u", "/usr/bin/supervisord"]
            .map(str::to_owned)
            .into();
        assert!(program.is(&["supervisord"]));
        program.words = vec!["PM2 v5.3.0: God Daemon (/root/.pm2)".into()];
        assert!(program.is(&["PM2"]));
        program.words = vec!["sshd: ana@pts/0".into()];
        assert!(program.is(&["sshd"]));
        program.short = "systemd-socket-".into();
        assert!(!program.is(&["systemd-socket-"]), "it is cut off");
    }

    #[test]
    fn values_of_options_are_plain_words_or_nothing() {
        let program = Program::of_words("conmon -c 0123 --name=web -n $(reboot) -x");
        assert_eq!(program.value("-c"), Some("0123"));
        assert_eq!(program.value("--name"), Some("web"));
        assert_eq!(program.value("-n"), None);
        assert_eq!(program.value("-x"), None);
        for wrong in [
            "",
            "-rf",
            "a b",
            "a;b",
            "`a`",
            "a\u{202e}b",
            "a\u{1b}b",
            &"a".repeat(129),
        ] {
            assert_eq!(word(wrong), None, "{wrong}");
        }
        assert_eq!(word("ana@box.example:22"), Some("ana@box.example:22"));
    }
}
