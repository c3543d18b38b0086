//! What is typed wrong, and what needs no service: exit codes, one line and a hint, and data on stdout alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

fn sluicebox() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicebox"));
    command.stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    sluicebox().args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &[][..],
        &["unheard-of"],
        &["run", "cleaning"],
        &["query"],
        &["generate", "--stdout", "--count", "-1"],
        &["generate", "--stdout", "--invalid-ratio", "2"],
        &["keys", "generate", "--bits", "1024"],
        &[
            "keys",
            "generate",
            "--unencrypted",
            "--passphrase-file",
            "x",
        ],
        &["config", "--set", "flush_interval=1s"],
        &["setup", "everything"],
        &["check", "everything"],
        &["check", "--set", "sink.flush_intervall=1s"],
        &["demo", "--rate", "0"],
    ] {
        let output = run(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("--help") || stderr(&output).contains("hint: "),
            "{arguments:?}"
        );
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_help_of_each_command_teaches() {
    for (arguments, taught) in [
        (
            &["--help"][..],
            &[
                "demo", "run", "setup", "verify", "query", "generate", "keys", "config",
            ][..],
        ),
        (&["demo", "--help"], &["--duration", "--rate", "--seed"]),
        (
            &["run", "--help"],
            &["clean", "gold", "sink", "--config", "--set"],
        ),
        (
            &["setup", "--help"],
            &["kafka", "warehouse", "--role", "--dry-run"],
        ),
        (
            &["check", "--help"],
            &[
                "kafka",
                "warehouse",
                "--json",
                "Exit code",
                "skipped",
                "woken",
            ],
        ),
        (&["verify", "--help"], &["views"]),
        (&["query", "--help"], &["--format"]),
        (
            &["generate", "--help"],
            &["--stdout", "--count", "--seed", "--invalid-ratio"],
        ),
        (&["keys", "--help"], &["generate", "export", "fingerprint"]),
        (
            &["keys", "generate", "--help"],
            &["--out", "--bits", "--unencrypted"],
        ),
        (&["keys", "export", "--help"], &["--pem", "--der-base64"]),
        (&["keys", "fingerprint", "--help"], &["FILE"]),
        (&["config", "--help"], &["configuration"]),
    ] {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}");
        for word in taught {
            assert!(
                stdout(&output).contains(word),
                "{arguments:?} does not tell of {word}"
            );
        }
    }
}

/// `config` with this file, and with what has to be set in the environment.
fn configured(file: &str) -> Command {
    let mut command = sluicebox();
    command.args(["config", "--config", file]).envs([
        ("SLUICEBOX_PIPELINE__FOLDER", "sql/customer_metrics"),
        ("SLUICEBOX_CLEAN__KEY", "customer_id"),
        ("SLUICEBOX_CLEAN__EVENT_ID", "event_id"),
        ("SLUICEBOX_SINK__CLEAN_TABLE", "KAFKA_EVENTS_SILVER"),
    ]);
    command
}

#[test]
fn the_configuration_in_force_shows_sources_and_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluicebox.toml");
    let text = "[kafka.properties]\n\"sasl.username\" = \"ada\"\n[sink]\nflush_interval = \"7s\"";
    fs::write(&file, text).unwrap();
    let output = configured(file.to_str().unwrap())
        .env("SLUICEBOX_WAREHOUSE__PRIVATE_KEY_PASSPHRASE", "open sesame")
        .env(
            "SLUICEBOX_WAREHOUSE__STAGE_PROPERTIES__AWS_SECRET_ACCESS_KEY",
            "barley",
        )
        .args(["--set", "sink.flush_rows=77"])
        .output()
        .unwrap();
    let said = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        !said.contains("sesame") && !said.contains("barley"),
        "{said}"
    );
    for (key, source) in [
        ("flush_interval", "sluicebox.toml"),
        ("flush_rows", "# flag"),
        ("clean_table", "SLUICEBOX_SINK__CLEAN_TABLE"),
        (
            "private_key_passphrase ",
            "SLUICEBOX_WAREHOUSE__PRIVATE_KEY_PASSPHRASE",
        ),
        ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ] {
        let line = said.lines().find(|line| line.contains(key));
        assert!(
            line.is_some_and(|line| line.contains(source)),
            "{key}: {said}"
        );
    }
}

