use super::*;

fn glob(text: &str) -> Glob {
    Glob::new(text, Coverage::Exact).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn covering(text: &str) -> Glob {
    Glob::new(text, Coverage::Covering).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn check_matches(pattern: &str, matching: &[&str], others: &[&str]) {
    let glob = glob(pattern);
    for path in matching {
        assert!(glob.matches(path), "{pattern} should match {path}");
    }
    for path in others {
        assert!(!glob.matches(path), "{pattern} should not match {path}");
    }
}

/// `witness` is the example for people; none where the two do not overlap.
fn check_overlap(one: &str, other: &str, witness: Option<&str>) {
    for (a, b) in [(one, other), (other, one)] {
        let (left, right) = (glob(a), glob(b));
        assert_eq!(left.overlaps(&right), witness.is_some(), "{a} and {b}");
        let found = left.overlap_witness(&right);
        assert_eq!(found.as_deref(), witness, "{a} and {b}");
        assert!(found.is_none_or(|path| left.matches(&path) && right.matches(&path)));
    }
}

fn check_refused(pattern: &str, error: &GlobError) {
    for coverage in [Coverage::Exact, Coverage::Covering] {
        let made = Glob::new(pattern, coverage);
        assert_eq!(made.as_ref(), Err(error), "{pattern:?} should be refused");
    }
}

fn steps(one: &str, other: &str) -> usize {
    let (one, other) = (glob(one), glob(other));
    overlap::walk(&one.0.program, &other.0.program).steps
}

#[test]
fn literals_match_one_path() {
    check_matches("src", &["src"], &["src/a.rs", "Src", "sr", "srcs", ""]);
    check_matches("a/b.rs", &["a/b.rs"], &["a/b_rs", "a//b.rs", "/a/b.rs"]);
    check_matches("a,b]c", &["a,b]c"], &["a", "b]c"]);
    check_matches(r"\*\{a\}\!", &["*{a}!"], &["x{a}!"]);
    check_matches("größe/日本", &["größe/日本"], &["grosse/日本"]);
}

#[test]
fn wildcards_stay_within_a_segment() {
    check_matches("a?c", &["abc", "a.c", "aßc"], &["a/c", "ac", "abbc"]);
    check_matches("a*c", &["ac", "abc", "a.b.c"], &["a/c", "ab/c", "acb"]);
    check_matches("*", &["a", ".git", "..."], &["a/b", ".", "..", ""]);
    check_matches("a/*/b", &["a/x/b"], &["a/b", "a//b", "a/x/y/b"]);
    check_matches("*.rs", &["a.rs", ".rs"], &["a/b.rs"]);
}

#[test]
fn segments_wildcard() {
    check_matches(
        "src/**/*.rs",
        &["src/a.rs", "src/a/b.rs", "src/a/b/c.rs"],
        &["src", "a.rs", "src/a.md", "srcs/a.rs", "xsrc/a.rs"],
    );
    check_matches("src/**", &["src/a", "src/a/b"], &["src", "srca", "src/"]);
    check_matches("**", &["a", "a/b/c", ".x"], &["", "/", "a/", "a/../b"]);
    check_matches("**/a", &["a", "b/a", "c/b/a"], &["ba", "a/b"]);
    check_matches("a/**/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a"]);
    check_matches("a/***/b", &["a/b", "a/x/y/b"], &["ab"]);
    check_matches("a**b", &["ab", "axb"], &["a/b"]);
    check_matches("**a/b", &["a/b", "xa/b"], &["x/a/b"]);
}

#[test]
fn slashes_and_dots_are_normalised() {
    check_matches("src/", &["src/a", "src/a/b"], &["src"]);
    check_matches("**/", &["a", "a/b"], &[]);
    check_matches("./a//./b", &["a/b"], &["a", "a/./b"]);
    check_matches(".//a", &["a"], &[]);
    check_matches(r"a\/b", &["a/b"], &[]);
    check_matches("{./a,./b/}", &["a", "b/c"], &["b"]);
    check_matches("a/{/b,c/}", &["a/b", "a/c/d"], &["a/c"]);
    check_matches(".../..a/.b", &[".../..a/.b"], &[]);
    assert_eq!(glob("./a//b").to_string(), "./a//b");
}

#[test]
fn classes() {
    check_matches("[a-cx]", &["a", "c", "x"], &["d", "A", "ab", "-"]);
    check_matches("[!a-c]x", &["dx", ".x", "ßx"], &["ax", "/x", "x"]);
    check_matches("[^a]b", &["bb", "^b"], &["ab"]);
    check_matches("[a-zc-d]", &["a", "c", "x"], &["A"]);
    check_matches("[!b-da-ce]", &["f", "0"], &["a", "b", "d", "e"]);
    check_matches("x[]-]", &["x]", "x-"], &["x"]);
    check_matches("x[!]]", &["x-"], &["x]"]);
    check_matches(r"x[\]\\]", &["x]", r"x\"], &["x-"]);
    // The range runs over the slash, and still does not match it.
    check_matches("x[+-9]y", &["x+y", "x.y", "x0y"], &["x/y"]);
    check_matches("x[!b]y", &["x.y"], &["x/y"]);
}

#[test]
fn braces() {
    check_matches("{,a}b", &["b", "ab"], &["a", "aab"]);
    check_matches("a{,/b}", &["a", "a/b"], &["a/", "ab"]);
    check_matches("{a,b{c,d/e}}f", &["af", "bcf", "bd/ef"], &["f", "bf"]);
    check_matches("{**,a}/b", &["b", "x/y/b", "a/b"], &["xb"]);
    check_matches("{*,**}/b", &["b", "x/b", "x/y/b"], &[]);
    check_matches("{a/**,b}{/c,}", &["a/c", "a/x", "b", "b/c"], &["a", "c"]);
    check_matches("{*}{*}", &["a"], &["a/b"]);
    check_matches("a/{b,}", &["a/b", "a/c/d"], &["a"]);
    check_matches("a/{b/{c,},d}", &["a/b/x", "a/d"], &["a/b", "a/x"]);
}

#[test]
fn overlap_is_exact() {
    check_overlap("src/**/*.rs", "src/a*/b.rs", Some("src/a/b.rs"));
    check_overlap("src/*.rs", "src/a/*.rs", None);
    check_overlap("src/a.rs", "src/a.rs", Some("src/a.rs"));
    check_overlap("src/a.rs", "src/a.rsx", None);
    check_overlap("src", "src/**", None);
    check_overlap("src/", "src/a", Some("src/a"));
    check_overlap("**", "a/*/c", Some("a/a/c"));
    check_overlap("**/*.rs", "**/*.md", None);
    check_overlap("**/test_*", "src/**/*_b.rs", Some("src/test_b.rs"));
    check_overlap("a*", "*b", Some("ab"));
    check_overlap("*a*", "*b*", Some("ab"));
    check_overlap("**/a", "b/**", Some("b/a"));
    check_overlap("a/**/b", "a/b", Some("a/b"));
    check_overlap("a/*/b", "a/b", None);
    check_overlap("{a,b}/x", "{b,c}/?", Some("b/x"));
    check_overlap("{a,b}/x", "{c,d}/x", None);
    check_overlap("a{,/**}", "a/b/c", Some("a/b/c"));
    check_overlap("./a", "a", Some("a"));
}

#[test]
fn overlap_of_classes() {
    check_overlap("[a-f]", "[d-z]", Some("d"));
    check_overlap("[a-f]", "[g-z]", None);
    check_overlap("[!a]", "[a]", None);
    check_overlap("[!a-y]", "[a-z]", Some("z"));
    check_overlap("[!b-z]x", "[!a]x", Some("0x"));
    check_overlap("x[*-9]", "x[+-5]", Some("x0"));
    check_overlap("a[*-9]b", "a/b", None);
    // Only surrogates lie between these, and they are no characters.
    let all_but_surrogates = "[! -\u{d7ff}\u{e000}-\u{10ffff}]";
    check_overlap(all_but_surrogates, "[\u{d000}-\u{f000}]", None);
    check_overlap(all_but_surrogates, "?", Some("\u{1}"));
}

#[test]
fn no_overlap_in_what_is_no_path() {
    check_overlap(".?", "?.", None);
    check_overlap(".*", "*.", Some(".a."));
    check_overlap("x/.?", "x/?.", None);
    check_overlap("x/..?", "x/?..", Some("x/..."));
    check_overlap("a/*", "a/", Some("a/a"));
}

#[test]
fn refusals_name_the_place() {
    use GlobError as E;
    check_refused("", &E::Empty);
    let length = GLOB_BYTES_MAX + 1;
    let max = GLOB_BYTES_MAX;
    check_refused(&"a".repeat(length), &E::TooLong { length, max });
    check_refused("a\nb", &E::ControlCharacter { at: 1, found: '\n' });
    check_refused("ab\0", &E::ControlCharacter { at: 2, found: '\0' });
    check_refused("!a", &E::Negation { at: 0 });
    check_refused("/a", &E::LeadingSlash { at: 0 });
    check_refused("{a,}/b", &E::LeadingSlash { at: 4 });
    check_refused("a/{b,}/c", &E::EmptySegment { at: 6 });
    check_refused(".", &E::DotSegment { at: 1 });
    check_refused("a/.", &E::DotSegment { at: 3 });
    check_refused("{.,a}/b", &E::DotSegment { at: 5 });
    check_refused("a/../b", &E::ParentSegment { at: 4 });
    check_refused("a/{.,b}.", &E::ParentSegment { at: 8 });
    check_refused("./", &E::MatchesNothing { length: 2 });
    check_refused("[.]", &E::MatchesNothing { length: 3 });
    check_refused("{a,b/}**", &E::AmbiguousStars { at: 6 });
    check_refused("**{,a}", &E::AmbiguousStars { at: 0 });
}

#[test]
fn refusals_of_brackets_and_escapes() {
    use GlobError as E;
    check_refused("a\\", &E::TrailingEscape { at: 1 });
    check_refused(r"src\a", &E::NeedlessEscape { at: 3, found: 'a' });
    check_refused("a[b", &E::UnclosedClass { at: 1 });
    check_refused("a[b-", &E::UnclosedClass { at: 1 });
    check_refused("[]", &E::EmptyClass { at: 0 });
    check_refused("a[!]b", &E::EmptyClass { at: 1 });
    let (first, last) = ('z', 'a');
    check_refused("[xz-a]", &E::ReversedRange { at: 2, first, last });
    check_refused("[a/]", &E::SlashInClass { at: 2 });
    check_refused("[!--/]", &E::SlashInClass { at: 4 });
    check_refused("[[:alpha:]]", &E::NamedClass { at: 1 });
    check_refused("a{b,c", &E::UnclosedBraces { at: 1 });
    check_refused("ab}", &E::UnopenedBraces { at: 2 });
    check_refused("a{}", &E::EmptyBraces { at: 1 });
    let max = GLOB_DEPTH_MAX;
    check_refused(&"{".repeat(max + 1), &E::TooDeep { at: max, max });
    let max = GLOB_ALTERNATIVES_MAX;
    let many = format!("{{a{}}}", ",a".repeat(max));
    check_refused(
        &many,
        &E::TooManyAlternatives {
            at: 2 * max + 1,
            max,
        },
    );
}

/// Patterns that make careless matchers work without end, and the largest automata.
fn hostile() -> Vec<String> {
    let nested = format!("{}a{}", "{,".repeat(8), "}".repeat(8));
    vec![
        format!("{}b[x]", "*a".repeat(253)),
        format!("{}b[y]", "a*".repeat(253)),
        format!("**/{}[x]", "*/".repeat(253)),
        format!("**/{}[y]", "?*/".repeat(168)),
        format!("{}b", "**/".repeat(170)),
        format!("{}b", "{a,b}".repeat(64)),
        format!("{}b", "{,a}".repeat(64)),
        format!("{}[b]", "{,*}".repeat(64)),
        format!("x{}b", "{,/a}".repeat(64)),
        format!("{}x", nested.repeat(7)),
        format!("{}[b]", "[!-~]*".repeat(84)),
        format!("[{}]b", odd_characters().collect::<String>()),
        format!("[!{}]b", odd_characters().collect::<String>()),
        // Most branches: each alternative can be where the pattern ends after a slash, and each
        // `**` skips what is next.
        format!("{{{}}}{}", ["**"; 46].join(","), "{,/a}{,/b/}".repeat(20)),
        format!("a/{{{}}}", ["b/"; 128].join(",")),
        "?".repeat(512),
    ]
}

/// Characters that make as many ranges as fit.
fn odd_characters() -> impl Iterator<Item = char> {
    ('\u{100}'..'\u{2f0}').step_by(2)
}

#[test]
fn hostile_patterns_take_bounded_steps() {
    let of = |coverage| -> Vec<Glob> {
        let all = hostile().into_iter();
        all.filter_map(|text| Glob::new(&text, coverage).ok())
            .collect()
    };
    let (exact, covers) = (of(Coverage::Exact), of(Coverage::Covering));
    assert!(
        exact.len() >= 13 && covers.len() >= 13,
        "{} and {} of them are globs",
        exact.len(),
        covers.len()
    );
    check_steps(&exact);
    check_steps(&covers);
}

/// Each along a path, and against each other.
fn check_steps(globs: &[Glob]) {
    let path = "a/".repeat(40) + &"a".repeat(100);
    for one in globs {
        let states = one.0.program.len();
        assert!(states < GLOB_STATES_MAX, "{states} states: {one}");
        let along = matching::run(&one.0.program, &path).steps;
        assert!(along <= path.chars().count() * states);
        for other in globs {
            let pairs = states * other.0.program.len();
            let walked = overlap::walk(&one.0.program, &other.0.program);
            // Of the four things known about a segment, two are rare: it is a dot, or two.
            assert!(walked.steps <= 3 * pairs, "{one} and {other}: {walked:?}");
            assert!(walked.steps <= 1_000_000, "{one} and {other}: {walked:?}");
            assert_eq!(walked.found, other.overlaps(one), "{one} and {other}");
        }
    }
}

#[test]
fn what_differs_in_its_literal_ends_takes_no_steps() {
    assert_eq!(steps("src/a/*.rs", "src/b/*.rs"), 0);
    assert_eq!(steps("**/*.rs", "**/*.md"), 0);
    assert!(steps("src/**/*.rs", "src/a*/b.rs") < 40);
}

#[test]
fn a_glob_is_its_text() {
    let one = glob("src/**");
    assert_eq!(format!("{one} {one:?}"), r#"src/** "src/**""#);
    assert!(glob("a") < glob("b") && glob("a//b") != glob("a/b"));
    assert!(glob("a") != covering("a") && covering("a") == covering("a"));
}

fn check_covers(pattern: &str, matching: &[&str], others: &[&str]) {
    let glob = covering(pattern);
    for path in matching {
        assert!(glob.matches(path), "{pattern} should cover {path}");
        assert!(glob.overlaps_tree(path), "{pattern} and {path}");
    }
    for path in others {
        assert!(!glob.matches(path), "{pattern} should not cover {path}");
    }
}

#[test]
fn a_last_segment_without_wildcards_covers_what_is_below() {
    check_covers(
        "src",
        &["src", "src/a", "src/a/b.rs"],
        &["srcs", "a/src", "sr"],
    );
    check_covers("a/b", &["a/b", "a/b/c"], &["a", "a/bc", "a/c"]);
    check_covers("**/src", &["src", "a/src", "a/src/b"], &["a/srcs"]);
    check_covers("*/b", &["a/b", "a/b/c/d"], &["a", "b", "a/c/b"]);
    check_covers(r"app/\[id\]", &["app/[id]", "app/[id]/x"], &["app/i/x"]);
    check_covers("{a,b}", &["a/x", "b/x"], &["c/x"]);
}

#[test]
fn a_last_segment_with_wildcards_covers_nothing() {
    check_covers("src/*", &["src/a"], &["src", "src/a/b"]);
    check_covers("a?", &["ab"], &["ab/c"]);
    check_covers("[ab]", &["a"], &["a/c"]);
    check_covers("src/**", &["src/a", "src/a/b"], &["src"]);
    check_covers("src/", &["src/a", "src/a/b"], &["src"]);
    check_covers("a/**b", &["a/b", "a/xb"], &["a/b/c"]);
}

#[test]
fn each_choice_of_alternatives_counts_for_itself() {
    check_covers("{a,b*}", &["a", "a/x", "b", "bc"], &["b/x", "bc/x"]);
    check_covers("{a,b*}c", &["ac", "ac/x", "bc", "bxc"], &["bc/x", "bxc/x"]);
    check_covers("{*/,}a", &["a", "a/x", "b/a", "b/a/x"], &["b/c"]);
    check_covers("{a/,*}b", &["a/b", "a/b/x", "b", "cb"], &["cb/x", "a/c"]);
    check_covers("a{,/*}", &["a", "a/b", "a/b/c"], &["b"]);
    check_covers(
        "x{/a,/b*}{,c}",
        &["x/a/1", "x/ac/1", "x/b1"],
        &["x/b1/1", "x/bc/1"],
    );
    check_covers("{a,*}{b,c}", &["ab/x", "ac/x", "xb"], &["xb/x"]);
}

#[test]
fn the_largest_covering_patterns_are_no_larger_than_exact_ones() {
    for before in ["{*,}", "{*,x}", "{*,,,,}", "{*,{,*}}", "{*/,*}"] {
        let tail = "a".repeat(GLOB_BYTES_MAX - before.len());
        let glob = covering(&format!("{before}{tail}"));
        assert!(glob.0.program.len() < GLOB_STATES_MAX, "{before}");
    }
}

#[test]
fn folders_take_no_steps() {
    let steps = |one: &str, other: &str| {
        let (one, other) = (covering(one), covering(other));
        overlap::walk(&one.0.program, &other.0.program).steps
    };
    assert_eq!(steps("src/a", "src/b/*.rs"), 0);
    assert!(covering("src").overlaps(&covering("src/a/b.rs")));
    assert!(!covering("src/a").overlaps(&covering("src/ab")));
    assert!(covering("src").overlaps_tree("src/a") && covering("src/a").overlaps_tree("src"));
    assert!(covering("**/*.rs").overlaps_tree("src") && !covering("*.rs").overlaps_tree("src"));
    assert_eq!(
        covering("**/*.rs").tree_witness("src").as_deref(),
        Some("src/.rs")
    );
}
