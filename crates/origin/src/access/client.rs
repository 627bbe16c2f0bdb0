//! Who asks: the address behind trusted proxies, and what tells one viewer from another.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{HeaderName, HeaderValue, Request, header},
};
use ipnet::IpNet;

/// A list of its own for each proxy that adds to it (`X-Forwarded-For: client, proxy1, proxy2`).
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Entries looked at, from the end; more proxies than that nobody has.
const HOPS: usize = 16;

/// Whoever sent a request, as far as it can be known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Client<'a> {
    /// Its address, as the outermost trusted proxy saw it.
    pub(crate) address: Option<IpAddr>,
    /// Its player.
    pub(crate) agent: Option<&'a [u8]>,
}

impl<'a> Client<'a> {
    /// Reads a request. Only what a proxy in `trusted` says of its client is believed.
    pub(crate) fn of<B>(request: &'a Request<B>, trusted: &[IpNet]) -> Self {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|peer| peer.0.ip().to_canonical());
        let agent = request.headers().get(header::USER_AGENT).map(HeaderValue::as_bytes);
        Self { address: peer.map(|peer| behind(peer, request, trusted)), agent }
    }
}

/// The first address, from our side, that is no trusted proxy.
fn behind<B>(peer: IpAddr, request: &Request<B>, trusted: &[IpNet]) -> IpAddr {
    let is_proxy = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut address = peer;
    if !is_proxy(peer) {
        return peer;
    }
    let lines: Vec<_> =
        request.headers().get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
    for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')).take(HOPS) {
        // What cannot be read was not written by a proxy of ours: the one that passed it on is all that is known.
        let Some(next) = read(entry.trim()) else { break };
        address = next;
        if !is_proxy(next) {
            break;
        }
    }
    address
}

/// An address, perhaps with a port.
fn read(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|with| with.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: Option<&str>, forwarded: &[&str], trusted: &[&str]) -> Option<String> {
        let mut request = Request::builder();
        for line in forwarded {
            request = request.header(FORWARDED_FOR, *line);
        }
        let mut request = request.body(()).unwrap();
        if let Some(peer) = peer {
            let peer: IpAddr = peer.parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer, 4)));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        Client::of(&request, &trusted).address.map(|address| address.to_string())
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let is = |peer, forwarded: &[&str], trusted: &[&str], want: &str| {
            assert_eq!(address(Some(peer), forwarded, trusted).as_deref(), Some(want), "{forwarded:?}");
        };
        let lan = &["10.0.0.0/8"];
        is("192.0.2.1", &["198.51.100.7"], &[], "192.0.2.1");
        is("192.0.2.1", &["198.51.100.7"], lan, "192.0.2.1");
        is("10.0.0.1", &["198.51.100.7"], lan, "198.51.100.7");
        is("::ffff:10.0.0.1", &["198.51.100.7"], lan, "198.51.100.7");
        is("10.0.0.1", &["198.51.100.7:4711"], lan, "198.51.100.7");
        is("10.0.0.1", &["[2001:db8::7]:4711"], lan, "2001:db8::7");
        is("10.0.0.1", &["[2001:db8::7]"], lan, "2001:db8::7");
        is("10.0.0.1", &[], lan, "10.0.0.1");
        // What the client wrote itself stands first, and does not count.
        is("10.0.0.1", &["1.2.3.4, 198.51.100.7"], lan, "198.51.100.7");
        is("10.0.0.1", &["1.2.3.4, 198.51.100.7, 10.0.0.2"], lan, "198.51.100.7");
        is("10.0.0.1", &["1.2.3.4, 198.51.100.7", "10.0.0.2"], lan, "198.51.100.7");
        is("10.0.0.1", &["1.2.3.4, nonsense, 10.0.0.2"], lan, "10.0.0.2");
        is("10.0.0.1", &["10.0.0.3, 10.0.0.2"], lan, "10.0.0.3");
        assert_eq!(address(None, &["198.51.100.7"], lan), None);
    }
}
