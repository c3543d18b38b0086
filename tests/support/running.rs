//! The service as a child process, gone with whoever started it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::kafka::signal;
use super::wait_until;

/// Longest start, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(90);

/// What is promised after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A `sluicebox` that runs until it is ended.
pub(crate) struct Running {
    process: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it with its stderr in a file of this folder.
    pub(crate) fn start(mut command: Command, folder: &Path) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let log = folder.join(format!("log-{}", STARTED.fetch_add(1, Ordering::Relaxed)));
        let stderr = File::create(&log).expect("the folder can be written to");
        let process = (command.stdout(Stdio::null()).stderr(stderr).spawn())
            .expect("the binary can be started");
        Self { process, log }
    }

    /// All that it has logged, a JSON object a line.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<_> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Waits until all its jobs work.
    pub(crate) fn wait_ready(&mut self) {
        let ready = wait_until(START_LIMIT, || {
            self.assert_running();
            self.is_ready()
        });
        assert!(ready, "not ready after {START_LIMIT:?}\n{}", self.log());
    }

    /// Whether all its jobs work.
    pub(crate) fn is_ready(&self) -> bool {
        self.page("/health/ready")
            .is_some_and(|page| page.starts_with("HTTP/1.0 200"))
    }

    /// Waits for something that it is to bring about.
    pub(crate) fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) {
        let met = wait_until(limit, || {
            self.assert_running();
            condition(self)
        });
        assert!(met, "{what}: not within {limit:?}\n{}", self.log());
    }

    /// What one of its pages answers, with the head; None while there are no pages yet.
    pub(crate) fn page(&self, path: &str) -> Option<String> {
        let log = self.log();
        let served = log.lines().find(|line| line.contains("pages served"))?;
        let served: Value = serde_json::from_str(served).ok()?;
        let address = served["fields"]["address"].as_str()?;
        let mut stream = TcpStream::connect(address).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).ok()?;
        Some(page)
    }

    /// A number on its metrics page, by its name and labels as they stand there; 0 while it is missing.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let page = self.page("/metrics").unwrap_or_default();
        let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
        page.lines().find_map(value).unwrap_or_default()
    }

    /// Kills it as the system does when memory runs out.
    pub(crate) fn kill(&mut self) {
        // One that has ended already cannot be killed.
        let _ = self.process.kill();
        self.process.wait().expect("a child can be waited for");
    }

    /// Sends it a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.process.id(), name);
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().expect("a child can be asked")
    }

    /// Asks it to end by SIGTERM and waits for that.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.end("TERM")
    }

    /// Asks it to end as Ctrl-C does and waits for that.
    pub(crate) fn interrupt(&mut self) -> ExitStatus {
        self.end("INT")
    }

    fn end(&mut self, signal: &str) -> ExitStatus {
        let asked = Instant::now();
        self.signal(signal);
        let mut ended = None;
        let in_time = wait_until(STOP_LIMIT, || {
            ended = self.process.try_wait().expect("a child can be asked");
            ended.is_some()
        });
        assert!(
            in_time,
            "still there {:?} after the signal\n{}",
            asked.elapsed(),
            self.log()
        );
        ended.expect("it has just ended")
    }

    fn assert_running(&mut self) {
        let ended = self.process.try_wait().expect("a child can be asked");
        assert!(ended.is_none(), "ended with {ended:?}\n{}", self.log());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already cannot be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the end of the service's log:\n{}", self.log_tail(200));
        }
    }
}
