use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(text: &str) -> JsonText {
    JsonText::read(text.as_bytes(), Dialect::Comments)
        .unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

fn text(json: JsonText) -> String {
    String::from_utf8(json.into_bytes()).expect("it is text")
}

/// What `set` makes of a text, and that `remove` takes it out again.
fn check_set(before: &str, path: &[&str], value: &Value, expected: &str) {
    let mut json = read(before);
    json.set(path, value).expect("it can be set");
    assert_eq!(text(json.clone()), expected);
    let mut again = json.clone();
    again.set(path, value).expect("it can be set");
    assert_eq!(again.value(), json.value());
}

fn check_removed(before: &str, path: &[Step<'_>], expected: &str) {
    let mut json = read(before);
    json.remove(path).expect("it can be removed");
    assert_eq!(text(json), expected);
}

#[test]
fn a_value_is_put_where_the_file_would_have_it() {
    let value = json!({ "a": [1, 2] });
    let block = "{\n    \"a\": [\n      1,\n      2\n    ]\n  }";
    check_set("", &["x"], &json!(1), "{\n  \"x\": 1\n}\n");
    check_set("{}", &["x"], &value, &format!("{{\n  \"x\": {block}\n}}"));
    check_set(
        "{\n  \"b\": 1\n}\n",
        &["x"],
        &value,
        &format!("{{\n  \"b\": 1,\n  \"x\": {block}\n}}\n"),
    );
    check_set(
        "{\"b\": 1}",
        &["x", "y"],
        &json!([1]),
        "{\"b\": 1, \"x\": {\"y\":[1]}}",
    );
    check_set(
        "{\r\n\t\"b\": {}\r\n}",
        &["b", "x"],
        &json!(1),
        "{\r\n\t\"b\": {\r\n\t\t\"x\": 1\r\n\t}\r\n}",
    );
    check_set(
        "{\n    \"b\": 1, // one\n}",
        &["x"],
        &json!(1),
        "{\n    \"b\": 1, // one\n    \"x\": 1,\n}",
    );
    check_set(
        "{\n  \"b\": 1 /* , */ // one, two\n  // last\n}",
        &["x"],
        &json!(1),
        "{\n  \"b\": 1, /* , */ // one, two\n  \"x\": 1\n  // last\n}",
    );
    check_set(
        "{ // nothing yet\n}",
        &["x"],
        &json!(1),
        "{ // nothing yet\n  \"x\": 1\n}",
    );
    check_set(
        "\u{feff}{\"hooks\": null}",
        &["hooks", "x"],
        &json!([]),
        "\u{feff}{\"hooks\": {\"x\":[]}}",
    );
    check_set(
        "{\"x\": 1 , \"y\": 2}",
        &["x"],
        &json!(3),
        "{\"x\": 3 , \"y\": 2}",
    );
}

#[test]
fn a_list_gets_a_last_element() {
    let check = |before: &str, expected: &str| {
        let mut json = read(before);
        json.push(&["p", "allow"], &json!("ours"))
            .expect("it can be put");
        assert_eq!(text(json), expected);
    };
    check(
        "{\n  \"p\": {\"allow\": [\"a\"]}\n}",
        "{\n  \"p\": {\"allow\": [\"a\", \"ours\"]}\n}",
    );
    check(
        "{\n  \"p\": {\n    \"allow\": [\n      \"a\",\n    ]\n  }\n}",
        "{\n  \"p\": {\n    \"allow\": [\n      \"a\",\n      \"ours\",\n    ]\n  }\n}",
    );
    check(
        "{\"p\": {\"allow\": null}}",
        "{\"p\": {\"allow\": [\"ours\"]}}",
    );
    check(
        "{\"a\": 1, \"p\": null}",
        "{\"a\": 1, \"p\": {\"allow\":[\"ours\"]}}",
    );
}

#[test]
fn what_is_taken_out_takes_its_line_and_its_comma() {
    let [b, x] = [Step::Key("b"), Step::Key("x")];
    check_removed(
        "{\n  \"b\": 1,\n  \"x\": {\n  }\n}",
        &[x],
        "{\n  \"b\": 1\n}",
    );
    check_removed(
        "{\n  \"b\": 1, // c\n  \"x\": 2\n}",
        &[x],
        "{\n  \"b\": 1 // c\n}",
    );
    check_removed("{\n  \"b\": 1,\n  \"x\": 2,\n}", &[x], "{\n  \"b\": 1,\n}");
    check_removed("{\n  \"b\": 1,\n  \"x\": 2\n}", &[b], "{\n  \"x\": 2\n}");
    check_removed("{\"b\": 1, \"x\": 2}", &[x], "{\"b\": 1}");
    check_removed("{\"b\": 1, \"x\": 2}", &[b], "{\"x\": 2}");
    check_removed("{\n  \"x\": 2\n}\n", &[x], "{}\n");
    check_removed("{\n  // c\n  \"x\": 2\n}\n", &[x], "{\n  // c\n}\n");
    check_removed(
        "{\"l\": [1, 2, 3]}",
        &[Step::Key("l"), Step::Index(1)],
        "{\"l\": [1, 3]}",
    );
    check_removed(
        "{\"l\": [1]}",
        &[Step::Key("l"), Step::Index(1)],
        "{\"l\": [1]}",
    );
    check_removed("{\"l\": 1}", &[x, b], "{\"l\": 1}");
}

#[test]
fn faults_are_told_with_their_place() {
    let check = |text: &str, part: &str| {
        let fault = match JsonText::read(text.as_bytes(), Dialect::Comments) {
            Ok(mut json) => json.set(&["hooks", "x"], &json!(1)).expect_err(text),
            Err(fault) => fault,
        };
        let told = fault.to_string();
        assert!(told.contains(part), "{text}: {told}");
    };
    check("{\n  \"a\": 1\n  \"b\": 2\n}", "line 2, column 9");
    check("{\n  \"a\": tru\n}", "line 2, column ");
    check("{\"a\": 1", "line 1");
    check("{'a': 1}", "not valid JSON");
    check("[]", "it is not an object, at line 1, column 1");
    check("{}\n{}", "line 2");
    check(
        "{\n \"hooks\": []\n}",
        "hooks is not an object, at line 2, column 11",
    );
    check("{\"hooks\": {}, \"hooks\": {}}", "hooks is there twice");
    let strict = JsonText::read(b"{\n  // c\n}", Dialect::Strict).expect_err("a comment");
    assert!(strict.to_string().contains("line 2, column 3"), "{strict}");
    check(&"[".repeat(100_000), "depth");
    check(&"{\"a\":".repeat(100_000), "depth");
}

/// JSON as people write it: any layout, comments, trailing commas.
fn written(blank: &'static str) -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("1".to_owned()),
        Just("null".to_owned()),
        Just("\"a, // b\"".to_owned()),
        Just("{}".to_owned()),
        Just("[ ]".to_owned()),
    ];
    let nested = leaf.prop_recursive(3, 24, 4, move |inner| {
        let gap = prop_oneof![
            Just(String::new()),
            Just(" ".to_owned()),
            Just(format!("{blank}  ")),
            Just(format!(" // c,{blank}\t")),
            Just("/* , */".to_owned()),
        ];
        let item = (gap.clone(), inner, gap.clone());
        let items = proptest::collection::vec(item, 0..4);
        (items, any::<bool>(), any::<bool>(), gap).prop_map(|(items, object, trailing, last)| {
            let many = !items.is_empty();
            let items = items
                .iter()
                .enumerate()
                .map(|(at, (before, value, after))| {
                    let key = if object {
                        format!("\"k{at}\": ")
                    } else {
                        String::new()
                    };
                    format!("{before}{key}{value}{after}")
                });
            let inside = items.collect::<Vec<_>>().join(",");
            let comma = if trailing && many { "," } else { "" };
            let (open, close) = if object { ("{", "}") } else { ("[", "]") };
            format!("{open}{inside}{comma}{last}{close}")
        })
    });
    nested.prop_map(|inner| format!("{{ \"k0\": {inner}, \"l\": [{inner}] }}"))
}

/// Whether one text is the other with something inserted.
fn is_subsequence(part: &str, whole: &str) -> bool {
    let mut rest = whole.chars();
    part.chars().all(|wanted| rest.any(|found| found == wanted))
}

proptest! {
    #[test]
    fn edits_change_what_they_say_and_nothing_else(
        before in prop_oneof![written("\n"), written("\r\n")],
    ) {
        let json = read(&before);
        let value = json!({ "command": "[ -x a ] || exit 0", "n": [1] });
        let mut put = json.clone();
        put.set(&["ours", "coord"], &value).expect("there is no such key");
        put.push(&["l"], &value).expect("it is a list");
        let after = text(put.clone());
        prop_assert!(is_subsequence(&before, &after), "{before}\n{after}");
        let mut expected = json.value();
        expected["ours"] = json!({ "coord": value.clone() });
        expected["l"].as_array_mut().expect("it is a list").push(value);
        prop_assert_eq!(put.value(), expected, "{}\n{}", before, after);

        put.remove(&[Step::Key("l"), Step::Index(1)]).expect("it is there");
        put.remove(&[Step::Key("ours")]).expect("it is there");
        prop_assert_eq!(put.value(), json.value());
        let left = text(put);
        prop_assert!(is_subsequence(&left, &after) && is_subsequence(&squeezed(&before), &left));
    }
}

/// Without blanks: removal may leave a container that was empty in another layout.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}
