//! Where the server listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The port where none is named.
pub const DEFAULT_PORT: u16 = 11434;

/// An address to listen on: `127.0.0.1:11434`, `[::1]:0`, `localhost`, `:8080`, `unix:/run/hearth.sock`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// TCP; port 0 is any free one.
    Tcp(SocketAddr),
    /// A socket file that only its owner may open.
    Unix(PathBuf),
}

impl Address {
    /// Whether only this machine reaches it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => is_loopback(address.ip()),
            Self::Unix(_) => true,
        }
    }
}

/// Whether an address is this machine's own loopback, IPv4 inside IPv6 included.
pub(crate) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// A text that names no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot listen on '{0}': expected IP:PORT, IP, PORT, localhost or unix:PATH; names other than localhost are not looked up"
)]
pub struct BadAddress(String);

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(bad())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        // People write the address as a client does.
        let rest = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"))
            .unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if let Ok(address) = rest.parse::<SocketAddr>() {
            return Ok(Self::Tcp(address));
        }
        if let Ok(port) = rest.parse() {
            return Ok(Self::Tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)));
        }
        if let Some(ip) = host(rest) {
            return Ok(Self::Tcp(SocketAddr::new(ip, DEFAULT_PORT)));
        }
        let (name, port) = rest.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().map_err(|_| bad())?;
        let ip = if name.is_empty() {
            Some(Ipv4Addr::LOCALHOST.into())
        } else {
            host(name)
        };
        Ok(Self::Tcp(SocketAddr::new(ip.ok_or_else(bad)?, port)))
    }
}

/// An IP address, in brackets or not, or one of the two names that need no look-up.
fn host(text: &str) -> Option<IpAddr> {
    match text {
        "localhost" => return Some(Ipv4Addr::LOCALHOST.into()),
        "*" => return Some(Ipv4Addr::UNSPECIFIED.into()),
        _ => {}
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = BadAddress;

    fn try_from(text: String) -> Result<Self, BadAddress> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, expected, local) in [
            ("127.0.0.1:0", "127.0.0.1:0", true),
            ("127.0.0.1", "127.0.0.1:11434", true),
            ("localhost:8080", "127.0.0.1:8080", true),
            ("localhost", "127.0.0.1:11434", true),
            (":8080", "127.0.0.1:8080", true),
            ("8080", "127.0.0.1:8080", true),
            ("http://127.9.9.9:1/", "127.9.9.9:1", true),
            ("[::1]", "[::1]:11434", true),
            ("::1", "[::1]:11434", true),
            ("[::ffff:127.0.0.1]:5", "[::ffff:127.0.0.1]:5", true),
            ("[::]:5", "[::]:5", false),
            ("0.0.0.0", "0.0.0.0:11434", false),
            ("*:9", "0.0.0.0:9", false),
            ("192.168.1.2:80", "192.168.1.2:80", false),
            ("unix:/run/x.sock", "unix:/run/x.sock", true),
            ("unix:///run/x.sock", "unix:/run/x.sock", true),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(
                (address.to_string().as_str(), address.is_local()),
                (expected, local),
                "{text}"
            );
        }
        for text in [
            "",
            "example.com:80",
            "127.0.0.1:99999",
            "99999",
            "unix:",
            "localhost:x",
            "[::1",
            "1.2.3:4",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
