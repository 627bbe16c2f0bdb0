//! Lists of addresses: who is turned away at the door, and who may publish.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// Networks, IPv4 and IPv6, written `10.0.0.0/8, 2001:db8::/32, 192.0.2.7`.
///
/// IPv4 addresses inside IPv6 (`::ffff:192.0.2.7`, which a socket that takes both families reports) are IPv4 addresses
/// here, in the list as in what it is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressList(Vec<IpNet>);

/// Why a text is no [`AddressList`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither an address nor a network: write it like \"192.0.2.7\", \"10.0.0.0/8\" or \"2001:db8::/32\""
)]
pub struct BadAddress(String);

impl AddressList {
    /// Whether no network is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The networks.
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }

    /// Whether `address` lies in a listed network.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for AddressList {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        Ok(Self(parts.map(network).collect::<Result<_, _>>()?))
    }
}

impl fmt::Display for AddressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, network) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if network.prefix_len() == network.max_prefix_len() {
                write!(f, "{comma}{}", network.addr())?;
            } else {
                write!(f, "{comma}{network}")?;
            }
        }
        Ok(())
    }
}

fn network(text: &str) -> Result<IpNet, BadAddress> {
    let bad = || BadAddress(text.chars().take(80).collect());
    let network = match text.parse::<IpNet>() {
        Ok(network) => network.trunc(),
        Err(_) => {
            return text.parse::<IpAddr>().map(|address| address.to_canonical().into()).map_err(|_| bad());
        }
    };
    // `::ffff:10.0.0.0/104` is 10.0.0.0/8; a shorter prefix holds all of IPv4 and more, and stays what it is.
    match (network.addr().to_canonical(), network.prefix_len()) {
        (IpAddr::V4(address), prefix) if network.addr().is_ipv6() && prefix >= 96 => {
            IpNet::new(address.into(), prefix - 96).map_err(|_| bad())
        }
        _ => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> AddressList {
        text.parse().unwrap()
    }

    #[test]
    fn networks_of_both_families_are_looked_up() {
        let some = list("10.0.0.0/8, 192.0.2.7 ,2001:db8::/32,,");
        for (address, want) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:10.1.2.3", true),
            ("2001:db8:5::1", true),
            ("2001:db9::1", false),
            ("::1", false),
        ] {
            assert_eq!(some.contains(address.parse().unwrap()), want, "{address}");
        }
        assert!(!list("").contains("10.0.0.1".parse().unwrap()));
        assert!(list(" , ").is_empty());
    }

    #[test]
    fn ipv4_inside_ipv6_is_ipv4() {
        let some = list("::ffff:10.0.0.0/104,::ffff:192.0.2.7");
        assert_eq!(some.to_string(), "10.0.0.0/8,192.0.2.7");
        assert!(some.contains("10.9.9.9".parse().unwrap()));
        assert!(some.contains("::ffff:192.0.2.7".parse().unwrap()));
    }

    #[test]
    fn a_list_is_written_as_it_is_read() {
        let some = list("10.1.2.3/8,2001:db8::1/32,::1");
        assert_eq!(some.to_string(), "10.0.0.0/8,2001:db8::/32,::1");
        assert_eq!(list(&some.to_string()), some);
        for bad in ["10.0.0.0/33", "example.org", "10.0.0", "10.0.0.0/8 10.0.0.1"] {
            assert!(bad.parse::<AddressList>().is_err(), "{bad}");
        }
    }
}
