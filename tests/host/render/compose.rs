//! The compose file, read by compose itself, and its Redis, run as it would be in its container.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::tool::{self, Running};
use crate::support::port::HeldPort;
use crate::support::until;

/// What compose makes of a rendering; dollars come back doubled, as they would be written.
fn read(line: &[&str], variables: &[(&str, &str)]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let line = [&["compose"], line].concat();
    let file = tool::render(folder.path(), "compose.yaml", &line, variables);
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("hush-hush"), "{text}");
    let mut command = tool::program("docker-compose");
    command
        .arg("-f")
        .arg(&file)
        .args(["config", "--format", "json"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}\n{text}", tool::said(&output));
    let warned = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(warned, "", "{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What holds of every service of every compose file.
fn check(compose: &Value, services: &[&str]) {
    assert!(compose.get("version").is_none());
    let found: Vec<_> = compose["services"].as_object().unwrap().keys().collect();
    assert_eq!(found, services);
    for name in services {
        let service = &compose["services"][name];
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(
            service["security_opt"][0], "no-new-privileges:true",
            "{name}"
        );
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        assert!(service["healthcheck"]["test"].is_array(), "{name}");
        assert_eq!(service["logging"]["options"]["max-size"], "10m", "{name}");
        assert_eq!(service["volumes"][0]["type"], "volume", "{name}");
        let user = service["user"].as_str().unwrap();
        assert!(
            !user.starts_with('0') && user.contains(':'),
            "{name}: {user}"
        );
        assert!(service.get("privileged").is_none(), "{name}");
    }
}

/// Address, port outside and port inside of each published port.
fn ports(compose: &Value, service: &str) -> Vec<(String, String, u64)> {
    let ports = compose["services"][service]["ports"].as_array().unwrap();
    ports
        .iter()
        .map(|port| {
            let text = |key: &str| port[key].as_str().unwrap().to_owned();
            (
                text("host_ip"),
                text("published"),
                port["target"].as_u64().unwrap(),
            )
        })
        .collect()
}

fn on(address: &str, port: u16) -> (String, String, u64) {
    (address.to_owned(), port.to_string(), port.into())
}

#[test]
fn an_embedded_journal_has_no_redis() {
    for (profile, websocket, metrics) in [
        ("production", 8766, 9091),
        ("staging", 8767, 9092),
        ("development", 8768, 9093),
        ("testing", 8769, 9094),
    ] {
        let compose = read(&[], &[("COORD_PROFILE", profile)]);
        check(&compose, &["cli-coordinator"]);
        let loopback = |port| on("127.0.0.1", port);
        assert_eq!(
            ports(&compose, "cli-coordinator"),
            [loopback(websocket), loopback(metrics)]
        );
        let environment = &compose["services"]["cli-coordinator"]["environment"];
        assert_eq!(environment["COORD_PROFILE"], profile);
        assert!(environment.get("REDIS_HOST").is_none());
        assert!(compose.get("secrets").is_none());
    }
}

#[test]
fn a_redis_of_this_machine_is_a_service_with_a_password_in_a_file() {
    let compose = read(
        &[],
        &[("REDIS_PORT", "6382"), ("REDIS_PASSWORD", "hush-hush")],
    );
    check(&compose, &["cli-coordinator", "redis"]);
    assert_eq!(ports(&compose, "redis"), [on("127.0.0.1", 6382)]);
    let coordinator = &compose["services"]["cli-coordinator"];
    assert_eq!(
        coordinator["depends_on"]["redis"]["condition"],
        "service_healthy"
    );
    let environment = &coordinator["environment"];
    assert_eq!(environment["REDIS_HOST"], "redis");
    assert_eq!(environment["REDIS_PORT"], "6382");
    assert_eq!(
        environment["REDIS_PASSWORD_FILE"],
        "/run/secrets/redis_password"
    );
    assert!(environment.get("REDIS_PASSWORD").is_none());
    assert_eq!(compose["services"]["redis"]["image"], "redis:7-alpine");
    for service in ["redis", "cli-coordinator"] {
        assert_eq!(
            compose["services"][service]["secrets"][0]["source"],
            "redis_password"
        );
    }
    let file = compose["secrets"]["redis_password"]["file"]
        .as_str()
        .unwrap();
    assert!(file.ends_with("/secrets/redis_password"), "{file}");
}

#[test]
fn a_redis_elsewhere_is_only_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("$pass \"word\"");
    fs::write(&file, "hush-hush").unwrap();
    let file = file.to_str().unwrap();
    let variables = [
        ("REDIS_HOST", "my-redis-server.com"),
        ("REDIS_PORT", "6400"),
        ("REDIS_USER", "a$b\"c\n- d: ${HOME}"),
        ("REDIS_PASSWORD_FILE", file),
        ("REDIS_TLS", "true"),
    ];
    let compose = read(&[], &variables);
    check(&compose, &["cli-coordinator"]);
    let environment = &compose["services"]["cli-coordinator"]["environment"];
    assert_eq!(environment["REDIS_HOST"], "my-redis-server.com");
    assert_eq!(environment["REDIS_TLS"], "true");
    assert_eq!(environment["REDIS_USER"], "a$$b\"c\n- d: $${HOME}");
    let mounted = compose["secrets"]["redis_password"]["file"]
        .as_str()
        .unwrap();
    assert_eq!(mounted.replace("$$", "$"), file);
}

#[test]
fn ports_are_published_where_the_configuration_says() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("pem");
    fs::write(&file, "x").unwrap();
    let file = file.to_str().unwrap();
    let variables = [
        ("WEBSOCKET_HOST", "::"),
        ("WEBSOCKET_PORT", "9000"),
        ("WEBSOCKET_SSL_ENABLED", "true"),
        ("COORD_TLS_CERTIFICATE_FILE", file),
        ("COORD_TLS_KEY_FILE", file),
        ("COORD_METRICS_HOST", "localhost"),
    ];
    let compose = read(&["--image=registry.example/coord:1"], &variables);
    check(&compose, &["cli-coordinator"]);
    let published = ports(&compose, "cli-coordinator");
    assert_eq!(published, [on("::", 9000), on("127.0.0.1", 9093)]);
    let coordinator = &compose["services"]["cli-coordinator"];
    assert_eq!(coordinator["image"], "registry.example/coord:1");
    assert!(coordinator.get("build").is_none());
    let environment = &coordinator["environment"];
    assert_eq!(environment["COORD_TLS_KEY_FILE"], "/run/secrets/tls_key");
    // With TLS nothing but the metrics, which have no secret, needs to be allowed in the clear.
    assert!(environment.get("COORD_ALLOW_PLAINTEXT").is_none());
    assert_eq!(compose["secrets"]["tls_key"]["file"], file);
}

