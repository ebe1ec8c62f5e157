//! The end of a file that is being written: what was given to it, what the file has, and what is safe on the disk.
//!
//! Bytes are kept in memory until the disk has confirmed them. When a write or the confirmation fails (a full disk), nothing is
//! lost and nothing is there twice: the next attempt writes the same bytes at the same place.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Where bytes go.
pub(super) trait Storage {
    /// Writes all bytes at this place.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Makes the file this long.
    fn cut(&self, len: u64) -> io::Result<()>;
    /// Returns when all is on the disk.
    fn sync(&self) -> io::Result<()>;
}

impl Storage for File {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, at)
    }
    fn cut(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The end of a file.
#[derive(Debug)]
pub(super) struct Tail<S> {
    storage: S,
    /// How much of the file is safe on the disk.
    safe: u64,
    /// What comes after it.
    held: Vec<u8>,
    /// How much of that the file has, but perhaps not the disk.
    sent: usize,
}

impl<S: Storage> Tail<S> {
    /// The end of a file that is this long.
    pub(super) fn new(storage: S, len: u64) -> Self {
        Self { storage, safe: len, held: Vec::new(), sent: 0 }
    }

    /// How long the file is with all that was given to it.
    pub(super) fn len(&self) -> u64 {
        self.safe + self.held.len() as u64
    }

    /// How many bytes the file does not have yet.
    pub(super) fn unsent(&self) -> usize {
        self.held.len() - self.sent
    }

    /// How many bytes are kept because the disk may not have them yet.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Where bytes are appended.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.held
    }

    /// Takes back what was given after the file would have been this long.
    pub(super) fn take_back_to(&mut self, len: u64) {
        let keep = usize::try_from(len.saturating_sub(self.safe)).unwrap_or(usize::MAX);
        self.held.truncate(keep);
        self.sent = self.sent.min(keep);
    }

    /// Writes what the file does not have yet.
    ///
    /// # Errors
    /// It cannot be written; the file is as it was before.
    pub(super) fn send(&mut self) -> io::Result<()> {
        let at = self.safe + self.sent as u64;
        let sent = self.storage.write_all_at(&self.held[self.sent..], at);
        match sent {
            Ok(()) => self.sent = self.held.len(),
            // A part may have got through. The next attempt overwrites it; until then nobody should see half a line.
            Err(_) => drop(self.storage.cut(at)),
        }
        sent
    }

    /// Writes all, and returns when it is on the disk.
    ///
    /// # Errors
    /// It is not; what is not safe is kept and will be written again.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.send()?;
        if let Err(e) = self.storage.sync() {
            // After a failed sync the kernel may have dropped what it had: all of it is written again.
            self.sent = 0;
            return Err(e);
        }
        self.safe = self.len();
        self.held.clear();
        self.sent = 0;
        Ok(())
    }

    /// Writes all and makes the file exactly as long as what was given to it.
    ///
    /// # Errors
    /// As [`Tail::sync`].
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.send()?;
        self.storage.cut(self.len())?;
        self.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// A disk that is full after some bytes, and that may forget what was not synced.
    #[derive(Debug, Default)]
    struct Disk {
        bytes: RefCell<Vec<u8>>,
        room: Cell<usize>,
        sync_fails: Cell<bool>,
    }

    impl Storage for &Disk {
        fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
            let at = usize::try_from(at).expect("a small test");
            let mut disk = self.bytes.borrow_mut();
            let part = bytes.len().min(self.room.get().saturating_sub(at));
            let len = disk.len().max(at + part);
            disk.resize(len, 0);
            disk[at..at + part].copy_from_slice(&bytes[..part]);
            if part == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
        }
        fn cut(&self, len: u64) -> io::Result<()> {
            self.bytes.borrow_mut().truncate(usize::try_from(len).expect("a small test"));
            Ok(())
        }
        fn sync(&self) -> io::Result<()> {
            if self.sync_fails.get() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    #[test]
    fn a_full_disk_leaves_no_half_line_and_nothing_is_lost_or_doubled_when_there_is_room_again() {
        let disk = Disk { room: Cell::new(10), ..Disk::default() };
        let mut tail = Tail::new(&disk, 0);
        tail.end().extend(b"line 1\n");
        tail.send().expect("there is room");
        let before = tail.len();
        tail.end().extend(b"line 2\n");
        assert!(tail.send().is_err());
        assert_eq!(*disk.bytes.borrow(), b"line 1\n");

        tail.take_back_to(before);
        disk.room.set(100);
        tail.end().extend(b"line 2\n");
        tail.sync().expect("there is room");
        assert_eq!(*disk.bytes.borrow(), b"line 1\nline 2\n");
        assert_eq!((tail.held(), tail.len()), (0, 14));
    }

    #[test]
    fn what_the_disk_did_not_confirm_is_written_again() {
        let disk = Disk { room: Cell::new(100), ..Disk::default() };
        let mut tail = Tail::new(&disk, 0);
        tail.end().extend(b"line 1\n");
        disk.sync_fails.set(true);
        assert!(tail.sync().is_err());
        disk.bytes.borrow_mut().clear();
        disk.sync_fails.set(false);
        tail.end().extend(b"line 2\n");
        tail.finish().expect("the disk is well again");
        assert_eq!(*disk.bytes.borrow(), b"line 1\nline 2\n");
    }
}
