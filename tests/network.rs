//! The way to the warehouse: proxies, and certificates of one's own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::deployment::Deployment;
use crate::support::pipeline::Pipeline;
use crate::support::proxy::{Proxy, Way};

/// Takes TLS off: listens with the certificate of its folder, passes bytes to a port, and says its own port first.
const TERMINATOR: &str = r#"
import socket, ssl, sys, threading
folder, target = sys.argv[1], int(sys.argv[2])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/server.pem", folder + "/server.key")
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def carry(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        source.close(); sink.close()
def serve(plain):
    try:
        inside = context.wrap_socket(plain, server_side=True)
    except OSError:
        return
    outside = socket.create_connection(("127.0.0.1", target))
    threading.Thread(target=carry, args=(inside, outside), daemon=True).start()
    carry(outside, inside)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

struct Terminator {
    process: Child,
    port: u16,
}

impl Terminator {
    fn start(folder: &Path, target: &str) -> Self {
        let port = target.rsplit_once(':').unwrap().1;
        let mut process = Command::new("python3")
            .args(["-c", TERMINATOR, folder.to_str().unwrap(), port])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().parse().unwrap();
        Self { process, port }
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An authority `ca.pem` of one's own, and a certificate of `localhost` that it has signed.
fn certificates(folder: &Path) {
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj '/CN=Own authority' \
        -addext basicConstraints=critical,CA:TRUE && \
        openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj '/CN=localhost' && \
        printf 'subjectAltName=DNS:localhost' > names && \
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem";
    let done = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn a_certificate_of_an_authority_of_ones_own_is_trusted_once_it_is_named() {
    let deployment = Deployment::new("tls", &Pipeline::customer_metrics());
    deployment.done(&["setup", "warehouse", "--role", "ACCOUNTADMIN"]);
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let terminator = Terminator::start(folder.path(), deployment.warehouse());
    let url = format!("warehouse.url=https://localhost:{}", terminator.port);
    let query = |ca_file: &Path| {
        let ca_file = format!("warehouse.ca_file={}", ca_file.display());
        let set = [
            "--set",
            &url,
            "--set",
            &ca_file,
            "--set",
            "warehouse.retry_for=0s",
        ];
        let command = [&set[..], &["query", "SELECT 1 AS ONE"]].concat();
        let output = deployment.command(&command).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.success(), said)
    };
    let (trusted, said) = query(Path::new(""));
    assert!(!trusted && said.contains("warehouse unavailable"), "{said}");
    assert!(said.contains("certificate"), "{said}");
    let (trusted, said) = query(&folder.path().join("ca.pem"));
    assert!(trusted, "{said}");
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "nothing").unwrap();
    for (file, problem) in [
        (empty.as_path(), "it holds no certificate"),
        (Path::new("/no/such.pem"), "No such file"),
    ] {
        let (trusted, said) = query(file);
        assert!(
            !trusted && said.contains("warehouse.ca_file") && said.contains(problem),
            "{said}"
        );
    }
}

#[test]
fn a_proxy_carries_statements_and_uploads() {
    let deployment = Deployment::new("proxy", &Pipeline::customer_metrics());
    deployment.setup();
    // Nobody knows this host but the proxy.
    let url = "warehouse.url=http://warehouse.invalid:80";
    let proxy = Proxy::to(deployment.warehouse());
    let by_proxy = format!("warehouse.proxy={}", proxy.url());
    deployment.done(&["generate", "--count", "200", "--seed", "7", "--quiet"]);
    let mut service = deployment.start(&["--set", url, "--set", &by_proxy, "run"]);
    service.wait_ready();
    service.wait_for("rows", Duration::from_secs(60), |_| {
        deployment.number("SELECT COUNT(*) FROM KAFKA_EVENTS_SILVER") > 100
    });
    proxy.set(Way::Refused);
    deployment.done(&["generate", "--count", "10", "--seed", "8", "--quiet"]);
    service.wait_for("trouble", Duration::from_secs(60), |service| {
        service.log().contains("warehouse unavailable")
            || service.log().contains("could not be written")
    });
    proxy.set(Way::Open);
    assert!(service.terminate().success(), "{}", service.log());
}
