//! A backup as a file: one stream of bytes that says at its end that it is whole. Every byte of it is checked before anything
//! in it is believed.
//!
//! `CONCLAVE`, the version, the caller's header and a checksum of all that; blocks of records, each behind its length; a length
//! of zero, how many records and bytes there were, and a checksum of everything before. Nothing follows.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::checksum::Checksum;
use crate::limits::{BLOCK_BYTES, SNAPSHOT_META_BYTES_MAX, SNAPSHOT_RECORD_BYTES_MAX};
use crate::snapshot_block::{BlockBuilder, BlockRecords};

const MAGIC: &[u8; 8] = b"CONCLAVE";

/// Of the layout described above. A reader refuses any other one.
pub const BACKUP_FORMAT: u32 = 1;

/// A block with its checksum: full, and then one more record of the largest size.
const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + SNAPSHOT_RECORD_BYTES_MAX + 8;

/// Why a file is no backup that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupFileError {
    #[error("{path} is no backup of Conclave")]
    NoBackup { path: String },
    #[error(
        "the backup {path} has format {found}, this program reads format {BACKUP_FORMAT}; use the program that wrote it, or a newer one"
    )]
    OtherVersion { path: String, found: u32 },
    #[error("the backup {path} is damaged or cut short: {reason}; use another one")]
    Damaged { path: String, reason: String },
    #[error("cannot read {path}: {source}")]
    Io { path: String, source: io::Error },
}

/// Makes the bytes of a backup, piece by piece.
pub struct BackupEncoder {
    block: BlockBuilder,
    records: u64,
    bytes: u64,
    whole: Checksum,
}

impl BackupEncoder {
    /// Of at most `SNAPSHOT_META_BYTES_MAX` bytes of header; the first piece comes along.
    #[must_use]
    pub fn begin(header: &[u8]) -> (Self, Bytes) {
        debug_assert!(header.len() <= SNAPSHOT_META_BYTES_MAX);
        let mut out = BytesMut::with_capacity(header.len() + 20);
        out.put_slice(MAGIC);
        out.put_u32(BACKUP_FORMAT);
        out.put_u32(header.len() as u32);
        out.put_slice(header);
        out.put_u32(Checksum::of(&out));
        let mut encoder =
            Self { block: BlockBuilder::new(), records: 0, bytes: 0, whole: Checksum::default() };
        let piece = encoder.piece(out);
        (encoder, piece)
    }

    /// Adds a record of at most `SNAPSHOT_RECORD_BYTES_MAX` bytes. The next piece, when there is enough for one.
    pub fn push(&mut self, record: &[u8]) -> Option<Bytes> {
        let piece = self.block.is_full_for(record.len()).then(|| self.close_block());
        self.records += 1;
        self.bytes += record.len() as u64;
        self.block.push(record);
        piece
    }

    /// The last piece. Without it the backup is cut short, and says so.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        let mut out = BytesMut::new();
        if !self.block.is_empty() {
            out.put_slice(&self.close_block());
        }
        let mut end = BytesMut::with_capacity(24);
        end.put_u32(0);
        end.put_u64(self.records);
        end.put_u64(self.bytes);
        self.whole.update(&end);
        end.put_u32(self.whole.value());
        out.put_slice(&end);
        out.freeze()
    }

    fn close_block(&mut self) -> Bytes {
        let value = self.block.take();
        let mut out = BytesMut::with_capacity(4 + value.len());
        out.put_u32(value.len() as u32);
        out.put_slice(&value);
        self.piece(out)
    }

    fn piece(&mut self, out: BytesMut) -> Bytes {
        self.whole.update(&out);
        out.freeze()
    }
}

/// Reads a backup, record by record. Only when it has ended without an error is the whole known to be what was written.
pub struct BackupReader {
    path: String,
    file: BufReader<File>,
    header: Bytes,
    block: BlockRecords,
    records: u64,
    bytes: u64,
    whole: Checksum,
    ended: bool,
}

