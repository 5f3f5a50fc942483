//! Web-config files: each kind that exporter-toolkit tests itself with, with `promtool` as the judge. What it takes
//! we take, or refuse because TLS of ours does not have it; what it refuses we refuse.

use std::fs;
use std::path::Path;

use cli_coordinator::config::web::{WebSource, Written};
use cli_coordinator::http::scrape::Prepared;

use super::authority::{Authority, hash};
use crate::host::render::tool;

/// What we make of a file: the words that the refusal must contain, or nothing.
type Ours<'a> = Result<(), &'a str>;

/// What the judge of Debian's version says.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Judge {
    Good,
    Bad,
    /// Its version is older than the key, or it finds out only at a connection.
    CannotTell,
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "ca");
        authority.sign("server");
        fs::write(folder.path().join("empty.pem"), "nothing\n").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn check(&self, text: &str, ours: Ours<'_>, judge: Judge) {
        let file = self.path("web.yml");
        fs::write(&file, text).unwrap();
        let found = read(&file);
        match (&found, ours) {
            (Ok(()), Ok(())) => {}
            (Err(said), Err(words)) if said.contains(words) => {}
            _ => panic!("{found:?}, not {ours:?}, for\n{text}"),
        }
        let mut command = tool::program("promtool");
        let output = command
            .args(["check", "web-config"])
            .arg(&file)
            .output()
            .unwrap();
        let says = if output.status.success() {
            Judge::Good
        } else {
            Judge::Bad
        };
        if judge != Judge::CannotTell {
            assert_eq!(says, judge, "{}\n{text}", tool::said(&output));
        }
    }
}

fn read(file: &Path) -> Result<(), String> {
    let source = WebSource {
        written: Written::File(file.to_owned()),
        token: None,
        needs_tls: false,
    };
    Prepared::read(source)
        .map(drop)
        .map_err(|error| error.to_string())
}

const PAIR: &str = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";

fn tls(more: &str) -> String {
    format!("{PAIR}  {more}\n")
}

#[test]
fn certificates_and_keys() {
    let bench = Bench::new();
    let check = |text: &str, ours, judge| bench.check(text, ours, judge);
    check("", Ok(()), Judge::Good);
    check(PAIR, Ok(()), Judge::Good);
    let part = |lines: &str| format!("tls_server_config:\n{lines}");
    for (lines, words) in [
        (
            "  key_file: server.key\n",
            "one of cert and cert_file is missing",
        ),
        (
            "  cert_file: ''\n  key_file: server.key\n",
            "one of cert and cert_file",
        ),
        (
            "  cert_file: server.pem\n",
            "one of key and key_file is missing",
        ),
        (
            "  cert_file: server.pem\n  key_file: ''\n",
            "one of key and key_file",
        ),
        (
            "  cert_file: ''\n  key_file: ''\n",
            "one of cert and cert_file",
        ),
        (
            "  cert_file: absent\n  key_file: server.key\n",
            "cannot read",
        ),
        (
            "  cert_file: server.pem\n  key_file: absent\n",
            "cannot read",
        ),
        ("  cert_file: absent\n  key_file: absent\n", "cannot read"),
        (
            "  cert_file: empty.pem\n  key_file: server.key\n",
            "contains no certificate",
        ),
        (
            "  cert_file: server.pem\n  key_file: server.pem\n",
            "private key",
        ),
    ] {
        // Of a section that names nothing the judge thinks that there is no TLS.
        let judge = if lines.contains("''\n  key_file: ''") {
            Judge::CannotTell
        } else {
            Judge::Bad
        };
        check(&part(lines), Err(words), judge);
    }
    let other = Authority::new(bench.folder.path(), "other").sign("stranger");
    let lines = format!(
        "  cert_file: server.pem\n  key_file: {}\n",
        other.key.display()
    );
    check(&part(&lines), Err("cannot serve TLS"), Judge::Bad);
    // In the file itself.
    let indented = |name: &str| {
        fs::read_to_string(bench.path(name))
            .unwrap()
            .replace('\n', "\n    ")
    };
    let inline = format!(
        "  cert: |\n    {}\n  key: |\n    {}\n",
        indented("server.pem"),
        indented("server.key")
    );
    check(&part(&inline), Ok(()), Judge::CannotTell);
    check(
        &part("  cert: nonsense\n  key: nonsense\n"),
        Err("contains no certificate"),
        Judge::CannotTell,
    );
    check(
        &part("  cert: ''\n  key_file: server.key\n"),
        Err("one of cert"),
        Judge::CannotTell,
    );
}

