//! How many are watching, guessed from who asked for a media playlist lately: players reload it each target duration.
//! Viewers behind a cache are seen as one.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Who was seen when, of one session. At most [`MOST`] are remembered; more are not counted.
#[derive(Default)]
pub(crate) struct Audience {
    /// Keyed, so that nobody can choose addresses that collide; nothing of a viewer is kept but this number.
    hasher: RandomState,
    seen: Mutex<HashMap<u64, Instant>>,
}

/// 1.5 MB for each stream, at worst.
const MOST: usize = 65_536;

impl Audience {
    /// Somebody, told apart by `who`, asked at `now`. Those not seen for `memory` are forgotten when room is needed.
    pub(crate) fn saw(&self, now: Instant, memory: Duration, who: impl Hash) {
        let who = self.hasher.hash_one(who);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST && !seen.contains_key(&who) {
            seen.retain(|_, at| now.saturating_duration_since(*at) <= memory);
            if seen.len() >= MOST {
                return;
            }
        }
        seen.insert(who, now);
    }

    /// How many were seen in the `memory` before `now`.
    pub(crate) fn count(&self, now: Instant, memory: Duration) -> usize {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, at| now.saturating_duration_since(*at) <= memory);
        seen.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_once_and_forgotten_in_time() {
        let audience = Audience::default();
        let (start, memory) = (Instant::now(), Duration::from_secs(10));
        let at = |seconds| start + Duration::from_secs(seconds);
        for (second, who) in [(0, "a"), (1, "b"), (2, "a"), (9, "b")] {
            audience.saw(at(second), memory, who);
        }
        assert_eq!(audience.count(at(9), memory), 2);
        assert_eq!(audience.count(at(13), memory), 1, "a left");
        assert_eq!(audience.count(at(30), memory), 0);
    }

    #[test]
    fn a_crowd_of_forged_viewers_takes_no_more_room_than_it_may() {
        let audience = Audience::default();
        let (start, memory) = (Instant::now(), Duration::from_secs(10));
        for who in 0..MOST + 100 {
            audience.saw(start, memory, who);
        }
        assert_eq!(audience.count(start, memory), MOST);
        audience.saw(start + Duration::from_secs(60), memory, "real");
        assert_eq!(audience.count(start + Duration::from_secs(60), memory), 1);
    }
}
