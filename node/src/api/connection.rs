//! One client's connection with all its requests, as one task.
//!
//! Requests that were chosen in one slot are answered together, and here they leave together: the task is woken once,
//! finishes them all, and writes their responses in one go. With a task for each request, as HTTP servers usually have
//! it, each answer costs a wake-up and a system call of its own, which is most of what a small write costs.
//!
//! The price is that the requests of one connection share one thread; whatever takes long is done aside.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::dispatch::Dispatch;

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Requests in flight on one connection; a proxy or a load generator may send everything through one.
const MAX_STREAMS: u32 = 16 << 10;
/// Requests that a client may cancel faster than they are looked at before it counts as an attack.
const MAX_RESET_STREAMS: usize = 1024;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

type Http = http2::Connection<TokioIo<TcpStream>, Dispatch, Arrivals>;

/// A connection and its requests.
pub(super) struct Connection {
    http: Pin<Box<Http>>,
    arrivals: Arrivals,
    requests: FuturesUnordered<Request>,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, dispatch: Dispatch) -> Connection {
        let arrivals = Arrivals::default();
        let mut builder = http2::Builder::new(arrivals.clone());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .auto_date_header(false);
        Connection {
            http: Box::pin(builder.serve_connection(TokioIo::new(socket), dispatch)),
            arrivals,
            requests: FuturesUnordered::new(),
        }
    }

    /// Serves until the client hangs up, or until `stop` resolves and the requests in flight are done.
    ///
    /// # Errors
    /// The connection broke, or the client does not speak HTTP/2.
    pub(super) async fn serve(mut self, stop: impl Future<Output = ()>) -> hyper::Result<()> {
        tokio::select! {
            biased;
            ended = &mut self => return ended,
            () = stop => {}
        }
        self.http.as_mut().graceful_shutdown();
        self.await
    }
}

impl Future for Connection {
    type Output = hyper::Result<()>;

    /// Finishes what was answered, writes it and reads what came, and begins that.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            while let Poll::Ready(Some(())) = self.requests.poll_next_unpin(cx) {}
            if let Poll::Ready(ended) = self.http.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            let arrived = self.arrivals.take();
            if arrived.is_empty() {
                return Poll::Pending;
            }
            self.requests.extend(arrived);
        }
    }
}

type Request = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Requests that the connection has read and not begun.
#[derive(Clone, Default)]
struct Arrivals(Arc<Mutex<Vec<Request>>>);

impl Arrivals {
    fn take(&self) -> Vec<Request> {
        // A list whose holder panicked is still a list.
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Arrivals {
    fn execute(&self, request: F) {
        let mut arrivals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.push(Box::pin(request));
    }
}