/// The coordinator in the container is content with what it is told, and has the ports that the host
/// knows: one configuration, as the fingerprint would tell.
fn check_inside(variables: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let compose = read(&[], variables);
    let secret = folder.path().join("secret");
    fs::write(&secret, "hush-hush").unwrap();
    let inside = compose["services"]["cli-coordinator"]["environment"].as_object();
    let inside: Vec<(&str, String)> = inside
        .unwrap()
        .iter()
        .map(|(name, value)| {
            let value = value.as_str().unwrap().replace("$$", "$");
            // Where the engine would have mounted each.
            let mounted = value.starts_with("/run/secrets/");
            let place = || secret.to_str().unwrap().to_owned();
            (name.as_str(), if mounted { place() } else { value })
        })
        .collect();
    let inside: Vec<(&str, &str)> = inside.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let show = |variables: &[(&str, &str)]| -> Value {
        let line = ["config", "show", "--json"];
        let text = tool::printed(&mut tool::coord(folder.path(), &line, variables));
        serde_json::from_str(&text).unwrap()
    };
    let (outside, inside) = (show(variables), show(&inside));
    for key in [
        "profile",
        "websocket.port",
        "websocket.tls",
        "metrics.port",
        "metrics.path",
        "redis.port",
        "redis.user",
        "redis.database",
        "log.level",
    ] {
        let value = |shown: &Value| shown["settings"][key]["value"].clone();
        assert_eq!(value(&outside), value(&inside), "{key}");
    }
    assert_eq!(inside["settings"]["websocket.host"]["value"], "0.0.0.0");
    assert_eq!(inside["settings"]["state_dir"]["value"], "/var/lib/coord");
}

