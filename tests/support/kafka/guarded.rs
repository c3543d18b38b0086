//! A broker with TLS, with sign-in by SCRAM, and with a listener that sends clients astray, besides the plain one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use super::broker::{Broker, free_ports};
use super::{Kafka, jars};

/// Who may sign in at the listener with SASL.
pub(crate) const USER: &str = "ada";
/// By what.
pub(crate) const PASSWORD: &str = "lovelace";
/// How.
pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";

/// A broker of one's own, and where its listeners are.
pub(crate) struct Guarded {
    pub(crate) kafka: Arc<Kafka>,
    /// Speaks TLS, with a certificate of [`Self::authority`].
    pub(crate) tls: String,
    /// The same, and wants a certificate of the client too; the broker's own will do.
    pub(crate) mutual: String,
    /// Wants a sign-in, in plain text.
    pub(crate) sasl: String,
    /// Tells its clients to go on at an address where nobody listens.
    pub(crate) astray: String,
    /// The certificate of the test's authority.
    pub(crate) authority: PathBuf,
    /// A certificate of that authority, and its key.
    pub(crate) certificate: [PathBuf; 2],
}

impl Guarded {
    pub(crate) fn start() -> Self {
        let [tls, mutual, sasl, astray] = free_ports();
        let broker = Broker::start_with(|folder, [plain, controller]| {
            certify(folder);
            format!(
                "listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},\
                 TLS://127.0.0.1:{tls},MUTUAL://127.0.0.1:{mutual},SIGNED://127.0.0.1:{sasl},ASTRAY://127.0.0.1:{astray}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{plain},TLS://127.0.0.1:{tls},MUTUAL://127.0.0.1:{mutual},SIGNED://127.0.0.1:{sasl},\
                 ASTRAY://127.0.0.1:1\n\
                 listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,MUTUAL:SSL,SIGNED:SASL_PLAINTEXT,\
                 ASTRAY:PLAINTEXT\n\
                 listener.name.mutual.ssl.client.auth=required\n\
                 ssl.truststore.type=PEM\n\
                 ssl.truststore.location={}\n\
                 ssl.keystore.type=PEM\n\
                 ssl.keystore.location={}\n\
                 sasl.enabled.mechanisms={MECHANISM}\n\
                 listener.name.signed.scram-sha-256.sasl.jaas.config=\
                 org.apache.kafka.common.security.scram.ScramLoginModule required;\n",
                folder.join("authority.pem").display(),
                folder.join("server.pem").display()
            )
        });
        let authority = broker.folder().join("authority.pem");
        let certificate = ["server.crt", "server.key"].map(|name| broker.folder().join(name));
        let guarded = Self {
            kafka: Arc::new(Kafka::of(broker)),
            tls: format!("127.0.0.1:{tls}"),
            mutual: format!("127.0.0.1:{mutual}"),
            sasl: format!("127.0.0.1:{sasl}"),
            astray: format!("127.0.0.1:{astray}"),
            authority,
            certificate,
        };
        guarded.configure(&[
            "--alter",
            "--entity-type",
            "users",
            "--entity-name",
            USER,
            "--add-config",
            &format!("{MECHANISM}=[password={PASSWORD}]"),
        ]);
        guarded
    }

    /// Kafka's own tool for settings.
    fn configure(&self, arguments: &[&str]) {
        let mut command = Command::new("java");
        command
            .arg("-cp")
            .arg(jars::folder().join("*"))
            .args(["kafka.admin.ConfigCommand", "--bootstrap-server"])
            .arg(self.kafka.bootstrap())
            .args(arguments);
        done(&mut command);
    }
}

/// An authority, and a certificate of it for this machine's address.
fn certify(folder: &Path) {
    let openssl = |script: &str| {
        let mut shell = Command::new("sh");
        done(shell.current_dir(folder).args(["-ec", script]));
    };
    openssl(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout authority.key -out authority.pem",
    );
    openssl(
        "openssl req -x509 -CA authority.pem -CAkey authority.key -newkey rsa:2048 -nodes -days 2 -subj /CN=broker \
         -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE -keyout server.key -out server.crt
         cat server.key server.crt authority.pem >server.pem",
    );
}

fn done(command: &mut Command) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program can be started");
    assert!(
        status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
}
