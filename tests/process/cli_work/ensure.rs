//! `lease.ensure` and `coord lease ensure`: what a hook that runs before each edit relies on.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::coord::Cli;
use crate::support::{Client, Coordinator, http};

/// Two worktrees of one repository on one host.
struct Bed {
    coordinator: Coordinator,
    ann: Cli,
    bob: Cli,
    one: PathBuf,
    other: PathBuf,
}

impl Bed {
    async fn new() -> Self {
        let coordinator = Coordinator::start().await;
        let [one, other] = ["one", "other"].map(|name| {
            let root = coordinator.folder().join(name);
            fs::create_dir_all(root.join(".git")).unwrap();
            fs::create_dir_all(root.join("src")).unwrap();
            root
        });
        Self {
            ann: Cli::agent(&coordinator, "ann").await,
            bob: Cli::agent(&coordinator, "bob").await,
            coordinator,
            one,
            other,
        }
    }
}

fn hows(answer: &Value) -> Vec<&str> {
    let leases = answer["leases"].as_array().unwrap().iter();
    leases.map(|lease| lease["how"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn ensuring_takes_holds_and_refuses() {
    let bed = Bed::new().await;
    let ensure = [
        "lease",
        "ensure",
        "--note",
        "parser",
        "file:a.rs",
        "file:b.rs",
    ];
    let src = bed.one.join("src");
    let taken = bed.ann.json(&src, &ensure).await;
    assert_eq!(hows(&taken), ["taken"]);
    let lease = &taken["leases"][0];
    assert_eq!(
        lease["resources"],
        json!(["file:src/a.rs", "file:src/b.rs"])
    );
    let again = bed.ann.json(&src, &ensure).await;
    assert_eq!(hows(&again), ["held"]);
    let keys = ["lease", "fence", "resources", "expires_at_ms"];
    assert!(
        keys.iter().all(|key| again["leases"][0][key] == lease[key]),
        "{again}"
    );
    // A longer time than what is left of it.
    let longer = bed
        .ann
        .json(&src, &[&ensure[..], &["--ttl", "1h"]].concat())
        .await;
    assert_eq!(hows(&longer), ["renewed"]);
    // Nothing of what is refused is taken, and the error says who, what, since when, until when and why.
    let done = bed
        .bob
        .run(&src, &["lease", "ensure", "file:c.rs", "file:a.rs"])
        .await;
    done.check(6);
    for words in [
        "file:src/a.rs is held by ann (lease 1, since",
        "unless renewed",
        "for \"parser\"",
    ] {
        done.says(words);
    }
    let taken = bed.ann.run(&src, &["lease", "ensure", "file:c.rs"]).await;
    taken
        .check(0)
        .prints("taken file:src/c.rs: lease 2 with fence 2, ends in 10m");
    // A lease on the folder covers what is in it.
    let folder = bed
        .bob
        .json(&src, &["lease", "acquire", "path::/docs"])
        .await;
    let inside = bed
        .bob
        .json(&src, &["lease", "ensure", "file::/docs/a.md"])
        .await;
    assert_eq!(
        (hows(&inside), &inside["leases"][0]["lease"]),
        (vec!["held"], &folder["lease"])
    );
}

#[tokio::test]
async fn worktrees_do_not_exclude_each_other() {
    let bed = Bed::new().await;
    let ensure = ["lease", "ensure", "--tree", "auto", "file:src/a.rs"];
    bed.ann.run(&bed.one, &ensure).await.check(0);
    bed.bob
        .run(&bed.one, &ensure)
        .await
        .check(6)
        .says("held by ann in the tree");
    let done = bed.bob.run(&bed.other, &ensure).await;
    done.check(0)
        .says("in another tree: file:src/a.rs is held by ann");
    let told = bed.bob.json(&bed.other, &ensure).await;
    let (one, other) = (
        bed.one.canonicalize().unwrap(),
        bed.other.canonicalize().unwrap(),
    );
    let elsewhere = &told["elsewhere"][0];
    assert_eq!(elsewhere["holder"], "ann");
    let tree = |value: &Value| value["tree"].as_str().unwrap().to_owned();
    assert!(tree(elsewhere).ends_with(one.to_str().unwrap()), "{told}");
    // Without a tree, a path is that of all of them.
    let plain = ["lease", "ensure", "file:src/a.rs"];
    bed.bob
        .run(&bed.other, &plain)
        .await
        .check(6)
        .says("held by ann");
    bed.ann
        .run(bed.coordinator.folder(), &ensure)
        .await
        .check(2)
        .says("no worktree");
    let list = bed.ann.json(&bed.one, &["lease", "list"]).await;
    let leases = list["leases"].as_array().unwrap();
    assert_eq!(leases.len(), 2, "{list}");
    assert!(
        tree(&leases[1]).ends_with(other.to_str().unwrap()),
        "{list}"
    );
    bed.ann
        .run(&bed.one, &["lease", "list"])
        .await
        .check(0)
        .prints("TREE");
    // Given back by name, it is free for others.
    let release = [
        "lease",
        "release",
        "--tree",
        "auto",
        "--resource",
        "file:src",
    ];
    bed.ann
        .run(&bed.one, &release)
        .await
        .check(0)
        .prints("released 1 resource");
    bed.ann
        .run(&bed.one, &release)
        .await
        .check(0)
        .prints("released 0 resources");
    bed.bob.run(&bed.one, &ensure).await.check(0);
}

/// What is written to flash while nothing changes hands: nothing.
#[tokio::test]
async fn a_thousand_edits_of_held_files_write_nothing() {
    let coordinator = Coordinator::start().await;
    let mut ann = coordinator.agent("ann").await;
    let mut operator = coordinator.operator().await;
    let files: Vec<String> = (0..20).map(|n| format!("file:src/{n}.rs")).collect();
    let ensure = json!({ "resources": files, "ttl_ms": 600_000, "tree": "box:/w/a" });
    let taken = ann.call("lease.ensure", ensure.clone()).await.unwrap();
    assert_eq!(hows(&taken), ["taken"]);
    let before = written(&coordinator, &mut operator).await;
    for n in 0..1_000 {
        let mut edit = ensure.clone();
        edit["resources"] = json!([files[n % 20], files[(n + 7) % 20]]);
        let held = ann.call("lease.ensure", edit).await.unwrap();
        assert_eq!(hows(&held), ["held"], "{held}");
    }
    assert_eq!(written(&coordinator, &mut operator).await, before);
}

/// The position of the newest record, and the bytes and syncs of the journal so far.
async fn written(coordinator: &Coordinator, operator: &mut Client) -> (Value, f64, f64) {
    let status = operator.call("server.status", json!({})).await.unwrap();
    let metrics = coordinator.metrics_port();
    let bytes = http::metric(metrics, "coord_journal_written_bytes_total").await;
    let syncs = http::metric(metrics, "coord_journal_syncs_total").await;
    (status["project"]["cursor"].clone(), bytes, syncs)
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let coordinator = Coordinator::start().await;
    let mut ann = coordinator.agent("ann").await;
    for (method, params, kind, words) in [
        (
            "lease.ensure",
            json!({"resources": [], "ttl_ms": 60_000}),
            "invalid_params",
            &["resources"][..],
        ),
        (
            "lease.ensure",
            json!({"resources": ["name:a"]}),
            "conflict",
            &["session.open", "ttl_ms"],
        ),
        (
            "lease.ensure",
            json!({"resources": ["name:a"], "ttl_ms": 1}),
            "invalid_params",
            &["ttl_ms"],
        ),
        (
            "lease.ensure",
            json!({"resources": ["port:h:1-2"], "ttl_ms": 60_000}),
            "invalid_params",
            &["resources[0]", "pool"],
        ),
        (
            "lease.ensure",
            json!({"resources": ["name:a"], "tree": "a\nb"}),
            "invalid_params",
            &["tree"],
        ),
        (
            "lease.ensure",
            json!({"resources": ["name:a"], "tree": "t".repeat(513)}),
            "invalid_params",
            &["tree", "512"],
        ),
        (
            "lease.ensure",
            json!({"resources": ["name:a"], "wait_ms": 5}),
            "invalid_params",
            &["wait_ms"],
        ),
        (
            "lease.release",
            json!({}),
            "invalid_params",
            &["lease and fence", "resources"],
        ),
        (
            "lease.release",
            json!({"lease": 1, "resources": ["name:a"]}),
            "invalid_params",
            &["resources"],
        ),
    ] {
        let failure = ann.call(method, params).await.unwrap_err();
        failure.check(kind, words);
        ann.check_alive().await;
    }
    let many: Vec<String> = (0..1_025).map(|n| format!("file:f{n}")).collect();
    let many = json!({"resources": many, "ttl_ms": 60_000});
    let failure = ann.call("lease.ensure", many).await.unwrap_err();
    failure.check("limit_exceeded", &["files_per_lease_max"]);
}
