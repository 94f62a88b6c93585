//! One etcd process on loopback.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use node::proto::etcdserverpb::RangeRequest;
use node::proto::etcdserverpb::kv_client::KvClient;
use tonic::transport::Channel;

const BINARY: &str = "/usr/bin/etcd";
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs until dropped.
pub(crate) struct Etcd {
    pub(crate) endpoint: String,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Etcd {
    /// `None` if etcd is not installed.
    pub(crate) async fn start() -> Option<Etcd> {
        if !Path::new(BINARY).exists() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = || {
            TcpListener::bind("127.0.0.1:0")
                .expect("loopback has ports")
                .local_addr()
                .expect("bound")
                .port()
        };
        let (client, peer) = (
            format!("http://127.0.0.1:{}", port()),
            format!("http://127.0.0.1:{}", port()),
        );
        let child = Command::new(BINARY)
            .args(["--name", "a", "--data-dir"])
            .arg(folder.path())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("a={peer}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd starts");
        let etcd = Etcd {
            endpoint: client,
            child,
            _folder: folder,
        };
        let begin = Instant::now();
        loop {
            let channel = Channel::from_shared(etcd.endpoint.clone())
                .expect("a URL")
                .connect()
                .await;
            if let Ok(channel) = channel
                && KvClient::new(channel)
                    .range(RangeRequest {
                        key: "x".into(),
                        ..RangeRequest::default()
                    })
                    .await
                    .is_ok()
            {
                return Some(etcd);
            }
            assert!(begin.elapsed() < PATIENCE, "etcd does not answer within {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
