//! Configuration: where each value comes from, and what is said about those that are wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use cli_coordinator::config::env::NotUnicode;
use cli_coordinator::config::settings::{Count, Kind, SERVER, Spec};
use cli_coordinator::config::{
    Bound, ClientConfig, Config, ConfigErrors, Environment, Flags, Invoker, MASK, MapEnvironment,
    RedisTopology, Source, TlsConfig, Trust, example, schema, settings, show,
};
use cli_coordinator::edge::ports::{Profile, Service};

/// Somebody who is not root.
const USER: u32 = 1000;

/// What the sources hold; the one door to `Config::load`.
#[derive(Default)]
struct Sources {
    flags: Flags,
    variables: Vec<(String, String)>,
    file: Option<String>,
    /// Beside the configuration file: name, content, mode.
    files: Vec<(&'static str, String, u32)>,
    uid: Option<u32>,
}

/// What came of it, with its folder kept until the test ends.
struct Loaded {
    result: Result<Config, ConfigErrors>,
    folder: tempfile::TempDir,
}

impl Sources {
    fn variable(mut self, name: &str, text: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), text.into()));
        self
    }

    fn file(mut self, text: &str) -> Self {
        self.file = Some(text.to_owned());
        self
    }

    fn beside(mut self, name: &'static str, text: &str, mode: u32) -> Self {
        self.files.push((name, text.to_owned(), mode));
        self
    }

    /// `{}` in a variable stands for the folder of the file.
    fn load(mut self) -> Loaded {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for (name, text, mode) in &self.files {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a temporary file can be written");
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode))
                .expect("its mode can be set");
        }
        if let Some(text) = &self.file {
            let path = folder.path().join("coord.toml");
            fs::write(&path, text).expect("a temporary file can be written");
            self.flags.config = Some(path.display().to_string());
        }
        let here = folder.path().display().to_string();
        let mut environment = MapEnvironment::from([("HOME", "/home/user")]);
        environment.hostname = Some("gateway-1.example".to_owned());
        for (name, text) in self.variables {
            environment
                .variables
                .insert(name, text.replace("{}", &here));
        }
        let uid = self.uid.unwrap_or(USER);
        let result = Config::load(&self.flags, &environment, uid);
        Loaded { result, folder }
    }

    fn config(self) -> Config {
        let loaded = self.load();
        loaded
            .result
            .unwrap_or_else(|errors| panic!("should load: {errors}"))
    }
}

impl Loaded {
    /// The report, with the folder left out of it.
    fn report(&self) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        let problems = match &self.result {
            Ok(_) => &[],
            Err(errors) => errors.problems(),
        };
        problems
            .iter()
            .map(|problem| problem.to_string().replace(&folder, ""))
            .collect()
    }

    fn warnings(&self) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        let warnings = match &self.result {
            Ok(config) => config.warnings.as_slice(),
            Err(errors) => panic!("should load: {errors}"),
        };
        warnings
            .iter()
            .map(|warning| warning.to_string().replace(&folder, ""))
            .collect()
    }
}

/// Everything the sources have wrong is reported, and nothing else.
fn check_report(sources: Sources, expected: &[&str]) {
    assert_eq!(sources.load().report(), expected);
}

/// One variable's text is refused, for this reason.
fn check_refused(variable: &str, text: &str, expected: &str) {
    let sources = Sources::default().variable(variable, text);
    check_report(sources, &[&format!("{variable}: {expected}")]);
}

fn check_warnings(sources: Sources, expected: &[&str]) {
    assert_eq!(sources.load().warnings(), expected);
}

/// Redis as `user@host:port/database`, with the password exposed.
fn check_redis(sources: Sources, expected: &str) {
    let redis = sources.config().redis.expect("Redis is asked for");
    let found = format!(
        "{}{}:{}@{}/{}",
        if redis.tls { "tls " } else { "" },
        redis.user.unwrap_or_default(),
        redis
            .password
            .map(|password| password.expose().to_owned())
            .unwrap_or_default(),
        redis.endpoint,
        redis.database,
    );
    assert_eq!(found, expected);
}

#[test]
fn without_anything_it_is_development_on_loopback() {
    let config = Sources::default().config();
    assert_eq!(config.profile, Profile::Development);
    assert_eq!(config.websocket.endpoint.to_string(), "127.0.0.1:8768");
    assert_eq!(config.metrics.endpoint.to_string(), "127.0.0.1:9093");
    assert_eq!(config.metrics.path.as_str(), "/metrics");
    assert_eq!(config.state_dir, Path::new("/home/user/.local/state/coord"));
    assert_eq!(config.node.as_str(), "gateway-1");
    assert_eq!(config.websocket.tls, None);
    assert!(config.redis.is_none());
    assert!(config.warnings.is_empty());
}

#[test]
fn the_whole_list_of_bad_values_is_one_report() {
    check_report(
        Sources {
            flags: Flags::default().with(&settings::WEBSOCKET_PORT, "80"),
            ..Sources::default()
        }
        .variable("COORD_PROFILE", "prodution")
        .variable("REDIS_PORT", "65536")
        .variable("METRICS_PORT", "abc")
        .variable("WEBSOCKET_SSL_ENABLED", "maybe")
        .variable("REDIS_PASSWORD_FILE", "{}/absent")
        .file("[websocket]\nprot = 9000\nping_interval_ms = \"20s\"\n\n[sesion]\ngrace_ms = 1\n[metrics]\npath = \"metrics\"\n"),
        &[
            "REDIS_PASSWORD_FILE: cannot read absent: No such file or directory (os error 2); give a file that contains only the secret",
            "coord.toml:2 websocket.prot: this key does not exist; did you mean websocket.port?",
            "coord.toml:5 sesion: this key does not exist; did you mean session?",
            "COORD_PROFILE: \"prodution\" is not an allowed value; did you mean production? use one of production, staging, development, testing",
            "WEBSOCKET_SSL_ENABLED: \"maybe\" is neither true nor false; use true or false (1, 0, yes and no work too)",
            "coord.toml:3 websocket.ping_interval_ms: \"20s\" is text; use a whole number, without quotes",
            "METRICS_PORT: \"abc\" is not a port number; use a port from 1 to 65535",
            "coord.toml:8 metrics.path: \"metrics\" is not a path; begin with / and use only letters, digits and -._~/ as in /metrics",
            "REDIS_PORT: \"65536\" is above 65535; use a port from 1 to 65535",
            "--websocket-port: port 80 is below 1024 and user 1000 may not bind it; use a higher port, let systemd open it (`coord install`), or give the service CAP_NET_BIND_SERVICE",
        ],
    );
}

