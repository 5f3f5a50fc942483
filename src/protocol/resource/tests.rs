use super::*;

fn parsed(text: &str) -> Result<ResourceRequestParam, ResourceTextError> {
    text.parse()
}

/// What the text is taken for, as it is shown.
#[track_caller]
fn check(text: &str, shown: &str) {
    let request = parsed(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(request.to_string(), shown, "{text}");
}

/// It is refused, and all spellings that are proposed are right.
#[track_caller]
fn check_refused(text: &str, write: &[&str]) {
    let error = parsed(text).err();
    let error = error.unwrap_or_else(|| panic!("{text} should be refused"));
    assert_eq!(error.write, write, "{error}");
    for text in &error.write {
        for one in text.split(AND) {
            assert!(parsed(one).is_ok(), "{one} is proposed: {:?}", parsed(one));
        }
    }
}

#[test]
fn kinds_that_are_missing_or_misspelt() {
    check_refused("src/main.rs", &["path:src/main.rs", "file:src/main.rs"]);
    check_refused("src/*.rs", &["path:src/*.rs"]);
    check_refused(
        "app/[id]/page.tsx",
        &["file:app/[id]/page.tsx", "path:app/[id]/page.tsx"],
    );
    check_refused("build", &["name:build", "path:build"]);
    check_refused("3000", &["port:localhost:3000"]);
    check_refused(":3000", &["port:localhost:3000"]);
    check_refused("localhost:3000", &["port:localhost:3000"]);
    check_refused("127.0.0.1:3000-3010", &["port:127.0.0.1:3000-3010"]);
    check_refused("main.rs:12", &["path:main.rs", "port:main.rs:12"]);
    check_refused("src/main.rs:12", &["path:src/main.rs"]);
    check_refused("glob:src/*", &["path:src/*"]);
    check_refused("Path:src", &["path:src"]);
    check_refused("paht:src", &["path:src"]);
    check_refused("files:a", &["file:a"]);
    check_refused("slot:build", &["name:build"]);
    check_refused("path=src", &["path:src"]);
    check_refused("~/x", &[]);
    check_refused("C:/x", &[]);
    check_refused("a.ts,b.ts", &["file:a.ts,b.ts"]);
    check_refused("", &[]);
}

#[test]
fn kinds_that_are_there_twice() {
    check_refused("path:path:x", &["path:x"]);
    check_refused("file:path:x", &["path:x"]);
    check_refused("name:file:x", &["file:x"]);
    check_refused("path:a path:b", &["path:a` and `path:b"]);
    check_refused("file:a,file:b", &["file:a` and `file:b"]);
}

#[test]
fn what_stands_around_a_path() {
    check_refused("path: src", &["path:src"]);
    check_refused("file:src ", &["file:src"]);
    check_refused("file:\u{a0}src", &["file:src"]);
    check_refused("path:\"src\"", &["path:src"]);
    check_refused("file:'a b'", &["file:a b"]);
    check_refused("path:a\nb", &[]);
    check_refused("path:", &["path:**"]);
    check_refused("name:", &[]);
    check("path:a b", "path:a b");
    check("file:it's", "file:it's");
    check(r"path:\ a", r"path:\ a");
}

#[test]
fn what_a_shell_would_have_replaced() {
    for text in [
        "~",
        "~/x",
        "~bob/x",
        "$HOME/x",
        "$PWD",
        "${X}",
        "a/${X}/b",
        "$(pwd)/x",
        "%APPDATA%/x",
    ] {
        check_refused(&format!("path:{text}"), &[]);
        check_refused(&format!("file:{text}"), &[]);
    }
    // Frameworks name files like this.
    for text in [
        "routes/$postId.tsx",
        "$lang/x",
        "$.tsx",
        "~$report.docx",
        "a~",
        "100%",
        "${{x",
    ] {
        check(&format!("file:{text}"), &format!("file:{text}"));
    }
}

#[test]
fn what_other_systems_write() {
    for text in ["C:/x", "C:", r"C:\x", r"c:\a\b"] {
        check_refused(&format!("path:{text}"), &[]);
        check_refused(&format!("file:{text}"), &[]);
    }
    check_refused("file:///home/x", &[]);
    check_refused("path:https://host/x", &[]);
    check_refused("path:file:///x", &[]);
    check_refused(r"file:src\main.rs", &["file:src/main.rs"]);
    check_refused(r"path:src\main.rs", &["path:src/main.rs"]);
    check_refused(r"path:src\_x", &["path:src/_x"]);
    check_refused(r"path:src\.github\x", &["path:src/.github/x"]);
    check_refused(r"path:src\*.rs", &["path:src/*.rs", "file:src*.rs"]);
    check_refused(r"path:src\**.rs", &[]);
    check_refused(r"path:src\", &["path:src/"]);
    check_refused("path::/src", &["path:src"]);
    check_refused("path::(glob)src", &[]);
    check_refused("path:./...", &["path:./**"]);
    check_refused("path:pkg/...", &["path:pkg/**"]);
    check_refused("path:a:b", &[r"path:a\:b"]);
    check("file:a:b", "file:a:b");
    check(r"path:a\*b*", r"path:a\*b*");
}

#[test]
fn numbers_of_lines() {
    for tail in [
        ":12",
        ":12:5",
        ":12-20",
        ":12:",
        ":12: fn main",
        "#L12",
        "#L12-L20",
    ] {
        check_refused(&format!("file:x.ts{tail}"), &["file:x.ts"]);
        check_refused(&format!("path:x.ts{tail}"), &["path:x.ts"]);
    }
    check_refused("file:x.ts(12,5)", &["file:x.ts"]);
    check("file:report (2).pdf", "file:report (2).pdf");
    check(r"path:10\:30", r"path:10\:30");
}

#[test]
fn globs_of_other_shells() {
    check_refused("path:src/@(a|b).ts", &["path:src/{a,b}.ts"]);
    check_refused("path:src/?(a|b).ts", &["path:src/{a,b,}.ts"]);
    check_refused("path:src/!(a).ts", &[]);
    check_refused("path:src/+(a|b).ts", &[]);
    check_refused("path:src/*(a|b).ts", &[]);
    check_refused("path:src/(a|b).ts", &["path:src/{a,b}.ts"]);
    check_refused("path:a|b", &["path:{a,b}"]);
    check_refused("path:f{1..9}.ts", &["path:f[1-9].ts"]);
    check_refused("path:f{a..c}.ts", &["path:f[a-c].ts"]);
    check_refused("path:f{08..10}.ts", &["path:f{08,09,10}.ts"]);
    check_refused("path:f{1..999}.ts", &[]);
    check_refused("path:src/{id}/x", &[r"path:src/\{id\}/x", "path:src/id/x"]);
    check_refused("path:src/{a, b}.ts", &["path:src/{a,b}.ts"]);
    check_refused("path:src/**.ts", &["path:src/**/*.ts", "path:src/*.ts"]);
    check_refused("path:src/a**", &["path:src/a*/**", "path:src/a*"]);
    check_refused("path:a**b", &["path:a*/**/*b", "path:a*b"]);
    check("path:app/(group)/*.tsx", "path:app/(group)/*.tsx");
    check("path:app/@modal/*", "path:app/@modal/*");
    check(r"path:src/@\(a\|b\)", r"path:src/@\(a\|b\)");
    check("path:{**,a}/b", "path:{**,a}/b");
    check("path:src/***", "path:src/***");
    check("path:[**]", "path:[**]");
}

#[test]
fn regular_expressions() {
    check_refused(r"path:.*\.rs$", &["path:*.rs"]);
    check_refused(r"path:^src/.*\.rs$", &["path:src/*.rs"]);
    check_refused(r"path:src/.+\.rs", &["path:src/*.rs"]);
    check_refused("path:^src", &["path:src"]);
    check_refused(r"path:^src/(a|b)$", &[]);
    check("path:.*", "path:.*");
    check("path:src/.*", "path:src/.*");
}

#[test]
fn several_names_in_one() {
    check_refused("path:a.ts,b.ts", &["path:{a.ts,b.ts}"]);
    check_refused("path:a.ts, b.ts", &["path:{a.ts,b.ts}"]);
    check_refused("path:a.ts;b.ts", &["path:{a.ts,b.ts}"]);
    check_refused("path:src/a.ts,", &["path:src/a.ts"]);
    check("file:a.ts,b.ts", "file:a.ts,b.ts");
    check(r"path:a\,b", r"path:a\,b");
    check("path:{a,b}.ts", "path:{a,b}.ts");
    check("path:[,]", "path:[,]");
}

#[test]
fn places_outside_of_the_repository() {
    check_refused("path:/src/x", &[]);
    check_refused("file:/src/x", &[]);
    check_refused("file://x", &[]);
    check_refused("path:../x", &[]);
    check_refused("path:a/../b", &["path:b"]);
    check_refused("file:a/../b/", &["file:b/"]);
    check_refused("path:*/../b", &[]);
    check_refused("path:.", &["path:**"]);
    check_refused("file:./", &["path:**"]);
    check_refused("path:src/.", &["path:src"]);
    check("file:./src//main.rs", "file:src/main.rs");
    check("file:src/.", "file:src/");
    check("path:./src//main.rs", "path:./src//main.rs");
}

#[test]
fn names_and_ports() {
    check("name:build", "name:build");
    check("port:box:80", "port:box:80");
    check("port:box:80-90", "port:box:80-90");
    check_refused("port:3000", &["port:localhost:3000"]);
    check_refused("port:http://box:80/x", &["port:box:80"]);
    check_refused("port:box:0", &[]);
    check_refused("port:box:9-8", &[]);
    assert!("port:box:80-90".parse::<ResourceParam>().is_err());
}

/// Names that differ in normalisation only are one name; those that differ in case are two.
#[test]
fn one_name_has_one_form() {
    let overlap = |one: &str, other: &str| {
        let of = |text: &str| text.parse::<ResourceParam>().expect("it is a resource").0;
        of(one).overlaps(&of(other))
    };
    for kinds in [("file", "file"), ("path", "path"), ("file", "path")] {
        let name = |kind: &str, text: &str| format!("{kind}:src/{text}.rs");
        let composed = name(kinds.0, "gr\u{f6}\u{df}e");
        let decomposed = name(kinds.1, "gro\u{308}\u{df}e");
        assert!(overlap(&composed, &decomposed), "{kinds:?}");
        assert!(
            !overlap(&name(kinds.0, "a"), &name(kinds.1, "A")),
            "{kinds:?}"
        );
    }
    // Also where it is one character of a class, or what `?` stands for.
    assert!(overlap("path:[\u{e9}]", "file:e\u{301}"));
    assert!(overlap("path:?", "file:e\u{301}"));
    // Hangul, and a character that is only another one's name.
    assert!(overlap("file:\u{1100}\u{1161}", "file:\u{ac00}"));
    assert!(overlap("file:\u{212b}", "file:\u{c5}"));
    check("file:e\u{301}", "file:\u{e9}");
}

/// Whatever a file is called, it can be held.
#[test]
fn every_file_can_be_named() {
    for name in [
        "a.ts,b.ts",
        "~/x",
        "C:/x",
        "x.ts:12",
        "x#L3",
        "$HOME/x",
        "${X}",
        "%A%/x",
        "\"x\"",
        " x ",
        r"a\b",
        "path:x",
        "a|b",
        "app/[id]/*.tsx",
        "{a}",
        "!x",
        "^x$",
        "...",
        "a//b",
        "(a,b)",
        "-x",
        "a;b",
        "@(a)",
        "x y",
        "größe?",
        ":/x",
        "#",
        "a(1,2)",
    ] {
        let resource = literal(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let file = FilePath::new(&meaning::tidied(name)).expect("it is a name");
        assert!(
            resource.overlaps(&Resource::File(file)),
            "{name}: {resource}"
        );
        // What is sent is read alike.
        let sent: ResourceParam = resource.to_string().parse().expect("it is a resource");
        assert_eq!(sent.0, resource, "{name}");
        let other = FilePath::new("other").expect("it is a name");
        assert!(
            !resource.overlaps(&Resource::File(other)),
            "{name}: {resource}"
        );
    }
}

#[test]
fn answers_hold_any_text() {
    let text: ResourceText = serde_json::from_str("\"path:a.ts,b.ts\"").expect("it is a text");
    assert_eq!(
        (text.to_string().as_str(), text.port()),
        ("path:a.ts,b.ts", None)
    );
    let port: ResourceText = serde_json::from_str("\"port:box:80\"").expect("it is a text");
    assert_eq!(port.port(), Some(("box", 80)));
}

#[test]
fn errors_are_bounded() {
    let long = "x".repeat(100_000);
    for text in [
        long.clone(),
        format!("path:{long},"),
        format!("file:~/{long}"),
    ] {
        let error = parsed(&text).expect_err("it is too long");
        assert!(
            error.to_string().len() < 2_000,
            "{} bytes",
            error.to_string().len()
        );
    }
}
