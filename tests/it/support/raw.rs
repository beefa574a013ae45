//! An answer as it comes, letter for letter: for protocols whose very line ends are part of what is tested.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::hub::Duplex;
use super::{HubProcess, PATIENCE};

/// An open answer in chunks.
pub(crate) struct Raw {
    socket: BufReader<Box<dyn Duplex>>,
    /// The head, as it was sent.
    pub(crate) head: String,
    unread: String,
}

impl Raw {
    /// Sends a GET and reads the head of its answer.
    pub(crate) async fn open(hub: &HubProcess, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut socket = BufReader::new(hub.dial().await);
        let mut request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n", hub.address());
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        socket.write_all(request.as_bytes()).await.expect("send");
        let mut head = String::new();
        let read = async {
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(socket.read_line(&mut head).await.expect("a line"), 0, "cut off: {head}");
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the head comes");
        Self {
            socket,
            head,
            unread: String::new(),
        }
    }

    /// The next chunk, as text.
    pub(crate) async fn chunk(&mut self) -> String {
        let read = async {
            let mut line = String::new();
            self.socket.read_line(&mut line).await.expect("a chunk's size");
            let size = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("no chunk: {line:?}"));
            let mut bytes = vec![0; size + 2];
            self.socket.read_exact(&mut bytes).await.expect("a chunk");
            bytes.truncate(size);
            String::from_utf8(bytes).expect("text")
        };
        tokio::time::timeout(PATIENCE, read).await.expect("a chunk comes")
    }

    /// The next frame of server-sent events that is no mere blank line, without the blank line at its end.
    pub(crate) async fn frame(&mut self) -> String {
        loop {
            while let Some((frame, rest)) = self.unread.split_once("\r\n\r\n") {
                let (frame, rest) = (frame.trim_start().to_owned(), rest.to_owned());
                self.unread = rest;
                if !frame.is_empty() {
                    return frame;
                }
            }
            let chunk = self.chunk().await;
            if chunk != "\r\n" {
                self.unread.push_str(&chunk);
            }
        }
    }
}
