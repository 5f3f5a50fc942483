//! Each rendering of each profile, byte for byte.

use std::fs;
use std::path::Path;

use cli_coordinator::config::{Config, Flags, Invoker, MapEnvironment};
use cli_coordinator::edge::ports::Profile;
use cli_coordinator::edge::render::{self, ComposeOptions, ProxyOptions, ScrapeOptions};

use super::tool;

const FOLDER: &str = "/srv/coord";

fn config(variables: &[(&str, &str)]) -> Config {
    let mut environment = MapEnvironment::from([("HOME", "/home/user")]);
    environment.hostname = Some("gateway-1.example".to_owned());
    for (name, value) in variables {
        environment
            .variables
            .insert((*name).into(), (*value).into());
    }
    Config::load(&Flags::default(), &environment, Invoker::from(0)).unwrap()
}

/// Compares with `golden/NAME`; what differs is left where it can be looked at and taken over.
fn difference(name: &str, text: &str) -> Option<String> {
    let kept = tool::checkout().join("tests/host/render/golden").join(name);
    if fs::read_to_string(&kept).is_ok_and(|kept| kept == text) {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("render-golden");
    fs::create_dir_all(&folder).unwrap();
    let found = folder.join(name);
    fs::write(&found, text).unwrap();
    Some(format!("diff {} {}", kept.display(), found.display()))
}

fn check(name: &str, forms: &[(&str, String)]) {
    let differing: Vec<String> = forms
        .iter()
        .filter_map(|(form, text)| difference(&format!("{name}.{form}"), text))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// All forms of one configuration.
fn check_all(name: &str, variables: &[(&str, &str)], proxy: &ProxyOptions) {
    let config = config(variables);
    let folder = Path::new(FOLDER);
    let compose = render::compose(&config, folder, &ComposeOptions::default()).unwrap();
    let forms = [
        ("env.sh", render::env(&config, folder)),
        (
            "env.json",
            format!("{:#}\n", render::env_json(&config, folder)),
        ),
        ("compose.yaml", compose),
        (
            "haproxy.cfg",
            render::haproxy(&config, folder, proxy).unwrap(),
        ),
        ("nginx.conf", render::nginx(&config, folder, proxy).unwrap()),
        (
            "prometheus.yml",
            render::prometheus(&config, &ScrapeOptions::default()),
        ),
        (
            "file_sd.json",
            format!("{:#}\n", render::file_sd(&config, &[])),
        ),
        ("ports.md", render::markdown(&config, folder)),
        (
            "ports.json",
            format!("{:#}\n", render::markdown_json(&config)),
        ),
    ];
    check(name, &forms);
}

#[test]
fn each_profile_as_it_is() {
    for profile in Profile::ALL {
        let variables = [("COORD_PROFILE", profile.name())];
        check_all(profile.name(), &variables, &ProxyOptions::default());
    }
}

/// The seed's "easy port customization", several coordinators, TLS, a Redis beside them.
#[test]
fn a_configuration_of_ones_own() {
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = files.path().join(name);
        fs::write(&path, "hush-hush").unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    let variables = [
        ("COORD_PROFILE", "production"),
        ("COORD_STATE_DIR", "state"),
        ("REDIS_PORT", "6400"),
        ("REDIS_USER", "coord"),
        ("REDIS_PASSWORD", "hush-hush"),
        ("WEBSOCKET_HOST", "0.0.0.0"),
        ("WEBSOCKET_PORT", "9000"),
        ("WEBSOCKET_SSL_ENABLED", "true"),
        ("COORD_TLS_CERTIFICATE_FILE", &certificate),
        ("COORD_TLS_KEY_FILE", &key),
        ("COORD_ALLOWED_HOSTS", "agents.example,gateway.example:9000"),
        ("METRICS_PORT", "8080"),
        ("METRICS_PATH", "/custom-metrics"),
    ];
    let config = config(&variables);
    let backend = |text: &str| text.parse().unwrap();
    let proxy = ProxyOptions {
        backends: vec![backend("10.0.0.1:9000"), backend("[fd00::2]:9000")],
        backend_ca: Some("ca.pem".into()),
        ..ProxyOptions::default()
    };
    let folder = Path::new(FOLDER);
    let place = files.path().to_str().unwrap();
    let forms = [
        ("env.sh", render::env(&config, folder)),
        (
            "compose.yaml",
            render::compose(&config, folder, &ComposeOptions::default()).unwrap(),
        ),
        (
            "haproxy.cfg",
            render::haproxy(&config, folder, &proxy).unwrap(),
        ),
        (
            "nginx.conf",
            render::nginx(&config, folder, &proxy).unwrap(),
        ),
        (
            "prometheus.yml",
            render::prometheus(&config, &ScrapeOptions::default()),
        ),
        ("ports.md", render::markdown(&config, folder)),
    ];
    let forms = forms.map(|(form, text)| {
        assert!(!text.contains("hush-hush"), "{form} holds a secret");
        (form, text.replace(place, "/etc/coord"))
    });
    check("custom", &forms);
}

#[test]
fn the_page_shows_the_exports() {
    let page = fs::read_to_string(tool::checkout().join("docs/render.md")).unwrap();
    let exports = render::env(
        &config(&[("COORD_PROFILE", "production")]),
        Path::new(FOLDER),
    );
    assert!(page.contains(&exports), "docs/render.md lacks:\n{exports}");
}

#[test]
fn the_same_configuration_gives_the_same_bytes() {
    let variables = [("REDIS_PORT", "6382"), ("REDIS_PASSWORD", "x")];
    let (a, b) = (config(&variables), config(&variables));
    let folder = Path::new(FOLDER);
    let options = ComposeOptions::default();
    assert_eq!(
        render::compose(&a, folder, &options),
        render::compose(&b, folder, &options)
    );
    assert_eq!(render::markdown(&a, folder), render::markdown(&b, folder));
}
