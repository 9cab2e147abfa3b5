//! The Host header, against pages that point a name of theirs at this machine (DNS rebinding).

use std::net::{IpAddr, UdpSocket};

/// Endings of names that no public name server answers for.
const LOCAL_ENDINGS: &[&str] = &[".localhost", ".local", ".internal"];

/// The names under which this server may be asked.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    any: bool,
    names: Vec<String>,
}

impl Hosts {
    pub(crate) fn new(extra: &[String]) -> Self {
        let mut names: Vec<String> = extra
            .iter()
            .map(|name| name.trim().to_ascii_lowercase())
            .collect();
        let any = names.iter().any(|name| name == "*");
        names.push("localhost".to_owned());
        names.extend(machine_name());
        Self { any, names }
    }

    /// Whether a request with this Host header, port and all, may have meant this server.
    pub(crate) fn allow(&self, host: &str) -> bool {
        if self.any || host.is_empty() {
            return true;
        }
        let Some(name) = without_port(host) else {
            return false;
        };
        if let Ok(ip) = name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
        {
            return is_near(ip);
        }
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        self.names.iter().any(|known| known == name)
            || LOCAL_ENDINGS
                .iter()
                .any(|ending| name.len() > ending.len() && name.ends_with(ending))
    }
}

/// `None` where what follows the name is no port.
fn without_port(host: &str) -> Option<&str> {
    let end = match host.strip_prefix('[') {
        Some(_) => host.find(']')? + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, rest) = host.split_at(end);
    let port = rest.is_empty()
        || rest
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    port.then_some(name)
}

/// An address that is this machine or in its own network.
fn is_near(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let private = match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    // Only an address of this machine can be bound.
    ip.is_loopback() || ip.is_unspecified() || private || UdpSocket::bind((ip, 0)).is_ok()
}

fn machine_name() -> Option<String> {
    let file = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = file
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .or_else(|| std::env::var("HOSTNAME").ok())?;
    let name = name.trim().to_ascii_lowercase();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cve_2024_28224_a_foreign_name_is_not_this_server() {
        let hosts = Hosts::new(&["models.example.org".to_owned()]);
        for host in [
            "",
            "localhost",
            "LOCALHOST:11434",
            "localhost.:1",
            "a.localhost",
            "mac.local:1",
            "host.docker.internal:11434",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:11434",
            "0.0.0.0:1",
            "192.168.1.9:80",
            "10.1.2.3",
            "[fd00::1]",
            "[fe80::1]:9",
            "models.example.org:1",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:11434",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            ".local",
            ".localhost",
            "xlocalhost",
            "8.8.8.8",
            "1.1.1.1:80",
            "[2001:db8::1]",
            "localhost:11434@evil.example",
            "localhost:80evil",
            "[::1]evil",
            "[::1",
            "evil.example#.local:x",
            "models.example.org.evil",
        ] {
            assert!(!hosts.allow(host), "{host}");
        }
        assert!(Hosts::new(&["*".to_owned()]).allow("evil.example"));
    }
}
