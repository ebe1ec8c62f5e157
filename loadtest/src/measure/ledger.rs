//! Exact books over what is to come: each thing is awaited under a key, and is ticked off when it comes.
//!
//! What comes and is not awaited (any more) came twice. What is awaited at the end is missing: lost, unless the engine says
//! that it left it out, and why. Only what is still awaited is held in memory.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use super::Lateness;
use crate::outcome::Account;

/// The books of one stream.
#[derive(Debug)]
pub struct Ledger<K> {
    awaited: HashMap<K, Awaited>,
    /// By sensor, the place of the latest that came.
    latest: HashMap<u32, u64>,
    measured_from: Duration,
    lateness: Lateness,
    placed: u64,
    expected: u64,
    arrived: u64,
    duplicates: u64,
    reordered: u64,
}

/// Something that is to come.
#[derive(Debug)]
struct Awaited {
    due: Duration,
    sensor: u32,
    /// Its place among all, in the order in which they are due.
    place: u64,
    copies: u32,
}

impl<K: Hash + Eq> Ledger<K> {
    /// Empty books. What is due before `measured_from` is accounted for like all else, but how late it is does not count:
    /// that is the warm-up.
    pub fn new(measured_from: Duration) -> Self {
        Self {
            awaited: HashMap::new(),
            latest: HashMap::new(),
            measured_from,
            lateness: Lateness::default(),
            placed: 0,
            expected: 0,
            arrived: 0,
            duplicates: 0,
            reordered: 0,
        }
    }

    /// Something is due. The same key twice is awaited twice.
    pub fn expect(&mut self, key: K, sensor: u32, due: Duration) {
        self.expected += 1;
        self.placed += 1;
        let place = self.placed;
        self.awaited.entry(key).and_modify(|awaited| awaited.copies += 1).or_insert(Awaited {
            due,
            sensor,
            place,
            copies: 1,
        });
    }

    /// Something came, so long after the start; whether it was awaited.
    pub fn arrive(&mut self, key: &K, at: Duration) -> bool {
        let Some(awaited) = self.awaited.get_mut(key) else {
            self.duplicates += 1;
            return false;
        };
        awaited.copies -= 1;
        let Awaited { due, sensor, place, copies } = *awaited;
        if copies == 0 {
            self.awaited.remove(key);
        }
        self.arrived += 1;
        let latest = self.latest.entry(sensor).or_default();
        if place < *latest {
            self.reordered += 1;
        }
        *latest = place.max(*latest);
        if let Some(since) = due.checked_sub(self.measured_from) {
            self.lateness.record(since, at.saturating_sub(due));
        }
        true
    }

    /// How many came so far, each counted once.
    pub fn arrived(&self) -> u64 {
        self.arrived
    }

    /// How many are still awaited.
    pub fn missing(&self) -> u64 {
        self.expected - self.arrived
    }

    /// How late they were, without those of the warm-up.
    pub fn lateness(&self) -> &Lateness {
        &self.lateness
    }

    /// The balance, when nothing more will come; `told` is what the engine says it left out, by reason.
    pub fn account(&self, told: &BTreeMap<String, u64>) -> Account {
        let missing = self.missing();
        Account {
            expected: self.expected,
            arrived: self.arrived,
            lost: missing.saturating_sub(told.values().sum()),
            dropped: told.clone(),
            duplicates: self.duplicates,
            reordered: self.reordered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn books(count: u64) -> Ledger<u64> {
        let mut ledger = Ledger::new(Duration::ZERO);
        for number in 0..count {
            ledger.expect(number, 7, MS * number as u32);
        }
        ledger
    }

    fn account(ledger: &Ledger<u64>) -> (u64, u64, u64, u64, u64) {
        let Account { expected, arrived, lost, duplicates, reordered, .. } = ledger.account(&BTreeMap::new());
        (expected, arrived, lost, duplicates, reordered)
    }

    #[test]
    fn all_that_comes_in_order_is_neither_lost_nor_twice() {
        let mut ledger = books(100);
        for number in 0..100 {
            assert!(ledger.arrive(&number, MS * 200));
        }
        assert_eq!(account(&ledger), (100, 100, 0, 0, 0));
        assert_eq!(ledger.lateness().latency().count, 100);
    }

    #[test]
    fn what_is_missing_twice_or_behind_is_told() {
        let mut ledger = books(6);
        for number in [0, 1, 3, 2, 3, 5] {
            ledger.arrive(&number, MS * 10);
        }
        assert_eq!(account(&ledger), (6, 5, 1, 1, 1));
    }

    #[test]
    fn what_the_engine_tells_of_is_not_lost() {
        let mut ledger = books(10);
        for number in 0..6 {
            ledger.arrive(&number, MS * 10);
        }
        let told = BTreeMap::from([("overflow".to_owned(), 3)]);
        let account = ledger.account(&told);
        assert_eq!((account.lost, account.dropped), (1, told));
    }

    #[test]
    fn what_was_sent_twice_is_awaited_twice() {
        let mut ledger = books(1);
        ledger.expect(0, 7, MS);
        ledger.arrive(&0, MS * 2);
        ledger.arrive(&0, MS * 3);
        assert_eq!(account(&ledger), (2, 2, 0, 0, 0));
    }

    #[test]
    fn a_warm_up_is_accounted_for_and_not_measured() {
        let mut ledger = Ledger::new(MS * 10);
        ledger.expect(0, 0, MS * 9);
        ledger.expect(1, 0, MS * 10);
        ledger.arrive(&0, MS * 500);
        ledger.arrive(&1, MS * 11);
        let latency = ledger.lateness().latency();
        assert_eq!((latency.count, ledger.arrived()), (1, 2));
        assert!((latency.max - 1_000.0).abs() < 2.0);
    }
}
