//! Getting in, looking, and getting out.

use serde_json::json;

use super::{Browser, body, header};
use crate::process::cli_work::coord::Cli;
use crate::support::Coordinator;

#[tokio::test]
async fn a_token_begins_a_session_that_only_looks() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.operator_token();
    let mut browser = Browser::new(&coordinator);
    assert_eq!(browser.session().await.status, 401);
    let reply = browser.login(&json!({ "token": token })).await;
    assert_eq!(body(&reply)["role"], "observer", "{reply:?}");
    assert_eq!(header(&reply, "cache-control"), Some("no-store"));
    let cookie = header(&reply, "set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(&token), "the cookie holds the token");
    let seen = body(&browser.session().await);
    assert_eq!(
        (&seen["agent"], &seen["role"]),
        (&json!("operator"), &json!("observer"))
    );

    let mut client = browser.connect().await.unwrap();
    client.call("server.status", json!({})).await.unwrap();
    let refused = client.call("token.list", json!({})).await.unwrap_err();
    assert_eq!(refused.kind, "forbidden");

    let reply = browser.post("/page/logout", "", "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(header(&reply, "set-cookie").unwrap().contains("Max-Age=0"));
    // Its connections end with it.
    client.closed().await;
    assert_eq!(browser.session().await.status, 401);
    assert_eq!(browser.connect().await.unwrap_err(), 401);
}

/// A proxy may have taken the TLS off: only the browser knows of it.
#[tokio::test]
async fn behind_tls_the_cookie_stays_there() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.operator_token();
    let mut browser = Browser::new(&coordinator);
    browser.origin = Some(format!("https://127.0.0.1:{}", coordinator.port()));
    let reply = browser.login(&json!({ "token": token })).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let cookie = header(&reply, "set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-coord-"), "{cookie}");
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    assert_eq!(browser.session().await.status, 200);
    browser.connect().await.unwrap();
    // A host of the same domain can set a cookie without the prefix, and put its own session there.
    let cookie = browser.cookie.take().unwrap();
    let planted = cookie.strip_prefix("__Host-").unwrap();
    browser.cookie = Some(planted.to_owned());
    assert_eq!(browser.session().await.status, 401);
}

#[tokio::test]
async fn an_operator_may_ask_for_more_and_an_agent_gets_no_more_than_it_has() {
    let coordinator = Coordinator::start().await;
    let operator = coordinator.operator_token();
    let browser = Browser::with_token(&coordinator, &operator, true).await;
    let mut client = browser.connect().await.unwrap();
    client.call("token.list", json!({})).await.unwrap();

    let token = coordinator.token("ana", "agent").await;
    let browser = Browser::with_token(&coordinator, &token, true).await;
    assert_eq!(body(&browser.session().await)["role"], "agent");
    let mut client = browser.connect().await.unwrap();
    let task = json!({ "title": "look at the page" });
    client.call("task.submit", task).await.unwrap();
    let refused = client.call("token.list", json!({})).await.unwrap_err();
    assert_eq!(refused.kind, "forbidden");
}

#[tokio::test]
async fn a_link_lets_in_once() {
    let coordinator = Coordinator::start().await;
    let cli = Cli::with_token(&coordinator, coordinator.operator_token());
    for (words, role) in [
        (&["open", "--no-browser"][..], "observer"),
        (&["open", "--operator"], "operator"),
    ] {
        let done = cli.run(coordinator.folder(), words).await;
        assert_eq!(done.code, Some(0), "{done:?}");
        let port = coordinator.port();
        let start = format!("http://127.0.0.1:{port}/#code=");
        let code = done.stdout.trim().strip_prefix(&start).unwrap();
        assert!(done.stderr.contains(role), "{done:?}");
        let mut browser = Browser::new(&coordinator);
        let reply = browser.login(&json!({ "code": code })).await;
        assert_eq!(body(&reply)["role"], role, "{reply:?}");
        let again = Browser::new(&coordinator)
            .login(&json!({ "code": code }))
            .await;
        assert_eq!(again.status, 401, "{again:?}");
        // A link cannot be made to give more than it was made for.
        let told = done.stdout + &done.stderr;
        assert!(!told.contains(&coordinator.operator_token()));
    }
    assert!(
        !coordinator.said().contains("code="),
        "the log has the code"
    );
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_with_the_coordinator() {
    let mut coordinator = Coordinator::start().await;
    let mut operator = coordinator.operator().await;
    let made = operator
        .call("token.create", json!({ "agent": "ana" }))
        .await
        .unwrap();
    let secret = made["secret"].as_str().unwrap();
    let browser = Browser::with_token(&coordinator, secret, true).await;
    let mut client = browser.connect().await.unwrap();
    let token = json!({ "token": made["token"] });
    operator.call("token.revoke", token).await.unwrap();
    client.closed().await;
    assert_eq!(browser.session().await.status, 401);
    assert_eq!(browser.connect().await.unwrap_err(), 401);

    let operator = coordinator.operator_token();
    let browser = Browser::with_token(&coordinator, &operator, false).await;
    coordinator.kill().await;
    coordinator.restart().await;
    assert_eq!(browser.session().await.status, 401);
}

/// What a page may see of the metrics is what its token may see of the projects.
#[tokio::test]
async fn metrics_are_shown_in_sessions_and_of_their_projects() {
    let coordinator = Coordinator::start().await;
    let mut operator = coordinator.operator().await;
    operator
        .call("project.create", json!({ "project": "other" }))
        .await
        .unwrap();
    let wish = json!({ "agent": "ana", "projects": ["other"] });
    let made = operator.call("token.create", wish).await.unwrap();
    assert_eq!(
        Browser::new(&coordinator).get("/page/metrics").await.status,
        401
    );
    let secret = made["secret"].as_str().unwrap();
    let browser = Browser::with_token(&coordinator, secret, false).await;
    let page = browser.get("/page/metrics").await;
    assert_eq!(page.status, 200);
    assert!(page.rest.contains("\ncoord_connections "), "{page:?}");
    assert!(page.rest.contains("project=\"other\""), "{page:?}");
    assert!(!page.rest.contains("project=\"default\""), "{page:?}");
}
