//! The files of the page: their headers, their size, and that they hold nothing inline.

use std::fs;
use std::path::Path;

use super::{Browser, header};
use crate::support::{Coordinator, http};

/// All files together, as they are sent.
const BYTES_MAX: usize = 48 * 1024;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/page/assets");

#[tokio::test]
async fn files_come_compressed_protected_and_small() {
    let coordinator = Coordinator::start().await;
    let browser = Browser::new(&coordinator);
    let mut bytes = 0;
    let names = fs::read_dir(FOLDER).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let paths = names.map(|name| format!("/page/{name}"));
    for path in paths.chain(["/".to_owned()]) {
        let reply = browser.get(&path).await;
        assert_eq!(reply.status, 200, "{path}");
        let of = |name| header(&reply, name).unwrap_or_else(|| panic!("{path}: no {name}"));
        let policy = of("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(of("x-content-type-options"), "nosniff");
        assert_eq!(of("x-frame-options"), "DENY");
        assert_eq!(of("referrer-policy"), "no-referrer");
        assert_eq!(of("content-encoding"), "gzip");
        assert_eq!(of("cache-control"), "no-cache");
        bytes += of("content-length").parse::<usize>().unwrap();
        let again = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nIf-None-Match: {}\r\nConnection: close\r\n\r\n",
            of("etag")
        );
        let again = http::exchange(coordinator.port(), &again).await.unwrap();
        assert_eq!(again.status, 304, "{path}");
    }
    assert!(bytes < BYTES_MAX, "{bytes} bytes are sent");
    println!("the page is {bytes} bytes");
    for path in ["/page/nothing.js", "/page/..%2fmod.rs", "/page/a/b"] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
    let plain = http::get(coordinator.port(), "/").await.unwrap();
    assert_eq!(plain.status, 406, "{plain:?}");
}

/// The policy forbids it in the browser; here it is found before.
#[test]
fn nothing_is_inline_and_no_markup_is_parsed() {
    let read = |name: &str| fs::read_to_string(Path::new(FOLDER).join(name)).unwrap();
    let page = read("index.html");
    for wrong in [
        "<style", " style=", " onclick", "<script>", "http://", "https://",
    ] {
        assert!(!page.contains(wrong), "{wrong} is in the page");
    }
    for entry in fs::read_dir(FOLDER).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let text = read(&name);
        for wrong in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "localStorage",
            "sessionStorage",
        ] {
            assert!(!text.contains(wrong), "{wrong} is in {name}");
        }
    }
}
