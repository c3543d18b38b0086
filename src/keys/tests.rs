//! Keys, against the real `openssl` in both directions.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use secrecy::{ExposeSecret, SecretString};

use super::{
    command::{self, ExportArgs, FingerprintArgs, GenerateArgs},
    file::{self, Readers},
    *,
};

/// A second key for all tests.
pub(crate) static OTHER: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(2048).unwrap());

/// One key for all tests: making one takes seconds in a debug build.
pub(crate) static PAIR: LazyLock<KeyPair> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.p8");
    shell(&format!(
        "openssl genrsa 2048 2>/dev/null | openssl pkcs8 -topk8 -nocrypt -out {}",
        path.display()
    ));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    KeyPair::read(&path, None).unwrap()
});

fn shell(script: &str) -> String {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

/// What `openssl` says the fingerprint of a private key is.
fn openssl_fingerprint(path: &Path, passphrase: &str) -> String {
    let digest = shell(&format!(
        "openssl rsa -in {} -passin pass:{passphrase} -pubout -outform DER 2>/dev/null | openssl dgst -sha256 -binary | base64",
        path.display()
    ));
    format!("SHA256:{digest}")
}

/// Writes the shared key in the form that `openssl pkcs8` makes with these options.
fn openssl_key(folder: &Path, options: &str) -> PathBuf {
    let plain = folder.join("plain.p8");
    if !plain.exists() {
        PAIR.write_new(&plain, None).unwrap();
    }
    let path = folder.join("openssl.p8");
    let _ = fs::remove_file(&path);
    shell(&format!(
        "umask 077; openssl pkcs8 -topk8 {options} -in {} -out {}",
        plain.display(),
        path.display()
    ));
    path
}

#[test]
fn what_openssl_writes_is_read_and_has_the_same_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    for options in [
        "-nocrypt",
        "-v2 aes-256-cbc -passout pass:open-sesame",
        "-v2 aes-256-cbc -v2prf hmacWithSHA256 -passout pass:open-sesame",
        "-v2 aes-256-cbc -v2prf hmacWithSHA512 -passout pass:open-sesame",
        "-v2 aes-128-cbc -passout pass:open-sesame",
        "-v2 aes-256-cbc -scrypt -scrypt_N 1024 -passout pass:open-sesame",
    ] {
        let path = openssl_key(folder.path(), options);
        let pair = KeyPair::read(&path, Some(&secret("open-sesame")))
            .unwrap_or_else(|error| panic!("{options}: {error}"));
        assert_eq!(
            pair.fingerprint(),
            openssl_fingerprint(&path, "open-sesame"),
            "{options}"
        );
    }
}

#[test]
fn openssl_reads_what_we_write() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, sealed) = (
        folder.path().join("plain.p8"),
        folder.path().join("sealed.p8"),
    );
    let passphrase = secret("open-sesame");
    PAIR.write_new(&plain, None).unwrap();
    let pem = PAIR.to_pem(Some(&passphrase), 2048).unwrap();
    file::write_new(&sealed, pem.expose_secret(), Readers::Owner).unwrap();
    for path in [&plain, &sealed] {
        assert_eq!(
            openssl_fingerprint(path, "open-sesame"),
            PAIR.fingerprint(),
            "{}",
            path.display()
        );
    }
    let again = KeyPair::read(&sealed, Some(&passphrase)).unwrap();
    assert_eq!(again.fingerprint(), PAIR.fingerprint());
    let file = folder.path().join("passphrase");
    fs::write(&file, "open-sesame\n").unwrap();
    let args = FingerprintArgs {
        file: sealed.clone(),
        passphrase_file: Some(file),
    };
    assert_eq!(command::fingerprint(&args).unwrap(), PAIR.fingerprint());
    let scheme = shell(&format!("openssl asn1parse -in {}", sealed.display()));
    for part in ["PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc"] {
        assert!(scheme.contains(part), "{part} is not in {scheme}");
    }
}

