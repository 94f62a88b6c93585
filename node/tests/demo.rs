//! The newcomer's path: `synod demo`, another program's client, a killed leader, Ctrl-C.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The demo as a user runs it. Dropping it kills it; its nodes end with it.
struct Demo {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Demo {
    fn start(folder: &Path) -> Demo {
        let mut process = Command::new(env!("CARGO_BIN_EXE_synod"))
            .args(["demo", "--no-compare", "--samples", "2", "--dir"])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(process.stdout.take().expect("it is piped"));
        Demo { process, lines }
    }

    /// What the demo prints up to the line that begins with `last`.
    fn read_to(&mut self, last: &str) -> Vec<String> {
        let mut read = Vec::new();
        loop {
            let mut line = String::new();
            let length = self.lines.read_line(&mut line).expect("the demo prints text");
            assert!(length > 0, "the demo ended before it printed '{last}':\n{read:#?}");
            read.push(line.trim_end().to_owned());
            if line.starts_with(last) {
                return read;
            }
        }
    }

    /// Interrupts the demo as Ctrl-C does, and returns whether it says that all went well.
    fn interrupt(&mut self) -> bool {
        signal("-INT", self.process.id());
        let begin = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("it is a child") {
                return status.success();
            }
            assert!(begin.elapsed() < PATIENCE, "the demo does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Fails only if it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn signal(which: &str, process: u32) {
    let done = Command::new("kill").args([which, &process.to_string()]).status();
    assert!(
        done.expect("there is a kill command").success(),
        "kill {which} {process}"
    );
}

/// The process that the demo has started for a node.
fn node_process(demo: &Demo, node: u64) -> u32 {
    let threads = format!("/proc/{}/task", demo.process.id());
    let threads = std::fs::read_dir(threads).expect("the demo runs").flatten();
    let children = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let children = children.collect::<Vec<String>>().join(" ");
    let settings = format!("node-{node}.toml");
    let of_node = |process: &u32| {
        let arguments = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(&settings)
    };
    let mut processes = children.split_whitespace().filter_map(|text| text.parse().ok());
    processes
        .find(of_node)
        .unwrap_or_else(|| panic!("none of the demo's processes {children} is node {node}'s"))
}

/// What `etcdctl` prints, once it succeeds.
fn etcdctl(endpoint: &str, arguments: &[&str]) -> String {
    let begin = Instant::now();
    loop {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", endpoint, "--command-timeout", "2s"])
            .args(arguments)
            .output()
            .expect("etcdctl is installed; ./dev setup installs it");
        if output.status.success() {
            return String::from_utf8(output.stdout).expect("it prints text");
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "etcdctl {arguments:?} at {endpoint}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// The status line and the body of a page.
fn page(address: &str, path: &str) -> (String, String) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).expect("the node listens");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers with text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

fn leader(address: &str) -> Option<u64> {
    let status: serde_json::Value = serde_json::from_str(&page(address, "/v1/status").1).expect("the status is JSON");
    status["leader"].as_u64()
}

#[test]
fn a_demo_cluster_serves_another_programs_client_and_outlives_its_leader() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut demo = Demo::start(&folder.path().join("demo"));
    let printed = demo.read_to("Settings, logs and data");
    let word_after = |line: &str, mark: &str| {
        let rest = line.split_once(mark)?.1;
        rest.split_whitespace().next().map(str::to_owned)
    };
    let clients: Vec<String> = printed
        .iter()
        .filter_map(|line| word_after(line, "etcdctl --endpoints "))
        .collect();
    assert_eq!(clients.len(), 3, "an endpoint for each region: {printed:#?}");
    let invitation = printed.iter().find(|line| line.contains("synod status"));
    let pages: Vec<&str> = invitation
        .expect("the demo says how to ask for the status")
        .split("--endpoint ")
        .skip(1)
        .map(str::trim)
        .collect();
    assert_eq!(pages.len(), 5, "two nodes, two nodes and one");

    for address in &pages {
        for probe in ["/livez", "/readyz"] {
            let (status, body) = page(address, probe);
            assert_eq!(status, "HTTP/1.1 200 OK", "{probe} of {address}: {body}");
        }
    }
    assert_eq!(etcdctl(&clients[0], &["put", "greeting", "hello"]), "OK\n");
    for client in &clients {
        assert_eq!(etcdctl(client, &["get", "greeting"]), "greeting\nhello\n", "{client}");
    }

    let first = leader(pages[0]).expect("there is a leader");
    signal("-KILL", node_process(&demo, first));
    let ended = demo.read_to(&format!("node {first} "));
    assert!(ended.last().expect("it was read").contains("has ended"), "{ended:?}");
    // The nodes of the first region come first, and the demo's leader is one of them.
    assert_eq!(etcdctl(&clients[2], &["put", "greeting", "still here"]), "OK\n");
    assert_eq!(etcdctl(&clients[1], &["get", "greeting"]), "greeting\nstill here\n");
    let second = leader(pages[pages.len() - 1]).expect("there is a leader again");
    assert_ne!(second, first);

    assert!(demo.interrupt(), "the demo ends well when it is interrupted");
    for address in pages {
        assert!(
            std::net::TcpStream::connect(address).is_err(),
            "a node still listens on {address}"
        );
    }
}
