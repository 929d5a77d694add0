//! One page-aligned allocation per object, filled by disjoint parts, pooled and reused.
//!
//! A fresh mapping costs a page fault per page and copying to an odd address costs half the bandwidth (see the
//! measurements in ARCHITECTURE.md), so destinations are aligned to pages and kept for the next object. A [`Buffer`] is
//! split into [`Part`]s that different tasks fill at the same time; when every part is full the buffer becomes `Bytes`,
//! and when the last of those is dropped the memory goes back to its pool.
#![allow(unsafe_code)] // raw allocation, and writes to disjoint parts of it

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::constants::PAGE_SIZE;

/// Keeps allocations for reuse; shared by all clones.
#[derive(Debug, Clone)]
pub struct BufferPool(Arc<Shelf>);

#[derive(Debug)]
struct Shelf {
    /// Bytes kept at most.
    capacity: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: usize,
    allocations: Vec<Allocation>,
}

impl BufferPool {
    /// A pool that keeps at most `capacity` bytes for reuse.
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Shelf { capacity, kept: Mutex::default() }))
    }

    /// A buffer of `length` bytes, whose content is undefined until it is written; `None` if there is no memory for it.
    pub fn take(&self, length: usize) -> Option<Buffer> {
        let layout = layout_of(length)?;
        let allocation = match self.0.take(layout.size()) {
            Some(reused) => reused,
            None => Allocation::new(layout)?,
        };
        Some(Buffer {
            shared: Arc::new(Shared {
                allocation: Some(allocation),
                filled: AtomicUsize::new(0),
                shelf: self.0.clone(),
            }),
            length,
        })
    }

    /// Bytes that are kept for reuse now.
    pub fn kept(&self) -> usize {
        self.0.kept.lock().bytes
    }
}

impl Shelf {
    fn take(&self, size: usize) -> Option<Allocation> {
        let mut kept = self.kept.lock();
        if let Some(index) = kept.allocations.iter().position(|allocation| allocation.layout.size() == size) {
            kept.bytes -= size;
            return Some(kept.allocations.swap_remove(index));
        }
        // A new allocation takes the place of kept ones of other sizes: the sum must not grow with their variety.
        let mut freed = 0;
        while freed < size
            && let Some(allocation) = kept.allocations.pop()
        {
            freed += allocation.layout.size();
            kept.bytes -= allocation.layout.size();
        }
        None
    }

    fn give(&self, allocation: Allocation) {
        let size = allocation.layout.size();
        let mut kept = self.kept.lock();
        if kept.bytes + size <= self.capacity {
            kept.bytes += size;
            kept.allocations.push(allocation);
        }
    }
}

/// Sizes are rounded up to an eighth of the next power of two, so that objects of similar size share allocations at
/// the price of a quarter at most. `None` for more than an address space holds.
fn layout_of(length: usize) -> Option<Layout> {
    let step = (length.max(1).checked_next_power_of_two()? / 8).max(PAGE_SIZE);
    let size = length.max(1).div_ceil(step).checked_mul(step)?;
    Layout::from_size_align(size, PAGE_SIZE).ok()
}

