//! Two patterns and a path: whatever is typed is answered, and the answers agree with each other.
#![no_main]

use cli_coordinator::engine::glob::Glob;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, &str)| {
    let (one, other, path) = input;
    let (Ok(one), Ok(other)) = (one.parse::<Glob>(), other.parse::<Glob>()) else {
        return;
    };
    let overlaps = one.overlaps(&other);
    assert_eq!(overlaps, other.overlaps(&one), "not symmetric");
    assert!(
        one.overlaps(&one) && other.overlaps(&other),
        "not reflexive"
    );
    if one.matches(path) && other.matches(path) {
        assert!(overlaps, "{path:?} is matched by both");
    }
    let witness = one.overlap_witness(&other);
    assert_eq!(overlaps, witness.is_some(), "a witness is there or is not");
    if let Some(path) = witness {
        assert!(
            one.matches(&path) && other.matches(&path),
            "{path:?} is no witness"
        );
    }
});
