//! Takes two patterns, and a path that is also used as the name of a file. Every input gets an answer, and the
//! answers agree with each other.
#![no_main]

use cli_coordinator::engine::file_path::FilePath;
use cli_coordinator::engine::glob::{Coverage, Glob};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, &str, bool, bool)| {
    let (one, other, path, first, second) = input;
    let coverage = |covers| {
        if covers {
            Coverage::Covering
        } else {
            Coverage::Exact
        }
    };
    let made = (
        Glob::new(one, coverage(first)),
        Glob::new(other, coverage(second)),
    );
    let (Ok(one), Ok(other)) = made else {
        return;
    };
    if let Ok(file) = FilePath::new(path) {
        let witness = file.witness(&one);
        assert_eq!(
            file.overlaps_glob(&one),
            witness.is_some(),
            "{file} and {one}"
        );
        assert!(
            witness.is_none_or(|path| one.matches(&path)),
            "{file} and {one}"
        );
    }
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