#[test]
fn every_bad_port_is_refused() {
    for variable in ["WEBSOCKET_PORT", "METRICS_PORT"] {
        check_refused(
            variable,
            "0",
            "port 0 means \"any port\", so clients could not find it; use a port from 1 to 65535",
        );
        check_refused(
            variable,
            "65536",
            "\"65536\" is above 65535; use a port from 1 to 65535",
        );
        check_refused(
            variable,
            "-1",
            "\"-1\" is not a port number; use a port from 1 to 65535",
        );
        check_refused(
            variable,
            "80",
            "port 80 is below 1024 and user 1000 may not bind it; use a higher port, let systemd open it (`coord install`), or give the service CAP_NET_BIND_SERVICE",
        );
    }
    check_report(
        Sources::default()
            .file("[websocket]\nport = 0\n[metrics]\nport = 70000\n[redis]\nport = \"6382\"\n"),
        &[
            "coord.toml:2 websocket.port: port 0 means \"any port\", so clients could not find it; use a port from 1 to 65535",
            "coord.toml:4 metrics.port: 70000 is not a port; use a port from 1 to 65535",
            "coord.toml:6 redis.port: \"6382\" is text; use a whole number, without quotes",
        ],
    );
}

#[test]
fn root_and_containers_bind_low_ports() {
    let mut sources = Sources::default().variable("WEBSOCKET_PORT", "443");
    sources.uid = Some(0);
    assert_eq!(sources.config().websocket.endpoint.port.number(), 443);

    let environment = MapEnvironment::from([("HOME", "/h"), ("WEBSOCKET_PORT", "443")]);
    let invoker = Invoker {
        uid: USER,
        port_min: 0,
        bound: Bound::default(),
    };
    assert!(Config::load(&Flags::default(), &environment, invoker).is_ok());
    let bound = Bound {
        websocket: true,
        metrics: false,
    };
    let handed_over = Invoker {
        bound,
        ..Invoker::from(USER)
    };
    assert!(Config::load(&Flags::default(), &environment, handed_over).is_ok());
    let environment = MapEnvironment::from([("HOME", "/h"), ("METRICS_PORT", "443")]);
    let errors =
        Config::load(&Flags::default(), &environment, handed_over).expect_err("it is refused");
    assert!(errors.to_string().contains("may not bind it"), "{errors}");
}

#[test]
fn a_low_port_is_only_refused_where_it_is_bound() {
    check_redis(
        Sources::default().variable("REDIS_PORT", "443"),
        ":@127.0.0.1:443/0",
    );
}

#[test]
fn two_services_cannot_share_a_port() {
    check_report(
        Sources::default()
            .variable("METRICS_PORT", "9000")
            .variable("REDIS_PORT", "9000")
            .file("[websocket]\nport = 9000\n"),
        &[
            "METRICS_PORT: port 9000 is already used by websocket.port (coord.toml:2 websocket.port); give each service its own port",
            "REDIS_PORT: port 9000 is already used by websocket.port (coord.toml:2 websocket.port); give each service its own port",
        ],
    );
    // The one that somebody chose is to blame, not the profile's.
    check_report(
        Sources::default().variable("WEBSOCKET_PORT", "9093"),
        &[
            "WEBSOCKET_PORT: port 9093 is already used by metrics.port (development profile); give each service its own port",
        ],
    );
    // Another machine's port is nobody's here.
    check_redis(
        Sources::default()
            .variable("REDIS_HOST", "redis.example")
            .variable("REDIS_PORT", "8768"),
        ":@redis.example:8768/0",
    );
}

#[test]
fn off_loopback_needs_tls_or_a_word() {
    const WEBSOCKET: &str = "connections would not be encrypted; set websocket.tls = true (WEBSOCKET_SSL_ENABLED=true), or, if a proxy in front encrypts, websocket.allow_plaintext = true (COORD_ALLOW_PLAINTEXT=true)";
    for host in [
        "0.0.0.0",
        "::",
        "192.168.1.7",
        "gateway.example",
        "127.0.0.1.example",
    ] {
        let expected = format!("{host} is not loopback, and {WEBSOCKET}");
        check_refused("WEBSOCKET_HOST", host, &expected);
    }
    check_refused(
        "COORD_METRICS_HOST",
        "0.0.0.0",
        "0.0.0.0 is not loopback, and connections would not be encrypted; set metrics.tls_certificate_file and metrics.tls_key_file, or metrics.web_config_file; or metrics.allow_plaintext = true (COORD_METRICS_ALLOW_PLAINTEXT=true) if everybody who can reach the port may read the metrics",
    );
    let off = || Sources::default().variable("WEBSOCKET_HOST", "0.0.0.0");
    assert!(
        off()
            .variable("COORD_ALLOW_PLAINTEXT", "yes")
            .config()
            .websocket
            .tls
            .is_none()
    );
    let config = off().variable("WEBSOCKET_SSL_ENABLED", "true").config();
    assert_eq!(config.websocket.tls, Some(TlsConfig::SelfSigned));
    for host in [
        "127.0.0.1",
        "127.8.9.1",
        "::1",
        "[::1]",
        "localhost",
        "::ffff:127.0.0.1",
    ] {
        let config = Sources::default().variable("WEBSOCKET_HOST", host).config();
        assert!(config.websocket.endpoint.host.is_loopback(), "{host}");
    }
}

#[test]
fn truth_values_are_read_or_refused() {
    for (text, expected) in [
        ("true", true),
        ("TRUE", true),
        ("1", true),
        ("Yes", true),
        ("false", false),
        ("0", false),
        ("no", false),
        ("", false),
    ] {
        let config = Sources::default()
            .variable("WEBSOCKET_SSL_ENABLED", text)
            .config();
        assert_eq!(config.websocket.tls.is_some(), expected, "{text:?}");
    }
    check_refused(
        "WEBSOCKET_SSL_ENABLED",
        "on",
        "\"on\" is neither true nor false; use true or false (1, 0, yes and no work too)",
    );
    check_report(
        Sources::default().file("[websocket]\ntls = \"true\"\n"),
        &["coord.toml:2 websocket.tls: it is text; use true or false, without quotes"],
    );
}

