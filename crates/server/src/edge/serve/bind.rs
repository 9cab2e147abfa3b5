//! Listening sockets.

use std::io;
use std::net::IpAddr;

use tokio::net::{TcpListener, TcpStream};

use crate::edge::address::{Address, is_loopback};

/// A socket that listens.
pub(super) enum Listener {
    Tcp(TcpListener, Address),
    #[cfg(unix)]
    Unix(UnixListener, Address),
}

/// A connection that came in.
pub(super) enum Socket {
    Tcp {
        stream: TcpStream,
        peer: IpAddr,
        /// It came to a loopback address.
        to_loopback: bool,
        /// Only loopback is listened on.
        only_loopback: bool,
    },
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

impl Listener {
    /// Listens. On a port that is `shared`, other servers may too.
    pub(super) async fn bind(address: &Address, shared: bool) -> io::Result<Self> {
        match address {
            Address::Tcp(wanted) => {
                let listener = match shared {
                    false => TcpListener::bind(wanted).await?,
                    true => bind_shared(*wanted)?,
                };
                let got = Address::Tcp(listener.local_addr()?);
                Ok(Self::Tcp(listener, got))
            }
            #[cfg(unix)]
            Address::Unix(path) => Ok(Self::Unix(UnixListener::bind(path)?, address.clone())),
            #[cfg(not(unix))]
            Address::Unix(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "socket files are not to be had on this system",
            )),
        }
    }

    pub(super) fn address(&self) -> &Address {
        match self {
            Self::Tcp(_, address) => address,
            #[cfg(unix)]
            Self::Unix(_, address) => address,
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener, address) => {
                let (stream, peer) = listener.accept().await?;
                // Frames are small and should not wait for each other.
                stream.set_nodelay(true)?;
                let to_loopback = is_loopback(stream.local_addr()?.ip());
                Ok(Socket::Tcp {
                    stream,
                    peer: peer.ip(),
                    to_loopback,
                    only_loopback: address.is_local(),
                })
            }
            #[cfg(unix)]
            Self::Unix(listener, _) => Ok(Socket::Unix(listener.socket.accept().await?.0)),
        }
    }
}

/// Connections that wait to be accepted.
#[cfg(unix)]
const BACKLOG: u32 = 1024;

#[cfg(unix)]
fn bind_shared(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    use tokio::net::TcpSocket;
    let socket = match address {
        std::net::SocketAddr::V4(_) => TcpSocket::new_v4()?,
        std::net::SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(not(unix))]
fn bind_shared(_: std::net::SocketAddr) -> io::Result<TcpListener> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "ports cannot be shared on this system",
    ))
}

/// A socket file that goes when its server does.
#[cfg(unix)]
pub(super) struct UnixListener {
    socket: tokio::net::UnixListener,
    path: std::path::PathBuf,
}

#[cfg(unix)]
impl UnixListener {
    /// Binds under a name that nobody knows, closes it to others, and only then gives it its name. A file of that name
    /// is replaced where it is a socket that nobody listens on.
    fn bind(path: &std::path::Path) -> io::Result<Self> {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt};
        if let Ok(found) = std::fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "a file that is no socket has this name",
                ));
            }
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
        }
        let mut hidden = path.as_os_str().to_owned();
        hidden.push(format!(".{}", std::process::id()));
        let _ = std::fs::remove_file(&hidden);
        let socket = tokio::net::UnixListener::bind(&hidden)?;
        let named = std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600))
            .and_then(|()| std::fs::rename(&hidden, path));
        named.inspect_err(|_| drop(std::fs::remove_file(&hidden)))?;
        Ok(Self {
            socket,
            path: path.to_owned(),
        })
    }
}

#[cfg(unix)]
impl Drop for UnixListener {
    fn drop(&mut self) {
        // It is only a name; the next server replaces it where it stays.
        let _ = std::fs::remove_file(&self.path);
    }
}
