//! One HTTP/2 connection that carries gRPC calls, with nothing between the call and the frames.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use http::{Method, Request, Uri, Version};
use prost::Message;
use tokio::net::TcpStream;

/// How long to wait before a broken connection is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
const WINDOW_BYTES: u32 = 4 << 20;

/// Why a call gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallError {
    /// The server answered with an error.
    Status { code: u32, message: String },
    /// The connection failed.
    Broken(String),
    /// No answer in time.
    TimedOut,
}

impl CallError {
    /// A name for counting: gRPC's code with the server's text.
    pub(super) fn label(&self) -> String {
        match self {
            CallError::Status { code, message } => format!("{}: {message}", code_name(*code)),
            CallError::Broken(reason) => format!("connection: {reason}"),
            CallError::TimedOut => "no answer in time".to_owned(),
        }
    }

    /// Whether the server said that it did not take the request: overloaded, no leader, no quorum.
    pub(super) fn is_rejection(&self) -> bool {
        matches!(self, CallError::Status { code: 8 | 9 | 14, .. })
    }
}

fn code_name(code: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "Ok",
        "Cancelled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    NAMES.get(code as usize).copied().unwrap_or("UnknownCode")
}

/// A connection to one endpoint, reopened when it breaks; shared by the clients of one thread.
pub(super) struct Connection {
    endpoint: String,
    sender: RefCell<SendRequest<Bytes>>,
    /// Counts how often it was opened, so that of many clients who saw it break only one reopens it.
    generation: Cell<u64>,
}

impl Connection {
    /// Opens a connection; its frames are driven by a task of the current `LocalSet`.
    pub(super) async fn open(endpoint: &str) -> Result<Connection, CallError> {
        let sender = RefCell::new(handshake(endpoint).await?);
        Ok(Connection {
            endpoint: endpoint.to_owned(),
            sender,
            generation: Cell::new(0),
        })
    }