#[test]
fn other_bad_values_say_what_would_be_right() {
    check_refused(
        "METRICS_PATH",
        "/a/../b",
        "\"/a/../b\" is not a path; write a path without // and .., as in /metrics",
    );
    check_refused(
        "METRICS_PATH",
        "/healthz",
        "\"/healthz\" is not a path; use another path: /healthz and /readyz are the health checks",
    );
    check_refused(
        "WEBSOCKET_HOST",
        "256.0.0.1",
        "\"256.0.0.1\" is not a host; use an IP address or a host name, as in 127.0.0.1, ::1 or gateway.example",
    );
    check_refused(
        "WEBSOCKET_HOST",
        "localhost:9000",
        "\"localhost:9000\" is not a host; write only the host; the port has its own setting",
    );
    check_refused(
        "COORD_ALLOWED_ORIGINS",
        "https://a.example, *",
        "\"*\" would allow every web page; list the web pages that may connect, as in https://dashboard.example",
    );
    check_refused(
        "COORD_CONNECTIONS_MAX",
        "0",
        "0 is out of range; use a whole number from 1 to 100000 connections",
    );
    check_refused(
        "COORD_SESSION_GRACE_MS",
        "30s",
        "\"30s\" is not a whole number; use a whole number from 0 to 3600000 ms",
    );
    check_refused(
        "COORD_LOG",
        "verbose",
        "\"verbose\" is not an allowed value; use one of info, off, error, warn, debug, trace",
    );
    check_refused(
        "COORD_NODE_NAME",
        "my box",
        "\"my box\" is not a node name; use at most 63 letters, digits and -_. as in gateway-1",
    );
    check_refused(
        "COORD_JOURNAL_LIVE_BYTES_MAX",
        "1048576",
        "1048576 live bytes are less than 2 segments of 8388608; use a journal.live_bytes_max of at least 16777216, or a smaller journal.segment_bytes",
    );
    check_refused(
        "COORD_MESSAGE_BYTES_MAX",
        "16777216",
        "a segment of 8388608 bytes cannot hold 2 requests of 16777216; use a journal.segment_bytes of at least 33554432, or a smaller websocket.message_bytes_max",
    );
}

#[test]
fn unknown_keys_come_with_a_suggestion() {
    check_report(
        Sources::default().file(
            "grace_ms = 1\nprofil = \"staging\"\n\n[websocket]\nmessage_byte_max = 1\n[redis]\nsegment_bytes = 1\nfrobnicate = 1\n[websockets]\nport = 1\n",
        ),
        &[
            "coord.toml:1 grace_ms: this key does not exist; did you mean session.grace_ms?",
            "coord.toml:2 profil: this key does not exist; did you mean profile?",
            "coord.toml:5 websocket.message_byte_max: this key does not exist; did you mean websocket.message_bytes_max?",
            "coord.toml:7 redis.segment_bytes: this key does not exist; did you mean journal.segment_bytes?",
            "coord.toml:8 redis.frobnicate: this key does not exist; keys of this section: url, host, port, user, password, tls, database, ca_file, cluster, sentinels, sentinel_master, sentinel_user, sentinel_password, wait_replicas, wait_ms",
            "coord.toml:9 websockets: this key does not exist; did you mean websocket?",
        ],
    );
}

#[test]
fn a_section_is_not_a_value() {
    check_report(
        Sources::default().file("websocket = 1\n[profile]\nx = 1\n[metrics.port]\nx = 1\n"),
        &[
            "coord.toml:1 websocket: it is a section, not a value; write [websocket] and its keys below",
            "coord.toml:2 profile: it is a section; write text, in quotes",
            "coord.toml:4 metrics.port: it is a section; use a whole number, without quotes",
        ],
    );
}

