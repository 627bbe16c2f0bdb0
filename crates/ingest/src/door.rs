//! Who may come in: how many at once, how many a second, and from where.
//!
//! ```text
//!  accept ─▶ Door::admit ─▶ Guest (counted as unproven) ─ a publication is accepted ─▶ Guest::prove (no longer)
//!                                └── dropped: its place is free again
//! ```
//! Those who have proved nothing have a share of all places, in total and for each address, so that they can never
//! crowd out those who publish. An IPv6 peer counts with its whole /64, which is what one customer is given.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How much may be saved up: an address that was quiet may come with this much of its rate at once.
const BURST: Duration = Duration::from_secs(10);
/// Addresses remembered from which on those that matter no longer are looked for.
const SWEEP_FROM: usize = 256;

/// How many may come in. A connection counts once, and a tunnelled session once besides its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// At once, publishing or not.
    pub total: usize,
    /// At once of those that have not been accepted as publishers.
    pub unproven: usize,
    /// The same from one address.
    pub unproven_per_address: usize,
    /// New ones a second from one address; ten times as many at once if it was quiet before.
    pub per_second: u32,
    /// RTMPE handshakes a second from one address, which cost two modular exponentiations each; likewise.
    pub rtmpe_per_second: u32,
}

impl Default for Places {
    fn default() -> Self {
        Self { total: 4096, unproven: 1024, unproven_per_address: 64, per_second: 50, rtmpe_per_second: 30 }
    }
}

/// The limit by which somebody is not let in; named as its setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    Total,
    Unproven,
    Address,
    Rate,
}

impl Turned {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Total => "max_connections",
            Self::Unproven => "max_unauthenticated",
            Self::Address => "max_per_address",
            Self::Rate => "accepts_per_address",
        }
    }
}

/// Counts who is inside.
#[derive(Debug)]
pub(crate) struct Door {
    places: Places,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    unproven: usize,
    addresses: HashMap<IpAddr, Address>,
    sweep_at: usize,
}

#[derive(Debug, Default)]
struct Address {
    unproven: usize,
    arrivals: Bucket,
    rtmpe: Bucket,
}

/// A rate, as the moment at which nothing of it will be used up any more.
#[derive(Debug, Default)]
struct Bucket(Option<Instant>);

impl Bucket {
    fn take(&mut self, now: Instant, per_second: u32) -> bool {
        let spent = self.0.map_or(Duration::ZERO, |free| free.saturating_duration_since(now));
        let spent = spent + Duration::from_secs(1) / per_second.max(1);
        if spent > BURST {
            return false;
        }
        self.0 = Some(now + spent);
        true
    }

    fn is_full(&self, now: Instant) -> bool {
        self.0.is_none_or(|free| free <= now)
    }
}

impl Door {
    pub(crate) fn new(places: Places) -> Arc<Self> {
        let inside = Inside { sweep_at: SWEEP_FROM, ..Inside::default() };
        Arc::new(Self { places, inside: Mutex::new(inside) })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more from `peer`, if there is a place. Who is turned away uses nothing up.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Result<Guest, Turned> {
        let address = customer(peer);
        let mut inside = self.inside();
        inside.sweep(now);
        if inside.total >= self.places.total {
            return Err(Turned::Total);
        }
        if inside.unproven >= self.places.unproven {
            return Err(Turned::Unproven);
        }
        let here = inside.addresses.entry(address).or_default();
        if here.unproven >= self.places.unproven_per_address {
            return Err(Turned::Address);
        }
        if !here.arrivals.take(now, self.places.per_second) {
            return Err(Turned::Rate);
        }
        here.unproven += 1;
        inside.unproven += 1;
        inside.total += 1;
        inside.tell();
        Ok(Guest {
            door: self.clone(),
            address,
            proven: AtomicBool::new(false),
            parted: AtomicBool::new(false),
        })
    }
}

impl Inside {
    /// Forgets addresses that nobody is here from and whose rates are unused; now and then, so that it costs little.
    fn sweep(&mut self, now: Instant) {
        if self.addresses.len() < self.sweep_at {
            return;
        }
        self.addresses.retain(|_, address| {
            address.unproven > 0 || !address.arrivals.is_full(now) || !address.rtmpe.is_full(now)
        });
        self.sweep_at = (self.addresses.len() * 2).max(SWEEP_FROM);
    }

    fn leave_unproven(&mut self, address: IpAddr) {
        self.unproven -= 1;
        if let Some(here) = self.addresses.get_mut(&address) {
            here.unproven -= 1;
        }
    }

