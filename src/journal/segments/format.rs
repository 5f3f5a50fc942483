//! The bytes of blocks and frames on disk. The parent module documents the layout.

use crc32c::{crc32c, crc32c_append};

/// The format this program writes, and the newest one it reads.
pub(crate) const FORMAT: u32 = 1;
/// Bytes of the block at the head of every file.
pub(crate) const BLOCK_BYTES: usize = 64;
/// The offset of the first frame in a segment. The header has its own disk block, so that no append rewrites
/// the sector that makes all others readable.
pub(crate) const FRAMES_OFFSET: usize = 4096;
/// Bytes of a frame before its project and body.
pub(crate) const HEAD_BYTES: usize = 40;
/// Frames begin at multiples of this, so that a search can skip other bytes.
pub(crate) const ALIGN_BYTES: usize = 8;

pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"coordseg";
pub(crate) const SNAPSHOT_MAGIC: [u8; 8] = *b"coordsnp";
pub(crate) const FLOOR_MAGIC: [u8; 8] = *b"coordflr";
pub(crate) const BACKUP_MAGIC: [u8; 8] = *b"coordbak";

const FIELDS: usize = 6;

/// Why a block cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    Damaged,
    Newer(u32),
}

/// Writes a block: magic, format, CRC32C of all the rest, six numbers.
pub(crate) fn seal(magic: [u8; 8], fields: [u64; FIELDS]) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    block[..8].copy_from_slice(&magic);
    block[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    for (slot, field) in block[16..].as_chunks_mut().0.iter_mut().zip(fields) {
        *slot = field.to_le_bytes();
    }
    let crc = block_crc(&block);
    block[12..16].copy_from_slice(&crc.to_le_bytes());
    block
}

/// Reads a block back.
pub(crate) fn unseal(magic: [u8; 8], block: &[u8]) -> Result<[u64; FIELDS], Flaw> {
    if block.len() < BLOCK_BYTES || block[..8] != magic {
        return Err(Flaw::Damaged);
    }
    // The checksum comes first, or a flipped bit in the version would look like a newer program.
    if u32_at(block, 12) != block_crc(block) {
        return Err(Flaw::Damaged);
    }
    let format = u32_at(block, 8);
    if format > FORMAT {
        return Err(Flaw::Newer(format));
    }
    let mut fields = [0; FIELDS];
    for (index, field) in fields.iter_mut().enumerate() {
        *field = u64_at(block, 16 + index * 8);
    }
    Ok(fields)
}

fn block_crc(block: &[u8]) -> u32 {
    crc32c_append(crc32c(&block[..12]), &block[16..BLOCK_BYTES])
}

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The journal it belongs to.
    pub(crate) id: u64,
    /// Counts segments; never used twice.
    pub(crate) number: u64,
    /// The position of its first record.
    pub(crate) first: u64,
    /// The length of the file.
    pub(crate) bytes: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; BLOCK_BYTES] {
        seal(
            SEGMENT_MAGIC,
            [self.id, self.number, self.first, self.bytes, 0, 0],
        )
    }

    pub(crate) fn decode(block: &[u8]) -> Result<Self, Flaw> {
        let [id, number, first, bytes, ..] = unseal(SEGMENT_MAGIC, block)?;
        Ok(Self {
            id,
            number,
            first,
            bytes,
        })
    }

    /// The salt of the frames of this use of the file.
    pub(crate) fn salt(&self) -> u32 {
        salt_of(&self.encode())
    }
}

/// The salt of the frames that follow a block: the block's checksum.
pub(crate) fn salt_of(block: &[u8]) -> u32 {
    u32_at(block, 12)
}

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Record = 0,
    /// A gap that a repair left: `at_ms` is the number of positions.
    Gap = 1,
    /// Of a backup: a snapshot.
    Snapshot = 2,
    /// Of a backup: its end; `at_ms` is the number of frames before it, the body their checksum.
    End = 3,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentFrame<'a> {
    pub(crate) kind: FrameKind,
    pub(crate) sequence: u64,
    pub(crate) at_ms: u64,
    /// How many frames of the same write came before this one.
    pub(crate) index: u32,
    pub(crate) project: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl SegmentFrame<'_> {
    /// The number of positions of the frame.
    pub(crate) fn span(&self) -> u64 {
        if self.kind == FrameKind::Gap {
            self.at_ms.max(1)
        } else {
            1
        }
    }

    /// A frame that stands for `lost` positions from `sequence`.
    pub(crate) fn gap(sequence: u64, lost: u64) -> Self {
        Self {
            kind: FrameKind::Gap,
            sequence,
            at_ms: lost,
            index: 0,
            project: b"",
            body: b"",
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        frame_bytes(self.project.len(), self.body.len())
    }

    /// Appends the frame to `out`, whose length must be a multiple of [`ALIGN_BYTES`].
    pub(crate) fn encode(&self, salt: u32, out: &mut Vec<u8>) {
        let body_bytes = u32::try_from(self.body.len()).expect("bodies are bounded below 4 GiB");
        let name_bytes = u8::try_from(self.project.len()).expect("names are at most 64 bytes long");
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(&salt.to_le_bytes());
        head[8..12].copy_from_slice(&body_bytes.to_le_bytes());
        let body_crc = crc32c_append(crc32c(self.project), self.body);
        head[12..16].copy_from_slice(&body_crc.to_le_bytes());
        head[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        head[24..32].copy_from_slice(&self.at_ms.to_le_bytes());
        head[32..36].copy_from_slice(&self.index.to_le_bytes());
        head[36] = name_bytes;
        head[37] = self.kind as u8;
        let head_crc = crc32c_append(salt, &head[8..]);
        head[4..8].copy_from_slice(&head_crc.to_le_bytes());
        let end = out.len() + self.bytes();
        out.extend_from_slice(&head);
        out.extend_from_slice(self.project);
        out.extend_from_slice(self.body);
        out.resize(end, 0);
    }
}

/// Bytes of a frame on the medium.
pub(crate) fn frame_bytes(project: usize, body: usize) -> usize {
    (HEAD_BYTES + project + body).next_multiple_of(ALIGN_BYTES)
}

/// The checked head of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) kind: FrameKind,
    pub(crate) sequence: u64,
    pub(crate) at_ms: u64,
    pub(crate) index: u32,
    pub(crate) project_bytes: usize,
    pub(crate) body_bytes: usize,
    body_crc: u32,
}

