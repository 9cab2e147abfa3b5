//! How far inside a network an address is. A server may send us only as far in as it is itself: a registry on the
//! internet cannot make us ask the machine next door, this machine, or a cloud's metadata service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The internet.
    Public,
    /// A private network.
    Private,
    /// This machine, or what only its neighbours see (link-local addresses, metadata services among them).
    Machine,
}

impl Reach {
    /// Of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        match (a, b, c) {
            (0 | 127 | 224.., _, _) | (169, 254, _) => Self::Machine,
            (10, _, _) | (172, 16..=31, _) | (192, 168, _) => Self::Private,
            (100, 64..=127, _) | (198, 18 | 19, _) | (192, 0, 0) => Self::Private,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let segments = address.segments();
        if let Some(v4) = address.to_ipv4_mapped() {
            return Self::of_v4(v4);
        }
        let low = Ipv4Addr::from((u32::from(segments[6]) << 16) | u32::from(segments[7]));
        match segments {
            [0, 0, 0, 0, 0, 0, _, _] => Self::Machine, // ::, ::1 and the old form of IPv4
            [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Self::of_v4(low), // through a translator
            [0x2002, high, next, ..] => {
                Self::of_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(next)))
            }
            [0xfe80..=0xfebf | 0xff00..=0xffff, ..] => Self::Machine,
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Self::Private,
            _ => Self::Public,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_by_reach() {
        let cases = [
            ("8.8.8.8", Reach::Public),
            ("172.32.0.1", Reach::Public),
            ("2606:4700::1111", Reach::Public),
            ("10.0.0.1", Reach::Private),
            ("172.16.0.1", Reach::Private),
            ("192.168.1.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("fd00::1", Reach::Private),
            ("127.0.0.1", Reach::Machine),
            ("127.8.8.8", Reach::Machine),
            ("0.0.0.0", Reach::Machine),
            ("169.254.169.254", Reach::Machine),
            ("::1", Reach::Machine),
            ("::", Reach::Machine),
            ("::ffff:127.0.0.1", Reach::Machine),
            ("::ffff:10.0.0.1", Reach::Private),
            ("64:ff9b::7f00:1", Reach::Machine),
            ("2002:7f00:1::", Reach::Machine),
            ("fe80::1", Reach::Machine),
            ("255.255.255.255", Reach::Machine),
        ];
        for (address, reach) in cases {
            assert_eq!(Reach::of(address.parse().unwrap()), reach, "{address}");
        }
    }
}
