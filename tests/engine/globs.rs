//! Globs against brute force: a matcher of another kind, over all short paths.

use std::sync::LazyLock;

use cli_coordinator::engine::file_path::FilePath;
use cli_coordinator::engine::glob::{Coverage, Glob};
use proptest::prelude::*;

const BOTH: [Coverage; 2] = [Coverage::Exact, Coverage::Covering];

/// The oracle: spells out the alternatives, splits at slashes, and tries everything.
mod naive {
    /// Marks where a brace or comma was, so that asterisks do not join over it.
    const SEAM: char = '\u{1}';

    /// All texts that a pattern stands for.
    fn spelled_out(pattern: &[char]) -> Vec<String> {
        let Some(open) = pattern.iter().position(|c| *c == '{') else {
            return vec![pattern.iter().collect()];
        };
        let (mut depth, mut cuts, mut close) = (0, vec![open], pattern.len());
        for (at, c) in pattern.iter().enumerate().skip(open) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => cuts.push(at),
                _ => {}
            }
            if depth == 0 {
                close = at;
                break;
            }
        }
        cuts.push(close);
        let alternatives = cuts.windows(2).map(|cut| &pattern[cut[0] + 1..cut[1]]);
        let whole = alternatives.map(|alternative| {
            let parts = [
                &pattern[..open],
                &[SEAM],
                alternative,
                &[SEAM],
                &pattern[close + 1..],
            ];
            parts.concat()
        });
        whole.flat_map(|text| spelled_out(&text)).collect()
    }

    fn text_matches(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((&SEAM, rest)), _) | (Some(('*', rest)), None) => text_matches(rest, text),
            (Some(('*', rest)), Some((_, after))) => {
                text_matches(rest, text) || text_matches(pattern, after)
            }
            (None, Some(_)) | (Some(_), None) => false,
            (Some(('?', rest)), Some((_, after))) => text_matches(rest, after),
            (Some(('[', rest)), Some((c, after))) => {
                let close = rest
                    .iter()
                    .position(|c| *c == ']')
                    .expect("classes are closed");
                let (negated, members) = match rest[..close].split_first() {
                    Some(('!', members)) => (true, members),
                    _ => (false, &rest[..close]),
                };
                members.contains(c) != negated && text_matches(&rest[close + 1..], after)
            }
            (Some((one, rest)), Some((c, after))) => one == c && text_matches(rest, after),
        }
    }

    fn segments_match(pattern: &[String], names: &[&str]) -> bool {
        let Some((first, rest)) = pattern.split_first() else {
            return names.is_empty();
        };
        let bare = first.trim_matches(SEAM);
        if bare.len() > 1 && bare.chars().all(|c| c == '*') {
            let least = usize::from(rest.is_empty());
            return (least..=names.len()).any(|taken| segments_match(rest, &names[taken..]));
        }
        let Some((name, after)) = names.split_first() else {
            return false;
        };
        let (first, name): (Vec<_>, Vec<_>) = (first.chars().collect(), name.chars().collect());
        text_matches(&first, &name) && segments_match(rest, after)
    }

    /// The segments of each text that a pattern stands for.
    pub(super) fn patterns(pattern: &str) -> Vec<Vec<String>> {
        let pattern: Vec<char> = pattern.chars().collect();
        let texts = spelled_out(&pattern).into_iter();
        let segments = texts.map(|text| {
            let means_nothing = |s: &str| matches!(s.replace(SEAM, "").as_str(), "" | ".");
            let mut segments: Vec<String> = text.split('/').map(str::to_owned).collect();
            let last = segments.pop().unwrap_or_default();
            segments.retain(|segment| !means_nothing(segment));
            let is_trailing_slash = !segments.is_empty() && last.replace(SEAM, "").is_empty();
            segments.push(if is_trailing_slash {
                "**".to_owned()
            } else {
                last
            });
            segments
        });
        segments.collect()
    }

    pub(super) fn matches(patterns: &[Vec<String>], path: &str) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        let is_name = |name: &&str| !matches!(*name, "" | "." | "..");
        names.iter().all(is_name) && patterns.iter().any(|p| segments_match(p, &names))
    }

    /// The same, where a pattern whose last segment has no wildcard covers what is below.
    pub(super) fn covers(patterns: &[Vec<String>], path: &str) -> bool {
        let is_plain = |pattern: &&Vec<String>| {
            let last = pattern.last().map_or("", String::as_str);
            !last.contains(['*', '?', '['])
        };
        let plain: Vec<Vec<String>> = patterns.iter().filter(is_plain).cloned().collect();
        let cuts = path.match_indices('/').map(|(at, _)| at);
        let folders = cuts.filter(|at| matches(&[vec!["**".to_owned()]], &path[at + 1..]));
        matches(patterns, path) || folders.into_iter().any(|at| matches(&plain, &path[..at]))
    }
}