    fn tell(&self) {
        metrics::gauge!("sluice_rtmp_connections").set(self.total as f64);
        metrics::gauge!("sluice_rtmp_connections_unauthenticated").set(self.unproven as f64);
    }
}

/// A place that is taken. Dropping it frees it.
#[derive(Debug)]
pub(crate) struct Guest {
    door: Arc<Door>,
    address: IpAddr,
    proven: AtomicBool,
    parted: AtomicBool,
}

impl Guest {
    /// It was accepted as a publisher, or speaks for one: it leaves the share of those who have proved nothing.
    pub(crate) fn prove(&self) {
        if !self.proven.swap(true, Ordering::Relaxed) {
            let mut inside = self.door.inside();
            inside.leave_unproven(self.address);
            inside.tell();
        }
    }

    /// Whether [`Self::prove`] was called.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// It said goodbye by other means than RTMP's: a tunnel's `close`, which FFmpeg sends in place of its last commands.
    pub(crate) fn part(&self) {
        self.parted.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::part`] was called.
    pub(crate) fn has_parted(&self) -> bool {
        self.parted.load(Ordering::Relaxed)
    }

    /// Whether its address may have one more RTMPE handshake now.
    pub(crate) fn may_obfuscate(&self, now: Instant) -> bool {
        let mut inside = self.door.inside();
        let here = inside.addresses.entry(self.address).or_default();
        here.rtmpe.take(now, self.door.places.rtmpe_per_second)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut inside = self.door.inside();
        inside.total -= 1;
        if !self.is_proven() {
            inside.leave_unproven(self.address);
        }
        inside.tell();
    }
}

/// What a peer's address is counted as.
fn customer(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn there(n: u8) -> IpAddr {
        IpAddr::from([127, 0, 1, n])
    }

    fn door(total: usize, unproven: usize, per_address: usize) -> Arc<Door> {
        let places = Places { total, unproven, unproven_per_address: per_address, ..Places::default() };
        Door::new(places)
    }

    #[test]
    fn each_limit_holds_and_recovers() {
        let now = Instant::now();
        let door = door(4, 3, 2);
        let first = door.admit(HERE, now).unwrap();
        let second = door.admit(HERE, now).unwrap();
        assert_eq!(door.admit(HERE, now).unwrap_err(), Turned::Address);
        let third = door.admit(there(1), now).unwrap();
        assert_eq!(door.admit(there(2), now).unwrap_err(), Turned::Unproven);
        second.prove();
        second.prove();
        let fourth = door.admit(HERE, now).unwrap();
        fourth.prove();
        assert_eq!(door.admit(there(2), now).unwrap_err(), Turned::Total);
        drop((first, second, third, fourth));
        let counts = |inside: &Inside| (inside.total, inside.unproven);
        assert_eq!(counts(&door.inside()), (0, 0));
        assert!(door.admit(HERE, now).is_ok());
    }

    #[test]
    fn an_address_may_come_in_bursts_but_not_for_ever() {
        let now = Instant::now();
        let door = Door::new(Places { per_second: 2, rtmpe_per_second: 1, ..Places::default() });
        for _ in 0..20 {
            door.admit(HERE, now).unwrap();
        }
        assert_eq!(door.admit(HERE, now).unwrap_err(), Turned::Rate);
        assert!(door.admit(there(1), now).is_ok(), "another address is another matter");
        assert!(door.admit(HERE, now + Duration::from_millis(500)).is_ok());
        assert_eq!(door.admit(HERE, now + Duration::from_millis(500)).unwrap_err(), Turned::Rate);
        let guest = door.admit(there(2), now).unwrap();
        let allowed = (0..20).filter(|_| guest.may_obfuscate(now)).count();
        assert_eq!((allowed, guest.may_obfuscate(now + Duration::from_secs(1))), (10, true));
    }

    #[test]
    fn addresses_are_forgotten() {
        let now = Instant::now();
        let door = door(usize::MAX, usize::MAX, 64);
        for n in 0..10_000u32 {
            let later = now + Duration::from_secs(60) * (n / 1000);
            drop(door.admit(IpAddr::from((0x0A00_0000 + n).to_be_bytes()), later).unwrap());
        }
        let known = door.inside().addresses.len();
        assert!(known < 4_000, "{known}");
    }

    #[test]
    fn an_ipv6_customer_is_one_and_mapped_addresses_are_ipv4() {
        let [a, b] = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9"].map(|text| text.parse().unwrap());
        assert_eq!(customer(a), customer(b));
        assert_eq!(customer("::ffff:127.0.0.1".parse().unwrap()), HERE);
    }
}
