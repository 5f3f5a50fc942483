//! The whole way, on a copy of what the kernel shows and on the kernel's own.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use super::*;

#[test]
fn this_process_finds_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let port = listener.local_addr().expect("it is bound").port();
    let found = of_port(Path::new(PROC), port).expect("the kernel tells");
    assert_eq!(found.len(), 1, "{found:?}");
    let pids: Vec<u32> = found[0].processes.iter().map(|p| p.pid).collect();
    assert!(pids.contains(&std::process::id()), "{found:?}");
    assert!(found[0].is_in_the_way_of(listener.local_addr().expect("it is bound").ip()));
    assert!(!found[0].is_in_the_way_of("127.0.0.2".parse().expect("it is one")));
    drop(listener);
    assert_eq!(
        of_port(Path::new(PROC), port).expect("the kernel tells"),
        []
    );
}

#[test]
fn a_process_that_may_not_be_seen_is_told_by_its_user() {
    let proc = tempfile::tempdir().expect("there is room");
    let net = proc.path().join("self/net");
    fs::create_dir_all(&net).expect("there is room");
    let line = "0: 00000000:18EC 00000000:0000 0A 0:0 00:0 0 4242 0 99 1\n\
                1: 0100007F:18EC 00000000:0000 0A 0:0 00:0 0 4242 0 98 1\n";
    fs::write(net.join("tcp"), line).expect("there is room");
    let other = proc.path().join("77");
    fs::create_dir_all(other.join("fd")).expect("there is room");
    symlink("socket:[98]", other.join("fd/3")).expect("there is room");
    fs::write(other.join("comm"), "redis-server\n").expect("there is room");
    fs::write(other.join("cgroup"), "0::/system.slice/redis.service\n").expect("there is room");
    let found = of_port(proc.path(), 6380).expect("the table is there");
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[0].to_string(),
        "a process of user 4242 that this user may not see"
    );
    assert_eq!(
        found[1].to_string(),
        "redis-server (process 77, redis.service, user 4242)"
    );
}