#[test]
fn versions_ciphers_and_curves() {
    let bench = Bench::new();
    let check = |more: &str, ours, judge| bench.check(&tls(more), ours, judge);
    check("min_version: TLS12", Ok(()), Judge::Good);
    check("min_version: TLS13", Ok(()), Judge::Good);
    check("max_version: TLS12", Ok(()), Judge::Good);
    check("min_version: TLS10", Err("write TLS12"), Judge::Good);
    check("min_version: TLS11", Err("write TLS12"), Judge::Good);
    check("min_version: TLS111", Err("no TLS version"), Judge::Bad);
    check(
        "min_version: TLS13\n  max_version: TLS12",
        Err("no version is left"),
        Judge::Good,
    );
    let suites = |names: &str| format!("cipher_suites: [{names}]");
    let good = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";
    check(&suites(good), Ok(()), Judge::Good);
    check(&suites("TLS_AES_128_GCM_SHA256"), Ok(()), Judge::Good);
    check(
        &suites("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
        Ok(()),
        Judge::CannotTell,
    );
    check(
        &format!("{}\n  prefer_server_cipher_suites: false", suites(good)),
        Ok(()),
        Judge::Good,
    );
    check(
        &suites("TLS_RSA_WITH_AES_128_CBC_SHA"),
        Err("rustls does not have"),
        Judge::CannotTell,
    );
    check(
        &suites("TLS_INVENTED"),
        Err("rustls does not have"),
        Judge::Bad,
    );
    check(
        "max_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]",
        Err("cannot serve TLS"),
        Judge::CannotTell,
    );
    check(
        "curve_preferences: [CurveP384, X25519, CurveP256]",
        Ok(()),
        Judge::Good,
    );
    check(
        "curve_preferences: [CurveP521]",
        Err("rustls does not have"),
        Judge::Good,
    );
    check(
        "curve_preferences: [CurveP257]",
        Err("rustls does not have"),
        Judge::Bad,
    );
}

#[test]
fn client_certificates() {
    let bench = Bench::new();
    let check = |more: &str, ours, judge| bench.check(&tls(more), ours, judge);
    let ca = "client_ca_file: ca.pem\n  client_auth_type:";
    check(
        &format!("{ca} RequireAndVerifyClientCert"),
        Ok(()),
        Judge::Good,
    );
    check(
        &format!("{ca} VerifyClientCertIfGiven"),
        Ok(()),
        Judge::Good,
    );
    check(
        &format!("{ca} RequestClientCert"),
        Err("verifies nothing"),
        Judge::Good,
    );
    check(
        &format!("{ca} RequireAnyClientCert"),
        Err("verifies nothing"),
        Judge::Good,
    );
    check(
        &format!("{ca} NoClientCert"),
        Err("asks for no certificate"),
        Judge::Bad,
    );
    check(
        "client_ca_file: ca.pem",
        Err("asks for no certificate"),
        Judge::Bad,
    );
    check(
        "client_auth_type: Sometimes",
        Err("there is no"),
        Judge::Bad,
    );
    check(
        "client_auth_type: RequireAndVerifyClientCert",
        Err("needs client_ca_file"),
        Judge::Good,
    );
    check(
        "client_ca_file: absent\n  client_auth_type: RequireAndVerifyClientCert",
        Err("cannot read"),
        Judge::Bad,
    );
    check(
        "client_ca_file: empty.pem\n  client_auth_type: RequireAndVerifyClientCert",
        Err("contains no certificate"),
        Judge::CannotTell,
    );
    check(
        "client_ca: nonsense\n  client_auth_type: RequireAndVerifyClientCert",
        Err("contains no certificate"),
        Judge::CannotTell,
    );
    let sans = "client_allowed_sans: [prometheus.example]";
    check(
        &format!("{ca} RequireAndVerifyClientCert\n  {sans}"),
        Ok(()),
        Judge::CannotTell,
    );
    check(
        &format!("{ca} VerifyClientCertIfGiven\n  {sans}"),
        Err("needs client_auth_type"),
        Judge::CannotTell,
    );
    check(sans, Err("needs client_auth_type"), Judge::CannotTell);
}

#[test]
fn users_headers_and_everything_else() {
    let bench = Bench::new();
    let check = |text: &str, ours, judge| bench.check(text, ours, judge);
    let user = |hash: &str| format!("basic_auth_users:\n  ana: {hash}\n");
    check(&user(&hash("secret")), Ok(()), Judge::Good);
    check(
        &format!("{PAIR}{}", user(&hash("secret"))),
        Ok(()),
        Judge::Good,
    );
    check(&user("secret"), Err("not a bcrypt hash"), Judge::Bad);
    check(
        &user(&hash("secret").replacen("$04$", "$15$", 1)),
        Err("at most 14"),
        Judge::Good,
    );
    check(
        &format!("{}  ana: {}\n", user(&hash("a")), hash("b")),
        Err("is there twice"),
        Judge::Bad,
    );
    // A hash in the wrong place is not repeated.
    let misplaced = format!("basic_auth_users: '{}'\n", hash("secret"));
    check(&misplaced, Err("a value of the wrong type"), Judge::Bad);
    let header = |line: &str| format!("http_server_config:\n  headers:\n    {line}\n");
    check(&header("X-Frame-Options: deny"), Ok(()), Judge::Good);
    check(
        &header("Strict-Transport-Security: max-age=1"),
        Ok(()),
        Judge::Good,
    );
    check(
        &header("X-Frame-Options: allow"),
        Err("write deny or sameorigin"),
        Judge::Bad,
    );
    check(
        &header("X-Content-Type-Options: sniff"),
        Err("write nosniff"),
        Judge::Bad,
    );
    check(&header("X-Other: x"), Err("cannot be set"), Judge::Bad);
    check("http_server_config:\n  http2: false\n", Ok(()), Judge::Good);
    check(
        &format!("{PAIR}http_server_config:\n  http2: true\n"),
        Ok(()),
        Judge::Good,
    );
    check("junk: 1\n", Err("unknown field"), Judge::Bad);
    check(&tls("junk: 1"), Err("unknown field"), Judge::Bad);
    check(
        "rate_limit:\n  interval: 1s\n  burst: 1\n",
        Ok(()),
        Judge::CannotTell,
    );
    check(
        "rate_limit:\n  interval: 1m0.5s\n  burst: 20\n",
        Ok(()),
        Judge::CannotTell,
    );
    check(
        "rate_limit:\n  interval: soon\n  burst: 1\n",
        Err("not a duration"),
        Judge::CannotTell,
    );
    check(
        "rate_limit:\n  interval: 1s\n",
        Err("burst is 0"),
        Judge::CannotTell,
    );
    check("- a\n- list\n", Err("is not a web-config file"), Judge::Bad);
    check("a: [\n", Err("is not a web-config file"), Judge::Bad);
}
