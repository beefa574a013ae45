//! A guest's TCP connections: wasi:sockets/tcp on the hub's own dial, in the place of wasmtime-wasi's.
//!
//! Why our own: wasmtime-wasi never sets TCP_NODELAY and hands out no socket to set it on, which costs a guest that
//! writes in small pieces 44 ms a delivery; and what goes through must be counted. Connecting is all there is: never a
//! listener, no options. What WASI leaves open (buffer sizes, keep-alive) is answered with `not-supported`.
//!
//! Invariant: every connection is dialled by `net`, after the grants and the guard have let its address through.
//! Invariant: no byte passes that the call's allowance does not cover.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::net::TcpStream;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp::{self, HostTcpSocket, ShutdownType};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, Pollable, SocketError, TcpSocket, subscribe};

use super::sockets::View;
use super::streams::{Reader, Sending, Writer};
use crate::net;

type Dialled = Result<TcpStream, ErrorCode>;
type Answer<T> = Result<T, SocketError>;

/// A socket. It stands in the table in the place of wasmtime-wasi's own: the guest's handle is a number that only the
/// functions here look up.
struct Socket {
    family: IpAddressFamily,
    state: State,
}

enum State {
    New,
    /// Bound to no address in particular, which is all that binding is good for without a listener.
    Binding,
    Bound,
    Dialling(Pin<Box<dyn Future<Output = Dialled> + Send>>),
    Dialled(Dialled),
    Open {
        local: SocketAddr,
        remote: SocketAddr,
        writes: Arc<Sending>,
    },
    Failed,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Socket {
    async fn ready(&mut self) {
        if let State::Dialling(dial) = &mut self.state {
            self.state = State::Dialled(dial.await);
        }
    }
}

impl tcp_create_socket::Host for View<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> Answer<Resource<TcpSocket>> {
        let state = State::New;
        let socket = self.table.push(Socket { family, state })?;
        Ok(Resource::new_own(socket.rep()))
    }
}

impl View<'_> {
    fn socket(&mut self, handle: &Resource<TcpSocket>) -> Answer<&mut Socket> {
        Ok(self.table.get_mut(&own(handle))?)
    }
}

impl tcp::Host for View<'_> {}

