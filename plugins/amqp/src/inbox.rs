//! What has arrived and is not yet read: both dialects take their frames from here.

use std::io;

use crate::error::Error;
use crate::wire::{Wire, explain};

/// How much is read at once.
const CHUNK: usize = 8 << 10;

/// A buffer before a wire.
#[derive(Debug, Default)]
pub struct Inbox(Vec<u8>);

/// What a look at the wire found.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Bytes, now in the inbox.
    Bytes,
    /// Nothing new.
    Nothing,
    /// The broker has closed the connection.
    End,
}

impl Inbox {
    /// What is there.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes the first so many bytes out.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.0.split_off(count.min(self.0.len()));
        std::mem::replace(&mut self.0, rest)
    }

    /// Waits for more.
    pub fn wait(&mut self, wire: &mut impl Wire) -> Result<(), Error> {
        let mut chunk = [0; CHUNK];
        let read = loop {
            match wire.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
                read => break read,
            }
        };
        let read = read.map_err(|error| Error::Broker(explain("waiting for the broker", &error)))?;
        self.0.extend(chunk.iter().take(read));
        Ok(())
    }

    /// Looks whether more is there, without waiting. A connection in error is at its end.
    pub fn look(&mut self, wire: &mut impl Wire) -> Arrival {
        let mut chunk = [0; CHUNK];
        match wire.read_ready(&mut chunk) {
            Ok(None) => Arrival::Nothing,
            Ok(Some(0)) | Err(_) => Arrival::End,
            Ok(Some(read)) => {
                self.0.extend(chunk.iter().take(read));
                Arrival::Bytes
            }
        }
    }
}