#[test]
fn broken_toml_is_reported_with_its_line_beside_the_rest() {
    check_report(
        Sources::default().file(
            "[websocket]\nport = \nping_interval_ms = 1\n[redis]\npassword = \"hunter2\n[metrics]\nport = 0\nport = 1\n",
        ),
        &[
            "coord.toml:2: it is not TOML: string values must be quoted, expected literal string; write key = value, text in quotes",
            "coord.toml:5: it is not TOML: invalid basic string, expected `\"`; write key = value, text in quotes",
            "coord.toml:8: it is not TOML: duplicate key; write key = value, text in quotes",
            "coord.toml:3 websocket.ping_interval_ms: 1 is out of range; use a whole number from 1000 to 300000 ms",
            "coord.toml:7 metrics.port: port 0 means \"any port\", so clients could not find it; use a port from 1 to 65535",
        ],
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let flags = Flags::of_file("/nonexistent/coord.toml");
    check_report(
        Sources {
            flags,
            ..Sources::default()
        },
        &[
            "/nonexistent/coord.toml: cannot read the configuration file: No such file or directory (os error 2); name a TOML file that this user may read",
        ],
    );
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let environment = MapEnvironment::from([
        ("HOME", "/home/user"),
        (
            "COORD_CONFIG",
            folder.path().to_str().expect("a plain path"),
        ),
    ]);
    let errors = Config::load(&Flags::default(), &environment, USER).expect_err("a folder");
    assert_eq!(errors.problems().len(), 1);
    assert!(errors.to_string().contains("Is a directory"), "{errors}");
}

#[test]
fn the_file_is_found_in_its_places() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let places = ["systemd", "user/coord", "machine"].map(|name| folder.path().join(name));
    let mut environment = MapEnvironment::from([("HOME", "/nonexistent")]);
    environment.system_folder = Some(places[2].clone());
    let mut name = |name: &str, path: &Path| {
        environment
            .variables
            .insert(name.to_owned(), path.display().to_string());
    };
    name("CONFIGURATION_DIRECTORY", &places[0]);
    name("XDG_CONFIG_HOME", &folder.path().join("user"));
    let mut found = Vec::new();
    for place in places.iter().rev() {
        fs::create_dir_all(place).expect("a folder can be made");
        fs::write(place.join("coord.toml"), "").expect("a file can be written");
        let config = Config::load(&Flags::default(), &environment, USER).expect("empty is fine");
        found.push(config.file.expect("there is one"));
    }
    let expected: Vec<PathBuf> = places
        .iter()
        .rev()
        .map(|place| place.join("coord.toml"))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_state_directory_is_found_in_its_places() {
    let mut sources = Vec::new();
    let mut check = |name: &str, text: &str, expected: &str| {
        sources.push((name.to_owned(), text.to_owned()));
        let mut environment = MapEnvironment::default();
        environment.variables.extend(sources.iter().cloned());
        let config = Config::load(&Flags::default(), &environment, USER).expect("a place");
        assert_eq!(config.state_dir, Path::new(expected));
    };
    check("HOME", "/home/user", "/home/user/.local/state/coord");
    check(
        "XDG_STATE_HOME",
        "relative",
        "/home/user/.local/state/coord",
    );
    check("XDG_STATE_HOME", "/xdg", "/xdg/coord");
    check(
        "STATE_DIRECTORY",
        "/var/lib/coord:/var/lib/more",
        "/var/lib/coord",
    );
    check("COORD_STATE_DIR", "/mine", "/mine");

    let errors = Config::load(&Flags::default(), &MapEnvironment::default(), USER)
        .expect_err("there is no home");
    assert_eq!(
        errors.to_string(),
        "state_dir (default): there is no home directory for it; set --state-dir or COORD_STATE_DIR to a folder"
    );
}

#[test]
fn a_relative_path_counts_from_its_file() {
    let loaded = Sources::default().file("state_dir = \"state\"\n").load();
    let config = loaded.result.expect("it is right");
    assert_eq!(config.state_dir, loaded.folder.path().join("state"));
}

#[test]
fn a_variable_that_is_not_text_is_named() {
    struct Odd;
    impl Environment for Odd {
        fn variable(&self, name: &str) -> Result<Option<String>, NotUnicode> {
            match name {
                "HOME" => Ok(Some("/home/user".to_owned())),
                "METRICS_PATH" => Err(NotUnicode),
                _ => Ok(None),
            }
        }
        fn names(&self) -> Vec<String> {
            Vec::new()
        }
        fn system_folder(&self) -> Option<PathBuf> {
            None
        }
        fn hostname(&self) -> Option<String> {
            Some("höst".to_owned())
        }
    }
    let errors = Config::load(&Flags::default(), &Odd, USER).expect_err("not text");
    assert_eq!(
        errors.to_string(),
        "METRICS_PATH: its value is not valid UTF-8; set it to plain text"
    );
}

#[test]
fn redis_may_be_found_through_sentinels_or_be_a_cluster() {
    let config = Sources::default()
        .variable("COORD_REDIS_SENTINELS", "one.example, two.example:7000")
        .variable("COORD_REDIS_SENTINEL_MASTER", "m")
        .variable("COORD_REDIS_WAIT_REPLICAS", "2")
        .config();
    let redis = config.redis.expect("Sentinels ask for it");
    let RedisTopology::Sentinel(found) = redis.topology else {
        panic!("{:?}", redis.topology);
    };
    let sentinels: Vec<String> = found.sentinels.iter().map(ToString::to_string).collect();
    assert_eq!(sentinels, ["one.example:26379", "two.example:7000"]);
    assert_eq!((found.master.as_str(), found.user), ("m", None));
    let wait = redis.replicas.expect("it is asked for");
    assert_eq!((wait.replicas, wait.wait_ms), (2, 1000));
    check_report(
        Sources::default()
            .variable("COORD_REDIS_SENTINELS", "one.example")
            .variable("COORD_REDIS_SENTINEL_USER", "u")
            .variable("COORD_REDIS_CLUSTER", "true")
            .variable("REDIS_DATABASE", "1")
            .variable("REDIS_PORT", "7000"),
        &[
            "COORD_REDIS_SENTINELS: there are Sentinels, but no name of the master that they watch; set redis.sentinel_master",
            "COORD_REDIS_SENTINEL_USER: there is a user, but no password; set redis.sentinel_password",
            "REDIS_DATABASE: it is 1, but a Cluster has only database 0; leave it out, or set redis.cluster to false",
            "COORD_REDIS_SENTINELS: there are Sentinels, but a Cluster has no Sentinels; keep redis.sentinels or redis.cluster",
            "REDIS_PORT: the Sentinels say where Redis is; leave it out, or leave out redis.sentinels",
        ],
    );
    check_report(
        Sources::default().file("[redis]\nsentinels = []\n"),
        &["coord.toml:2 redis.sentinels: the list is empty; give at least one, or leave it out"],
    );
    check_warnings(
        Sources::default()
            .variable("REDIS_HOST", "h")
            .variable("COORD_REDIS_SENTINEL_MASTER", "m")
            .variable("COORD_REDIS_CA_FILE", "/ca.pem")
            .variable("COORD_REDIS_WAIT_MS", "5"),
        &[
            "COORD_REDIS_SENTINEL_MASTER: redis.sentinel_master has no effect: it is used only when redis.sentinels is set",
            "COORD_REDIS_CA_FILE: redis.ca_file has no effect: it is used only when redis.tls is true or the URL is rediss://",
            "COORD_REDIS_WAIT_MS: redis.wait_ms has no effect: it is used only when redis.wait_replicas is more than 0",
        ],
    );
}

#[test]
fn testing_and_production_have_their_ports() {
    for profile in Profile::ALL {
        let config = Sources::default()
            .variable("COORD_PROFILE", profile.name())
            .variable("REDIS_HOST", "redis")
            .config();
        assert_eq!(
            config.websocket.endpoint.port,
            profile.port(Service::WebSocket)
        );
        assert_eq!(config.metrics.endpoint.port, profile.port(Service::Metrics));
        let redis = config.redis.expect("a host asks for it");
        assert_eq!(redis.endpoint.port, profile.port(Service::Redis));
    }
}

/// The seed's block "easy port customization", word by word.
#[test]
fn the_seeds_customization_works() {
    let sources = Sources::default()
        .variable("REDIS_HOST", "my-redis-server.com")
        .variable("REDIS_PORT", "6400")
        .variable("REDIS_PASSWORD", "secure-password")
        .variable("WEBSOCKET_HOST", "0.0.0.0")
        .variable("WEBSOCKET_PORT", "9000")
        .variable("WEBSOCKET_SSL_ENABLED", "true")
        .variable("METRICS_PORT", "8080")
        .variable("METRICS_PATH", "/custom-metrics");
    let config = sources.config();
    assert_eq!(config.websocket.endpoint.to_string(), "0.0.0.0:9000");
    assert_eq!(config.websocket.tls, Some(TlsConfig::SelfSigned));
    assert_eq!(config.metrics.endpoint.to_string(), "127.0.0.1:8080");
    assert_eq!(config.metrics.path.as_str(), "/custom-metrics");
    let redis = config.redis.expect("it is asked for");
    assert_eq!(redis.endpoint.to_string(), "my-redis-server.com:6400");
    assert_eq!(
        redis.password.expect("there is one").expose(),
        "secure-password"
    );
}

#[test]
fn a_url_is_taken_apart() {
    let url = |text: &str| Sources::default().variable("REDIS_URL", text);
    check_redis(url("redis://h"), ":@h:6379/0");
    check_redis(url("rediss://u:p%40%3a@h:1/7"), "tls u:p@:@h:1/7");
    check_redis(url("redis://:p@[::1]:6380"), ":p@[::1]:6380/0");
    // Earlier sources go before its parts, later ones do not.
    check_redis(
        Sources {
            flags: Flags::default().with(&settings::REDIS_PORT, "7000"),
            ..url("redis://:p@h:1")
        }
        .file("[redis]\nhost = \"other\"\npassword = \"q\"\n"),
        ":p@h:7000/0",
    );
    check_redis(
        url("redis://h:1").file("[redis]\nuser = \"u\"\npassword = \"q\"\n"),
        "u:q@h:1/0",
    );
    // The same source must not contradict itself.
    check_report(
        url("redis://:p@h:1")
            .variable("REDIS_PORT", "2")
            .variable("REDIS_PASSWORD", "q"),
        &[
            "REDIS_PORT: it is 2, but REDIS_URL has 1; keep one of the two",
            "REDIS_PASSWORD: it differs from the password in REDIS_URL; keep one of the two",
        ],
    );
    for (text, what) in [
        ("h:1", "the URL has no scheme"),
        ("http://h", "the URL's scheme is not redis or rediss"),
        ("redis://h:0", "the URL's port is not a port"),
        ("redis://", "the URL's host is not a host"),
        ("redis://h/x", "the URL's path is not a database number"),
        (
            "redis://:%+5@h",
            "the URL's user or password has invalid percent-encoding",
        ),
        ("redis://h?x=1", "the URL has a query or a fragment"),
    ] {
        let right = "write redis://user:password@host:port/0, or rediss:// for TLS";
        check_refused("REDIS_URL", text, &format!("{what}; {right}"));
    }
    check_refused(
        "REDIS_URL",
        "redis://hunter2@h",
        "the URL has one word before the @: write :password@ for a password, user:@ for a user; write redis://user:password@host:port/0, or rediss:// for TLS",
    );
}

#[test]
fn secrets_come_from_files_and_credentials_too() {
    let base = || {
        Sources::default().variable("REDIS_HOST", "h").beside(
            "redis_password",
            "from a file\n",
            0o600,
        )
    };
    check_redis(
        base().variable("REDIS_PASSWORD_FILE", "{}/redis_password"),
        ":from a file@h:6382/0",
    );
    check_redis(
        base().variable("CREDENTIALS_DIRECTORY", "{}"),
        ":from a file@h:6382/0",
    );
    check_redis(
        base().file("[redis]\npassword_file = \"redis_password\"\n"),
        ":from a file@h:6382/0",
    );
    check_redis(
        base()
            .variable("CREDENTIALS_DIRECTORY", "{}")
            .variable("REDIS_PASSWORD", "from a variable"),
        ":from a variable@h:6382/0",
    );
    check_report(
        base()
            .variable("REDIS_PASSWORD_FILE", "{}/redis_password")
            .variable("REDIS_PASSWORD", "x"),
        &[
            "REDIS_PASSWORD_FILE: redis.password is already given by REDIS_PASSWORD; keep one of the two",
        ],
    );
    check_report(
        base()
            .beside("empty", "\n", 0o600)
            .variable("REDIS_PASSWORD_FILE", "{}/empty"),
        &[
            "REDIS_PASSWORD_FILE: cannot read empty: it is empty; give a file that contains only the secret",
        ],
    );
}

#[test]
fn tls_files_belong_together_and_must_be_readable() {
    let tls = || {
        Sources::default()
            .variable("WEBSOCKET_SSL_ENABLED", "true")
            .beside("c.pem", "c", 0o644)
            .beside("k.pem", "k", 0o600)
    };
    let loaded = tls()
        .file("[websocket]\ntls_certificate_file = \"c.pem\"\ntls_key_file = \"k.pem\"\n")
        .load();
    let config = loaded.result.expect("both are there");
    let Some(TlsConfig::Files { certificate, key }) = config.websocket.tls else {
        panic!("files were given")
    };
    assert_eq!(certificate, loaded.folder.path().join("c.pem"));
    assert_eq!(key, loaded.folder.path().join("k.pem"));
    check_report(
        tls().variable("COORD_TLS_KEY_FILE", "{}/absent.pem"),
        &[
            "COORD_TLS_KEY_FILE: websocket.tls_certificate_file is missing; set both, or neither for a self-signed certificate",
            "COORD_TLS_KEY_FILE: cannot read absent.pem: No such file or directory (os error 2); give a file that this user may read",
        ],
    );
}

#[test]
fn the_metrics_are_secured_by_a_file_or_by_settings() {
    let beside = |lines: &str| {
        Sources::default()
            .beside("c.pem", "c", 0o644)
            .beside("k.pem", "k", 0o600)
            .beside(
                "web.yml",
                "tls_server_config: {cert_file: c.pem, key_file: k.pem}",
                0o600,
            )
            .file(&format!("[metrics]\n{lines}"))
    };
    let own = "tls_certificate_file = \"c.pem\"\ntls_key_file = \"k.pem\"\n";
    // Beyond loopback, TLS is enough, whichever way it is set up.
    for lines in [own, "web_config_file = \"web.yml\"\n"] {
        let config = beside(&format!("host = \"0.0.0.0\"\n{lines}")).config();
        assert_eq!(config.metrics.scheme(), "https", "{lines}");
        assert!(config.metrics.security.needs_tls);
    }
    check_report(
        beside(&format!("{own}web_config_file = \"web.yml\"\n")),
        &[
            "coord.toml:2 metrics.tls_certificate_file: metrics.web_config_file is set too; write it into that file, or leave the file out",
            "coord.toml:3 metrics.tls_key_file: metrics.web_config_file is set too; write it into that file, or leave the file out",
        ],
    );
    check_report(
        beside("tls_key_file = \"k.pem\"\n"),
        &[
            "coord.toml:2 metrics.tls_key_file: metrics.tls_certificate_file is missing; set both, or neither",
        ],
    );
    check_report(
        beside("client_allowed_names = [\"prometheus.example\"]\n"),
        &[
            "coord.toml:2 metrics.client_allowed_names: metrics.client_ca_file is missing; set both, or neither",
        ],
    );
    check_report(
        beside("basic_auth_users_file = \"c.pem\"\n"),
        &[
            "coord.toml:2 metrics.basic_auth_users_file: c.pem line 1 is not NAME:HASH; correct it; docs/monitoring.md shows one",
        ],
    );
    check_report(
        beside("token = \"short\"\n"),
        &[
            "coord.toml:2 metrics.token: it is too short to be safe; use at least 32 visible ASCII characters, such as the output of `openssl rand -hex 32`",
        ],
    );
}

#[test]
fn what_works_but_is_hardly_meant_is_warned_of() {
    check_warnings(
        Sources::default()
            .variable("WEBSOCKET_PORT", "8766")
            .variable("METRICS_PORT", "9090")
            .variable("REDIS_HOST", "h")
            .variable("REDIS_PORT", "6379")
            .variable("COORD_ALOW_PLAINTEXT", "true")
            .variable("COORD_TASK", "7"),
        &[
            "COORD_ALOW_PLAINTEXT: no setting uses this variable; did you mean COORD_ALLOW_PLAINTEXT?",
            "WEBSOCKET_PORT: port 8766 is the WebSocket port of production, but the profile is development",
            "METRICS_PORT: port 9090: the standard port of the Prometheus server, and of Cockpit; no profile uses it",
        ],
    );
    check_warnings(
        Sources::default()
            .variable("REDIS_PASSWORD", "x")
            .beside("k.pem", "k", 0o644)
            .beside("c.pem", "c", 0o644)
            .file("[websocket]\ntls_certificate_file = \"c.pem\"\ntls_key_file = \"k.pem\"\n"),
        &[
            "coord.toml:2 websocket.tls_certificate_file: websocket.tls_certificate_file has no effect, because websocket.tls is off",
            "coord.toml:3 websocket.tls_key_file: websocket.tls_key_file has no effect, because websocket.tls is off",
            "coord.toml:3 websocket.tls_key_file: everybody on this machine can read k.pem; run chmod 600 on it",
            "REDIS_PASSWORD: redis.password has no effect: Redis is used only when redis.url, redis.host, redis.port or redis.sentinels is set",
        ],
    );
}

/// Three values of a setting's kind, all right and all different, as typed on a command line.
fn samples(spec: &Spec) -> [String; 3] {
    let of = |texts: [&str; 3]| texts.map(str::to_owned);
    match (spec.key, spec.kind) {
        ("redis.url", _) => {
            of(["flag", "variable", "file"]).map(|name| format!("redis://:{name}@127.0.0.1"))
        }
        ("mqtt.url", _) => ["1", "2", "3"].map(|n| format!("mqtt://127.0.0.1:188{n}")),
        ("journal.segment_bytes", _) => of(["4194304", "4194305", "4194306"]),
        ("journal.live_bytes_max", _) => of(["16777216", "16777217", "16777218"]),
        (_, Kind::Choice(choice)) => {
            [0, 1, 2].map(|i| choice.words[i % choice.words.len()].to_owned())
        }
        (_, Kind::Count(Count { min, .. })) => [1, 2, 3].map(|more| (min + more).to_string()),
        (_, Kind::Boolean) => of(["true", "false", "true"]),
        (_, Kind::Port(_)) => of(["7001", "7002", "7003"]),
        (_, Kind::Host) => of(["127.0.0.2", "127.0.0.3", "127.0.0.4"]),
        (_, Kind::Hosts) => of(["a.example", "b.example:1", "c.example"]),
        (_, Kind::Origins) => of([
            "https://a.example",
            "https://b.example",
            "https://c.example",
        ]),
        (_, Kind::Networks) => of(["10.0.0.0/8", "192.0.2.1", "2001:db8::/64"]),
        (_, Kind::Interfaces) => of(["eth0", "eth1", "eth2"]),
        (_, Kind::Names) => of(["a.example", "ops@example.org", "192.0.2.1"]),
        ("push.headers", _) => of(["a: 1", "b: 2", "c: 3"]),
        (_, Kind::Pairs) => of(["a=1", "b=2", "c=3"]),
        (_, Kind::OpenPorts) => of(["443/tcp", "444/tcp", "51820/udp"]),
        (_, Kind::Ports) => of(["20000-20999", "21000-21999", "22000-22999"]),
        (_, Kind::UrlPath) => of(["/a", "/b", "/c"]),
        (_, Kind::Path) => of(["{}/a", "{}/b", "{}/c"]),
        ("push.url", _) => of(["https://a:1/w", "https://b:2/w", "https://c:3/w"]),
        ("operator_token" | "metrics.token", _) => {
            ["flag", "variable", "file"].map(|source| source.repeat(8))
        }
        (_, Kind::Text | Kind::Url | Kind::Secret) => of(["flag", "variable", "file"]),
    }
}

fn toml_literal(spec: &Spec, text: &str) -> String {
    match spec.kind {
        Kind::Count(_) | Kind::Port(_) | Kind::Boolean => text.to_owned(),
        Kind::Hosts
        | Kind::Origins
        | Kind::Networks
        | Kind::Interfaces
        | Kind::Names
        | Kind::Pairs
        | Kind::OpenPorts => {
            format!("[{text:?}]")
        }
        _ => format!("{text:?}"),
    }
}

/// Sets one setting in the file, then the variable, then the flag, and sees which holds.
fn check_precedence(spec: &'static Spec) {
    let [of_flag, of_variable, of_file] = samples(spec);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let here = folder.path().display().to_string();
    for name in ["a", "b", "c"] {
        // It is right as a web-config file and as a list of users too.
        fs::write(folder.path().join(name), "# nobody\n").expect("a temporary file can be written");
    }
    fs::write(folder.path().join("secret"), &of_flag).expect("a temporary file can be written");

    // What some settings need beside them to make sense.
    let mut lines = BTreeMap::from([
        ("redis.host", "\"127.0.0.1\"".to_owned()),
        ("redis.password", "\"file\"".to_owned()),
        ("websocket.tls_certificate_file", "\"a\"".to_owned()),
        ("websocket.tls_key_file", "\"a\"".to_owned()),
        ("metrics.tls_certificate_file", "\"a\"".to_owned()),
        ("metrics.tls_key_file", "\"a\"".to_owned()),
        ("metrics.client_ca_file", "\"a\"".to_owned()),
        ("push.certificate_file", "\"a\"".to_owned()),
        ("push.key_file", "\"a\"".to_owned()),
    ]);
    match spec.key {
        "metrics.web_config_file" => lines.retain(|key, _| !key.starts_with("metrics.")),
        "redis.sentinels" => {
            lines.remove("redis.host");
            lines.insert("redis.sentinel_master", "\"m\"".to_owned());
        }
        "redis.sentinel_user" => {
            lines.insert("redis.sentinel_password", "\"file\"".to_owned());
        }
        _ => {}
    }
    lines.insert(spec.key, toml_literal(spec, &of_file));
    let mut sections: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (key, literal) in lines {
        let (section, leaf) = key.split_once('.').unwrap_or(("", key));
        let literal = literal.replace("{}", &here);
        let lines = sections.entry(section).or_default();
        lines.push(format!("{leaf} = {literal}\n"));
    }
    let text: String = sections
        .iter()
        .map(|(section, lines)| match *section {
            "" => lines.concat(),
            _ => format!("[{section}]\n{}", lines.concat()),
        })
        .collect();
    let path = folder.path().join("coord.toml");
    fs::write(&path, text).expect("a temporary file can be written");

    let mut environment = MapEnvironment::from([("HOME", "/home/user")]);
    let flags = Flags::of_file(path.display().to_string());
    let check = |flags: &Flags, environment: &MapEnvironment, expected: &str, source: &str| {
        let config = Config::load(flags, environment, USER)
            .unwrap_or_else(|errors| panic!("{}: {errors}", spec.key));
        let shown = config.origins.shown(spec);
        let shown = shown.as_array().map_or(shown, |items| &items[0]);
        let expected = expected.replace("{}", &here);
        if spec.is_secret() {
            assert_eq!(shown, MASK);
        } else {
            assert_eq!(
                shown.to_string().trim_matches('"'),
                expected,
                "{}",
                spec.key
            );
        }
        let found = config.origins.source(spec).to_string();
        assert!(found.ends_with(source), "{}: {found}", spec.key);
    };
    check(&flags, &environment, &of_file, spec.key);
    let variable = spec.variables[0];
    environment
        .variables
        .insert(variable.to_owned(), of_variable.replace("{}", &here));
    check(&flags, &environment, &of_variable, variable);
    let typed = match spec.kind {
        Kind::Secret => "{}/secret",
        _ => &of_flag,
    };
    if let Some(flag) = spec.flag {
        let flags = flags.with(spec, typed.replace("{}", &here));
        check(&flags, &environment, &of_flag, flag);
    }
}

#[test]
fn flag_goes_before_variable_before_file_for_every_setting() {
    for spec in SERVER {
        check_precedence(spec);
    }
}

#[test]
fn the_table_names_everything_once() {
    let mut seen = BTreeSet::new();
    for spec in SERVER {
        assert!(seen.insert(spec.key.to_owned()), "{}", spec.key);
        assert!(!spec.variables.is_empty(), "{}", spec.key);
        assert!(spec.doc.ends_with('.'), "{}", spec.key);
        for name in spec.all_variables() {
            assert!(seen.insert(name.clone()), "{name}");
        }
        if let Some(flag) = spec.flag {
            assert!(seen.insert(flag.to_owned()), "{flag}");
        }
    }
}

#[test]
fn show_tells_each_value_and_its_source() {
    let loaded = Sources {
        flags: Flags::default().with(&settings::METRICS_PATH, "/m"),
        ..Sources::default()
    }
    .variable("REDIS_URL", "redis://:hunter2@h:1")
    .file("[websocket]\nport = 9000\nallowed_hosts = [\"A.example\", \"b:1\"]\n")
    .load();
    let config = loaded.result.expect("it is right");
    let folder = format!("{}/", loaded.folder.path().display());
    let text = show::text(&config).replace(&folder, "");
    let rows: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for row in [
        "profile development default",
        "state_dir /home/user/.local/state/coord default",
        "websocket.port 9000 coord.toml:2 websocket.port",
        "websocket.allowed_hosts a.example, b:1 coord.toml:3 websocket.allowed_hosts",
        "websocket.tls_key_file -",
        "metrics.path /m --metrics-path",
        "metrics.port 9093 development profile",
        "redis.url ******** REDIS_URL",
        "redis.host h REDIS_URL",
        "redis.port 1 REDIS_URL",
        "redis.password ******** REDIS_URL",
    ] {
        assert!(rows.iter().any(|found| found == row), "{row} in {text}");
    }
    let json = show::json(&config);
    assert_eq!(json["settings"]["websocket.port"]["value"], 9000);
    assert_eq!(json["settings"]["websocket.port"]["source"]["line"], 2);
    assert_eq!(json["settings"]["metrics.path"]["source"]["kind"], "flag");
    assert_eq!(
        json["settings"]["metrics.port"]["source"]["profile"],
        "development"
    );
    assert_eq!(json["settings"]["redis.password"]["value"], MASK);
    assert_eq!(
        *config.origins.source(&settings::REDIS_HOST),
        Source::Variable {
            name: "REDIS_URL".to_owned()
        }
    );
}

/// Where a secret can stand, rightly or by mistake.
const PLACES: usize = 14;

fn with_secret(sources: Sources, place: usize, secret: &str) -> Sources {
    let file = |sources: Sources, line: &str| {
        let mut text = sources.file.clone().unwrap_or_default();
        text.push_str(line);
        sources.file(&text)
    };
    match place {
        0 => sources.variable("REDIS_PASSWORD", secret),
        1 => sources.variable("REDIS_URL", format!("redis://u:{secret}@h")),
        2 => sources.variable("REDIS_URL", format!("redis://:{secret}@h:x/y")),
        3 => sources.variable("REDIS_URL", format!("redis:{secret}@h")),
        4 => sources.variable("REDIS_URL", format!("redis://{secret}@h")),
        5 => sources.variable("REDIS_HOST", format!("redis://:{secret}@h")),
        6 => sources
            .beside("redis_password", secret, 0o644)
            .variable("REDIS_PASSWORD_FILE", "{}/redis_password"),
        7 => sources
            .beside("redis_password", secret, 0o644)
            .variable("CREDENTIALS_DIRECTORY", "{}"),
        8 => file(sources, &format!("redis.password = {secret:?}\n")),
        9 => file(sources, &format!("redis.password = \"{secret}\n")),
        10 => file(sources, &format!("redis.pasword = {secret:?}\n")),
        11 => file(sources, &format!("redis.password = [{secret:?}]\n")),
        12 => file(sources, &format!("redis.password = {secret}\n")),
        _ => file(sources, &format!("redis.url = \"redis://:{secret}@h:0\"\n")),
    }
}

proptest! {
    #[test]
    fn no_secret_is_ever_shown(
        secret in "s[A-Za-z0-9]{11,23}",
        places in proptest::collection::btree_set(0..PLACES, 1..4),
        broken in any::<bool>(),
        asked in any::<bool>(),
    ) {
        let mut sources = Sources::default();
        if asked {
            sources = sources.variable("REDIS_PORT", "6400");
        }
        if broken {
            sources = sources.variable("METRICS_PORT", "abc");
        }
        for place in &places {
            sources = with_secret(sources, *place, &secret);
        }
        let loaded = sources.load();
        let texts = match &loaded.result {
            Ok(config) => vec![
                format!("{config:?} {config:#?}"),
                show::text(config),
                show::json(config).to_string(),
            ],
            Err(errors) => vec![
                format!("{errors:?}"),
                errors.to_string(),
                serde_json::to_string(errors).expect("errors are data"),
            ],
        };
        for text in texts {
            prop_assert!(!text.contains(&secret), "{secret} in {text}");
        }
    }

    #[test]
    fn no_file_makes_it_panic(text in "(\\[?[a-z._]{0,12}\\]? ?=? ?[\"'a-z0-9\\[\\]{}.,-]{0,12}\n){0,8}") {
        let _ = Sources::default().file(&text).load();
    }

    #[test]
    fn no_value_makes_it_panic(index in 0..SERVER.len(), text in ".*") {
        let name = SERVER[index].variables[0];
        let _ = Sources::default().variable(name, text.replace('\0', "")).load();
    }
}

#[test]
fn the_example_file_is_current_and_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/coord.example.toml");
    let text = fs::read_to_string(&path).expect("it is part of the sources");
    assert_eq!(
        text,
        example::render(),
        "write config::example::render() there again"
    );
    assert!(Sources::default().file(&text).config().warnings.is_empty());

    // Uncommented, every line is a key, and right but for files that are not there.
    let is_setting = |line: &str| {
        line.strip_prefix("# ")
            .and_then(|rest| rest.split_once(" = "))
            .is_some_and(|(key, _)| {
                key.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            })
    };
    let all: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting)
                if is_setting(line)
                    && !setting.contains("_file")
                    && !setting.starts_with("url")
                    // They stand in the place of host and port.
                    && !setting.starts_with("sentinel")
                    // It needs a file.
                    && !setting.starts_with("client_allowed_names") =>
            {
                setting
            }
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let config = Sources::default().file(&all).config();
    assert_eq!(config.session.grace, Duration::from_secs(30));
    for spec in SERVER {
        let given = config.origins.source(spec).is_given();
        let skipped = ["_file", "url", "sentinel", "client_allowed_names"];
        let skipped = skipped.iter().any(|part| spec.key.contains(part));
        assert_eq!(given, !skipped, "{}", spec.key);
    }
}