impl Head {
    /// The sequence of the first frame of the write this one was part of.
    pub(crate) fn write_first(&self) -> u64 {
        self.sequence.saturating_sub(u64::from(self.index))
    }

    /// Reads the head at `offset`; `None` when no head of this salt is there.
    pub(crate) fn at(bytes: &[u8], offset: usize, salt: u32) -> Option<Self> {
        let head = bytes.get(offset..offset.checked_add(HEAD_BYTES)?)?;
        if u32_at(head, 0) != salt || u32_at(head, 4) != crc32c_append(salt, &head[8..]) {
            return None;
        }
        Some(Self {
            kind: [
                FrameKind::Record,
                FrameKind::Gap,
                FrameKind::Snapshot,
                FrameKind::End,
            ]
            .get(usize::from(head[37]))
            .copied()?,
            sequence: u64_at(head, 16),
            at_ms: u64_at(head, 24),
            index: u32_at(head, 32),
            project_bytes: usize::from(head[36]),
            body_bytes: usize::try_from(u32_at(head, 8)).ok()?,
            body_crc: u32_at(head, 12),
        })
    }

    /// Bytes of the whole frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        frame_bytes(self.project_bytes, self.body_bytes)
    }

    /// The whole frame, given the bytes after the head; `None` when it is incomplete or damaged.
    pub(crate) fn frame<'a>(&self, rest: &'a [u8]) -> Option<SegmentFrame<'a>> {
        let text = rest.get(..self.project_bytes.checked_add(self.body_bytes)?)?;
        let (project, body) = text.split_at(self.project_bytes);
        (self.body_crc == crc32c(text)).then_some(SegmentFrame {
            kind: self.kind,
            sequence: self.sequence,
            at_ms: self.at_ms,
            index: self.index,
            project,
            body,
        })
    }
}

/// Reads the frame at `offset`; `None` when there is no complete valid one.
pub(crate) fn frame_at(bytes: &[u8], offset: usize, salt: u32) -> Option<SegmentFrame<'_>> {
    Head::at(bytes, offset, salt)?.frame(&bytes[offset + HEAD_BYTES..])
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_is_named_and_a_flipped_bit_is_damage() {
        let mut block = seal(SEGMENT_MAGIC, [1, 2, 3, 4, 5, 6]);
        assert_eq!(unseal(SEGMENT_MAGIC, &block), Ok([1, 2, 3, 4, 5, 6]));
        assert_eq!(unseal(FLOOR_MAGIC, &block), Err(Flaw::Damaged));
        block[8] = 2;
        assert_eq!(unseal(SEGMENT_MAGIC, &block), Err(Flaw::Damaged));
        let crc = block_crc(&block);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(unseal(SEGMENT_MAGIC, &block), Err(Flaw::Newer(2)));
    }

    /// A released format never changes: these bytes were written by format 1.
    #[test]
    fn format_1_is_what_it_always_was() {
        let header = SegmentHeader {
            id: 7,
            number: 1,
            first: 1,
            bytes: 8192,
        };
        let mut bytes = header.encode().to_vec();
        let frame = SegmentFrame {
            kind: FrameKind::Record,
            sequence: 1,
            at_ms: 5,
            index: 0,
            project: b"a",
            body: b"{}",
        };
        frame.encode(header.salt(), &mut bytes);
        let hex = bytes
            .iter()
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(hex, GOLDEN);
    }

    const GOLDEN: &str = "636f6f726473656701000000fadb038207000000000000000100000000000000010000000000000000200000\
        0000000000000000000000000000000000000000fadb0382ecff6fbf02000000b1ed1e3b0100000000000000\
        05000000000000000000000001000000617b7d0000000000";
}
