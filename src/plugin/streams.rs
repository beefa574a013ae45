//! The two directions of a guest's TCP connection, as WASI streams that pay for every byte.
//!
//! Invariant: nothing here waits; what cannot be written at once is kept, and until it is gone no more is taken.
//! Invariant: a stream whose call has no bytes left fails in words, and sends nothing more.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::allowance::Allowance;

/// The most that is read or taken for writing in one step.
const STEP: usize = 64 << 10;

/// What the guest reads.
pub(super) struct Reader {
    half: OwnedReadHalf,
    ended: bool,
    allowance: Arc<Allowance>,
}

impl Reader {
    pub(super) fn new(half: OwnedReadHalf, allowance: Arc<Allowance>) -> Self {
        Self {
            half,
            ended: false,
            allowance,
        }
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.ended {
            return Err(StreamError::Closed);
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        let most = size.min(STEP).min(self.allowance.left());
        if most == 0 {
            // Asked for one more than there is, so that it is told.
            self.allowance.bytes(1);
            return Err(spent());
        }
        let mut into = BytesMut::zeroed(most);
        match self.half.try_read(&mut into) {
            Ok(0) => {
                self.ended = true;
                Err(StreamError::Closed)
            }
            Ok(read) => {
                self.allowance.bytes(read);
                into.truncate(read);
                Ok(into.freeze())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Bytes::new()),
            Err(error) => {
                self.ended = true;
                Err(StreamError::LastOperationFailed(error.into()))
            }
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        if !self.ended && self.allowance.left() > 0 {
            // An error shows in the read that follows.
            let _ = self.half.readable().await;
        }
    }
}

/// The writing half: shared by the socket, which may end it, and the stream.
pub(super) struct Sending(Mutex<Outbox>);

struct Outbox {
    /// None once it has ended. Dropping it tells the other side that no more comes.
    half: Option<OwnedWriteHalf>,
    /// What was taken from the guest and is not written yet.
    rest: Bytes,
    ending: bool,
    failed: Option<std::io::Error>,
}

impl Sending {
    pub(super) fn new(half: OwnedWriteHalf) -> Self {
        Self(Mutex::new(Outbox {
            half: Some(half),
            rest: Bytes::new(),
            ending: false,
            failed: None,
        }))
    }

    /// No more will be written; what was taken still goes out.
    pub(super) fn end(&self) {
        let mut outbox = self.lock();
        outbox.ending = true;
        outbox.push();
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox {
    /// Writes what can be written now.
    fn push(&mut self) {
        while let Some(half) = &self.half {
            if self.rest.is_empty() {
                break;
            }
            match half.try_write(&self.rest) {
                Ok(written) => self.rest.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.failed = Some(error);
                    self.half = None;
                }
            }
        }
        if self.ending {
            self.half = None;
        }
    }

    /// What stands in the way of writing for good.
    fn check(&mut self) -> StreamResult<()> {
        match self.failed.take() {
            Some(error) => Err(StreamError::LastOperationFailed(error.into())),
            None if self.half.is_none() || self.ending => Err(StreamError::Closed),
            None => Ok(()),
        }
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.push();
            let Some(half) = &self.half else {
                return Poll::Ready(());
            };
            if self.rest.is_empty() {
                return Poll::Ready(());
            }
            match half.as_ref().poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// What the guest writes.
pub(super) struct Writer {
    sending: Arc<Sending>,
    allowance: Arc<Allowance>,
}

impl Writer {
    pub(super) fn new(sending: Arc<Sending>, allowance: Arc<Allowance>) -> Self {
        Self { sending, allowance }
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if !self.allowance.bytes(bytes.len()) {
            return Err(spent());
        }
        let mut outbox = self.sending.lock();
        outbox.check()?;
        if !outbox.rest.is_empty() {
            return Err(StreamError::trap("wrote more than check-write permitted"));
        }
        outbox.rest = bytes;
        outbox.push();
        if outbox.half.is_none() { outbox.check() } else { Ok(()) }
    }

    fn flush(&mut self) -> StreamResult<()> {
        let mut outbox = self.sending.lock();
        outbox.push();
        outbox.check()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let mut outbox = self.sending.lock();
        outbox.push();
        outbox.check()?;
        Ok(if outbox.rest.is_empty() { STEP } else { 0 })
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        poll_fn(|cx| self.sending.lock().poll_written(cx)).await;
    }
}

fn spent() -> StreamError {
    StreamError::LastOperationFailed(wasmtime::format_err!(
        "this call has no bytes left for the network (limits.egress)"
    ))
}
