//! Reads one segment: its frames, and whether its end is torn or damaged.

use std::ops::ControlFlow;

use super::format::{ALIGN_BYTES, FRAMES_OFFSET, HEAD_BYTES, Head, SegmentFrame, frame_at, u32_at};

/// The most places of damage that are listed; one is enough to refuse.
pub(super) const DAMAGE_MAX: usize = 1000;

/// A place where records are missing or unreadable although later ones exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub file: String,
    pub offset: u64,
    pub what: String,
    /// The positions that cannot be read: from `lost_from` to before `lost_to`.
    pub lost_from: u64,
    pub lost_to: u64,
}

/// What is known of one live segment after it was read.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) number: u64,
    pub(crate) salt: u32,
    /// The position of its first record.
    pub(crate) first: u64,
    /// The position after its last one.
    pub(crate) next: u64,
    /// Where its last frame ends.
    pub(crate) end: u64,
    /// The length of the file.
    pub(crate) bytes: u64,
}

/// What a walk over one segment found.
#[derive(Debug)]
pub(crate) struct SegmentWalk {
    pub(crate) next: u64,
    pub(crate) end: usize,
    /// The end of the bytes that a torn last write left; equals `end` if there are none.
    pub(crate) torn_to: usize,
    pub(crate) damage: Vec<Damage>,
}

/// Called with every readable frame and its offset.
pub(crate) type FrameVisitor<'a> = dyn FnMut(&SegmentFrame<'_>, u64) -> ControlFlow<()> + 'a;

/// Reads the frames of one segment. `limit` is the position at which the next segment begins, or
/// where the caller knows this one to end; without it the segment is the last one, whose tail may
/// be torn.
pub(crate) fn walk(
    segment: &Segment,
    bytes: &[u8],
    limit: Option<u64>,
    visit: &mut FrameVisitor<'_>,
) -> SegmentWalk {
    let (salt, name) = (segment.salt, &segment.name);
    let mut walk = SegmentWalk {
        next: segment.first,
        end: FRAMES_OFFSET,
        torn_to: 0,
        damage: Vec::new(),
    };
    // Computed once, at the first bad frame: a damaged file is searched in one pass, not once for each flaw.
    let mut heads: Option<LaterHeads> = None;
    loop {
        if limit.is_some_and(|limit| walk.next >= limit) {
            walk.torn_to = walk.end;
            return walk;
        }
        let next = walk.next;
        if let Some(frame) = frame_at(bytes, walk.end, salt).filter(|f| f.sequence == next) {
            walk.next = next.saturating_add(frame.span());
            let stop = visit(&frame, walk.end as u64).is_break();
            walk.end += frame.bytes();
            if stop {
                walk.torn_to = walk.end;
                return walk;
            }
            continue;
        }
        let heads = heads.get_or_insert_with(|| LaterHeads::find(bytes, walk.end, salt));
        // A write begins only when the one before is durable. So a frame of a later write proves that this
        // one was on disk, and that the missing part was damaged. Frames of the same write prove nothing,
        // because its sectors may reach the disk in any order.
        let durable_to = heads
            .after(walk.end)
            .map(|(_, head)| head.write_first())
            .max();
        let lost_to = limit.or(durable_to).filter(|to| *to > next);
        let Some(lost_to) = lost_to else {
            walk.torn_to = heads.end.max(walk.end);
            return walk;
        };
        let resume = heads.after(walk.end).find(|(offset, head)| {
            head.sequence > next
                && head.sequence < limit.unwrap_or(u64::MAX)
                && frame_at(bytes, *offset, salt).is_some()
        });
        let (end, resume) = resume.map_or((walk.end, lost_to), |(offset, head)| {
            (offset, head.sequence)
        });
        if walk.damage.len() < DAMAGE_MAX {
            walk.damage.push(Damage {
                file: name.clone(),
                offset: walk.end as u64,
                what: describe(bytes, walk.end, salt, next, resume),
                lost_from: next,
                lost_to: resume,
            });
        }
        let nothing_follows = end == walk.end;
        (walk.end, walk.next) = (end, resume);
        if nothing_follows {
            walk.torn_to = walk.end;
            return walk;
        }
    }
}

fn describe(bytes: &[u8], offset: usize, salt: u32, next: u64, resume: u64) -> String {
    let flaw = match Head::at(bytes, offset, salt) {
        None => "no valid frame head",
        Some(head) if head.sequence != next => "a frame out of order",
        Some(_) => "a body that does not match its checksum",
    };
    format!("{flaw} at the place of record {next}, although record {resume} follows")
}

/// The valid heads with a salt after an offset, and the end of the last bytes with that salt.
struct LaterHeads {
    found: Vec<(usize, Head)>,
    end: usize,
}

impl LaterHeads {
    fn find(bytes: &[u8], from: usize, salt: u32) -> Self {
        let mut heads = Self {
            found: Vec::new(),
            end: from,
        };
        let last = bytes.len().saturating_sub(HEAD_BYTES);
        for offset in (from..=last).step_by(ALIGN_BYTES) {
            if u32_at(bytes, offset) == salt {
                let head = Head::at(bytes, offset, salt);
                let length = head.map_or(HEAD_BYTES, |head| head.frame_bytes());
                heads.end = heads
                    .end
                    .max(offset.saturating_add(length).min(bytes.len()));
                heads.found.extend(head.map(|head| (offset, head)));
            }
        }
        heads
    }

    fn after(&self, offset: usize) -> impl Iterator<Item = (usize, Head)> {
        let begin = self.found.partition_point(|(at, _)| *at < offset);
        self.found[begin..].iter().copied()
    }
}
