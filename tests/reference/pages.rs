//! The OpenRPC document is sound, the reference page is current, and what the pages name is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use cli_coordinator::cli::protocol::document;
use cli_coordinator::config::settings;
use cli_coordinator::engine::ids::JournalTime;
use cli_coordinator::mqtt;
use cli_coordinator::mqtt::face::{BoxIdentity, Duty, Face, Presence};
use cli_coordinator::protocol::error::ErrorKind;
use cli_coordinator::protocol::events::EventView;
use cli_coordinator::protocol::operations::OPERATIONS;
use cli_coordinator::protocol::reference;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/protocol.md");

/// Calls `visit` with every object of a document.
fn walk(value: &Value, visit: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        Value::Object(members) => {
            visit(members);
            members.values().for_each(|member| walk(member, visit));
        }
        _ => {}
    }
}

#[test]
fn the_page_is_current() {
    let current = reference::markdown(&document());
    let kept = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        kept == current,
        "docs/protocol.md is out of date: cargo run -- protocol --markdown > docs/protocol.md"
    );
}

#[test]
fn the_asyncapi_document_is_current_and_its_references_resolve() {
    let document = mqtt::reference::document(env!("CARGO_PKG_VERSION"));
    let page = Path::new(ROOT).join("docs/mqtt.asyncapi.json");
    let kept = fs::read_to_string(page).unwrap_or_default();
    assert!(
        kept == format!("{document:#}\n"),
        "docs/mqtt.asyncapi.json is out of date: cargo run -- protocol --mqtt > docs/mqtt.asyncapi.json"
    );
    walk(&document, &mut |members| {
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            let pointer = reference
                .strip_prefix('#')
                .expect("it stays in the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    });
}

/// What is published has what its schema asks for, and nothing that its schema does not know.
#[test]
fn payloads_of_mqtt_fit_their_schemas() {
    let document = mqtt::reference::document("0");
    let schemas = &document["components"]["schemas"];
    let check = |schema: &Value, payload: &str| {
        let payload: Value = serde_json::from_str(payload).expect("a payload is JSON");
        let payload = payload.as_object().expect("a payload is an object");
        for name in schema["required"].as_array().expect("some are required") {
            assert!(
                payload.contains_key(name.as_str().expect("a name")),
                "{name}"
            );
        }
        for name in payload.keys() {
            assert!(!schema["properties"][name].is_null(), "{name}");
        }
    };
    let face = Face::Fleet {
        identity: BoxIdentity {
            run: "0".repeat(16),
            node: "n-1".to_owned(),
            name: "n".to_owned(),
            version: "0",
            environment: "testing".to_owned(),
        },
        root: "coord/v1/default/n".to_owned(),
        health_interval_ms: 60_000,
    };
    for presence in [Presence::Online, Presence::Lost, Presence::Stopped] {
        let status = face.presence(presence, 1, Duty::Publisher, None);
        check(&schemas["status"], &status.payload);
    }
    let project = "default".parse().expect("a name");
    let event = EventView {
        cursor: "0:1".parse().expect("a cursor"),
        at_ms: JournalTime(1),
        changes: Vec::new(),
    };
    let event = face.event(&project, &event, None).expect("it is an event");
    check(&schemas["event"]["oneOf"][0], &event.payload);
    let next = "0:9".parse().expect("a cursor");
    let gap = face
        .gap(&project, None, next, "refused")
        .expect("it is a gap");
    check(&schemas["event"]["oneOf"][1], &gap.payload);
}

/// The page of the service lists the settings that need no restart; the table says which these are.
#[test]
fn the_page_names_every_setting_that_a_reload_takes_up() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/service.md"));
    let page = page.expect("the page is there");
    for setting in settings::SERVER.iter().filter(|setting| setting.reloads) {
        let (_, leaf) = setting.section_and_leaf();
        assert!(page.contains(&format!("{leaf}`")), "{}", setting.key);
    }
}

#[test]
fn every_reference_resolves() {
    let document = document();
    let mut count = 0;
    walk(&document, &mut |members| {
        if let Some(reference) = members.get("$ref") {
            let reference = reference.as_str().expect("a $ref is text");
            let pointer = reference
                .strip_prefix('#')
                .expect("a $ref stays in the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
            count += 1;
        }
    });
    assert!(count > 100, "{count} references were checked");
}

#[test]
fn every_schema_is_referred_to() {
    let document = document();
    let mut used = BTreeSet::new();
    walk(&document, &mut |members| {
        used.extend(
            members
                .get("$ref")
                .and_then(Value::as_str)
                .map(str::to_owned),
        );
    });
    let schemas = document["components"]["schemas"].as_object();
    for name in schemas.expect("there are schemas").keys() {
        assert!(
            used.contains(&format!("#/components/schemas/{name}")),
            "{name}"
        );
    }
}

#[test]
fn every_operation_is_described() {
    let document = document();
    let methods = document["methods"].as_array().expect("there are methods");
    assert_eq!(methods.len(), OPERATIONS.len());
    for (method, info) in methods.iter().zip(OPERATIONS) {
        assert_eq!(method["name"], info.name);
        assert_eq!(method["paramStructure"], "by-name", "{}", info.name);
        let summary = method["summary"].as_str().expect("a summary is text");
        assert!(summary.ends_with('.') && summary.len() > 5, "{}", info.name);
        let params = method["params"].as_array().expect("params are a list");
        let mut names = BTreeSet::new();
        let mut optional_before = false;
        for param in params {
            assert!(
                names.insert(param["name"].as_str()),
                "{} {param}",
                info.name
            );
            assert!(param["schema"].is_object(), "{} {param}", info.name);
            let required = param["required"] == true;
            assert!(!(required && optional_before), "{} {param}", info.name);
            optional_before |= !required;
        }
        assert!(method["result"]["schema"].is_object(), "{}", info.name);
    }
    let submit = methods
        .iter()
        .find(|method| method["name"] == "task.submit");
    let title = &submit.expect("there is task.submit")["params"][0];
    assert_eq!(title["name"], "title");
    assert_eq!(title["required"], true);
    assert_eq!(title["schema"]["maxLength"], 200);
}

#[test]
fn every_kind_of_error_appears() {
    let document = document();
    let page = reference::markdown(&document);
    for (kind, code, meaning) in ErrorKind::ALL {
        let error = &document["components"]["errors"][kind.as_str()];
        assert_eq!(error["code"], *code);
        assert_eq!(error["message"], *meaning);
        assert!(
            page.contains(&format!("| `{}` | {code} |", kind.as_str())),
            "{kind:?}"
        );
    }
}

#[test]
fn the_page_shows_every_operation_and_limit_and_its_links_lead_somewhere() {
    let document = document();
    let page = reference::markdown(&document);
    for info in OPERATIONS {
        assert!(
            page.contains(&format!("\n### {}\n", info.name)),
            "{}",
            info.name
        );
    }
    for limit in document["x-limits"].as_array().expect("there are limits") {
        let name = limit["name"].as_str().expect("a limit has a name");
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
    let anchor = |heading: &str| -> String {
        let kept = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        heading.to_ascii_lowercase().chars().filter(kept).collect()
    };
    let headings: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(anchor)
        .collect();
    for link in page.split("](#").skip(1) {
        let target = link.split(')').next().unwrap_or_default();
        assert!(headings.contains(target), "{target}");
    }
}

/// Every word of a text that begins like a variable of ours.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    const BEGINNINGS: [&str; 4] = ["COORD_", "METRICS_", "REDIS_", "WEBSOCKET_"];
    let words = text.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
    words.filter(|word| {
        BEGINNINGS
            .iter()
            .any(|start| word.starts_with(start) && word != start)
    })
}

fn files_below(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it is a folder") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            files_below(&path, into);
        } else {
            into.push(path);
        }
    }
}

/// The pages that people read: README, ARCHITECTURE, the benchmarks, and all of `docs`.
fn written_pages() -> Vec<PathBuf> {
    let root = Path::new(ROOT);
    let mut pages = vec![
        root.join("README.md"),
        root.join("ARCHITECTURE.md"),
        root.join("benches/README.md"),
    ];
    pages.extend(docs());
    pages
}

/// The pages of `docs`; pictures belong to the pages that show them.
fn docs() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    files_below(&Path::new(ROOT).join("docs"), &mut pages);
    pages.retain(|page| page.extension().is_some_and(|kind| kind == "md"));
    pages
}

