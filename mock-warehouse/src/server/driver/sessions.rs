//! Tokens in, sessions out. A session token is good for a while and renewed with the master token, which is good for as
//! long as the session is used; a session that nobody uses ends, and with it its open transaction.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::engine::{Session, SessionContext};

/// A session ends when it is idle for this long, as in the service.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// When a login finds so many sessions open, it ends the one that has been idle for the longest time.
const MOST_SESSIONS: usize = 1_000;

/// When a session has been given so many tokens, the oldest is forgotten.
const MOST_TOKENS: usize = 100;

/// One login.
#[derive(Debug)]
pub(super) struct DriverSession {
    pub(super) id: i64,
    /// Login name.
    pub(super) user: String,
    master_token: String,
    /// Held while a statement runs.
    pub(super) engine: tokio::sync::Mutex<Session>,
    /// As the last statement that ended well left it.
    context: Mutex<SessionContext>,
    last_used: Mutex<Instant>,
}

impl DriverSession {
    pub(super) fn context(&self) -> SessionContext {
        locked(&self.context).clone()
    }

    pub(super) fn set_context(&self, context: SessionContext) {
        *locked(&self.context) = context;
    }

    fn touch(&self) {
        *locked(&self.last_used) = Instant::now();
    }

    fn idle_for(&self) -> Duration {
        locked(&self.last_used).elapsed()
    }
}

/// What a login or a renewal hands out.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) session: Arc<DriverSession>,
    pub(super) session_token: String,
    pub(super) master_token: String,
    /// Of the session token.
    pub(super) validity: Duration,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenFault {
    /// No session has it, or its session is over: log in again.
    SessionOver,
    /// Renew it.
    Expired,
    /// It renews nothing any more: log in again.
    MasterExpired,
}

impl TokenFault {
    /// Snowflake's code and message.
    pub(super) fn code_and_message(self) -> (&'static str, &'static str) {
        match self {
            Self::SessionOver => (
                "390111",
                "Session no longer exists. New login required to continue using Snowflake.",
            ),
            Self::Expired => (
                "390112",
                "Your session has expired. Please login again to continue.",
            ),
            Self::MasterExpired => (
                "390114",
                "Master token has expired. The session is no longer active.",
            ),
        }
    }
}

/// All open sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Sessions {
    validity: Duration,
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    last_id: i64,
    by_token: HashMap<String, Grant>,
    by_master_token: HashMap<String, Arc<DriverSession>>,
}

/// What a session token stands for. One that has been renewed stays good until it expires: requests are on their way.
#[derive(Debug)]
struct Grant {
    session: Arc<DriverSession>,
    expires: Instant,
}

impl Sessions {
    pub(super) fn new(validity: Duration) -> Self {
        Self {
            validity,
            book: Arc::default(),
        }
    }

    /// Begins a session.
    pub(super) fn open(&self, user: String, engine: Session) -> Tokens {
        let mut book = self.swept();
        book.make_room();
        book.last_id += 1;
        let session = Arc::new(DriverSession {
            id: book.last_id,
            user,
            master_token: new_token(),
            context: Mutex::new(engine.context()),
            engine: tokio::sync::Mutex::new(engine),
            last_used: Mutex::new(Instant::now()),
        });
        book.by_master_token
            .insert(session.master_token.clone(), Arc::clone(&session));
        self.grant(&mut book, session)
    }

    /// The session of a session token; it counts as used.
    pub(super) fn find(&self, token: &str) -> Result<Arc<DriverSession>, TokenFault> {
        let book = self.swept();
        let grant = book.by_token.get(token).ok_or(TokenFault::SessionOver)?;
        if grant.expires <= Instant::now() {
            return Err(TokenFault::Expired);
        }
        grant.session.touch();
        Ok(Arc::clone(&grant.session))
    }

    /// A new session token for a master token.
    pub(super) fn renew(&self, master_token: &str) -> Result<Tokens, TokenFault> {
        let mut book = self.swept();
        let session = book.by_master_token.get(master_token).map(Arc::clone);
        let session = session.ok_or(TokenFault::MasterExpired)?;
        session.touch();
        Ok(self.grant(&mut book, session))
    }