#[test]
fn the_schema_knows_every_key_and_bound() {
    let schema = schema::server();
    let schema = schema.as_value();
    for spec in SERVER {
        let (section, leaf) = spec.section_and_leaf();
        let object = section.map_or(schema, |section| &schema["properties"][section]);
        assert_eq!(object["additionalProperties"], false);
        let property = &object["properties"][leaf];
        assert!(property["description"].is_string(), "{}", spec.key);
        if let Kind::Count(Count { max, .. }) = spec.kind {
            assert_eq!(property["maximum"], max);
        }
    }
    assert_eq!(
        schema["properties"]["websocket"]["properties"]["port"]["maximum"],
        65535
    );
    assert!(schema["properties"]["redis"]["properties"]["password_file"].is_object());
    assert!(schema::client().as_value()["properties"]["token_file"].is_object());
}

/// Writes the example file anew: `cargo test --test configuration -- --ignored`.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_example_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/coord.example.toml");
    fs::write(path, example::render()).expect("the sources can be written");
}

/// What the client's sources hold; `{}` stands for a folder with an operator token in it.
fn load_client(
    variables: &[(&str, &str)],
    file: &str,
    token_mode: u32,
) -> (Result<ClientConfig, ConfigErrors>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let here = folder.path().display().to_string();
    let token = folder.path().join("operator.token");
    fs::write(&token, "operator\n").expect("a temporary file can be written");
    fs::set_permissions(&token, fs::Permissions::from_mode(token_mode)).expect("it is ours");
    fs::write(folder.path().join("client.toml"), file).expect("a temporary file can be written");
    let mut environment = MapEnvironment::from([("COORD_CLIENT_CONFIG", "{}/client.toml")]);
    for (name, text) in variables {
        environment
            .variables
            .insert((*name).to_owned(), (*text).to_owned());
    }
    for text in environment.variables.values_mut() {
        *text = text.replace("{}", &here);
    }
    (ClientConfig::load(&Flags::default(), &environment), folder)
}