#[test]
fn its_coordinator_is_content_with_what_it_is_told() {
    check_inside(&[]);
    check_inside(&[
        ("COORD_PROFILE", "production"),
        ("METRICS_PATH", "/custom-metrics"),
    ]);
    check_inside(&[
        ("REDIS_PORT", "6400"),
        ("REDIS_USER", "coord"),
        ("REDIS_PASSWORD", "hush-hush"),
    ]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let file = file.path().to_str().unwrap();
    check_inside(&[
        ("WEBSOCKET_HOST", "0.0.0.0"),
        ("WEBSOCKET_SSL_ENABLED", "true"),
        ("COORD_TLS_CERTIFICATE_FILE", file),
        ("COORD_TLS_KEY_FILE", file),
        ("COORD_LOG", "debug"),
    ]);
    check_inside(&[
        ("REDIS_URL", "rediss://u:hush-hush@redis.example:1/2"),
        ("WEBSOCKET_SSL_ENABLED", "true"),
    ]);
}

/// The words of a service's command as its container would get them, with the container's places
/// moved into a folder.
fn moved(words: &Value, folder: &Path) -> Vec<String> {
    let place = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let words = words.as_array().unwrap().iter();
    words
        .map(|word| {
            word.as_str()
                .unwrap()
                .replace("$$", "$")
                .replace("/run/secrets/redis_password", &place("password"))
                .replace("/run/redis", &place("run"))
                .replace("/data", &place("data"))
        })
        .collect()
}

async fn check_redis(user: Option<&str>) {
    let (folder, port) = (tempfile::tempdir().unwrap(), HeldPort::take());
    let number = port.number().to_string();
    let mut variables = vec![
        ("REDIS_PORT", number.as_str()),
        ("REDIS_PASSWORD", "hush-hush"),
    ];
    variables.extend(user.map(|user| ("REDIS_USER", user)));
    let compose = read(&[], &variables);
    let redis = &compose["services"]["redis"];
    for place in ["run", "data"] {
        fs::create_dir(folder.path().join(place)).unwrap();
    }
    let password = r#"a "b" $(c) 'd' \e"#;
    fs::write(folder.path().join("password"), format!("{password}\n")).unwrap();
    let mut command = moved(&redis["command"], folder.path());
    // Its container has a network of its own; this test has not.
    command[2] = command[2].replace("protected-mode no", "protected-mode no\nbind 127.0.0.1");
    assert!(command[2].contains("bind 127.0.0.1"), "{command:?}");
    let test = moved(&redis["healthcheck"]["test"], folder.path());
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let server = Running::start(Command::new(&command[0]).args(&command[1..]).stdout(log));
    let healthy = || Command::new("sh").arg("-c").arg(&test[1]).status().unwrap();
    assert_eq!(test[0], "CMD-SHELL");
    until("the healthcheck to pass", async || {
        healthy().success().then_some(())
    })
    .await;
    let ask = |login: &[&str]| {
        let mut command = tool::program("redis-cli");
        command
            .args(["-p", &number])
            .args(login)
            .args(["config", "get", "appendfsync"]);
        tool::said(&command.output().unwrap())
    };
    let user = user.unwrap_or("default");
    let known = ask(&["--no-auth-warning", "--user", user, "--pass", password]);
    assert!(known.contains("always"), "{known}");
    assert!(ask(&[]).contains("NOAUTH"), "a stranger is let in");
    let wrong = ask(&["--no-auth-warning", "--user", user, "--pass", "hush-hush"]);
    assert!(
        wrong.contains("NOAUTH") || wrong.contains("WRONGPASS"),
        "{wrong}"
    );
    // Neither its arguments nor its file show the password.
    let arguments = fs::read(format!("/proc/{}/cmdline", server.0.id())).unwrap();
    let kept = fs::read_to_string(folder.path().join("run/redis.conf")).unwrap();
    let shown = String::from_utf8_lossy(&arguments).into_owned() + &kept;
    assert!(!shown.contains("$(c)"), "{shown}");
    fs::write(folder.path().join("password"), "another").unwrap();
    assert!(!healthy().success(), "a wrong password is healthy");
}

#[tokio::test]
async fn its_redis_lets_in_who_knows_the_password() {
    check_redis(None).await;
}

#[tokio::test]
async fn its_redis_has_the_configured_user() {
    check_redis(Some("coord")).await;
}
