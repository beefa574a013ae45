//! A wire without a network: answers what it was told to answer, when it has been sent what it waits for.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Instant;

use crate::wire::Wire;

/// Each step: the end of what must have been written, and what is then there to read.
#[derive(Debug, Default)]
pub struct Script {
    steps: VecDeque<(Vec<u8>, Vec<u8>)>,
    readable: VecDeque<u8>,
    /// Everything that was written.
    pub written: Vec<u8>,
    /// Whether the broker ends the connection when it has nothing more to say.
    pub ends: bool,
}

impl Script {
    /// One more step.
    pub fn then(&mut self, written: impl Into<Vec<u8>>, answer: impl Into<Vec<u8>>) {
        self.steps.push_back((written.into(), answer.into()));
    }

    /// Bytes that arrive by themselves.
    pub fn arrive(&mut self, bytes: &[u8]) {
        self.readable.extend(bytes);
    }
}

impl Read for Script {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.readable.is_empty() && !self.ends {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // In small pieces: whoever reads must put frames together.
        let count = into.len().min(self.readable.len()).min(5);
        for (place, byte) in into.iter_mut().zip(self.readable.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        if self
            .steps
            .front()
            .is_some_and(|(wanted, _)| self.written.ends_with(wanted))
        {
            let (_, answer) = self.steps.pop_front().unwrap_or_default();
            self.readable.extend(answer);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Script {
    fn read_ready(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self.read(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            read => read.map(Some),
        }
    }

    fn finish_by(&mut self, _: Instant) {}
}
