//! The page for people, as far as no browser is needed: what is served, who gets in, who is kept out.

mod files;
mod guests;
mod sessions;
mod top;

use cli_coordinator::client::socket::UpgradeError;
use serde_json::{Value, json};

use crate::support::client::request;
use crate::support::http::{self, Reply};
use crate::support::{Client, Coordinator};

/// A browser that shows the page of a coordinator.
struct Browser {
    port: u16,
    /// `NAME=SECRET`.
    cookie: Option<String>,
    /// The page that a request comes from.
    origin: Option<String>,
}

impl Browser {
    fn new(coordinator: &Coordinator) -> Self {
        let port = coordinator.port();
        Self {
            port,
            cookie: None,
            origin: Some(format!("http://127.0.0.1:{port}")),
        }
    }

    /// One that came in with a token.
    async fn with_token(coordinator: &Coordinator, token: &str, operate: bool) -> Self {
        let mut browser = Self::new(coordinator);
        let reply = browser
            .login(&json!({ "token": token, "operate": operate }))
            .await;
        assert_eq!(reply.status, 200, "{reply:?}");
        browser
    }

    fn headers(&self) -> String {
        let cookie = self
            .cookie
            .iter()
            .map(|it| format!("Cookie: a=b; {it}; c=d\r\n"));
        let origin = self.origin.iter().map(|it| format!("Origin: {it}\r\n"));
        cookie.chain(origin).collect()
    }

    async fn get(&self, path: &str) -> Reply {
        let (port, headers) = (self.port, self.headers());
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}Accept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        );
        http::exchange(port, &request).await.unwrap()
    }

    async fn post(&self, path: &str, more: &str, body: &str) -> Reply {
        let (port, headers, length) = (self.port, self.headers(), body.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}{more}Content-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        );
        http::exchange(port, &request).await.unwrap()
    }

    async fn post_json(&self, path: &str, body: &Value) -> Reply {
        let kind = "Content-Type: application/json\r\n";
        self.post(path, kind, &body.to_string()).await
    }

    /// Keeps the cookie that the answer sets.
    async fn login(&mut self, body: &Value) -> Reply {
        let reply = self.post_json("/page/login", body).await;
        if let Some(set) = header(&reply, "set-cookie") {
            self.cookie = set.split(';').next().map(str::to_owned);
        }
        reply
    }

    /// What the page is told about itself.
    async fn session(&self) -> Reply {
        self.get("/page/session").await
    }

    /// Opens the page's WebSocket; the error is the status of the refusal.
    async fn connect(&self) -> Result<Client, u16> {
        let mut upgrade = request(self.port, "/ws", "none");
        let headers = upgrade.headers_mut();
        headers.remove("Authorization");
        for line in self.headers().lines() {
            let (name, value) = line.split_once(": ").unwrap();
            let name = if name == "Cookie" { "cookie" } else { "origin" };
            headers.insert(name, value.parse().unwrap());
        }
        let opened = Client::upgrade(self.port, upgrade).await;
        opened.map_err(|error| match error {
            UpgradeError::Refused(response) => response.status().as_u16(),
            other => panic!("{other}"),
        })
    }
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let head = reply.rest.split("\r\n\r\n").next().unwrap_or_default();
    let pairs = head.lines().filter_map(|line| line.split_once(": "));
    let mut found = pairs.filter(|(named, _)| named.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value)
}

fn body(reply: &Reply) -> Value {
    let body = reply.rest.split_once("\r\n\r\n").map(|(_, body)| body);
    serde_json::from_str(body.unwrap_or_default()).unwrap_or_else(|_| panic!("no JSON: {reply:?}"))
}
