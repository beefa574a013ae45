//! Binds one address: TCP, with TLS on it or without, or a unix socket with a stale one removed and its mode set before
//! anyone can see it.

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::tls::Tls;
use crate::config::value::Address;
use crate::error::{Error, Kind};

/// Owner and group may connect.
const SOCKET_MODE: u32 = 0o660;

/// An address that is listened at.
#[derive(Debug)]
pub struct Bound {
    /// The address, with the port that was given for port 0.
    pub address: Address,
    pub(super) listener: Listener,
}

#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Tls(TcpListener, Arc<Tls>),
    Unix(UnixListener),
}

/// Binds `address`; one that speaks TLS needs what it is to show.
///
/// # Errors
/// Says which address, why, and what to do.
pub async fn bind(address: &Address, tls: Option<&Arc<Tls>>) -> Result<Bound, Error> {
    match (address, tls) {
        (Address::Tcp(wanted), _) => {
            let (listener, given) = bind_port(address, *wanted).await?;
            Ok(Bound {
                address: Address::Tcp(given),
                listener: Listener::Tcp(listener),
            })
        }
        (Address::Tls(wanted), Some(tls)) => {
            let (listener, given) = bind_port(address, *wanted).await?;
            Ok(Bound {
                address: Address::Tls(given),
                listener: Listener::Tls(listener, Arc::clone(tls)),
            })
        }
        (Address::Tls(_), None) => Err(refused(address, "there is no certificate (`listen.tls_certificate`)")),
        (Address::Unix(path), _) => {
            clear(path).await.map_err(|why| refused(address, &why))?;
            let listener = bind_socket(path).map_err(|cause| refused(address, &cause.to_string()))?;
            Ok(Bound {
                address: address.clone(),
                listener: Listener::Unix(listener),
            })
        }
    }
}

/// A listener, and the address that it was given.
async fn bind_port(address: &Address, wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let refused = |cause: std::io::Error| refused(address, &cause.to_string());
    let listener = TcpListener::bind(wanted).await.map_err(refused)?;
    let given = listener.local_addr().map_err(refused)?;
    Ok((listener, given))
}

/// Removes a socket that nobody answers at; refuses anything else that is in the way.
async fn clear(path: &Path) -> Result<(), String> {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err("a file that is no socket is in the way".to_owned());
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err("another process answers there".to_owned());
    }
    std::fs::remove_file(path).map_err(|cause| format!("the stale socket cannot be removed: {cause}"))
}

/// Bound under another name, given its mode, then renamed: there is no moment at which strangers could connect.
fn bind_socket(path: &Path) -> std::io::Result<UnixListener> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    let listener = UnixListener::bind(&beside)?;
    let placed = std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(SOCKET_MODE))
        .and_then(|()| std::fs::rename(&beside, path));
    if placed.is_err() {
        // The first failure is the one to tell.
        let _ = std::fs::remove_file(&beside);
    }
    placed.map(|()| listener)
}

fn refused(address: &Address, why: &str) -> Error {
    let hint = "`--listen` takes another address, and port 0 any free port";
    Error::new(
        Kind::Unavailable,
        "address_not_bound",
        format!("cannot listen on {address}: {why}; {hint}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn port_zero_becomes_a_real_port() {
        let bound = bind(&Address::parse("127.0.0.1:0").unwrap(), None).await.unwrap();
        let Address::Tcp(address) = &bound.address else {
            panic!()
        };
        assert_ne!(address.port(), 0);
        let again = bind(&bound.address, None).await.err().unwrap();
        assert!(again.message().contains("cannot listen on 127.0.0.1"), "{again}");
    }

    #[tokio::test]
    async fn only_a_stale_socket_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let address = Address::Unix(path.clone());
        let first = bind(&address, None).await.unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            SOCKET_MODE
        );
        assert!(
            bind(&address, None)
                .await
                .err()
                .unwrap()
                .message()
                .contains("another process answers")
        );
        drop(first);
        let second = bind(&address, None).await.unwrap();
        drop(second);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(
            bind(&address, None)
                .await
                .err()
                .unwrap()
                .message()
                .contains("no socket")
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