#[test]
fn a_wrong_configuration_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluicebox.toml");
    let path = file.to_str().unwrap();
    for (text, says) in [
        ("[sink]\nflush_intervall = \"1s\"", "flush_intervall"),
        ("[sinks]\nflush_interval = \"1s\"", "sinks"),
        ("[sink]\nflush_interval = \"10\"", "flush_interval"),
        ("[sink]\nflush_interval = 10", "flush_interval"),
        ("[sink]\nflush_bytes = \"64 parsecs\"", "flush_bytes"),
        ("[clean]\nbatch_events = 0", "batch_events"),
        ("[clean]\nbatch_events = \"many\"", "batch_events"),
        ("[web]\nlisten = \"everywhere\"", "listen"),
        ("[log]\nformat = \"xml\"", "format"),
        ("[topics]\nraw = \"two words\"", "raw"),
        (
            "[warehouse]\nprivate_key_passphrase = \"open sesame\"",
            "private_key_passphrase",
        ),
        ("[sink\nflush_interval = \"1s\"", "sluicebox.toml"),
    ] {
        fs::write(&file, text).unwrap();
        let output = configured(path).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}: {said}");
        let lines: Vec<&str> = said.lines().collect();
        assert!(
            lines[0].starts_with("error: ") && lines[0].contains(says),
            "{text}: {said}"
        );
        assert!(lines[0].contains("sluicebox.toml"), "{text}: {said}");
        assert!(
            lines[1].starts_with("hint: ") && lines.len() == 2,
            "{text}: {said}"
        );
        assert!(!said.contains("sesame"), "{said}");
    }
    let output = run(&["config", "--config", "/nowhere/sluicebox.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("/nowhere/sluicebox.toml") && stderr(&output).contains("\nhint: ")
    );
}

#[test]
fn generated_lines_into_a_closed_pipe_end_quietly() {
    let line = format!(
        "{} generate --stdout --count 100000 --seed 1 --quiet | head -n 3 | wc -l; echo ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_sluicebox")
    );
    let output = Command::new("bash").args(["-c", &line]).output().unwrap();
    let text = stdout(&output);
    let (lines, status) = text.trim().split_once('\n').unwrap();
    assert_eq!((lines.trim(), status), ("3", "0"), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    let three = run(&["generate", "--stdout", "--count", "3", "--seed", "1"]);
    assert_eq!(stdout(&three).lines().count(), 3);
    for line in stdout(&three).lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    }
}

#[test]
fn a_key_made_on_the_command_line_is_shown_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("rsa_key.p8");
    let path = key.to_str().unwrap();
    let keys = |arguments: &[&str]| {
        let mut command = sluicebox();
        command.env("SLUICEBOX_WAREHOUSE__PRIVATE_KEY_PASSPHRASE", "open sesame");
        command.arg("keys").args(arguments).output().unwrap()
    };
    let made = keys(&["generate", "--out", path, "--user", "LOADER"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let (statement, fingerprint) = stdout(&made).trim().split_once('\n').unwrap();
    let public = statement
        .strip_prefix("ALTER USER LOADER SET RSA_PUBLIC_KEY='")
        .and_then(|rest| rest.strip_suffix("';"))
        .unwrap();
    assert_eq!(stdout(&keys(&["export", path])).trim(), public);
    for file in [path, folder.path().join("rsa_key.pub").to_str().unwrap()] {
        assert_eq!(stdout(&keys(&["fingerprint", file])).trim(), fingerprint);
    }
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let text = fs::read_to_string(&key).unwrap();
    assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let again = keys(&["generate", "--out", path]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("not overwritten") && stderr(&again).contains("\nhint: "));
    assert_eq!(fs::read_to_string(&key).unwrap(), text);
}
