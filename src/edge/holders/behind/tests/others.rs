//! Tunnels, managers and sessions.

use super::{check, check_words, kind};
use crate::edge::holders::behind::of;
use crate::edge::holders::facts::Facts;

#[test]
fn an_ssh_client_says_where_its_forward_leads() {
    check_words(
        "ssh -N -L 8080:localhost:80 -p 22 ana@box",
        "ssh",
        &["ssh ana@box coord ports stop 80"],
    );
    check_words(
        "ssh -fNL 8080:localhost:80 box",
        "ssh",
        &["ssh box coord ports stop 80"],
    );
    check_words(
        "ssh -L127.0.0.1:8080:127.0.0.1:81 -v box top",
        "ssh",
        &["ssh box coord ports stop 81"],
    );
    check_words(
        "ssh -L 9:localhost:9 -L 8080:localhost:80 box",
        "ssh",
        &["ssh box coord ports stop 80"],
    );
    // Another machine than the one that is logged in to; no target at all; words that are none.
    check_words("ssh -L 8080:db:5432 box", "ssh", &[]);
    check_words("ssh -D 8080 box", "ssh", &[]);
    check_words("ssh -L 8080:localhost:80 `reboot`", "ssh", &[]);
    check_words("autossh -M 8080 box", "ssh", &[]);
    let mut shared = Facts::of_words("ssh");
    shared.program.words = vec!["ssh: /home/ana/.ssh/box [mux]".into()];
    check(&shared, "ssh", &[]);
    let found = of(&Facts::of_words("ssh -L 8080:db:5432 box")).expect("it is one");
    assert_eq!(
        found.is,
        "an SSH client that forwards the port to db:5432, as box sees it"
    );
}

#[test]
fn forwards_into_a_cluster_and_tunnels_are_known() {
    check_words(
        "kubectl port-forward -n shop web-1 8080:80",
        "kubectl",
        &["kubectl --namespace shop delete pod web-1"],
    );
    check_words(
        "kubectl port-forward deploy/web 8080:80",
        "kubectl",
        &["kubectl scale deploy/web --replicas=0"],
    );
    check_words(
        "kubectl port-forward svc/web 8080:80 --token=secret",
        "kubectl",
        &[],
    );
    let words = "kubectl --token secret port-forward svc/web 8080:80";
    let found = of(&Facts::of_words(words)).expect("it is one");
    assert!(!format!("{found:?}").contains("secret"), "{found:?}");
    for program in [
        "cloud-sql-proxy",
        "session-manager-plugin {}",
        "cloudflared access tcp --url localhost:8080",
    ] {
        assert_eq!(kind(program), Some("cloud-tunnel"), "{program}");
    }
    for program in ["ngrok http 80", "cloudflared tunnel run"] {
        assert_eq!(kind(program), Some("public-tunnel"), "{program}");
    }
    check_words(
        "tailscaled",
        "tailscale",
        &["tailscale serve status", "tailscale serve --tcp=8080 off"],
    );
    check_words(
        "adb -L tcp:5037 fork-server server",
        "adb",
        &["adb forward --list", "adb forward --remove tcp:8080"],
    );
}

#[test]
fn managers_are_asked_instead_of_ended() {
    let mut systemd = Facts::of_words("/usr/lib/systemd/systemd --user");
    let list = [
        "systemctl --user list-sockets",
        "systemctl --user stop NAME.socket NAME.service",
    ];
    check(&systemd, "systemd", &list);
    systemd.program.pid = 1;
    systemd.socket_units = vec!["web.socket".into()];
    check(
        &systemd,
        "systemd",
        &["systemctl stop web.socket web.service"],
    );
    let mut first = Facts::of_words("node server.js");
    first.program.pid = 1;
    check(&first, "init", &[]);
    let supervisor = ["supervisorctl status", "supervisorctl stop NAME"];
    check_words(
        "/usr/bin/python3 /usr/bin/supervisord",
        "supervisord",
        &supervisor,
    );
    check_words("PM2 v5: God Daemon", "pm2", &["pm2 list", "pm2 stop NAME"]);
    for program in ["xinetd", "/usr/sbin/inetd"] {
        assert_eq!(kind(program), Some("inetd"), "{program}");
    }
}

#[test]
fn sessions_editors_and_agents_are_left_alone() {
    let sshd = |title: &str| {
        let mut facts = Facts::of_words("/usr/sbin/sshd");
        facts.program.words = vec![title.into()];
        of(&facts).expect("it is one").kind
    };
    for title in [
        "sshd: ana@pts/0",
        "sshd: ana",
        "sshd: ana@notty",
        "sshd-session: ana@pts/0",
    ] {
        assert_eq!(sshd(title), "ssh-session", "{title}");
    }
    for title in [
        "/usr/sbin/sshd -D",
        "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups",
    ] {
        assert_eq!(sshd(title), "ssh-server", "{title}");
    }
    let node =
        "/home/ana/.vscode-server/cli/servers/x/server/node /x/out/server-main.js --start-server";
    for program in [
        node,
        "/usr/share/code/code --type=utility",
        "/usr/bin/node /x/out/server-main.js",
    ] {
        assert_eq!(kind(program), Some("ide"), "{program}");
    }
    for program in [
        "claude --resume",
        "codex",
        "/usr/bin/node /usr/lib/gemini-cli/index.js",
    ] {
        assert_eq!(kind(program), Some("agent"), "{program}");
    }
    let units = "systemctl stop coord.service coord.socket coord-metrics.socket";
    let coordinator = Facts::of_words("/usr/bin/coord serve");
    check(&coordinator, "coordinator", &[]);
    check(
        &coordinator.in_group("/system.slice/coord.service"),
        "coordinator",
        &[units],
    );
}
