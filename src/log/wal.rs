//! What a write-ahead log of SQLite's has lost in its middle.
//!
//! SQLite reads such a file up to the first frame whose checksum does not fit, and takes the rest for a commit that a
//! crash cut off. That is right for the last commit; but each commit is synced before the next is written, so a commit
//! that others follow had been on disk, and what broke it is damage. SQLite would drop it, and all that follow, without a
//! word.
//!
//! Only before the file is opened: opening recovers it, and then there is nothing left to see.
//! The format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs;
use std::io;
use std::path::Path;

const HEADER: usize = 32;
const FRAME: usize = 24;
/// Bytes of a page, as SQLite has it unless it is told otherwise.
const PAGE: usize = 4_096;

/// Bytes of frames that SQLite will not read though they had been synced; 0 if there is no such file, or it is whole, or
/// ends in a commit that was cut off.
///
/// # Errors
/// The file cannot be read.
pub fn lost(wal: &Path) -> io::Result<u64> {
    let bytes = match fs::read(wal) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        read => read?,
    };
    Ok(Frames::of(&bytes).map_or(0, Frames::lost))
}

/// The frames of a file.
struct Frames<'a> {
    frames: std::slice::ChunksExact<'a, u8>,
    salts: &'a [u8],
    big_endian: bool,
    sum: (u32, u32),
    /// Nothing from here on is read by SQLite.
    broken: bool,
}

impl<'a> Frames<'a> {
    /// None if the file has not even a header.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        let size = usize::try_from(word(header, 8)?).ok()?;
        let big_endian = word(header, 0)? & 1 == 1;
        let sum = sum((0, 0), header.get(..24)?, big_endian);
        let broken = (word(header, 24)?, word(header, 28)?) != sum;
        let frames = rest.chunks_exact(FRAME + if broken { PAGE } else { size });
        Some(Self {
            // The header is synced before any frame: one that is broken was whole, and its frames still bear its salts.
            salts: if broken {
                shared_salts(&frames)?
            } else {
                header.get(16..24)?
            },
            frames,
            big_endian,
            sum,
            broken,
        })
    }

    fn lost(mut self) -> u64 {
        let (mut committed, mut follows, mut lost) = (false, false, 0);
        for frame in self.frames.by_ref() {
            let (head, page) = frame.split_at(FRAME);
            if !self.broken {
                self.sum = sum(
                    sum(self.sum, head.get(..8).unwrap_or_default(), self.big_endian),
                    page,
                    self.big_endian,
                );
                self.broken = head.get(8..16) != Some(self.salts)
                    || (word(head, 16), word(head, 20)) != (Some(self.sum.0), Some(self.sum.1));
                if !self.broken {
                    continue;
                }
            } else if head.get(8..16) != Some(self.salts) {
                // Older than the header, or damaged itself, and then the frames that follow it say so.
                continue;
            }
            lost += frame.len() as u64;
            follows |= committed;
            committed |= word(head, 4).is_some_and(|pages| pages > 0);
        }
        if follows { lost } else { 0 }
    }
}

/// The salts of the first two frames in a row that have the same: what broke the header may have hit a frame too.
fn shared_salts<'a>(frames: &std::slice::ChunksExact<'a, u8>) -> Option<&'a [u8]> {
    let salts = || frames.clone().filter_map(|frame| frame.get(8..16));
    let shared = salts().zip(salts().skip(1)).find(|(one, next)| one == next);
    shared.map(|(salts, _)| salts)
}

/// SQLite's checksum, over pairs of words.
fn sum((mut first, mut second): (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    for pair in bytes.as_chunks::<8>().0 {
        let [a, b, c, d, e, f, g, h] = *pair;
        let read = if big_endian {
            u32::from_be_bytes
        } else {
            u32::from_le_bytes
        };
        first = first.wrapping_add(read([a, b, c, d])).wrapping_add(second);
        second = second.wrapping_add(read([e, f, g, h])).wrapping_add(first);
    }
    (first, second)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// The write-ahead log of so many commits of some pages each, while its writer still has it open.
    fn written(commits: usize) -> (tempfile::TempDir, std::path::PathBuf, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let connection = Connection::open(dir.path().join("f")).unwrap();
        connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
            .unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        for _ in 0..commits {
            connection
                .execute("INSERT INTO t VALUES (randomblob(9000))", [])
                .unwrap();
        }
        let wal = dir.path().join("f-wal");
        (dir, wal, connection)
    }

    #[test]
    fn damage_in_the_middle_is_found_and_a_torn_end_is_none() {
        let (dir, wal, connection) = written(10);
        let whole = fs::read(&wal).unwrap();
        assert_eq!(lost(&wal).unwrap(), 0);
        assert_eq!(lost(&dir.path().join("none")).unwrap(), 0);
        let other = dir.path().join("other");
        let check = |bytes: &[u8], damaged: bool, label: &str| {
            fs::write(&other, bytes).unwrap();
            assert_eq!(lost(&other).unwrap() > 0, damaged, "{label}");
        };
        for cut in [0, 10, 31, 32, 100, whole.len() / 2, whole.len() - 1] {
            check(&whole[..cut], false, &format!("cut at {cut}"));
        }
        for at in (3..HEADER).chain((HEADER..whole.len()).step_by(1_237)) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            // The last commit takes five frames at most: it may have been cut off.
            let last = at + 5 * (FRAME + 4_096) >= whole.len();
            if !last {
                check(&bytes, true, &format!("flipped at {at}"));
            }
        }
        // A page at another's place: the end of one frame, and the head of the next or the file's own.
        for page in 0..whole.len() / PAGE - 12 {
            let mut bytes = whole.clone();
            bytes.copy_within((page + 1) * PAGE..(page + 2) * PAGE, page * PAGE);
            check(&bytes, true, &format!("misplaced at {page}"));
        }
        // Written over from the start: what is left of the older commits is no loss.
        connection
            .query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))
            .unwrap();
        connection.execute("INSERT INTO t VALUES (1)", []).unwrap();
        let reused = fs::read(&wal).unwrap();
        assert!(reused.len() > 10 * 4_096);
        check(&reused, false, "reused");
    }
}
