//! The address to listen on, and those by which this machine can be reached.

use std::env::VarError;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use super::guard::{Guard, Token};

/// Names a token of the user's own, for a page that shall find back after a restart, or a program that asks.
const TOKEN: &str = "VULTUS_TOKEN";

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ServeError {
    #[error(
        "cannot serve the page on {address}: another program (another vultus?) listens there. End it, or name another address: `--listen 127.0.0.1:0` takes a free port"
    )]
    InUse { address: SocketAddr },
    #[error("cannot serve the page on {address}; name another address (`--listen`)")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("{TOKEN} must be 16 to 128 letters, digits, `-` or `_`")]
    Token,
    #[error("the system has no random numbers for a token: {0}")]
    Random(getrandom::Error),
    #[error(transparent)]
    Rig(#[from] crate::rig::RigError),
    #[error("the server cannot be started")]
    Start(#[source] io::Error),
}

/// An address that is taken, before anything is served there.
pub struct Listener {
    pub(super) socket: TcpListener,
    pub(super) guard: Guard,
    /// What to open in a browser on this machine.
    pub url: String,
    /// What to open on another one, if this machine's address on its network is known.
    pub url_elsewhere: Option<String>,
    /// Whether other machines can reach it, and so a token is needed.
    pub is_open: bool,
}

impl Listener {
    /// Takes `address`; unless it is a loopback address, a token is needed there.
    ///
    /// # Errors
    /// Every [`ServeError`].
    pub fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        let listen = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::InUse { address },
            _ => ServeError::Listen { address, source },
        };
        let socket = TcpListener::bind(address).map_err(listen)?;
        socket.set_nonblocking(true).map_err(listen)?;
        let address = socket.local_addr().map_err(listen)?;
        let token = if address.ip().is_loopback() { None } else { Some(token()?) };
        let fragment = token.as_ref().map_or_else(String::new, |token| format!("#token={}", token.text()));
        let url = |ip| format!("http://{}/{fragment}", SocketAddr::new(ip, address.port()));
        let here = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let elsewhere = if address.ip().is_unspecified() { outward() } else { Some(address.ip()) };
        Ok(Self {
            url: url(here),
            is_open: token.is_some(),
            url_elsewhere: elsewhere.filter(|ip| !ip.is_loopback()).map(url),
            guard: Guard::new(address, token),
            socket,
        })
    }
}

fn token() -> Result<Token, ServeError> {
    match std::env::var(TOKEN) {
        Ok(text) => Token::chosen(&text).ok_or(ServeError::Token),
        Err(VarError::NotUnicode(_)) => Err(ServeError::Token),
        Err(VarError::NotPresent) => Token::random().map_err(ServeError::Random),
    }
}

/// This machine's address on its network: the one that it would send from. Nothing is sent.
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address of the range for documentation (RFC 5737).
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The name of this machine on its network.
pub(super) fn machine_name() -> Option<String> {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_str().ok().map(str::to_owned);
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").ok();
    name.filter(|name| !name.is_empty())
}