const ALPHABET: [char; 4] = ['a', 'b', '.', '/'];

/// All texts over an alphabet, the empty one left out.
fn texts(alphabet: &[&str], length_max: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut longest = vec![String::new()];
    for _ in 0..length_max {
        let longer = |text: &String| {
            alphabet
                .iter()
                .map(|c| format!("{text}{c}"))
                .collect::<Vec<_>>()
        };
        longest = longest.iter().flat_map(longer).collect();
        all.extend(longest.iter().cloned());
    }
    all
}

/// All paths over the alphabet of up to seven characters.
static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let alphabet = ALPHABET.map(String::from);
    let all = texts(&alphabet.each_ref().map(String::as_str), 7);
    let everything = naive::patterns("**");
    all.into_iter()
        .filter(|path| naive::matches(&everything, path))
        .collect()
});

struct Checked {
    glob: Glob,
    naive: Vec<Vec<String>>,
    coverage: Coverage,
    /// One for each of `PATHS`.
    matched: Vec<u64>,
}

impl Checked {
    /// What the oracle says.
    fn is_match(&self, path: &str) -> bool {
        match self.coverage {
            Coverage::Exact => naive::matches(&self.naive, path),
            Coverage::Covering => naive::covers(&self.naive, path),
        }
    }
}

/// A glob with all paths up to a length that it matches, compared with the oracle one by one.
fn check_matches(pattern: &str, length_max: usize, coverage: Coverage) -> Option<Checked> {
    let glob = Glob::new(pattern, coverage).ok()?;
    let paths = &PATHS[..PATHS.partition_point(|path| path.len() <= length_max)];
    let mut checked = Checked {
        glob,
        naive: naive::patterns(pattern),
        coverage,
        matched: vec![0; paths.len().div_ceil(64)],
    };
    for (at, path) in paths.iter().enumerate() {
        let is_match = checked.glob.matches(path);
        let expected = checked.is_match(path);
        assert_eq!(is_match, expected, "{coverage:?} {pattern} and {path}");
        checked.matched[at / 64] |= u64::from(is_match) << (at % 64);
    }
    Some(checked)
}

/// What `overlaps` says is compared with the short paths. A `true` needs no bound on their length,
/// as the witness is put to the oracle.
fn check_overlap(one: &Checked, other: &Checked) {
    let overlaps = one.glob.overlaps(&other.glob);
    let (a, b) = (one.glob.as_str(), other.glob.as_str());
    assert_eq!(overlaps, other.glob.overlaps(&one.glob), "{a} and {b}");
    let witness = one.glob.overlap_witness(&other.glob);
    assert_eq!(overlaps, witness.is_some(), "{a} and {b}");
    if let Some(path) = witness {
        let both = one.is_match(&path) && other.is_match(&path);
        assert!(both, "{a} and {b}: {path} is no witness");
        assert!(
            one.glob.matches(&path) && other.glob.matches(&path),
            "{a} and {b}: {path}"
        );
    }
    let shared = one
        .matched
        .iter()
        .zip(&other.matched)
        .position(|(x, y)| x & y != 0);
    assert!(overlaps || shared.is_none(), "{a} and {b} share a path");
}

