//! The binary: its arguments, its output and its end.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::KEY;

fn program(key_file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mock-warehouse"));
    command
        .args([
            "--user",
            "KAFKA_SERVICE",
            "--role",
            "KAFKA_LOADER",
            "--public-key-file",
        ])
        .arg(key_file);
    command
}

fn key_file(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("user.pem");
    std::fs::write(&file, &KEY.public_pem).unwrap();
    file
}

#[test]
fn it_prints_what_to_paste_serves_and_ends_cleanly_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = program(&key_file(folder.path()))
        .args(["--listen", "127.0.0.1:0", "--s3-secret-key", "hush"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut config = String::new();
    while !config.contains("aws_allow_http") {
        assert_ne!(
            stdout.read_line(&mut config).unwrap(),
            0,
            "the output ended: {config}"
        );
    }
    assert!(config.contains("user = \"KAFKA_SERVICE\""), "{config}");
    assert!(
        config.contains("stage_url = \"s3://sluicebox/\""),
        "{config}"
    );
    assert!(
        Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert!(
        stderr.contains("for tests, demos and development only"),
        "{stderr}"
    );
    assert!(!config.contains("hush") && !stderr.contains("hush"));
}

#[test]
fn a_port_in_use_is_one_line_and_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = program(&key_file(folder.path()))
        .args(["--listen", &address])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{stderr}");
    assert!(lines[0].contains("is in use"), "{stderr}");
    assert!(lines[1].starts_with("hint: "), "{stderr}");
}

#[test]
fn wrong_usage_ends_with_2_and_an_unusable_key_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let bare = Command::new(env!("CARGO_BIN_EXE_mock-warehouse"))
        .output()
        .unwrap();
    assert_eq!(bare.status.code(), Some(2));
    let uneven = program(&key_file(folder.path()))
        .args(["--user", "SECOND"])
        .output()
        .unwrap();
    assert_eq!(uneven.status.code(), Some(2));
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    for file in [empty, folder.path().join("missing")] {
        let output = program(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", file.display());
        assert!(
            String::from_utf8(output.stderr)
                .unwrap()
                .contains("\nhint: "),
            "{}",
            file.display()
        );
    }
}

#[test]
fn a_wrong_fault_is_refused_with_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_file(folder.path());
    for wrong in ["418@submit", "500@commit", "slow:1@upload"] {
        let output = program(&key).args(["--fault", wrong]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        for part in [wrong, "hint: ", "kinds: 429", "steps: login"] {
            assert!(stderr.contains(part), "{stderr}");
        }
    }
    let help = program(&key).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("--fault 429:2@submit=3"), "{help}");
}

#[test]
fn faults_of_the_command_line_strike() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = program(&key_file(folder.path()))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--fault",
            "503:9@poll=1",
            "--admin",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut config = String::new();
    while !config.contains("url = ") {
        assert_ne!(stdout.read_line(&mut config).unwrap(), 0, "{config}");
    }
    let url = config
        .lines()
        .find_map(|line| line.strip_prefix("url = "))
        .unwrap();
    let address = url.trim_matches('"').strip_prefix("http://").unwrap();
    let ask = |path: &str| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let struck = ask("/api/v2/statements/x");
    let state = ask("/admin/faults");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(struck.starts_with("HTTP/1.1 503"), "{struck}");
    assert!(struck.contains("retry-after: 9"), "{struck}");
    assert!(state.contains("\"struck\":1"), "{state}");
}

#[test]
fn a_folder_in_use_or_damaged_is_named_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let (key, data) = (key_file(folder.path()), folder.path().join("data"));
    let start = || {
        let mut command = program(&key);
        command
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(&data);
        command
    };
    let mut holder = start()
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(holder.stdout.take().unwrap());
    assert_ne!(stdout.read_line(&mut String::new()).unwrap(), 0);
    let second = start().output().unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    let manifest = data.join("manifest.json");
    std::fs::write(&manifest, "{\"objects\":[").unwrap();
    let third = start().output().unwrap();
    for (output, path, reason) in [
        (second, &data, "is in use"),
        (third, &manifest, "is damaged"),
    ] {
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        for part in [path.to_str().unwrap(), reason, "\nhint: "] {
            assert!(stderr.contains(part), "{stderr}");
        }
    }
}
