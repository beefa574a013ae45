//! TCP through the standard library, as a plugin's crates would use it.

use std::io::{Error, Read, Result, Write};
use std::net::TcpStream;

/// Writes a line in small pieces, and reads one back.
pub fn echo(place: &str) -> Result<String> {
    let mut stream = TcpStream::connect(place)?;
    for piece in [b"hel", b"lo\r".as_slice(), b"\n"] {
        stream.write_all(piece)?;
    }
    let mut answer = vec![0; 7];
    stream.read_exact(&mut answer)?;
    let told = String::from_utf8_lossy(&answer).trim_end().to_owned();
    stream.shutdown(std::net::Shutdown::Write)?;
    let rest = stream.read(&mut answer)?;
    Ok(format!("{told} from {}, then {rest} bytes", stream.peer_addr()?.port()))
}

/// Reads for as long as something comes.
pub fn drink(place: &str) -> Result<String> {
    let mut stream = TcpStream::connect(place)?;
    let mut glass = vec![0; 64 << 10];
    let mut all = 0;
    loop {
        match stream.read(&mut glass) {
            Ok(0) => return Ok(format!("drank {all}")),
            Ok(read) => all += read,
            Err(error) => return Err(Error::other(format!("drank {all}, then {error}"))),
        }
    }
}

/// Writes for as long as something is taken.
pub fn pour(place: &str) -> Result<String> {
    let mut stream = TcpStream::connect(place)?;
    let jug = vec![b'x'; 64 << 10];
    let mut all = 0;
    loop {
        match stream.write(&jug) {
            Ok(written) => all += written,
            Err(error) => return Ok(format!("poured {all}, then {error}")),
        }
    }
}

/// Connects for as long as it may, and keeps every connection.
pub fn dial_for_ever(place: &str) -> Result<String> {
    let mut kept = Vec::new();
    loop {
        match TcpStream::connect(place) {
            Ok(stream) => kept.push(stream),
            Err(error) => return Ok(format!("dialled {}, then {error}", kept.len())),
        }
    }
}
