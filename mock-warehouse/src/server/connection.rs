//! TCP connections that a handler can break instead of answering.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// How a connection ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// As if the server had gone: the client reads the end of the stream.
    Close,
    /// With a TCP reset.
    Reset,
}

const WHOLE: u8 = 0;
const TO_CLOSE: u8 = 1;
const TO_RESET: u8 = 2;

/// A handler's end of its connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connection(Arc<AtomicU8>);

impl Connection {
    /// Breaks the connection where the reply would begin.
    pub(super) fn cut(&self, cut: Cut) {
        let wanted = match cut {
            Cut::Close => TO_CLOSE,
            Cut::Reset => TO_RESET,
        };
        self.0.store(wanted, Ordering::Release);
    }
}

/// A listener whose connections can be cut.
pub(crate) struct BreakableListener(pub(crate) TcpListener);

/// A connection that breaks at its next write once it is told to.
pub(crate) struct BreakableStream {
    stream: TcpStream,
    connection: Connection,
}

impl Listener for BreakableListener {
    type Io = BreakableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (BreakableStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Answers are small: without this each waits for the client's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
        let connection = Connection::default();
        (BreakableStream { stream, connection }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, BreakableListener>> for Connection {
    fn connect_info(incoming: IncomingStream<'_, BreakableListener>) -> Self {
        incoming.io().connection.clone()
    }
}

impl BreakableStream {
    /// An error once the connection is to break; hyper drops it then.
    fn unbroken(&self) -> io::Result<()> {
        match self.connection.0.load(Ordering::Acquire) {
            WHOLE => return Ok(()),
            // Closing then discards what is unsent and sends a reset.
            TO_RESET => self.stream.set_zero_linger()?,
            _ => {}
        }
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for BreakableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for BreakableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unbroken()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unbroken()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unbroken()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
