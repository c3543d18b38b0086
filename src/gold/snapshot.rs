//! Local copies of states, so that a restart reads only the end of a changelog.
//!
//! A copy holds what was committed and nothing else, together with the position in the changelog from which on records are to be
//! read on top of it. That position may be too low, since a record says the whole state of its key and the newest wins; it is
//! never too high. Copies may be lost at any time: one that is missing, torn, old, or of another topic or query is said so,
//! ignored, and the state is read from Kafka.
//!
//! | died | what happens next |
//! |---|---|
//! | while writing | the file has another name; the one before stands |
//! | before or after the renaming | the one before, or this one, stands; both are right |

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use xxhash_rust::xxh3::Xxh3;

use super::definition::Definition;
use super::state::State;
use crate::broker::{Extent, NextOffset};
use crate::crash;

const MAGIC: &[u8; 8] = b"SLUICEgs";

/// Version of the file's form.
const VERSION: u32 = 1;

/// A tombstone may leave the topic `delete.retention.ms` after it was compacted, 24 h by default: on top of a copy older than
/// that, a key that was deleted would come to life again.
const OLDEST: Duration = Duration::from_secs(12 * 3600);

/// What a file has for no time.
const NONE: i64 = i64::MIN;

/// Bytes that are read or written together.
const BUFFER: usize = 1 << 20;

/// Bytes of the checksum at the end.
const CHECKSUM: u64 = 8;

/// Where a state stands in its changelog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Where the log began when the state was restored.
    pub(crate) start: NextOffset,
    /// The first record that the state may not have seen.
    pub(crate) next: NextOffset,
}

/// Why a copy is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// The operating system refuses, or the file ends too early.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Not what was written.
    #[error("it is damaged")]
    Damaged,
    /// Written by another version of the service.
    #[error("it is of another version of the service")]
    OtherVersion,
    /// Another cluster, a topic that was made anew, or one with more partitions.
    #[error("it is of another topic")]
    OtherTopic,
    /// Another query, other columns, or another `keep`.
    #[error("it is of another query or keep")]
    OtherQuery,
    /// Records before its position were deleted, or the log has lost its end.
    #[error("the topic no longer holds the records around its position")]
    OtherLog,
    /// Deletions may have left the topic since.
    #[error("it is {} h old", .0.as_secs() / 3600)]
    Old(Duration),
}

/// Where the copies of one worker's states are.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    folder: PathBuf,
    /// Tells the unfinished files of a process's workers apart.
    worker: usize,
}

impl Snapshots {
    /// Copies in `folder`, which is made when the first is written.
    pub(crate) fn new(folder: &Path, worker: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            worker,
        }
    }

    fn path(&self, table: &str, partition: i32) -> PathBuf {
        self.folder
            .join(table)
            .join(format!("{partition}.snapshot"))
    }

    /// Writes a committed state. `topic` is the identity of the table's topic.
    ///
    /// # Errors
    /// When the operating system refuses; the copy before is still there.
    pub(crate) fn save(
        &self,
        definition: &Definition,
        topic: &str,
        partition: i32,
        state: &State,
        standing: Standing,
    ) -> io::Result<()> {
        crash::point("gold", "snapshot.before");
        let path = self.path(definition.name(), partition);
        let folder = path.parent().expect("the file lies in a table's folder");
        fs::create_dir_all(folder)?;
        let unfinished = path.with_extension(format!("unfinished-{}", self.worker));
        let header = Header {
            topic: topic.to_owned(),
            query: query_of(definition),
            watermark: state.watermark(),
            standing,
            written_ms: since_1970(SystemTime::now()),
            keys: state.len() as u64,
        };
        let written = write(&unfinished, &header, state).and_then(|()| {
            crash::point("gold", "snapshot.written");
            fs::rename(&unfinished, &path)
        });
        if let Err(error) = written {
            // What is half written is of no use to anybody, whether or not it can be removed.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        File::open(folder)?.sync_all()?;
        crash::point("gold", "snapshot.after");
        Ok(())
    }

    /// The copy of a partition's state and where to read on; None when there is none. `extent` is what the log holds now.
    ///
    /// # Errors
    /// Why there is one that cannot be used.
    pub(crate) fn load(
        &self,
        definition: &Definition,
        topic: &str,
        partition: i32,
        extent: Extent,
    ) -> Result<Option<(State, NextOffset)>, Unusable> {
        let path = self.path(definition.name(), partition);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let length = verify(file)?;
        let mut reader = BufReader::with_capacity(BUFFER, File::open(&path)?.take(length));
        let header = Header::read(&mut reader)?;
        header.check(definition, topic, extent)?;
        let mut state = definition.empty_state().map_err(|_| Unusable::OtherQuery)?;
        state.reserve(usize::try_from(header.keys).map_err(|_| Unusable::Damaged)?);
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for _ in 0..header.keys {
            read_bytes(&mut reader, length, &mut key)?;
            read_bytes(&mut reader, length, &mut value)?;
            state.put(&key, &value);
        }
        state.set_watermark(header.watermark);
        if reader.bytes().next().is_some() || state.len() as u64 != header.keys {
            return Err(Unusable::Damaged);
        }
        Ok(Some((state, header.standing.next)))
    }
}

