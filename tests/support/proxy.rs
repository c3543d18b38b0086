//! Stands between the service and its warehouse, and spoils the way there on demand. It knows no HTTP: it passes bytes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often a connection looks whether the way has changed.
const LOOK: Duration = Duration::from_millis(20);

/// What ends a load in the request that carries it.
const COMMIT: &[u8] = b"COMMIT";

/// What becomes of bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Connections are closed, those that stand and those that come.
    Refused,
    /// Connections stand, and nothing comes through.
    Silent,
    /// What comes through comes so much later, in each direction.
    Slow(Duration),
}

/// A proxy on a port of its own, until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    road: Arc<Road>,
}

/// What all connections share.
struct Road {
    to: SocketAddr,
    way: Mutex<Way>,
    /// Replies to requests with a COMMIT that are still to be dropped.
    drops: AtomicU32,
    /// Replies that were.
    dropped: AtomicU64,
    ended: AtomicBool,
}

impl Proxy {
    /// To a server that is given as `http://address`.
    pub(crate) fn to(url: &str) -> Self {
        let address = url.strip_prefix("http://").expect("a plain address");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let road = Arc::new(Road {
            to: address.parse().expect("an address and a port"),
            way: Mutex::new(Way::Open),
            drops: AtomicU32::new(0),
            dropped: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::clone(&road);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.is_ended() {
                    return;
                }
                let road = Arc::clone(&shared);
                std::thread::spawn(move || road.carry(&stream));
            }
        });
        Self { address, road }
    }

    /// Where it listens, as `http://address`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes what becomes of bytes from now on, those of standing connections too.
    pub(crate) fn set(&self, way: Way) {
        *self.road.way.lock().unwrap_or_else(PoisonError::into_inner) = way;
    }

    /// Drops the reply to the next request that carries a COMMIT: the warehouse has done it, and nobody hears of it.
    pub(crate) fn drop_next_reply(&self) {
        self.road.drops.store(1, Ordering::SeqCst);
    }

    /// Replies that were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.road.dropped.load(Ordering::SeqCst)
    }
}
impl Drop for Proxy {
    fn drop(&mut self) {
        self.road.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, so that its thread ends.
        let _ = TcpStream::connect(self.address);
    }
}

impl Road {
    fn is_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn way(&self) -> Way {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One connection, from its first byte to its last.
    fn carry(self: &Arc<Self>, client: &TcpStream) {
        if self.way() == Way::Refused {
            return;
        }
        let Ok(server) = TcpStream::connect(self.to) else {
            return;
        };
        let doomed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // An end of either side is the end of both: nothing here closes half a connection.
                let _ = self.requests(client, &server, &doomed);
                close(client, &server);
            });
            let _ = self.replies(&server, client, &doomed);
            close(client, &server);
        });
    }

    fn requests(
        &self,
        client: &TcpStream,
        server: &TcpStream,
        doomed: &AtomicBool,
    ) -> io::Result<()> {
        // The end of what came before: the word may be cut in two.
        let mut seen: Vec<u8> = Vec::new();
        self.copy(client, server, |bytes| {
            seen.extend_from_slice(bytes);
            if seen.windows(COMMIT.len()).any(|word| word == COMMIT) {
                seen.clear();
                let taken = self
                    .drops
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                        left.checked_sub(1)
                    });
                if taken.is_ok() {
                    doomed.store(true, Ordering::SeqCst);
                }
            }
            let kept = seen.len().min(COMMIT.len() - 1);
            seen.drain(..seen.len() - kept);
            true
        })
    }

    fn replies(
        &self,
        server: &TcpStream,
        client: &TcpStream,
        doomed: &AtomicBool,
    ) -> io::Result<()> {
        self.copy(server, client, |_| {
            let drop = doomed.load(Ordering::SeqCst);
            if drop {
                self.dropped.fetch_add(1, Ordering::SeqCst);
            }
            !drop
        })
    }

    /// Passes bytes until one side closes, the way is refused, or `look` says that it is enough.
    fn copy(
        &self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        mut look: impl FnMut(&[u8]) -> bool,
    ) -> io::Result<()> {
        from.set_read_timeout(Some(LOOK))?;
        let mut bytes = vec![0; 64 << 10];
        while !self.is_ended() {
            let way = self.way();
            match way {
                Way::Refused => return Ok(()),
                Way::Silent => {
                    std::thread::sleep(LOOK);
                    continue;
                }
                Way::Open | Way::Slow(_) => {}
            }
            let length = match from.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !look(&bytes[..length]) {
                return Ok(());
            }
            if let Way::Slow(delay) = way {
                std::thread::sleep(delay);
            }
            to.write_all(&bytes[..length])?;
        }
        Ok(())
    }
}

fn close(client: &TcpStream, server: &TcpStream) {
    // What is closed already is closed.
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}
