//! Where connections come from.

use std::net::{IpAddr, Ipv4Addr};

/// The other end of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerAddress {
    /// A host.
    Ip(IpAddr),
    /// A program of this machine that connected by a socket file.
    SocketFile,
}

impl PeerAddress {
    /// The address that stands for it: this machine's own for a socket file. An address of IPv4
    /// is never told as one of IPv6.
    pub(crate) const fn ip(self) -> IpAddr {
        match self {
            Self::Ip(ip) => ip.to_canonical(),
            Self::SocketFile => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}