#[test]
fn generate_writes_both_files_once_and_prints_nothing_private() {
    let folder = tempfile::tempdir().unwrap();
    let args = GenerateArgs {
        out: folder.path().join("rsa_key.p8"),
        bits: "2048".into(),
        unencrypted: true,
        passphrase_file: None,
        user: "KAFKA_SERVICE".into(),
    };
    let printed = command::generate(&args).unwrap();
    let mode = fs::metadata(&args.out).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let body = command::export(&ExportArgs {
        file: args.out.clone(),
        pem: false,
        der_base64: false,
        passphrase_file: None,
    })
    .unwrap();
    let fingerprint = openssl_fingerprint(&args.out, "");
    assert_eq!(
        printed,
        format!("ALTER USER KAFKA_SERVICE SET RSA_PUBLIC_KEY='{body}';\n{fingerprint}")
    );
    for file in ["rsa_key.p8", "rsa_key.pub"] {
        let file = folder.path().join(file);
        let shown = command::fingerprint(&FingerprintArgs {
            file,
            passphrase_file: None,
        })
        .unwrap();
        assert_eq!(shown, fingerprint);
    }

    let before = fs::read(&args.out).unwrap();
    let error = command::generate(&args).unwrap_err();
    assert!(matches!(&error, KeyError::Exists { .. }), "{error}");
    assert!(error.hint().unwrap().contains("--out"));
    assert_eq!(fs::read(&args.out).unwrap(), before);
}

#[test]
fn a_passphrase_to_encrypt_with_must_not_be_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passphrase");
    fs::write(&path, "\n").unwrap();
    let error = passphrase::to_encrypt(Some(&path)).unwrap_err();
    assert!(error.to_string().ends_with("it is empty"), "{error}");
    assert!(error.hint().unwrap().contains("--unencrypted"));
    fs::write(&path, "open sesame\n").unwrap();
    assert_eq!(
        passphrase::to_encrypt(Some(&path)).unwrap().expose_secret(),
        "open sesame"
    );
}

#[test]
fn export_as_pem_is_what_openssl_calls_the_public_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = openssl_key(folder.path(), "-nocrypt");
    let expected = shell(&format!(
        "openssl rsa -in {} -pubout 2>/dev/null",
        file.display()
    ));
    let pem = command::export(&ExportArgs {
        file,
        pem: true,
        der_base64: false,
        passphrase_file: None,
    })
    .unwrap();
    assert_eq!(pem, expected);
}

#[test]
fn a_passphrase_file_ends_where_its_line_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passphrase");
    for (content, passphrase) in [
        ("a b ", "a b "),
        ("a\n", "a"),
        ("a\r\n", "a"),
        ("a\n\n", "a\n"),
    ] {
        fs::write(&path, content).unwrap();
        assert_eq!(
            read_passphrase_file(&path).unwrap().expose_secret(),
            passphrase,
            "{content:?}"
        );
    }
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = openssl_key(folder.path(), "-nocrypt");
    for mode in [0o640, 0o604, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = KeyPair::read(&path, None).unwrap_err();
        assert!(
            matches!(error, KeyError::Exposed { .. }),
            "{mode:o}: {error}"
        );
        assert_eq!(
            error.hint().unwrap(),
            format!("chmod 600 {}", path.display())
        );
    }
}

#[test]
fn each_unusable_key_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let sealed = openssl_key(folder.path(), "-v2 aes-256-cbc -passout pass:right");
    let cases = [
        ("openssl genrsa -traditional 2048", "is a PKCS#1 key"),
        (
            "openssl genrsa 1024 | openssl pkcs8 -topk8 -nocrypt",
            "is an RSA key of 1024 bits",
        ),
        (
            "openssl ecparam -genkey -noout -name prime256v1 | openssl pkcs8 -topk8 -nocrypt",
            "holds no usable RSA key",
        ),
        ("echo hello", "holds no usable RSA key"),
        (
            &format!(
                "openssl pkcs8 -in {} -passin pass:right -topk8 -v1 PBE-SHA1-3DES -passout pass:right",
                sealed.display()
            ),
            "is encrypted in a way that is not supported",
        ),
    ];
    for (script, expected) in cases {
        shell(&format!(
            "umask 077; ({script}) > {} 2>/dev/null",
            path.display()
        ));
        let error = KeyPair::read(&path, Some(&secret("right"))).unwrap_err();
        assert!(error.to_string().contains(expected), "{script}: {error}");
        assert!(error.hint().is_some(), "{script}");
    }
    let wrong = KeyPair::read(&sealed, Some(&secret("wrong"))).unwrap_err();
    assert!(matches!(wrong, KeyError::PassphraseWrong { .. }), "{wrong}");
    let missing = KeyPair::read(&sealed, None).unwrap_err();
    assert!(
        matches!(missing, KeyError::PassphraseMissing { .. }),
        "{missing}"
    );
}

#[test]
fn a_key_pair_does_not_print_its_private_half() {
    let shown = format!("{:?}", *PAIR);
    assert_eq!(
        shown,
        format!("KeyPair {{ fingerprint: {:?}, .. }}", PAIR.fingerprint())
    );
}

#[test]
fn the_arguments_are_consistent() {
    use clap::{Command, Subcommand};

    KeysCommand::augment_subcommands(Command::new("keys")).debug_assert();
}
