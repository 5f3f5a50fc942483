//! Who is kept out: other pages, forms, guesses, and bodies that are no login.

use serde_json::json;

use super::{Browser, body, header};
use crate::support::Coordinator;

/// A browser adds our cookie to what other pages ask of us, so each request says which page it comes from.
#[tokio::test]
async fn other_pages_cannot_use_a_session() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.operator_token();
    let mut browser = Browser::with_token(&coordinator, &token, true).await;
    let port = coordinator.port();
    let others = [
        None,
        Some("null".to_owned()),
        Some("http://evil.example".to_owned()),
        Some(format!("http://127.0.0.1:{}", port.wrapping_add(1))),
        Some(format!("http://127.0.0.1.evil.example:{port}")),
    ];
    for origin in others {
        browser.origin = origin;
        assert_eq!(
            browser.connect().await.unwrap_err(),
            403,
            "{:?}",
            browser.origin
        );
        let login = json!({ "token": token });
        for (path, asked) in [("/page/logout", json!({})), ("/page/login", login)] {
            let reply = browser.post_json(path, &asked).await;
            assert_eq!(
                reply.status, 403,
                "{path} from {:?}: {reply:?}",
                browser.origin
            );
            assert_eq!(header(&reply, "set-cookie"), None);
        }
    }
    browser.origin = Some(format!("http://127.0.0.1:{port}"));
    assert_eq!(browser.session().await.status, 200);
}

#[tokio::test]
async fn what_is_no_login() {
    let coordinator = Coordinator::start().await;
    let browser = Browser::new(&coordinator);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let json_kind = "Content-Type: application/json\r\n";
    let long = format!("{{\"token\":\"{}\"}}", "x".repeat(5_000));
    for (kind, text) in [
        (form, "token=x"),
        ("", "{}"),
        (json_kind, ""),
        (json_kind, "{}"),
        (json_kind, "[]"),
        (json_kind, r#"{"token":5}"#),
        (json_kind, r#"{"token":"a","code":"b"}"#),
        (json_kind, r#"{"token":"a","role":"operator"}"#),
        (json_kind, long.as_str()),
    ] {
        let reply = browser.post("/page/login", kind, text).await;
        assert_eq!(reply.status, 400, "{text}: {reply:?}");
        assert_eq!(body(&reply)["error"]["kind"], "invalid_request");
    }
    // A code is for those who have a token, and a cookie is none.
    let reply = browser.post_json("/page/code", &json!({})).await;
    assert_eq!(reply.status, 401, "{reply:?}");
    let token = coordinator.operator_token();
    let inside = Browser::with_token(&coordinator, &token, true).await;
    let reply = inside.post_json("/page/code", &json!({})).await;
    assert_eq!(reply.status, 401, "{reply:?}");
}

#[tokio::test]
async fn guesses_are_slowed_down() {
    let coordinator = Coordinator::start().await;
    let mut browser = Browser::new(&coordinator);
    let mut tried = 0;
    let slowed = loop {
        let reply = browser
            .login(&json!({ "token": format!("guess-{tried}") }))
            .await;
        tried += 1;
        match reply.status {
            401 => assert!(tried <= 15, "{tried} guesses were answered"),
            _ => break reply,
        }
    };
    assert_eq!(slowed.status, 429, "{slowed:?}");
    assert!(header(&slowed, "retry-after").is_some(), "{slowed:?}");
    assert!(tried > 5, "{tried}");
    // The right one has to wait too, or its answer would tell it from the wrong ones.
    let right = json!({ "token": coordinator.operator_token() });
    assert_eq!(browser.login(&right).await.status, 429);
}
