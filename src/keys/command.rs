//! `sluicebox keys`: makes a key pair for the warehouse, and shows the public half of one.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use super::{
    KeyError, KeyPair, PublicKey,
    file::{self, Readers},
    passphrase,
};

/// Make a key pair for the warehouse, or show the public half of one.
#[derive(Debug, clap::Subcommand)]
pub enum KeysCommand {
    /// Make a key pair and print the statement that registers it
    Generate(GenerateArgs),
    /// Print the public key of a private key file
    Export(ExportArgs),
    /// Print the fingerprint of a private or public key file, as DESC USER shows it in RSA_PUBLIC_KEY_FP
    Fingerprint(FingerprintArgs),
}

/// What `keys generate` takes.
#[derive(Debug, clap::Args)]
pub struct GenerateArgs {
    /// File for the private key (mode 0600, never overwritten); the public key is written beside it as .pub
    #[arg(long, value_name = "FILE", default_value = "secrets/rsa_key.p8")]
    pub out: PathBuf,
    /// Size of the key
    #[arg(long, value_name = "BITS", default_value = "2048", value_parser = ["2048", "3072", "4096"])]
    pub bits: String,
    /// Do not encrypt the private key
    #[arg(long, conflicts_with = "passphrase_file")]
    pub unencrypted: bool,
    /// File that holds the passphrase; otherwise SLUICEBOX_WAREHOUSE__PRIVATE_KEY_PASSPHRASE, otherwise asked for
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// User named in the printed statement
    #[arg(long, value_name = "USER", default_value = "<user>")]
    pub user: String,
}

/// What `keys export` takes.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Private key file (PKCS#8 PEM)
    pub file: PathBuf,
    /// Print PEM with its BEGIN and END lines
    #[arg(long, conflicts_with = "der_base64")]
    pub pem: bool,
    /// Print the DER in base64 on one line, as RSA_PUBLIC_KEY='...' takes it (the default)
    #[arg(long)]
    pub der_base64: bool,
    /// File that holds the passphrase; otherwise SLUICEBOX_WAREHOUSE__PRIVATE_KEY_PASSPHRASE, otherwise asked for
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// What `keys fingerprint` takes.
#[derive(Debug, clap::Args)]
pub struct FingerprintArgs {
    /// Private key file (PKCS#8 PEM) or public key file (PEM)
    pub file: PathBuf,
    /// File that holds the passphrase; otherwise SLUICEBOX_WAREHOUSE__PRIVATE_KEY_PASSPHRASE, otherwise asked for
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// Does what was asked, and prints the result on stdout.
#[expect(clippy::print_stdout, reason = "stdout is the data")]
pub fn run(command: &KeysCommand) -> Result<(), KeyError> {
    let text = match command {
        KeysCommand::Generate(args) => generate(args)?,
        KeysCommand::Export(args) => export(args)?,
        KeysCommand::Fingerprint(args) => fingerprint(args)?,
    };
    println!("{text}");
    Ok(())
}

/// Writes both files; answers with the statement that registers the key, and its fingerprint.
pub(super) fn generate(args: &GenerateArgs) -> Result<String, KeyError> {
    let public_file = args.out.with_extension("pub");
    // Before anything is asked for or computed; the writes below refuse once more.
    for path in [&args.out, &public_file] {
        if path.exists() {
            return Err(KeyError::Exists { path: path.clone() });
        }
    }
    let passphrase = match args.unencrypted {
        true => None,
        false => Some(passphrase::to_encrypt(args.passphrase_file.as_deref())?),
    };
    let bits = args
        .bits
        .parse()
        .expect("the argument's parser allows numbers alone");
    let pair = KeyPair::generate(bits)?;
    pair.write_new(&args.out, passphrase.as_ref())?;
    file::write_new(&public_file, &pair.public().to_pem(), Readers::Everyone)?;
    Ok(format!(
        "{}\n{}",
        register_statement(&args.user, pair.public()),
        pair.fingerprint()
    ))
}

pub(super) fn export(args: &ExportArgs) -> Result<String, KeyError> {
    let pair = open(&args.file, args.passphrase_file.as_deref())?;
    Ok(match args.pem {
        true => pair.public().to_pem().trim_end().to_owned(),
        false => pair.public_key_base64(),
    })
}

pub(super) fn fingerprint(args: &FingerprintArgs) -> Result<String, KeyError> {
    let text = file::read(&args.file)?;
    if text.expose_secret().contains("BEGIN PUBLIC KEY") {
        return Ok(PublicKey::read(&args.file)?.fingerprint());
    }
    Ok(open(&args.file, args.passphrase_file.as_deref())?.fingerprint())
}

fn open(path: &Path, passphrase_file: Option<&Path>) -> Result<KeyPair, KeyError> {
    let passphrase = passphrase::to_open(passphrase_file, path)?;
    KeyPair::read(path, passphrase.as_ref())
}

/// The statement that lets the holder of the private key sign in as the user.
fn register_statement(user: &str, key: &PublicKey) -> String {
    format!(
        "ALTER USER {user} SET RSA_PUBLIC_KEY='{}';",
        key.to_base64()
    )
}