/// Every pair of the patterns up to three characters, and of some that show what is special.
///
/// For the short patterns, a witness that is not among `PATHS` is none. In a shortest common path, a
/// character that only `*` or `**` read on both sides can be left out, unless its segment would then
/// be empty, `.` or `..`; one such character a segment is enough. Every other character is read by a
/// part that reads just one. A pattern of three characters without a wildcard is as long as its
/// path; with one it has at most two such parts, at most one of them a slash that has a segment on
/// both sides. So that is four characters and one more for each of at most three segments: seven.
#[test]
fn all_pairs_of_short_patterns() {
    let mut patterns = texts(&["a", ".", "/", "*", "?"], 3);
    let special = [
        "**/a",
        "a/**",
        "a/**/b",
        "**/*.a",
        "**/.b/**",
        "*/**",
        "[!a]",
        "[ab]/",
        "[!.]*",
        "{a,b/}a",
        "{,a}{,b}",
        "{a/,}**/b",
        "{**,a}/b",
        "a{,/*}",
        "a**b",
        "{*}*",
        "**/{a,b}",
        "[.b]?",
    ];
    patterns.extend(special.map(str::to_owned));
    let globs: Vec<Checked> = patterns
        .iter()
        .filter_map(|text| check_matches(text, 7, Coverage::Exact))
        .collect();
    assert!(globs.len() > 80, "only {} patterns are globs", globs.len());
    for one in &globs {
        for other in &globs {
            check_overlap(one, other);
            let shared = one
                .matched
                .iter()
                .zip(&other.matched)
                .any(|(x, y)| x & y != 0);
            let witness = one.glob.overlap_witness(&other.glob);
            assert_eq!(witness.is_some(), shared, "{} and {}", one.glob, other.glob);
        }
        assert!(one.glob.overlaps(&one.glob), "{} and itself", one.glob);
    }
}

/// The same for patterns that cover what is below, against each other and against those that do not.
/// Here a shortest common path may be longer than `PATHS` go, so of those only the witness tells.
#[test]
fn all_pairs_of_short_patterns_that_cover() {
    let mut patterns = texts(&["a", "/", "*"], 3);
    let special = [
        "**/a",
        "a/**",
        "**/.b/**",
        "[!a]",
        "[ab]/",
        "{a,b/}a",
        "{,a}{,b}",
        "{a,b*}a",
        "{*,a}b",
        "{a/,*}b",
        "a{,/*}",
        "a{/b,*}",
        "{**,a}/b",
        "{a,*/b}",
        "{a,b}{c,*}",
    ];
    patterns.extend(special.map(str::to_owned));
    let of = |coverage| -> Vec<Checked> {
        let all = patterns.iter();
        all.filter_map(|text| check_matches(text, 7, coverage))
            .collect()
    };
    let (exact, covering) = (of(Coverage::Exact), of(Coverage::Covering));
    assert!(
        covering.len() > 40,
        "only {} patterns are globs",
        covering.len()
    );
    for one in &covering {
        for other in exact.iter().chain(&covering) {
            check_overlap(one, other);
        }
        assert!(one.glob.overlaps(&one.glob), "{} and itself", one.glob);
    }
}

/// Patterns of a few parts, with braces; some are refused.
fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(vec!["a", "b", ".", "a/b"]),
        4 => Just("/"),
        2 => prop::sample::select(vec!["*", "?", "[ab]", "[!a]", "[.b]"]),
        2 => prop::sample::select(vec!["**", "**/", "/**/", "/**"]),
    ];
    let leaf = prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat());
    leaf.prop_recursive(2, 8, 3, |inner| {
        let braces = prop::collection::vec(inner.clone(), 1..4);
        (inner.clone(), braces, inner)
            .prop_map(|(before, of, after)| format!("{before}{{{}}}{after}", of.join(",")))
    })
}

fn glob() -> impl Strategy<Value = Checked> {
    let pattern = (pattern(), prop::sample::select(&BOTH[..]));
    pattern.prop_filter_map("it is refused", |(text, coverage)| {
        check_matches(&text, 5, coverage)
    })
}

/// The paths that a name of a file means, by the oracle of its own: itself, and below a slash all.
fn means(name: &str, path: &str) -> bool {
    match name.strip_suffix('/') {
        Some(folder) => path == folder || path.starts_with(name),
        None => path == name,
    }
}