/// What stands before the rows.
struct Header {
    topic: String,
    query: [u8; 24],
    watermark: Option<i64>,
    standing: Standing,
    written_ms: i64,
    keys: u64,
}

/// What a copy depends on: the query's states, and which keys are held of them.
fn query_of(definition: &Definition) -> [u8; 24] {
    let mut query = [0; 24];
    let horizon = definition.horizon();
    let group = horizon.map_or(NONE, |horizon| horizon.group as i64);
    let keep = horizon.map_or(NONE, |horizon| horizon.keep);
    query[..8].copy_from_slice(&definition.query().fingerprint());
    query[8..16].copy_from_slice(&group.to_le_bytes());
    query[16..].copy_from_slice(&keep.to_le_bytes());
    query
}

impl Header {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        write_bytes(out, self.topic.as_bytes())?;
        out.write_all(&self.query)?;
        for number in [
            self.watermark.unwrap_or(NONE),
            self.standing.start.get(),
            self.standing.next.get(),
            self.written_ms,
        ] {
            out.write_all(&number.to_le_bytes())?;
        }
        out.write_all(&self.keys.to_le_bytes())
    }

    fn read(from: &mut impl Read) -> Result<Self, Unusable> {
        if read_array::<8>(from)? != *MAGIC {
            return Err(Unusable::Damaged);
        }
        if u32::from_le_bytes(read_array(from)?) != VERSION {
            return Err(Unusable::OtherVersion);
        }
        let mut topic = Vec::new();
        read_bytes(from, BUFFER as u64, &mut topic)?;
        let query = read_array(from)?;
        let mut number = || Ok::<_, io::Error>(i64::from_le_bytes(read_array(from)?));
        let watermark = number()?;
        let start = NextOffset::at(number()?);
        let next = NextOffset::at(number()?);
        let written_ms = number()?;
        Ok(Self {
            topic: String::from_utf8(topic).map_err(|_| Unusable::Damaged)?,
            query,
            watermark: (watermark != NONE).then_some(watermark),
            standing: Standing { start, next },
            written_ms,
            keys: u64::from_le_bytes(read_array(from)?),
        })
    }

    fn check(&self, definition: &Definition, topic: &str, log: Extent) -> Result<(), Unusable> {
        if self.topic != topic {
            return Err(Unusable::OtherTopic);
        }
        if self.query != query_of(definition) {
            return Err(Unusable::OtherQuery);
        }
        // A compacted log begins where it always did, unless somebody deleted its records: what the copy holds may be gone.
        let standing = self.standing;
        if standing.start != log.start || standing.next < log.start || standing.next > log.end {
            return Err(Unusable::OtherLog);
        }
        let age = since_1970(SystemTime::now()).abs_diff(self.written_ms);
        let age = Duration::from_millis(age);
        if age > OLDEST {
            return Err(Unusable::Old(age));
        }
        Ok(())
    }
}

fn since_1970(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn write(path: &Path, header: &Header, state: &State) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER, Hashing::new(File::create(path)?));
    header.write(&mut out)?;
    for (key, state) in state.entries() {
        write_bytes(&mut out, key)?;
        write_bytes(&mut out, state)?;
    }
    let Hashing { mut file, hash } = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.write_all(&hash.digest().to_le_bytes())?;
    file.sync_all()
}

/// Reads a file to its end and compares the checksum; the length of what stands before it.
fn verify(mut file: File) -> Result<u64, Unusable> {
    let whole = file.metadata()?.len();
    let length = whole.checked_sub(CHECKSUM).ok_or(Unusable::Damaged)?;
    let mut hash = Xxh3::new();
    let mut left = length;
    let mut buffer = vec![0; BUFFER];
    while left > 0 {
        let part = usize::try_from(left.min(BUFFER as u64)).unwrap_or(BUFFER);
        file.read_exact(&mut buffer[..part])?;
        hash.update(&buffer[..part]);
        left -= part as u64;
    }
    if u64::from_le_bytes(read_array(&mut file)?) != hash.digest() {
        return Err(Unusable::Damaged);
    }
    Ok(length)
}

/// Passes bytes on and takes their checksum.
struct Hashing {
    file: File,
    hash: Xxh3,
}

impl Hashing {
    fn new(file: File) -> Self {
        Self {
            file,
            hash: Xxh3::new(),
        }
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn write_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(bytes)
}

fn read_array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Bytes behind their length, which is at most `most`.
fn read_bytes(from: &mut impl Read, most: u64, bytes: &mut Vec<u8>) -> Result<(), Unusable> {
    let length = u32::from_le_bytes(read_array(from)?);
    if u64::from(length) > most {
        return Err(Unusable::Damaged);
    }
    bytes.resize(usize::try_from(length).map_err(|_| Unusable::Damaged)?, 0);
    Ok(from.read_exact(bytes)?)
}
