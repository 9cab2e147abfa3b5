//! A server that runs, hearth's or Ollama's: what it has loaded, and unloading that.

use std::{
    env,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use hearth_server::edge::Address;
use serde_json::{Value, json};

/// Time for a connection: a server that is up answers at once.
const CONNECT: Duration = Duration::from_secs(1);
/// Time for an answer; to unload a model is to wait for nobody.
const ANSWER: Duration = Duration::from_secs(30);
/// Bytes of an answer.
const LARGEST: u64 = 16 << 20;
/// The usual place.
const USUAL: &str = "127.0.0.1:11434";

/// Where a server may be.
pub(crate) struct Server {
    place: Place,
    /// The same for people, and for the Host header.
    name: String,
}

enum Place {
    Tcp(Vec<SocketAddr>),
    #[cfg(unix)]
    Unix(std::path::PathBuf),
}

/// A model that a server has loaded.
pub(crate) struct Loaded {
    pub(crate) name: String,
    /// 64 hexadecimal digits.
    pub(crate) digest: String,
    pub(crate) size: u64,
    /// Bytes of that on accelerators.
    pub(crate) accelerated: u64,
    pub(crate) context: u64,
    /// When it goes if nobody uses it.
    pub(crate) until: Option<SystemTime>,
}

impl Server {
    /// The one that `HEARTH_HOST` or `OLLAMA_HOST` names, else the usual one. None where the name means nothing that
    /// can be asked.
    pub(crate) fn named() -> Option<Self> {
        let variable = |name: &str| env::var(name).ok().filter(|text| !text.is_empty());
        let name = variable("HEARTH_HOST").or_else(|| variable("OLLAMA_HOST"));
        let name = name.unwrap_or_else(|| USUAL.to_owned());
        let place = match name.parse() {
            Ok(Address::Tcp(address)) => Place::Tcp(vec![reachable(address)]),
            #[cfg(unix)]
            Ok(Address::Unix(path)) => Place::Unix(path),
            #[cfg(not(unix))]
            Ok(Address::Unix(_)) => return None,
            // A client may go by names that a server cannot listen on.
            Err(_) => {
                let rest = name.strip_prefix("http://").unwrap_or(&name);
                let host = rest.strip_suffix('/').unwrap_or(rest);
                let found = host.to_socket_addrs();
                let found = found.or_else(|_| {
                    (host, hearth_server::edge::address::DEFAULT_PORT).to_socket_addrs()
                });
                Place::Tcp(found.ok()?.collect())
            }
        };
        Some(Self { place, name })
    }

    /// Where it is, for people.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it has loaded; none where no server answers, or none that knows the question.
    pub(crate) fn loaded(&self) -> Option<Vec<Loaded>> {
        let (status, answer) = self.ask("GET", "/api/ps", "").ok()?;
        let models = answer.get("models").and_then(Value::as_array);
        let models = models.filter(|_| status == 200)?;
        Some(models.iter().filter_map(Loaded::of).collect())
    }

    /// Has a model unloaded as soon as nobody uses it.
    pub(crate) fn unload(&self, model: &str) -> Result<()> {
        let body = json!({ "model": model, "keep_alive": 0, "stream": false }).to_string();
        let answer = self.ask("POST", "/api/generate", &body);
        let (status, answer) = answer.with_context(|| format!("the server at {}", self.name))?;
        match answer["error"].as_str() {
            None if status == 200 => Ok(()),
            why => bail!(
                "the server at {} does not unload {model}: {}",
                self.name,
                why.unwrap_or("it says nothing that is understood")
            ),
        }
    }

    /// Status and JSON of an answer. HTTP/1.0 has one request per connection and no chunks.
    fn ask(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
        let mut stream = self.connect()?;
        let host = self
            .name
            .trim_start_matches("http://")
            .trim_end_matches('/');
        let host = if host.starts_with("unix:") {
            "localhost"
        } else {
            host
        };
        // The server's keys are bearer tokens; no line break can be in one.
        let key = env::var("HEARTH_API_KEY").unwrap_or_default();
        let key = match key.bytes().all(|byte| byte.is_ascii_graphic()) && !key.is_empty() {
            true => format!("Authorization: Bearer {key}\r\n"),
            false => String::new(),
        };
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {host}\r\n{key}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = Vec::new();
        stream.take(LARGEST).read_to_end(&mut answer)?;
        read(&answer).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match &self.place {
            Place::Tcp(addresses) => {
                let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
                for address in addresses {
                    match TcpStream::connect_timeout(address, CONNECT) {
                        Ok(stream) => {
                            stream.set_read_timeout(Some(ANSWER))?;
                            return Ok(Box::new(stream));
                        }
                        Err(error) => failed = error,
                    }
                }
                Err(failed)
            }
            #[cfg(unix)]
            Place::Unix(path) => {
                let stream = std::os::unix::net::UnixStream::connect(path)?;
                stream.set_read_timeout(Some(ANSWER))?;
                Ok(Box::new(stream))
            }
        }
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Where a server is asked that listens everywhere.
fn reachable(address: SocketAddr) -> SocketAddr {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let ip: IpAddr = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

/// Status and JSON of an answer as it came.
fn read(answer: &[u8]) -> Option<(u16, Value)> {
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n")?;
    let (head, body) = (
        std::str::from_utf8(&answer[..end]).ok()?,
        &answer[end + 4..],
    );
    let mut words = head.lines().next()?.split(' ');
    let status = words.nth(1).filter(|_| head.starts_with("HTTP/1."))?;
    Some((status.parse().ok()?, serde_json::from_slice(body).ok()?))
}

impl Loaded {
    fn of(model: &Value) -> Option<Self> {
        let number = |field: &str| model[field].as_u64().unwrap_or(0);
        let text = |field: &str| model[field].as_str();
        Some(Self {
            name: text("name")?.to_owned(),
            digest: text("digest").unwrap_or_default().to_owned(),
            size: number("size"),
            accelerated: number("size_vram"),
            context: number("context_length"),
            until: text("expires_at").and_then(time),
        })
    }
}

/// A time of RFC 3339, to the second. The days by Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `days_from_civil`.
fn time(text: &str) -> Option<SystemTime> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| plain)
    };
    let [year, month, day] = [number(0..4)?, number(5..7)?, number(8..10)?];
    let [hour, minute, second] = [number(11..13)?, number(14..16)?, number(17..19)?];
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let zone = text
        .get(19..)?
        .trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let east = match (zone.as_bytes().first()?, text.len() - zone.len()) {
        (b'Z', _) => 0,
        (sign @ (b'+' | b'-'), at) => {
            let seconds = number(at + 1..at + 3)? * 3_600 + number(at + 4..at + 6)? * 60;
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    // The year begins in March, so that the leap day is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let seconds = (days - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second - east;
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_clock() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00.5Z", Some(951_825_600)),
            ("2026-08-21T10:00:00.123456789+02:00", Some(1_787_299_200)),
            ("2026-08-21T10:00:00-00:30", Some(1_787_308_200)),
            ("2318-11-29T00:00:00Z", Some(11_010_470_400)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-08-21T10:00:00", None),
            ("2026-13-21T10:00:00Z", None),
            ("2026-08-+1T10:00:00Z", None),
            ("", None),
            ("2026-08-21T10:00:00é", None),
        ] {
            let expected = seconds.map(|n| UNIX_EPOCH + Duration::from_secs(n));
            assert_eq!(time(text), expected, "{text}");
        }
    }

    #[test]
    fn answers_that_are_none() {
        assert_eq!(
            read(b"HTTP/1.1 200 OK\r\na: b\r\n\r\n{}"),
            Some((200, json!({})))
        );
        for answer in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"SSH-2.0\r\n\r\n{}",
            b"HTTP/1.1\r\n\r\n{}",
        ] {
            assert_eq!(read(answer), None);
        }
    }
}
