//! The broker's process: started, killed, and gone with whoever started it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::jars;
use crate::support::wait_until;

/// Longest start of a broker, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Lines of the broker's log that a failure shows.
const TAIL: usize = 30;

/// One broker, with its own folder and ports.
pub(super) struct Broker {
    process: Option<Child>,
    folder: PathBuf,
    port: u16,
}

impl Broker {
    /// Starts a broker with an empty log and waits until it answers.
    pub(super) fn start() -> Self {
        Self::start_with(|_, _| String::new())
    }

    /// The same, with more properties than a broker has otherwise, by its folder and its two ports; what they need may be put
    /// into the folder. Of two properties of a name the later counts.
    pub(super) fn start_with(more: impl FnOnce(&Path, [u16; 2]) -> String) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("kafka-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).expect("target/ can be written to");
        let [port, controller] = free_ports();
        let properties =
            server_properties(&folder, port, controller) + &more(&folder, [port, controller]);
        fs::write(folder.join("server.properties"), properties).expect("target/ can be written to");
        let mut broker = Self {
            process: None,
            folder,
            port,
        };
        broker.run();
        broker
    }

    pub(super) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills the broker as a power failure would. Its data stay.
    pub(super) fn kill(&mut self) {
        File::create(self.folder.join("keep")).expect("target/ can be written to");
        self.end();
    }

    /// Starts it again, with the data and the address that it had.
    pub(super) fn restart(&mut self) {
        self.kill();
        fs::remove_file(self.folder.join("keep")).expect("the file was just written");
        self.run();
    }

    /// Sends a signal to the broker itself.
    pub(super) fn signal(&self, name: &str) {
        let pid = fs::read_to_string(self.folder.join("pid")).expect("a broker tells its process");
        signal(pid.trim().parse().expect("a process is a number"), name);
    }

    /// The last lines that the broker has logged.
    pub(super) fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        format!("the end of {}:\n{tail}", self.log_path().display())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn run(&mut self) {
        let java = Command::new("java").arg("-version").output();
        assert!(
            java.is_ok_and(|output| output.status.success()),
            "Java cannot be started\nhint: tests run a real Kafka; apt-get install default-jre-headless"
        );
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("target/ can be written to");
        let process = Command::new("sh")
            .args(["-c", include_str!("broker.sh"), "broker"])
            .args([&jars::folder(), &self.folder])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file handle can be copied"))
            .stderr(log)
            .spawn()
            .expect("there is a shell");
        self.process = Some(process);
        self.await_answer();
    }

    fn await_answer(&mut self) {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.bootstrap())
            .set("log_level", "0");
        let client: BaseConsumer = config.create().expect("the settings are right");
        let mut answers = || {
            let process = self.process.as_mut().expect("the broker was just started");
            let ended = process.try_wait().expect("a child can be asked").is_some();
            assert!(
                !ended,
                "Kafka ended while it was starting; {}",
                self.log_tail()
            );
            client
                .fetch_metadata(None, Duration::from_millis(500))
                .is_ok_and(|answer| !answer.brokers().is_empty())
        };
        if !wait_until(START_LIMIT, &mut answers) {
            panic!(
                "Kafka did not answer within {START_LIMIT:?}; {}",
                self.log_tail()
            );
        }
    }

    /// Closes the pipe, which ends the broker, and waits for that.
    fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.stdin.take());
            process.wait().expect("a child can be waited for");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        } else {
            // A log that cannot be removed harms nobody.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Sends a signal to a process, by its name without `SIG`.
pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", "kill -\"$0\" \"$1\"", name])
        .arg(process.to_string())
        .status();
    assert!(
        sent.is_ok_and(|status| status.success()),
        "SIG{name} to {process}"
    );
}

/// Below the ports that systems give to outgoing connections: one of those could take the port of a broker while it is
/// down, or even be connected to itself.
const PORTS: Range<u16> = 20_000..32_000;

/// Ports that nobody listens on.
pub(super) fn free_ports<const N: usize>() -> [u16; N] {
    let free = || {
        let mut candidates = std::iter::repeat_with(|| rand::random_range(PORTS)).take(1_000);
        let listener = candidates.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        listener.expect("one of a thousand ports is free")
    };
    // Held together, so that they differ.
    std::array::from_fn(|_| free()).map(|listener: TcpListener| {
        let address = listener.local_addr().expect("a listener has an address");
        address.port()
    })
}

/// One node that is broker and controller, small and quick, and that keeps records however old their timestamps are.
fn server_properties(folder: &Path, port: u16, controller: u16) -> String {
    let data = folder.join("data");
    let data = data.display();
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         log.dirs={data}\n\
         log.retention.ms=-1\n\
         auto.create.topics.enable=false\n\
         group.initial.rebalance.delay.ms=0\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n"
    )
}
