//! The little HTTP that the command line needs: one question to a node's own port.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::settings::token;

/// No page of a node is larger.
const MAX_ANSWER: u64 = 16 << 20;

/// How an operator shows a node to be one.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Operator {
    /// Holds the token that the node wants from operators, if it has operators.token_file; else changes are taken from the
    /// node's own machine only
    #[arg(long, value_name = "FILE", env = "SYNOD_OPERATORS_TOKEN_FILE")]
    pub(super) token_file: Option<PathBuf>,
}

/// Fetches a page. `endpoint` is `host:port`, with or without `http://`.
///
/// # Errors
/// A sentence: not reachable, no answer in time, or another status than 200.
pub(super) fn get(endpoint: &str, path: &str, timeout: Duration) -> Result<String, String> {
    let host = host(endpoint);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    match ask(host, &request, timeout)? {
        (200, body) => Ok(body),
        (code, body) => Err(format!("{host}: HTTP status {code}: {}", body.trim())),
    }
}

/// Sends JSON; returns the status code and the answer, whatever they are.
///
/// # Errors
/// A sentence: not reachable, or no answer in time. Then it is not known whether the node has heard.
pub(super) fn post(
    endpoint: &str,
    path: &str,
    json: &str,
    operator: &Operator,
    timeout: Duration,
) -> Result<(u16, String), String> {
    let host = host(endpoint);
    let length = json.len();
    let authorization = match &operator.token_file {
        Some(file) => format!("Authorization: Bearer {}\r\n", token::read(file)?),
        None => String::new(),
    };
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}Content-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{json}"
    );
    ask(host, &request, timeout)
}

fn host(endpoint: &str) -> &str {
    let endpoint = endpoint.trim().trim_end_matches('/');
    endpoint.strip_prefix("http://").unwrap_or(endpoint)
}

fn ask(host: &str, request: &str, timeout: Duration) -> Result<(u16, String), String> {
    let addresses = host
        .to_socket_addrs()
        .map_err(|error| format!("{host} is not host:port: {error}"))?;
    let mut reason = "the name has no address".to_owned();
    for address in addresses {
        let stream = match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => stream,
            Err(error) => {
                reason = error.to_string();
                continue;
            }
        };
        return exchange(stream, request, timeout).map_err(|error| format!("{host}: {error}"));
    }
    Err(format!("{host}: {reason}"))
}

fn exchange(mut stream: TcpStream, request: &str, timeout: Duration) -> Result<(u16, String), String> {
    let failed = |error: std::io::Error| error.to_string();
    stream.set_read_timeout(Some(timeout)).map_err(failed)?;
    stream.set_write_timeout(Some(timeout)).map_err(failed)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).map_err(failed)?;
    let answer = String::from_utf8(answer).map_err(|_| "the answer is not text".to_owned())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer is not HTTP")?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((code.ok_or("the answer is not HTTP")?, body.to_owned()))
}
