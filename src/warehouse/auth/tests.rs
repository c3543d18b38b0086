use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::UNIX_EPOCH,
};

use secrecy::ExposeSecret;

use super::*;
use crate::{
    keys::tests::{OTHER, PAIR},
    warehouse::tests::script::verified_claims,
};

const BEGINNING: u64 = 1_800_000_000;

fn config(key_file: &Path) -> Config {
    Config {
        account: "xy12345.us-east-1.aws".into(),
        user: "kafka_service".into(),
        private_key_file: key_file.to_owned(),
        ..Config::default()
    }
}

fn clock(seconds: &Arc<AtomicU64>) -> Clock {
    let seconds = Arc::clone(seconds);
    Arc::new(move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::SeqCst)))
}

fn refusal(identity: Arc<Identity>) -> Error {
    Error::Unauthorized {
        code: "390144".into(),
        message: "JWT token is invalid.".into(),
        identity,
        clock_ahead: None,
    }
}

/// A server that knows some keys.
struct Server {
    registered: Mutex<BTreeSet<String>>,
    asked: AtomicUsize,
}

impl Server {
    fn knowing(pairs: &[&KeyPair]) -> Self {
        let server = Self {
            registered: Mutex::default(),
            asked: AtomicUsize::new(0),
        };
        server.register(pairs);
        server
    }

    fn register(&self, pairs: &[&KeyPair]) {
        *self.registered.lock().unwrap() = pairs.iter().map(|pair| pair.fingerprint()).collect();
    }

    /// One call; the fingerprint that was taken.
    async fn call(&self, authenticator: &Authenticator) -> Result<String, Error> {
        authenticator
            .signed(async |token| {
                self.asked.fetch_add(1, Ordering::SeqCst);
                let payload = token.expose_secret().split('.').nth(1).unwrap().to_owned();
                let payload = base64::Engine::decode(
                    &base64::engine::general_purpose::URL_SAFE_NO_PAD,
                    payload,
                )
                .unwrap();
                let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                let fingerprint = claims["iss"]
                    .as_str()
                    .unwrap()
                    .splitn(3, '.')
                    .nth(2)
                    .unwrap();
                match self.registered.lock().unwrap().contains(fingerprint) {
                    true => Ok(fingerprint.to_owned()),
                    false => Err(refusal(authenticator.identity())),
                }
            })
            .await
    }