/// Where it would connect and with which token.
fn check_client(variables: &[(&str, &str)], file: &str, url: &str, token: Option<&str>) {
    let (result, _folder) = load_client(variables, file, 0o600);
    let config = result.unwrap_or_else(|errors| panic!("should load: {errors}"));
    let found = config.token.map(|token| token.expose().to_owned());
    assert_eq!(config.url.to_string(), url);
    assert_eq!(found.as_deref(), token);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

fn check_client_refused(variables: &[(&str, &str)], file: &str, expected: &str) {
    let (result, folder) = load_client(variables, file, 0o600);
    let errors = result.expect_err("it is wrong").to_string();
    let folder = format!("{}/", folder.path().display());
    assert_eq!(errors.replace(&folder, ""), expected);
}

#[test]
fn the_client_finds_its_coordinator() {
    const STATE: (&str, &str) = ("COORD_STATE_DIR", "{}");
    check_client(&[], "", "ws://127.0.0.1:8768/ws", None);
    check_client(&[STATE], "", "ws://127.0.0.1:8768/ws", Some("operator"));
    check_client(
        &[STATE, ("COORD_PROFILE", "staging")],
        "",
        "ws://127.0.0.1:8767/ws",
        Some("operator"),
    );
    check_client(
        &[("WEBSOCKET_PORT", "9000")],
        "",
        "ws://127.0.0.1:9000/ws",
        None,
    );
    check_client(
        &[STATE, ("COORD_TOKEN", "mine")],
        "url = \"wss://gateway.example\"\ntoken = \"file\"\n",
        "wss://gateway.example:443/ws",
        Some("mine"),
    );
    check_client(
        &[("COORD_TOKEN_FILE", "{}/operator.token")],
        "",
        "ws://127.0.0.1:8768/ws",
        Some("operator"),
    );
    check_client(
        &[("COORD_URL", "ws://[::1]:9000/other")],
        "url = \"wss://gateway.example\"\n",
        "ws://[::1]:9000/other",
        None,
    );
}

#[test]
fn the_operators_token_stays_on_this_machine() {
    check_client(
        &[
            ("COORD_STATE_DIR", "{}"),
            ("COORD_URL", "wss://gateway.example/"),
        ],
        "",
        "wss://gateway.example:443/ws",
        None,
    );
}

#[test]
fn the_client_is_told_what_is_wrong() {
    const RIGHT: &str = "write ws://host:port/ws, or wss:// for TLS";
    for (url, expected) in [
        ("gateway", format!("the URL has no scheme; {RIGHT}")),
        (
            "https://gateway",
            format!("the URL's scheme is https, not wss; {RIGHT}"),
        ),
        (
            "ws://token@gateway",
            format!("the URL may have only a host, a port and a path; {RIGHT}; a token belongs in COORD_TOKEN or COORD_TOKEN_FILE"),
        ),
        (
            "ws://gateway:0",
            format!("\"0\" is not a port; {RIGHT}"),
        ),
        (
            "ws://gateway:8766/ws",
            "ws://gateway:8766/ws would send the token over the network unencrypted; use wss:, or set allow_plaintext = true (COORD_ALLOW_PLAINTEXT=true)".to_owned(),
        ),
    ] {
        check_client_refused(&[("COORD_URL", url)], "", &format!("COORD_URL: {expected}"));
    }
    check_client_refused(
        &[("COORD_PROJECT", "a b")],
        "ulr = 1\n",
        "2 values are invalid:\n  client.toml:1 ulr: this key does not exist; did you mean url?\n  COORD_PROJECT: a project name contains ' '; letters, digits and '-_.' are allowed, the first one a letter, digit or '_'; use a project name",
    );
}

#[test]
fn a_token_that_everybody_can_read_is_warned_of() {
    let (result, folder) = load_client(&[("COORD_STATE_DIR", "{}")], "", 0o644);
    let config = result.expect("a warning is no error");
    assert_eq!(
        config.warnings[0].to_string(),
        format!(
            "{}/operator.token: everybody on this machine can read it; run chmod 600 on it",
            folder.path().display()
        )
    );
}

#[test]
fn a_certificate_can_be_pinned() {
    let digits = "AB".repeat(32);
    for text in [format!("SHA256:{digits}"), digits.clone(), "ab:".repeat(32)] {
        let (result, _folder) = load_client(&[("COORD_TLS_FINGERPRINT", &text)], "", 0o600);
        let Trust::Fingerprint(fingerprint) = result.expect("it is right").trust else {
            panic!("a fingerprint was given")
        };
        assert_eq!(fingerprint.0, [0xab; 32]);
        assert_eq!(
            fingerprint.to_string(),
            format!("SHA256:{}", digits.to_lowercase())
        );
    }
    check_client_refused(
        &[("COORD_TLS_FINGERPRINT", "abc")],
        "",
        "COORD_TLS_FINGERPRINT: \"abc\" is not a fingerprint; use 64 hexadecimal digits, as a coordinator prints at its start",
    );
}