#[derive(Debug)]
struct Allocation {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: an Allocation owns its memory, like a Box<[MaybeUninit<u8>]>; nothing about it is tied to a thread.
unsafe impl Send for Allocation {}
// SAFETY: a shared reference to an Allocation gives no access to the memory; Part and Filled do, by their own rules.
unsafe impl Sync for Allocation {}

impl Allocation {
    /// `None` if there is no memory: a server's claim about the size of an object must not end the process.
    fn new(layout: Layout) -> Option<Self> {
        // SAFETY: the size of what layout_of() returns is never zero.
        let start = unsafe { alloc(layout) };
        Some(Self { start: NonNull::new(start)?, layout })
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: `start` came from alloc() with this layout and is freed once, here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

#[derive(Debug)]
struct Shared {
    /// Taken only when the last owner is dropped.
    allocation: Option<Allocation>,
    /// Bytes that have been written by parts.
    filled: AtomicUsize,
    shelf: Arc<Shelf>,
}

impl Shared {
    fn start(&self) -> NonNull<u8> {
        self.allocation.as_ref().expect("the allocation is taken in drop only").start
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(allocation) = self.allocation.take() {
            self.shelf.give(allocation);
        }
    }
}

/// Memory for one object.
#[derive(Debug)]
pub struct Buffer {
    shared: Arc<Shared>,
    length: usize,
}

impl Buffer {
    /// Splits the buffer at `ends` (ascending; the last is its length) into parts that are filled independently.
    ///
    /// # Panics
    /// If `ends` is not ascending or does not end at the buffer's length.
    pub fn split(self, ends: impl IntoIterator<Item = usize>) -> (Assembly, Vec<Part>) {
        let mut parts = Vec::new();
        let mut start = 0;
        for end in ends {
            assert!(start <= end && end <= self.length, "the ends of parts ascend within the buffer");
            parts.push(Part { shared: self.shared.clone(), start, end, written: 0 });
            start = end;
        }
        assert_eq!(start, self.length, "the parts cover the buffer");
        (Assembly { shared: self.shared, length: self.length }, parts)
    }

    /// The buffer as one part.
    pub fn into_part(self) -> (Assembly, Part) {
        let length = self.length;
        let part = Part { shared: self.shared.clone(), start: 0, end: length, written: 0 };
        (Assembly { shared: self.shared, length }, part)
    }
}

/// A part of a buffer, written from front to back by one owner.
#[derive(Debug)]
pub struct Part {
    shared: Arc<Shared>,
    start: usize,
    end: usize,
    written: usize,
}

impl Part {
    /// Appends `data`.
    ///
    /// # Errors
    /// Gives back the number of bytes that are too many; nothing is written then.
    pub fn write(&mut self, data: &[u8]) -> Result<(), usize> {
        if data.len() > self.remaining() {
            return Err(data.len() - self.remaining());
        }
        // SAFETY: start + written + data.len() <= end, which lies within the allocation; parts of one buffer are
        // disjoint and a part has one owner (&mut self), so nothing else writes here; readers exist only after freeze(),
        // which needs every part to be gone. `data` cannot overlap: it would have to be a reader's.
        unsafe {
            let target = self.shared.start().as_ptr().add(self.start + self.written);
            std::ptr::copy_nonoverlapping(data.as_ptr(), target, data.len());
        }
        self.written += data.len();
        Ok(())
    }

    /// Bytes written so far.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Bytes still to be written.
    pub fn remaining(&self) -> usize {
        self.end - self.start - self.written
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.shared.filled.fetch_add(self.written, Ordering::Release);
    }
}

/// What becomes `Bytes` when all parts have been filled and dropped.
#[derive(Debug)]
pub struct Assembly {
    shared: Arc<Shared>,
    length: usize,
}

impl Assembly {
    /// The filled buffer. Its memory goes back to the pool when the last clone of the `Bytes` is dropped.
    ///
    /// # Errors
    /// Gives back the number of bytes that are missing, if a part is alive or was dropped before it was full.
    pub fn freeze(self) -> Result<Bytes, usize> {
        let filled = self.shared.filled.load(Ordering::Acquire);
        if filled != self.length {
            return Err(self.length - filled);
        }
        // Parts are disjoint and cover the buffer: if their written bytes add up to its length, each is full and gone.
        Ok(Bytes::from_owner(Filled { shared: self.shared, length: self.length }))
    }
}

struct Filled {
    shared: Arc<Shared>,
    length: usize,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: freeze() made sure that all `length` bytes have been written and that no Part is left to write again;
        // the memory lives as long as `shared`.
        unsafe { std::slice::from_raw_parts(self.shared.start().as_ptr(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_up_the_whole_in_any_order() {
        let pool = BufferPool::new(1 << 20);
        let (assembly, mut parts) = pool.take(10).unwrap().split([3, 7, 10]);
        for (index, text) in [(2, "hij"), (0, "abc"), (1, "defg")] {
            parts[index].write(text.as_bytes()).unwrap();
        }
        drop(parts);
        let bytes = assembly.freeze().unwrap();
        assert_eq!(bytes, "abcdefghij");
        assert_eq!(bytes.as_ptr() as usize % PAGE_SIZE, 0);
    }

    #[test]
    fn a_part_that_is_not_full_keeps_the_whole_back() {
        let pool = BufferPool::new(0);
        let (assembly, mut part) = pool.take(5).unwrap().into_part();
        part.write(b"abc").unwrap();
        assert_eq!(part.write(b"def"), Err(1));
        drop(part);
        assert_eq!(assembly.freeze(), Err(2));
    }

    #[test]
    fn memory_is_reused_once_the_last_reader_is_gone() {
        let pool = BufferPool::new(1 << 20);
        let fill = || {
            let (assembly, mut part) = pool.take(5000).unwrap().into_part();
            part.write(&[7; 5000]).unwrap();
            drop(part);
            assembly.freeze().unwrap()
        };
        let first = fill();
        let clone = first.slice(10..20);
        let address = first.as_ptr();
        drop(first);
        assert_ne!(fill().as_ptr(), address);
        assert_eq!(clone, vec![7; 10]);
        drop(clone);
        let addresses: Vec<_> = [fill(), fill()].iter().map(|bytes| bytes.as_ptr()).collect();
        assert!(addresses.contains(&address));
        assert!(pool.kept() <= 2 * layout_of(5000).unwrap().size());
    }

    #[test]
    fn an_empty_buffer_is_full() {
        let (assembly, part) = BufferPool::new(0).take(0).unwrap().into_part();
        drop(part);
        assert!(assembly.freeze().unwrap().is_empty());
    }

    #[test]
    fn size_classes_waste_a_quarter_at_most() {
        for length in [1, 4096, 4097, 100_000, 1 << 20, (1 << 26) + 1] {
            let size = layout_of(length).unwrap().size();
            assert!(size >= length && size <= length + length / 4 + PAGE_SIZE, "{length} -> {size}");
        }
    }

    #[test]
    fn memory_that_cannot_be_had_is_no_buffer() {
        let pool = BufferPool::new(0);
        for length in [1 << 50, isize::MAX as usize, (isize::MAX as usize) + 1, usize::MAX] {
            assert!(pool.take(length).is_none(), "{length}");
        }
    }
}