    fn requests(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

/// The look at the file, and the next try of the new key, are due.
fn time_passes(authenticator: &Authenticator) {
    authenticator.file.try_lock().unwrap().make_due();
    let mut keys = authenticator.keys();
    if let Some(new) = &mut keys.new
        && let Some(at) = &mut new.refused
    {
        *at -= BETWEEN_TRIES;
    }
}

fn exchange(file: &Path, pair: &KeyPair) {
    let _ = fs::remove_file(file);
    pair.write_new(file, None).unwrap();
}

/// A client that uses `PAIR`, while its key file holds this one.
fn beside(pair: &KeyPair) -> (tempfile::TempDir, PathBuf, Authenticator) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rsa_key.p8");
    exchange(&file, pair);
    let authenticator = Authenticator::new(&config(&file), &PAIR, Arc::new(SystemTime::now));
    (folder, file, authenticator)
}

#[tokio::test]
async fn a_token_says_who_and_when_and_is_signed() {
    let seconds = Arc::new(AtomicU64::new(BEGINNING));
    let authenticator = Authenticator::new(&config(Path::new("none")), &PAIR, clock(&seconds));
    let claims = authenticator
        .signed(async |token| Ok(verified_claims(token.expose_secret())))
        .await
        .unwrap();
    assert_eq!(
        claims["iss"],
        format!("XY12345.KAFKA_SERVICE.{}", PAIR.fingerprint())
    );
    assert_eq!(claims["sub"], "XY12345.KAFKA_SERVICE");
    assert_eq!(claims["iat"], BEGINNING);
    assert_eq!(claims["exp"], BEGINNING + 59 * 60);
}

#[tokio::test]
async fn a_token_is_kept_and_renewed_early() {
    let seconds = Arc::new(AtomicU64::new(BEGINNING));
    let authenticator = Authenticator::new(&config(Path::new("none")), &PAIR, clock(&seconds));
    for (now, made) in [
        (0, 0),
        (53 * 60, 0),
        (54 * 60, 54 * 60),
        (60 * 60, 54 * 60),
        (0, 0),
    ] {
        seconds.store(BEGINNING + now, Ordering::SeqCst);
        let claims = authenticator
            .signed(async |token| Ok(verified_claims(token.expose_secret())))
            .await
            .unwrap();
        let made_at = claims["iat"].as_u64().unwrap() - BEGINNING;
        assert_eq!(made_at, made, "after {now} s");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_made_anew_once() {
    let seconds = Arc::new(AtomicU64::new(BEGINNING));
    let authenticator = Authenticator::new(&config(Path::new("none")), &PAIR, clock(&seconds));
    let server = Server::knowing(&[&PAIR]);
    server.call(&authenticator).await.unwrap();
    server.register(&[]);
    seconds.store(BEGINNING + 600, Ordering::SeqCst);
    server.requests();
    server.call(&authenticator).await.unwrap_err();
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_new_key_is_tried_first_and_the_old_one_kept_until_the_new_one_works() {
    let (_folder, file, authenticator) = beside(&PAIR);
    let server = Server::knowing(&[&PAIR]);
    let (old, new) = (PAIR.fingerprint(), OTHER.fingerprint());

    exchange(&file, &OTHER);
    assert_eq!(
        server.call(&authenticator).await.unwrap(),
        old,
        "not looked yet"
    );
    time_passes(&authenticator);
    server.requests();
    assert_eq!(
        server.call(&authenticator).await.unwrap(),
        old,
        "not registered"
    );
    assert_eq!(server.requests(), 2, "the new key first, then the old one");
    assert_eq!(server.call(&authenticator).await.unwrap(), old);
    assert_eq!(server.requests(), 1, "the new key waits");

    server.register(&[&PAIR, &OTHER]);
    time_passes(&authenticator);
    assert_eq!(server.call(&authenticator).await.unwrap(), new);
    server.register(&[&OTHER]);
    assert_eq!(
        server.call(&authenticator).await.unwrap(),
        new,
        "the old key is gone"
    );
}

#[tokio::test]
async fn a_key_that_was_exchanged_in_both_places_at_once_is_found_at_the_first_refusal() {
    let (_folder, file, authenticator) = beside(&PAIR);
    let server = Server::knowing(&[&OTHER]);
    exchange(&file, &OTHER);
    assert_eq!(
        server.call(&authenticator).await.unwrap(),
        OTHER.fingerprint()
    );
}

#[tokio::test]
async fn a_file_that_holds_no_key_or_is_gone_changes_nothing() {
    let (_folder, file, authenticator) = beside(&PAIR);
    let server = Server::knowing(&[&PAIR]);
    fs::write(&file, "half of a key").unwrap();
    time_passes(&authenticator);
    server.call(&authenticator).await.unwrap();
    fs::remove_file(&file).unwrap();
    time_passes(&authenticator);
    server.call(&authenticator).await.unwrap();
    exchange(&file, &OTHER);
    server.register(&[&OTHER]);
    assert_eq!(
        server.call(&authenticator).await.unwrap(),
        OTHER.fingerprint()
    );
}

#[tokio::test]
async fn a_new_key_that_is_put_back_is_forgotten() {
    let (_folder, file, authenticator) = beside(&PAIR);
    let server = Server::knowing(&[&PAIR]);
    exchange(&file, &OTHER);
    time_passes(&authenticator);
    server.call(&authenticator).await.unwrap();
    exchange(&file, &PAIR);
    time_passes(&authenticator);
    server.requests();
    server.call(&authenticator).await.unwrap();
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_key_that_is_put_in_the_place_of_the_old_one_after_it_was_refused_is_taken_at_once() {
    let (_folder, file, authenticator) = beside(&PAIR);
    let server = Server::knowing(&[&PAIR]);
    exchange(&file, &OTHER);
    time_passes(&authenticator);
    server.call(&authenticator).await.unwrap();
    // ALTER USER ... SET RSA_PUBLIC_KEY: the one slot changes hands before the new key is due again.
    server.register(&[&OTHER]);
    let taken = server.call(&authenticator).await.unwrap();
    assert_eq!(taken, OTHER.fingerprint());
    server.register(&[]);
    let Err(Error::Unauthorized { identity, .. }) = server.call(&authenticator).await else {
        panic!("nobody is known")
    };
    assert_eq!(identity.fingerprint, OTHER.fingerprint());
}

#[tokio::test]
async fn the_key_to_register_is_the_one_in_the_file() {
    let (_folder, _, authenticator) = beside(&OTHER);
    let server = Server::knowing(&[]);
    let Err(Error::Unauthorized { identity, .. }) = server.call(&authenticator).await else {
        panic!("nobody is known")
    };
    assert_eq!(identity.fingerprint, OTHER.fingerprint());
    assert_eq!(server.requests(), 2, "each key once");
}

#[tokio::test]
async fn an_answer_that_is_not_the_warehouses_does_not_retire_the_old_key() {
    let (_folder, _, authenticator) = beside(&OTHER);
    time_passes(&authenticator);
    let gateway = authenticator
        .signed(async |_| {
            Err::<(), _>(Error::Rejected {
                code: "HTTP 403".into(),
                sql_state: None,
                message: "Forbidden".into(),
            })
        })
        .await;
    gateway.unwrap_err();
    let server = Server::knowing(&[&PAIR]);
    assert_eq!(
        server.call(&authenticator).await.unwrap(),
        PAIR.fingerprint()
    );
}

#[tokio::test]
async fn a_file_that_others_may_read_is_used_once_its_mode_is_right() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rsa_key.p8");
    exchange(&file, &OTHER);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let authenticator = Authenticator::new(&config(&file), &PAIR, Arc::new(SystemTime::now));
    let server = Server::knowing(&[&PAIR, &OTHER]);
    time_passes(&authenticator);
    assert_eq!(
        server.call(&authenticator).await.unwrap(),
        PAIR.fingerprint()
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    time_passes(&authenticator);
    assert_eq!(
        server.call(&authenticator).await.unwrap(),
        OTHER.fingerprint()
    );
}
