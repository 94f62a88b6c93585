//! The little HTTP that the command line needs: one GET from a node's own port.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// No page of a node is larger.
const MAX_ANSWER: u64 = 16 << 20;

/// Fetches a page. `endpoint` is `host:port`, with or without `http://`.
///
/// # Errors
/// A sentence: not reachable, no answer in time, or another status than 200.
pub(super) fn get(endpoint: &str, path: &str, timeout: Duration) -> Result<String, String> {
    let endpoint = endpoint.trim().trim_end_matches('/');
    let endpoint = endpoint.strip_prefix("http://").unwrap_or(endpoint);
    let addresses = endpoint
        .to_socket_addrs()
        .map_err(|error| format!("{endpoint} is not host:port: {error}"))?;
    let mut reason = "the name has no address".to_owned();
    for address in addresses {
        let stream = match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => stream,
            Err(error) => {
                reason = error.to_string();
                continue;
            }
        };
        return exchange(stream, endpoint, path, timeout).map_err(|error| format!("{endpoint}: {error}"));
    }
    Err(format!("{endpoint}: {reason}"))
}

fn exchange(mut stream: TcpStream, host: &str, path: &str, timeout: Duration) -> Result<String, String> {
    let failed = |error: std::io::Error| error.to_string();
    stream.set_read_timeout(Some(timeout)).map_err(failed)?;
    stream.set_write_timeout(Some(timeout)).map_err(failed)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .map_err(failed)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).map_err(failed)?;
    let answer = String::from_utf8(answer).map_err(|_| "the answer is not text".to_owned())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer is not HTTP")?;
    let code = head.split(' ').nth(1).unwrap_or_default();
    if code == "200" {
        Ok(body.to_owned())
    } else {
        Err(format!("HTTP status {code}: {}", body.trim()))
    }
}
