//! Processes that die with this one, however it goes.
//!
//! A node stops when its standard input closes, which happens when this process ends. But a node that is paused hears nothing. So
//! each is started through `setpriv --pdeathsig KILL` where there is such a program: then the kernel kills it when the *thread* that
//! started it ends. Hence one thread starts them all and lives as long as they do.

use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// The thread that starts processes.
pub(crate) struct Starter {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
    guarded: bool,
}

struct Order {
    command: Command,
    child: SyncSender<io::Result<Child>>,
}

impl Starter {
    pub(crate) fn new() -> io::Result<Starter> {
        let (orders, inbox) = sync_channel::<Order>(1);
        let thread = thread::Builder::new().name("starter".to_owned()).spawn(move || {
            for mut order in inbox {
                // Whoever asked has gone: then the child's handle is dropped, and its standard input with it.
                let _ = order.child.send(order.command.spawn());
            }
        })?;
        let guarded = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        Ok(Starter {
            orders: Some(orders),
            thread: Some(thread),
            guarded,
        })
    }

    /// A command that runs this program.
    pub(crate) fn command(&self, program: &std::path::Path) -> Command {
        if self.guarded {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL"]).arg(program);
            command
        } else {
            Command::new(program)
        }
    }

    pub(crate) fn start(&self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other("the thread that starts processes has ended");
        let (child, started) = sync_channel(1);
        let orders = self.orders.as_ref().ok_or_else(gone)?;
        orders.send(Order { command, child }).map_err(|_| gone())?;
        started.recv().map_err(|_| gone())?
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // It only starts processes; if it has panicked, that was printed.
            let _ = thread.join();
        }
    }
}

/// Sends a signal, by the name that `kill` knows it by.
pub(crate) fn signal(child: &Child, name: &str) -> bool {
    let sent = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    sent.is_ok_and(|status| status.success())
}
