//! Globs against brute force: a matcher of another kind, over all short paths.

use std::sync::LazyLock;

use cli_coordinator::engine::glob::Glob;
use proptest::prelude::*;

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
    /// One for each of `PATHS`.
    matched: Vec<u64>,
}

/// A glob with all paths up to a length that it matches, compared with the oracle one by one.
fn check_matches(pattern: &str, length_max: usize) -> Option<Checked> {
    let glob: Glob = pattern.parse().ok()?;
    let naive = naive::patterns(pattern);
    let paths = &PATHS[..PATHS.partition_point(|path| path.len() <= length_max)];
    let mut matched = vec![0; paths.len().div_ceil(64)];
    for (at, path) in paths.iter().enumerate() {
        let is_match = glob.matches(path);
        assert_eq!(
            is_match,
            naive::matches(&naive, path),
            "{pattern} and {path}"
        );
        matched[at / 64] |= u64::from(is_match) << (at % 64);
    }
    Some(Checked {
        glob,
        naive,
        matched,
    })
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
        let both = naive::matches(&one.naive, &path) && naive::matches(&other.naive, &path);
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
        .filter_map(|text| check_matches(text, 7))
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
    pattern().prop_filter_map("it is refused", |text| check_matches(&text, 5))
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
        if let Ok(glob) = text.parse::<Glob>() {
            prop_assert_eq!(glob.as_str(), &text);
            prop_assert!(glob.overlaps(&glob));
            let example = glob.overlap_witness(&glob);
            prop_assert!(example.is_some_and(|path| glob.matches(&path)));
            if glob.matches(&path) {
                let literal: Glob = path.parse().expect("a path over this alphabet is a pattern");
                prop_assert!(glob.overlaps(&literal) && literal.overlaps(&glob));
            }
        }
    }

    /// Over all of Unicode, where the alphabet of the brute force does not reach.
    #[test]
    fn classes_of_any_range(a in any::<(char, char)>(), b in any::<(char, char)>(), c: char) {
        let class = |(x, y): (char, char), negation| {
            let text = format!("[{negation}{}-{}]", x.min(y), x.max(y));
            text.parse::<Glob>().ok()
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
