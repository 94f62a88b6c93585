//! A place for a node: its number, ports and folder, and the process that sits there.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use quorum::NodeId;

use crate::process::{Starter, signal};

/// Ports below those that the kernel gives to outgoing connections: else a client's connection could take the port of a
/// node that is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const LOG_TAIL: usize = 12;

/// Who decides about the process.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No process, no disk.
    Vacant,
    Up,
    /// Up, and stopped by SIGSTOP.
    Paused,
    /// Asked to stop, to be started again.
    Stopping,
    /// Killed, to be started again.
    Down,
    /// In the hands of the operator, who has taken it down.
    Taken,
}

impl State {
    /// Those of nodes that are members, or nearly so.
    pub(crate) const MEMBERS: [State; 4] = [State::Up, State::Paused, State::Stopping, State::Down];
}

pub(crate) struct Seat {
    pub(crate) node: NodeId,
    pub(crate) state: State,
    pub(crate) ports: Ports,
    settings: PathBuf,
    /// The document of `synod member`, if the node is no founder or no more.
    pub(crate) join: Option<PathBuf>,
    /// By how many parts in a million its next process's clock is too fast.
    pub(crate) clock_rate: i32,
    child: Option<Child>,
}

#[derive(Copy, Clone, Debug)]
pub(crate) struct Ports {
    pub(crate) peers: u16,
    pub(crate) clients: u16,
    pub(crate) http: u16,
}

/// Ports that nobody uses now, from this one on, and where to look for more.
pub(crate) fn free_ports(from: &mut u16) -> Result<Ports, String> {
    let mut next = |free: fn(u16) -> bool| {
        for _ in PORTS {
            *from = if *from + 1 < PORTS.end { *from + 1 } else { PORTS.start };
            if free(*from) {
                return Ok(*from);
            }
        }
        Err(format!("none of the ports {PORTS:?} is free"))
    };
    let tcp = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    Ok(Ports {
        peers: next(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok())?,
        clients: next(tcp)?,
        http: next(tcp)?,
    })
}

/// Where to begin to look for ports: elsewhere in each process.
pub(crate) fn first_port() -> u16 {
    let span = u32::from(PORTS.end - PORTS.start);
    PORTS.start + (std::process::id().wrapping_mul(97) % span) as u16
}

impl Seat {
    pub(crate) fn new(node: NodeId, ports: Ports, settings: PathBuf, clock_rate: i32) -> Seat {
        Seat {
            node,
            state: State::Vacant,
            ports,
            settings,
            join: None,
            clock_rate,
            child: None,
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("n{}", self.node)
    }

    fn data(&self) -> PathBuf {
        self.settings.with_file_name(format!("data-{}", self.node))
    }

    fn log(&self) -> PathBuf {
        self.settings.with_extension("log")
    }

    /// Starts the process; `bootstrap` on the empty disk of a founder; `sync_delay` makes its disk slow.
    pub(crate) fn start(
        &mut self,
        starter: &Starter,
        synod: &Path,
        bootstrap: bool,
        sync_delay: Option<Duration>,
    ) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot start node {}: {error}", self.node);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log());
        let mut command = starter.command(synod);
        command
            .args(["start", "--exit-with-stdin", "--settings"])
            .arg(&self.settings);
        if bootstrap {
            command.arg("--bootstrap");
        }
        if let Some(join) = &self.join {
            command.arg("--join").arg(join);
        }
        if let Some(delay) = sync_delay {
            command.args(["--set", &format!("sync_delay={}ms", delay.as_millis())]);
        }
        command.args(["--set", &format!("clock_rate_ppm={}", self.clock_rate)]);
        own_environment(&mut command);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log.map_err(failed)?);
        self.child = Some(starter.start(command).map_err(failed)?);
        self.state = State::Up;
        Ok(())
    }

    /// Kills the process if it is up, in one step with asking: meanwhile nobody else has taken the seat.
    pub(crate) fn kill_if_up(&mut self) -> bool {
        let up = matches!(self.state, State::Up | State::Paused);
        if up {
            self.kill();
        }
        up
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.state = State::Down;
    }

    /// SIGTERM, which lets a leader hand over.
    pub(crate) fn ask_to_stop(&mut self) -> bool {
        let up = self.state == State::Up;
        if let Some(child) = self.child.as_ref().filter(|_| up) {
            signal(child, "TERM");
            self.state = State::Stopping;
        }
        up
    }

    /// Whether the process is gone that was asked to stop.
    pub(crate) fn has_stopped(&mut self) -> bool {
        self.child
            .as_mut()
            .is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    pub(crate) fn pause(&mut self) {
        if let Some(child) = &self.child
            && self.state == State::Up
            && signal(child, "STOP")
        {
            self.state = State::Paused;
        }
    }

    pub(crate) fn resume(&mut self) {
        if let Some(child) = &self.child
            && self.state == State::Paused
        {
            signal(child, "CONT");
            self.state = State::Up;
        }
    }

    /// If the process has ended although nobody killed it: how.
    pub(crate) fn obituary(&mut self) -> Option<String> {
        if self.state != State::Up {
            return None;
        }
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        self.state = State::Down;
        Some(format!(
            "node {} has ended by itself: {status}\n{}",
            self.node,
            self.tail()
        ))
    }

    /// The last lines of its log.
    pub(crate) fn tail(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }

    /// The disk is lost.
    pub(crate) fn wipe(&mut self) {
        let data = self.data();
        let gone = fs::remove_dir_all(&data);
        assert!(
            gone.is_ok() || !data.exists(),
            "cannot remove {}: {gone:?}",
            data.display()
        );
    }

    /// Copies the disk of a node that is down, or puts the copy in its place.
    pub(crate) fn copy_disk(&self, back: bool) -> Result<(), String> {
        let (data, copy) = (self.data(), self.settings.with_file_name(format!("copy-{}", self.node)));
        let (from, to) = if back { (&copy, &data) } else { (&data, &copy) };
        // What is not there need not go.
        let _ = fs::remove_dir_all(to);
        let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
        match done {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("cannot copy {} to {}: {other:?}", from.display(), to.display())),
        }
    }

    /// Ends the process for good.
    pub(crate) fn end(&mut self) {
        let patience = Duration::from_secs(3);
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
            if self.state == State::Paused {
                let _ = child.kill();
            }
            let begun = Instant::now();
            while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < patience {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        self.kill();
    }
}

/// What the environment says about this shell's own node is not meant for these; and Ctrl-C is for this process alone.
pub(crate) fn own_environment(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    command
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("SYNOD_")))
        .process_group(0);
}
