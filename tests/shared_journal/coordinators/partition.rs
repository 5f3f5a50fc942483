//! One coordinator is cut off from Redis by the network, and the others are not.

use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::WORKERS;
use super::deployment::Deployment;
use super::traffic::Traffic;
use crate::support::coordinator::Start;
use crate::support::load;
use crate::support::{redis, until};

/// A Redis in a network namespace of its own, reached over two addresses.
struct Far {
    name: String,
    redis: Child,
    folder: tempfile::TempDir,
}

fn ip(words: &[&str]) {
    let status = Command::new("ip").args(words).status().unwrap();
    assert!(status.success(), "ip {words:?}: run this as root");
}

const ADDRESSES: [&str; 2] = ["10.213.77.2", "10.213.77.3"];

impl Far {
    async fn start() -> Self {
        let name = format!("coord-far-{}", std::process::id());
        let (near, far) = ("coordfar0", "coordfar1");
        ip(&["netns", "add", &name]);
        ip(&[
            "link", "add", near, "type", "veth", "peer", "name", far, "netns", &name,
        ]);
        ip(&["addr", "add", "10.213.77.1/24", "dev", near]);
        ip(&["link", "set", near, "up"]);
        for address in ADDRESSES {
            ip(&[
                "-n",
                &name,
                "addr",
                "add",
                &format!("{address}/24"),
                "dev",
                far,
            ]);
        }
        ip(&["-n", &name, "link", "set", far, "up"]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        let folder = tempfile::tempdir().unwrap();
        let redis = Command::new("ip")
            .args(["netns", "exec", &name, &redis::program(), "--port", "6379"])
            .args(["--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let far = Self {
            name,
            redis,
            folder,
        };
        until("Redis to listen", async || {
            tokio::net::TcpStream::connect((ADDRESSES[0], 6379))
                .await
                .ok()
        })
        .await;
        far
    }

    /// Packets to and from the second address vanish, as behind a broken cable.
    fn cut(&self, cut: bool) {
        let rule = if cut {
            "add table ip cut; add chain ip cut in { type filter hook input priority 0; }; \
             add rule ip cut in ip daddr 10.213.77.3 drop"
        } else {
            "delete table ip cut"
        };
        let status = Command::new("ip")
            .args(["netns", "exec", &self.name, "nft", rule])
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // `ip netns exec` has become Redis itself.
        let _ = self.redis.kill();
        let _ = self.redis.wait();
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
        let _ = self.folder.path();
    }
}

async fn coordinator(address: &str, number: usize) -> crate::support::Coordinator {
    Start::new()
        .variable("COORD_NODE_NAME", format!("box-{number}"))
        .variable("REDIS_HOST", address)
        .variable("REDIS_PORT", 6379)
        .run()
        .await
}

#[tokio::test]
async fn a_coordinator_cut_off_from_redis_says_so_and_catches_up() {
    let far = Far::start().await;
    let mut deployment = Deployment {
        coordinators: vec![
            coordinator(ADDRESSES[0], 0).await,
            coordinator(ADDRESSES[0], 1).await,
            coordinator(ADDRESSES[1], 2).await,
        ],
    };
    let workers = load::tokens(&deployment.coordinators[0], WORKERS).await;
    let traffic = Traffic::start(&workers, &deployment.ports());
    traffic.acknowledges(100).await;
    far.cut(true);
    let cut = async {
        deployment.says(2, "journal_unreachable").await;
        deployment.says(0, "ready").await;
        let mut operator = deployment.coordinators[2].operator().await;
        let stale = operator.call("task.list", json!({})).await.unwrap();
        assert!(stale["stale_ms"].is_u64(), "{stale}");
    };
    Box::pin(traffic.beside(cut)).await;
    // The others go on without it.
    traffic.acknowledges(100).await;
    far.cut(false);
    traffic.beside(deployment.ready()).await;
    traffic.acknowledges(100).await;
    let record = traffic.end().await;
    deployment.check(&record).await;
    assert_eq!(deployment.metric("coord_shared_tails_lost_total").await, 0);
}