impl BackupReader {
    /// Reads the header and is sure of it. Blocks.
    ///
    /// # Errors
    /// [`BackupFileError`]: no backup, of another version, damaged, or not to be read.
    pub fn open(path: &Path) -> Result<Self, BackupFileError> {
        let shown = path.display().to_string();
        let io = |source| BackupFileError::Io { path: shown.clone(), source };
        let file = File::open(path).map_err(io)?;
        let mut reader = Self {
            path: shown.clone(),
            file: BufReader::with_capacity(BLOCK_BYTES_MAX, file),
            header: Bytes::new(),
            block: BlockRecords::default(),
            records: 0,
            bytes: 0,
            whole: Checksum::default(),
            ended: false,
        };
        let mut magic = [0; MAGIC.len()];
        match reader.file.read_exact(&mut magic) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(io(error)),
            Ok(()) if magic == *MAGIC => {}
            Ok(()) | Err(_) => return Err(BackupFileError::NoBackup { path: shown }),
        }
        reader.whole.update(&magic);
        let version = reader.exactly(4)?.get_u32();
        if version != BACKUP_FORMAT {
            return Err(BackupFileError::OtherVersion { path: shown, found: version });
        }
        let len = reader.exactly(4)?.get_u32() as usize;
        if len > SNAPSHOT_META_BYTES_MAX {
            return Err(reader.damaged("its header is too long"));
        }
        reader.header = reader.exactly(len)?;
        let sum = reader.whole.value();
        if reader.exactly(4)?.get_u32() != sum {
            return Err(reader.damaged("its header does not match its checksum"));
        }
        Ok(reader)
    }

    /// What whoever wrote it says of it.
    #[must_use]
    pub fn header(&self) -> &Bytes {
        &self.header
    }

    fn damaged(&self, reason: impl Into<String>) -> BackupFileError {
        BackupFileError::Damaged { path: self.path.clone(), reason: reason.into() }
    }

    /// So many bytes, taken into the checksum of the whole.
    fn exactly(&mut self, len: usize) -> Result<Bytes, BackupFileError> {
        let mut bytes = vec![0; len];
        self.file.read_exact(&mut bytes).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("it ends too early"),
            _ => BackupFileError::Io { path: self.path.clone(), source },
        })?;
        self.whole.update(&bytes);
        Ok(Bytes::from(bytes))
    }

    fn try_next(&mut self) -> Result<Option<Bytes>, BackupFileError> {
        loop {
            let number = self.records;
            let record = self
                .block
                .next()
                .map_err(|()| self.damaged(format!("a length behind record {number} is wrong")))?;
            if let Some(record) = record {
                self.records += 1;
                self.bytes += record.len() as u64;
                return Ok(Some(record));
            }
            let len = self.exactly(4)?.get_u32() as usize;
            if len == 0 {
                return self.end().map(|()| None);
            }
            if len > BLOCK_BYTES_MAX {
                return Err(self.damaged(format!("the block behind record {number} is too long")));
            }
            let block = self.exactly(len)?;
            self.block = BlockRecords::open(&block).ok_or_else(|| {
                self.damaged(format!("the block behind record {number} fails its checksum"))
            })?;
        }
    }

    fn end(&mut self) -> Result<(), BackupFileError> {
        let (records, bytes) = (self.exactly(8)?.get_u64(), self.exactly(8)?.get_u64());
        let sum = self.whole.value();
        if self.exactly(4)?.get_u32() != sum {
            return Err(self.damaged("the whole does not match its checksum"));
        }
        if (records, bytes) != (self.records, self.bytes) {
            return Err(self.damaged("it has other records than it says"));
        }
        let more = self.file.read(&mut [0]);
        match more.map_err(|source| BackupFileError::Io { path: self.path.clone(), source })? {
            0 => Ok(()),
            _ => Err(self.damaged("something follows its end")),
        }
    }
}

impl Iterator for BackupReader {
    type Item = Result<Bytes, BackupFileError>;

    /// An error at most once, as the last item.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.try_next().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}