/// Where a heading of a page can be linked to, as GitHub makes it.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ');
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| heading.chars().filter(kept).collect::<String>())
        .map(|heading| heading.replace(' ', "-"))
        .collect()
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let mut count = 0;
    for page in written_pages() {
        let text = fs::read_to_string(&page).expect("a page is text");
        let folder = page.parent().expect("a page is in a folder");
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                page.clone()
            } else {
                folder.join(file)
            };
            assert!(target.exists(), "{}: {link}", page.display());
            if !anchor.is_empty() {
                let text = fs::read_to_string(&target).expect("a page is text");
                let known = anchors(&text);
                assert!(known.contains(anchor), "{}: {link}", page.display());
            }
            count += 1;
        }
    }
    assert!(count > 20, "{count} links were followed");
}

#[test]
fn the_readme_is_short_and_names_every_page() {
    let root = Path::new(ROOT);
    let readme = fs::read_to_string(root.join("README.md")).expect("README.md is text");
    let lines = readme.lines().count();
    assert!(
        lines <= 250,
        "README.md has {lines} lines: move some to a page of docs/"
    );
    for page in docs() {
        let name = page.strip_prefix(root).expect("it is below the root");
        let link = format!("]({})", name.display());
        assert!(readme.contains(&link), "README.md does not link {link}");
    }
}

#[test]
fn variables_in_the_pages_exist() {
    let root = Path::new(ROOT);
    let mut sources = vec![root.join("build.rs")];
    for folder in ["src", "image"] {
        files_below(&root.join(folder), &mut sources);
    }
    let texts: Vec<String> = sources
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    let known: BTreeSet<&str> = texts.iter().flat_map(|text| variables(text)).collect();
    let mut count = 0;
    for page in written_pages() {
        let text = fs::read_to_string(&page).expect("a page is text");
        for name in variables(&text) {
            assert!(known.contains(name), "{}: {name}", page.display());
            count += 1;
        }
    }
    assert!(count > 20, "{count} variables were looked up");
}
