//! Who may change a running node: with a token only who knows it, from the node's own machine too.

#[allow(unreachable_pub, reason = "shared between test binaries")]
mod support;

use std::process::{Command, Output};

use support::Cluster;

fn synod(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_synod"))
        .args(arguments)
        .env_remove("SYNOD_OPERATORS_TOKEN_FILE")
        .output()
        .expect("the binary runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[tokio::test]
async fn a_node_with_a_token_is_changed_by_those_who_know_it_and_answers_everybody() {
    let settings = "[operators]\ntoken_file = \"token\"\n";
    let mut cluster = Cluster::prepare_with(1, "majority", &[], settings);
    let token = cluster.folder.path().join("token");
    std::fs::write(&token, "short").expect("written");
    cluster.members[0].start(true);
    let (code, reason) = cluster.members[0].ended().await;
    assert_eq!(code, Some(2), "{reason}");
    assert!(cluster.logs().contains("operators.token_file"), "{}", cluster.logs());
    std::fs::write(&token, "the word of the day, renewed now and then".replace(' ', "-")).expect("written");
    cluster.members[0].start(true);
    cluster.leader().await;

    let endpoint = format!("127.0.0.1:{}", cluster.members[0].http);
    let wrong = cluster.folder.path().join("wrong");
    std::fs::write(&wrong, "not-the-word-of-the-day").expect("written");
    let file = |path: &std::path::Path| path.to_str().expect("a plain path").to_owned();
    let (token, wrong) = (file(&token), file(&wrong));
    // Questions are answered.
    let shown = synod(&["quorum", "show", "--endpoint", &endpoint]);
    assert!(shown.status.success(), "{}", said(&shown));
    let drain = ["drain", "--endpoint", &endpoint, "--linger", "0s"];
    let demote = [
        "quorum",
        "apply",
        "--system",
        "counts 1/1",
        "--endpoint",
        &endpoint,
        "--accept-risk",
        "one-disk",
    ];
    for change in [&drain[..], &demote[..]] {
        for more in [&[][..], &["--token-file", &wrong]] {
            let refused = synod(&[change, more].concat());
            assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
            assert!(
                said(&refused).contains("knows its operators' token"),
                "{}",
                said(&refused)
            );
        }
    }
    let unread = synod(&[&drain[..], &["--token-file", "/nowhere/token"]].concat());
    assert!(
        said(&unread).contains("/nowhere/token cannot be read"),
        "{}",
        said(&unread)
    );
    let changed = synod(&[&demote[..], &["--token-file", &token]].concat());
    assert!(changed.status.success(), "{}", said(&changed));
    // The only node leads on, so the drain itself says that nobody could take over; but it is done.
    let drained = synod(&[&drain[..], &["--token-file", &token]].concat());
    assert!(
        said(&drained).contains("no other node could take over"),
        "{}",
        said(&drained)
    );
    let status = cluster.members[0].status().await.expect("it answers");
    assert!(status.draining);
}