    /// A handle for one client.
    pub(super) fn client(&self) -> Client<'_> {
        Client {
            connection: self,
            sender: self.sender.borrow().clone(),
            generation: self.generation.get(),
        }
    }

    async fn reopen(&self, seen: u64) -> Result<(), CallError> {
        tokio::time::sleep(RECONNECT_PAUSE).await;
        if self.generation.get() == seen {
            self.generation.set(seen + 1);
            match handshake(&self.endpoint).await {
                Ok(sender) => *self.sender.borrow_mut() = sender,
                Err(error) => {
                    self.generation.set(seen);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

async fn handshake(endpoint: &str) -> Result<SendRequest<Bytes>, CallError> {
    let broken = |what: &str, error: &dyn std::fmt::Display| CallError::Broken(format!("{what} {endpoint}: {error}"));
    let stream = TcpStream::connect(endpoint)
        .await
        .map_err(|error| broken("cannot connect to", &error))?;
    stream
        .set_nodelay(true)
        .map_err(|error| broken("cannot set up the socket to", &error))?;
    let (sender, driver) = h2::client::Builder::new()
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .enable_push(false)
        .handshake(stream)
        .await
        .map_err(|error| broken("no HTTP/2 at", &error))?;
    tokio::task::spawn_local(async move {
        // Whoever is waiting for an answer sees the failure and counts it.
        let _ = driver.await;
    });
    Ok(sender)
}

/// One client's handle on a connection.
pub(super) struct Client<'a> {
    connection: &'a Connection,
    sender: SendRequest<Bytes>,
    generation: u64,
}

impl Client<'_> {
    /// Sends a framed request and returns the answer's message.
    pub(super) async fn call(&mut self, path: &str, frame: Bytes, timeout: Duration) -> Result<Bytes, CallError> {
        match tokio::time::timeout(timeout, self.exchange(path, frame)).await {
            Ok(Err(CallError::Broken(reason))) => {
                // A failed attempt to reopen is seen, and counted, by the next call.
                let _ = self.connection.reopen(self.generation).await;
                self.sender = self.connection.sender.borrow().clone();
                self.generation = self.connection.generation.get();
                Err(CallError::Broken(reason))
            }
            Ok(result) => result,
            Err(_elapsed) => Err(CallError::TimedOut),
        }
    }

    /// As [`Client::call`], with the answer decoded.
    pub(super) async fn ask<T: Message + Default>(
        &mut self,
        path: &str,
        frame: Bytes,
        timeout: Duration,
    ) -> Result<T, CallError> {
        let answer = self.call(path, frame, timeout).await?;
        T::decode(answer).map_err(|error| CallError::Broken(format!("the answer does not decode: {error}")))
    }

    async fn exchange(&mut self, path: &str, frame: Bytes) -> Result<Bytes, CallError> {
        poll_fn(|cx| self.sender.poll_ready(cx))
            .await
            .map_err(|error| broken(&error))?;
        let request = self.request(path)?;
        let (response, mut body) = self
            .sender
            .send_request(request, false)
            .map_err(|error| broken(&error))?;
        body.send_data(frame, true).map_err(|error| broken(&error))?;
        let response = response.await.map_err(|error| broken(&error))?;
        if let Some(error) = status(response.headers()) {
            return error.map_or_else(|| Err(CallError::Broken("an answer without a message".to_owned())), Err);
        }
        if response.status() != http::StatusCode::OK {
            return Err(CallError::Broken(format!("HTTP status {}", response.status())));
        }
        let mut body = response.into_body();
        let mut answer = BytesMut::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.map_err(|error| broken(&error))?;
            // Fails only if the stream has ended, which the next read reports.
            let _ = body.flow_control().release_capacity(chunk.len());
            answer.extend_from_slice(&chunk);
        }
        let trailers = body
            .trailers()
            .await
            .map_err(|error| broken(&error))?
            .unwrap_or_default();
        match status(&trailers) {
            Some(None) if answer.len() >= 5 => Ok(answer.freeze().slice(5..)),
            Some(None) => Err(CallError::Broken("an answer without a message".to_owned())),
            Some(Some(error)) => Err(error),
            None => Err(CallError::Broken("an answer without a status".to_owned())),
        }
    }

    fn request(&self, path: &str) -> Result<Request<()>, CallError> {
        let uri = Uri::builder()
            .scheme("http")
            .authority(self.connection.endpoint.as_str())
            .path_and_query(path)
            .build()
            .map_err(|error| CallError::Broken(format!("{}: {error}", self.connection.endpoint)))?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        Ok(request)
    }
}

fn broken(error: &h2::Error) -> CallError {
    CallError::Broken(error.to_string())
}

/// The call's status if these headers carry it: `Some(None)` is success.
fn status(headers: &HeaderMap) -> Option<Option<CallError>> {
    const STATUS: HeaderName = HeaderName::from_static("grpc-status");
    const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
    let code: u32 = headers.get(STATUS)?.to_str().ok()?.parse().ok()?;
    if code == 0 {
        return Some(None);
    }
    let message = headers
        .get(MESSAGE)
        .map(|value| percent_decoded(value.as_bytes()))
        .unwrap_or_default();
    Some(Some(CallError::Status { code, message }))
}

fn percent_decoded(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%').then(|| after.get(..2)).flatten();
        let decoded = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match decoded {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_found_and_its_text_decoded() {
        let mut headers = HeaderMap::new();
        assert_eq!(status(&headers), None);
        headers.insert("grpc-status", HeaderValue::from_static("14"));
        headers.insert(
            "grpc-message",
            HeaderValue::from_static("etcdserver: no%20leader, 100%"),
        );
        let message = "etcdserver: no leader, 100%".to_owned();
        let error = status(&headers).expect("it is there").expect("it is an error");
        assert_eq!(error, CallError::Status { code: 14, message });
        assert_eq!(error.label(), "Unavailable: etcdserver: no leader, 100%");
        assert!(error.is_rejection());
        headers.insert("grpc-status", HeaderValue::from_static("0"));
        assert_eq!(status(&headers), Some(None));
    }
}