impl HostTcpSocket for View<'_> {
    async fn start_bind(
        &mut self,
        this: Resource<TcpSocket>,
        _: Resource<Network>,
        local: IpSocketAddress,
    ) -> Answer<()> {
        let local = SocketAddr::from(local);
        if !local.ip().is_unspecified() || local.port() != 0 {
            return Err(ErrorCode::AccessDenied.into());
        }
        let socket = self.socket(&this)?;
        match socket.state {
            State::New => {
                socket.state = State::Binding;
                Ok(())
            }
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    fn finish_bind(&mut self, this: Resource<TcpSocket>) -> Answer<()> {
        let socket = self.socket(&this)?;
        match socket.state {
            State::Binding => {
                socket.state = State::Bound;
                Ok(())
            }
            _ => Err(ErrorCode::NotInProgress.into()),
        }
    }

    fn start_connect(
        &mut self,
        this: Resource<TcpSocket>,
        _: Resource<Network>,
        remote: IpSocketAddress,
    ) -> Answer<()> {
        let remote = SocketAddr::from(remote);
        if !matches!(self.socket(&this)?.state, State::New | State::Bound) {
            return Err(ErrorCode::InvalidState.into());
        }
        let allowed = self.names.may_dial(remote);
        let (client, names) = (self.names.client.clone(), self.names.granted_names(remote));
        // A refusal is told where the guest waits for the connection, as any other failure to connect.
        let dial = async move {
            allowed?;
            client.connect(remote, &names).await.map_err(|error| told(&error))
        };
        self.socket(&this)?.state = State::Dialling(Box::pin(dial));
        Ok(())
    }

    fn finish_connect(
        &mut self,
        this: Resource<TcpSocket>,
    ) -> Answer<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let allowance = self.names.allowance.clone();
        let socket = self.socket(&this)?;
        if !matches!(socket.state, State::Dialling(_) | State::Dialled(_)) {
            return Err(ErrorCode::NotInProgress.into());
        }
        if socket.ready().now_or_never().is_none() {
            return Err(ErrorCode::WouldBlock.into());
        }
        let State::Dialled(dialled) = std::mem::replace(&mut socket.state, State::Failed) else {
            return Err(ErrorCode::WouldBlock.into());
        };
        let stream = dialled?;
        let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
        let (reads, writes) = stream.into_split();
        let writes = Arc::new(Sending::new(writes));
        let input: DynInputStream = Box::new(Reader::new(reads, allowance.clone()));
        let output: DynOutputStream = Box::new(Writer::new(writes.clone(), allowance));
        socket.state = State::Open { local, remote, writes };
        let parent = own(&this);
        Ok((
            self.table.push_child(input, &parent)?,
            self.table.push_child(output, &parent)?,
        ))
    }

    async fn start_listen(&mut self, _: Resource<TcpSocket>) -> Answer<()> {
        Err(ErrorCode::AccessDenied.into())
    }

    fn finish_listen(&mut self, _: Resource<TcpSocket>) -> Answer<()> {
        Err(ErrorCode::NotInProgress.into())
    }

    fn accept(
        &mut self,
        _: Resource<TcpSocket>,
    ) -> Answer<(Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        Err(ErrorCode::InvalidState.into())
    }

    fn local_address(&mut self, this: Resource<TcpSocket>) -> Answer<IpSocketAddress> {
        match self.socket(&this)?.state {
            State::Open { local, .. } => Ok(local.into()),
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    fn remote_address(&mut self, this: Resource<TcpSocket>) -> Answer<IpSocketAddress> {
        match self.socket(&this)?.state {
            State::Open { remote, .. } => Ok(remote.into()),
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    fn is_listening(&mut self, _: Resource<TcpSocket>) -> wasmtime::Result<bool> {
        Ok(false)
    }

    fn address_family(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&own(&this))?.family)
    }

    fn subscribe(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, own(&this))
    }

    fn shutdown(&mut self, this: Resource<TcpSocket>, what: ShutdownType) -> Answer<()> {
        let State::Open { writes, .. } = &self.socket(&this)?.state else {
            return Err(ErrorCode::InvalidState.into());
        };
        // The other direction needs nothing: a guest that reads no more just does not read.
        if matches!(what, ShutdownType::Send | ShutdownType::Both) {
            writes.end();
        }
        Ok(())
    }

    fn drop(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Socket>::new_own(this.rep()))?;
        Ok(())
    }

    fn set_listen_backlog_size(&mut self, _: Resource<TcpSocket>, _: u64) -> Answer<()> {
        unsupported()
    }

    fn keep_alive_enabled(&mut self, _: Resource<TcpSocket>) -> Answer<bool> {
        unsupported()
    }

    fn set_keep_alive_enabled(&mut self, _: Resource<TcpSocket>, _: bool) -> Answer<()> {
        unsupported()
    }

    fn keep_alive_idle_time(&mut self, _: Resource<TcpSocket>) -> Answer<u64> {
        unsupported()
    }

    fn set_keep_alive_idle_time(&mut self, _: Resource<TcpSocket>, _: u64) -> Answer<()> {
        unsupported()
    }

    fn keep_alive_interval(&mut self, _: Resource<TcpSocket>) -> Answer<u64> {
        unsupported()
    }

    fn set_keep_alive_interval(&mut self, _: Resource<TcpSocket>, _: u64) -> Answer<()> {
        unsupported()
    }

    fn keep_alive_count(&mut self, _: Resource<TcpSocket>) -> Answer<u32> {
        unsupported()
    }

    fn set_keep_alive_count(&mut self, _: Resource<TcpSocket>, _: u32) -> Answer<()> {
        unsupported()
    }

    fn hop_limit(&mut self, _: Resource<TcpSocket>) -> Answer<u8> {
        unsupported()
    }

    fn set_hop_limit(&mut self, _: Resource<TcpSocket>, _: u8) -> Answer<()> {
        unsupported()
    }

    fn receive_buffer_size(&mut self, _: Resource<TcpSocket>) -> Answer<u64> {
        unsupported()
    }

    fn set_receive_buffer_size(&mut self, _: Resource<TcpSocket>, _: u64) -> Answer<()> {
        unsupported()
    }

    fn send_buffer_size(&mut self, _: Resource<TcpSocket>) -> Answer<u64> {
        unsupported()
    }

    fn set_send_buffer_size(&mut self, _: Resource<TcpSocket>, _: u64) -> Answer<()> {
        unsupported()
    }
}

fn unsupported<T>() -> Answer<T> {
    Err(ErrorCode::NotSupported.into())
}

/// The same entry of the table, as what it is.
fn own(socket: &Resource<TcpSocket>) -> Resource<Socket> {
    Resource::new_borrow(socket.rep())
}

fn told(error: &net::Error) -> ErrorCode {
    match error {
        net::Error::Blocked(_) => ErrorCode::AccessDenied,
        net::Error::Timeout => ErrorCode::Timeout,
        _ => ErrorCode::ConnectionRefused,
    }
}