    /// Makes a session token one that has to be renewed. A master token renews nothing any more.
    pub(super) fn expire(&self, token: &str) {
        let mut book = self.swept();
        if let Some(grant) = book.by_token.get_mut(token) {
            grant.expires = Instant::now();
        }
        book.by_master_token.remove(token);
    }

    /// Ends the session of a token, even an expired one. What it still runs ends on its own.
    pub(super) fn close(&self, token: &str) -> Result<(), TokenFault> {
        let mut book = self.swept();
        let grant = book.by_token.get(token).ok_or(TokenFault::SessionOver)?;
        let id = grant.session.id;
        book.remove(|session| session.id == id);
        Ok(())
    }

    fn grant(&self, book: &mut Book, session: Arc<DriverSession>) -> Tokens {
        let session_token = new_token();
        let grant = Grant {
            session: Arc::clone(&session),
            expires: Instant::now() + self.validity,
        };
        let tokens = book.by_token.iter();
        let own: Vec<(&String, Instant)> = tokens
            .filter(|(_, grant)| grant.session.id == session.id)
            .map(|(token, grant)| (token, grant.expires))
            .collect();
        if own.len() >= MOST_TOKENS
            && let Some((oldest, _)) = own.into_iter().min_by_key(|(_, expires)| *expires)
        {
            let oldest = oldest.clone();
            book.by_token.remove(&oldest);
        }
        book.by_token.insert(session_token.clone(), grant);
        Tokens {
            session_token,
            master_token: session.master_token.clone(),
            validity: self.validity,
            session,
        }
    }

    /// The book without the sessions that nobody uses.
    fn swept(&self) -> MutexGuard<'_, Book> {
        let mut book = locked(&self.book);
        book.remove(|session| session.idle_for() > IDLE_LIMIT);
        book
    }
}

impl Book {
    fn remove(&mut self, over: impl Fn(&DriverSession) -> bool) {
        self.by_token.retain(|_, grant| !over(&grant.session));
        self.by_master_token.retain(|_, session| !over(session));
    }

    fn make_room(&mut self) {
        if self.by_master_token.len() < MOST_SESSIONS {
            return;
        }
        let idlest = self.by_master_token.values();
        if let Some(id) = idlest
            .min_by_key(|session| (*locked(&session.last_used), session.id))
            .map(|session| session.id)
        {
            self.remove(|session| session.id == id);
        }
    }
}

/// 244 random bits.
fn new_token() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    fn opened(sessions: &Sessions) -> Tokens {
        sessions.open("U".to_owned(), Engine::in_memory().admin())
    }

    #[test]
    fn an_expired_token_is_renewed_and_a_closed_session_is_over() {
        let sessions = Sessions::new(Duration::ZERO);
        let tokens = opened(&sessions);
        assert_eq!(
            sessions.find(&tokens.session_token).unwrap_err(),
            TokenFault::Expired
        );
        let renewed = sessions.renew(&tokens.master_token).unwrap();
        assert_eq!(renewed.session.id, tokens.session.id);
        sessions.close(&renewed.session_token).unwrap();
        assert_eq!(
            sessions.find(&tokens.session_token).unwrap_err(),
            TokenFault::SessionOver
        );
        assert_eq!(
            sessions.renew(&tokens.master_token).unwrap_err(),
            TokenFault::MasterExpired
        );
    }

    #[test]
    fn the_session_that_is_idle_for_the_longest_time_makes_room() {
        let sessions = Sessions::new(Duration::from_secs(60));
        let all: Vec<Tokens> = (0..MOST_SESSIONS).map(|_| opened(&sessions)).collect();
        sessions.find(&all[0].session_token).unwrap();
        opened(&sessions);
        assert!(sessions.find(&all[0].session_token).is_ok());
        assert_eq!(
            sessions.find(&all[1].session_token).unwrap_err(),
            TokenFault::SessionOver
        );
    }
}
