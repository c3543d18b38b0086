//! A signed token for each request, by whichever key the server knows.
//!
//! The key file may be exchanged at any time. The new key is tried first; while the server refuses it, because
//! nobody has registered it yet, the old one stays in use.

mod key_file;
mod signer;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use secrecy::SecretString;
use tracing::{info, warn};

use super::{Config, Error, Identity};
use crate::keys::KeyPair;
use key_file::KeyFile;
use signer::Signer;

/// A new key that was refused is tried again after this time: somebody may be about to register it.
const BETWEEN_TRIES: Duration = Duration::from_secs(30);

/// Tells the time; a test tells it what it likes.
pub(super) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Makes tokens for one user. Any number of requests may ask at once.
pub(super) struct Authenticator {
    clock: Clock,
    keys: Mutex<Keys>,
    file: tokio::sync::Mutex<KeyFile>,
}

struct Keys {
    /// The key that the server took last.
    current: Arc<Signer>,
    /// A key that the server has not taken yet.
    new: Option<New>,
}

struct New {
    signer: Arc<Signer>,
    /// When it was refused last.
    refused: Option<Instant>,
}

impl New {
    fn is_due(&self) -> bool {
        self.refused.is_none_or(|at| at.elapsed() >= BETWEEN_TRIES)
    }
}

impl Authenticator {
    pub(super) fn new(config: &Config, pair: &KeyPair, clock: Clock) -> Self {
        let signer = Signer::new(
            &config.account_name(),
            &config.user.to_ascii_uppercase(),
            pair,
        );
        Self {
            clock,
            keys: Mutex::new(Keys {
                current: Arc::new(signer),
                new: None,
            }),
            file: tokio::sync::Mutex::new(KeyFile::new(config)),
        }
    }

    /// Who the tokens are for, by the key that the server took last.
    pub(super) fn identity(&self) -> Arc<Identity> {
        Arc::clone(self.keys().current.identity())
    }

    /// The time on this side.
    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// Makes a call with a token. A token that is refused is made anew once, and the other key is tried, where there is one.
    ///
    /// # Errors
    /// Those of the call; [`Error::Unauthorized`] when no key is taken.
    pub(super) async fn signed<T, F: Future<Output = Result<T, Error>>>(
        &self,
        mut call: impl FnMut(SecretString) -> F,
    ) -> Result<T, Error> {
        self.look_at_file(false).await;
        let mut signer = self.first();
        let mut refused: Vec<Arc<Signer>> = Vec::new();
        loop {
            let refusal = match call(signer.token(self.now())?).await {
                Err(error @ Error::Unauthorized { .. }) => error,
                Ok(value) => {
                    self.accepted(&signer);
                    return Ok(value);
                }
                // Not even a statement that is refused says that: it may be a gateway that speaks.
                Err(error) => return Err(error),
            };
            let is_new = self.postpone(&signer, &refusal);
            let again = refused.iter().any(|other| other.is(&signer));
            if !is_new && !again && signer.drop_old_token(self.now()) {
                refused.push(Arc::clone(&signer));
                continue;
            }
            refused.push(signer);
            // The old key may have been taken back in the same moment as the file was exchanged.
            self.look_at_file(true).await;
            match self.other_than(&refused) {
                Some(other) => signer = other,
                None => return Err(self.of_the_newest(refusal)),
            }
        }
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key to try first.
    fn first(&self) -> Arc<Signer> {
        let keys = self.keys();
        let new = keys.new.as_ref().filter(|new| new.is_due());
        Arc::clone(new.map_or(&keys.current, |new| &new.signer))
    }

    /// A key that is none of these.
    fn other_than(&self, refused: &[Arc<Signer>]) -> Option<Arc<Signer>> {
        let keys = self.keys();
        let new = keys.new.as_ref().map(|new| &new.signer);
        new.into_iter()
            .chain([&keys.current])
            .find(|signer| !refused.iter().any(|other| other.is(signer)))
            .map(Arc::clone)
    }

    /// The refusal, as that of the key which is in the file now: that is the one to register.
    fn of_the_newest(&self, mut refusal: Error) -> Error {
        if let Error::Unauthorized { identity, .. } = &mut refusal
            && let Some(new) = &self.keys().new
        {
            *identity = Arc::clone(new.signer.identity());
        }
        refusal
    }

    /// Looks whether the file has changed, and reads it if so; one caller at a time. `now`: also when it is not due, and after
    /// whoever looks already.
    async fn look_at_file(&self, now: bool) {
        let mut file = match (now, self.file.try_lock()) {
            (_, Ok(file)) => file,
            (true, Err(_)) => self.file.lock().await,
            (false, Err(_)) => return,
        };
        if !now && !file.is_due() {
            return;
        }
        let Some(pair) = file.changed().await else {
            return;
        };
        let mut keys = self.keys();
        let Identity { account, user, .. } = &**keys.current.identity();
        let signer = Signer::new(account, user, &pair);
        if keys.new.as_ref().is_some_and(|new| new.signer.is(&signer)) {
            return;
        }
        // Written again with the same key, or put back.
        keys.new = (!signer.is(&keys.current)).then(|| New {
            signer: Arc::new(signer),
            refused: None,
        });
        if keys.new.is_some() {
            info!(fingerprint = pair.fingerprint(), "the key file has changed");
        }
    }

    /// The server has taken a token of this key.
    fn accepted(&self, signer: &Arc<Signer>) {
        let mut keys = self.keys();
        if keys.new.as_ref().is_some_and(|new| new.signer.is(signer)) {
            keys.new = None;
            keys.current = Arc::clone(signer);
            info!(
                fingerprint = signer.identity().fingerprint,
                "the warehouse takes the new key; the old one is no longer used and may be taken back"
            );
        }
    }

    /// Whether it was the new key that was refused; then it waits.
    fn postpone(&self, signer: &Arc<Signer>, refusal: &Error) -> bool {
        let mut keys = self.keys();
        let Some(new) = keys.new.as_mut().filter(|new| new.signer.is(signer)) else {
            return false;
        };
        if new.refused.replace(Instant::now()).is_none() {
            let Identity {
                user,
                fingerprint,
                public_key,
                ..
            } = &**signer.identity();
            warn!(
                error = %refusal,
                fingerprint,
                hint = format!("register it: ALTER USER {user} SET RSA_PUBLIC_KEY_2='{public_key}'"),
                "the new key is refused; the old one stays in use and the new one is tried again"
            );
        }
        true
    }
}