/// Names of files against each other and against globs, over all short paths.
#[test]
fn names_of_files_are_literal() {
    let globs: Vec<Checked> = [
        "a", "a/b", "*", "**", "a/*", "*/a", "[ab]", "{a,b/*}", "a/", "**/b", "a?/b",
    ]
    .iter()
    .flat_map(|text| BOTH.map(|coverage| check_matches(text, 5, coverage)))
    .flatten()
    .collect();
    let short = &PATHS[..PATHS.partition_point(|path| path.len() <= 5)];
    let names = short.iter().filter(|path| path.len() <= 3);
    let names: Vec<String> = names
        .flat_map(|name| [name.clone(), format!("{name}/")])
        .collect();
    for text in &names {
        let name = FilePath::new(text).expect("it is a name");
        for other in &names {
            let meant = short
                .iter()
                .any(|path| means(text, path) && means(other, path));
            let other = FilePath::new(other).expect("it is a name");
            assert_eq!(name.overlaps(&other), meant, "{name} and {other}");
        }
        for glob in &globs {
            let meant = short
                .iter()
                .any(|path| means(text, path) && glob.is_match(path));
            let (glob, coverage) = (&glob.glob, glob.coverage);
            assert_eq!(
                name.overlaps_glob(glob),
                meant,
                "{name} and {coverage:?} {glob}"
            );
            let witness = name.witness(glob);
            assert_eq!(witness.is_some(), meant, "{name} and {coverage:?} {glob}");
            let is_right = |path: String| means(text, &path) && glob.matches(&path);
            assert!(
                witness.is_none_or(is_right),
                "{name} and {coverage:?} {glob}"
            );
        }
    }
}

/// Characters that are special in globs are none in names: such a name means that one file only.
#[test]
fn special_characters_of_names_mean_nothing() {
    for text in ["*", "?", "[ab]", "{a,b}", "**", "[!a]", "\\a", "a*"] {
        let name = FilePath::new(text).expect("it is a name");
        for path in PATHS.iter().filter(|path| path.len() <= 4) {
            let other = FilePath::new(path).expect("it is a name");
            assert!(!name.overlaps(&other), "{name} and {other}");
            let glob = Glob::new(path, Coverage::Covering).expect("it is a glob");
            assert!(!name.overlaps_glob(&glob), "{name} and {glob}");
        }
        let all = Glob::new("**", Coverage::Covering).expect("it is a glob");
        assert!(name.overlaps_glob(&all) && name.overlaps(&name));
    }
}

impl std::fmt::Debug for Checked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.glob, f)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn overlap_agrees_with_brute_force(one in glob(), other in glob()) {
        check_overlap(&one, &other);
        check_overlap(&one, &one);
        prop_assert!(one.glob.overlaps(&one.glob));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is typed: an answer, no panic, and an error that points into the text.
    #[test]
    fn any_text_is_a_glob_or_an_error(text in "[ab./*?{},!^\\[\\]\\\\-]{0,24}", path in "[ab./]{0,8}") {
        for glob in BOTH.into_iter().filter_map(|coverage| Glob::new(&text, coverage).ok()) {
            prop_assert_eq!(glob.as_str(), &text);
            prop_assert!(glob.overlaps(&glob));
            let example = glob.overlap_witness(&glob);
            prop_assert!(example.is_some_and(|path| glob.matches(&path)));
            if glob.matches(&path) {
                let literal = Glob::new(&path, Coverage::Exact).expect("a path over this alphabet is a pattern");
                prop_assert!(glob.overlaps(&literal) && literal.overlaps(&glob));
                let name = FilePath::new(&path).expect("it is a path");
                prop_assert!(name.overlaps_glob(&glob));
            }
        }
    }

    /// Over all of Unicode, where the alphabet of the brute force does not reach.
    #[test]
    fn classes_of_any_range(a in any::<(char, char)>(), b in any::<(char, char)>(), c: char) {
        let class = |(x, y): (char, char), negation| {
            let text = format!("[{negation}{}-{}]", x.min(y), x.max(y));
            Glob::new(&text, Coverage::Exact).ok()
        };
        for (left, right) in [("", ""), ("", "!"), ("!", "!")] {
            let (Some(one), Some(other)) = (class(a, left), class(b, right)) else {
                continue;
            };
            let path = c.to_string();
            let shared = one.matches(&path) && other.matches(&path);
            prop_assert!(!shared || one.overlaps(&other));
            let witness = one.overlap_witness(&other);
            prop_assert_eq!(one.overlaps(&other), witness.is_some());
            prop_assert!(witness.is_none_or(|path| one.matches(&path) && other.matches(&path)));
        }
    }
}
