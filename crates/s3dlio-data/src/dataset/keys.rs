//! Keys of many samples in few allocations.
//!
//! All keys lie one after the other in one string; an array says where each ends, another its size. What many keys
//! share, the store and a prefix, is a base, kept once; runs of samples that follow one another share an entry that
//! names their base.

use std::collections::HashMap;

use s3dlio_store::Location;

/// Stands for a size that is not known: no object is that large.
const UNKNOWN: u64 = u64::MAX;

#[derive(Debug, Default)]
pub(super) struct KeyTable {
    /// The keys, each without what its base has.
    text: String,
    /// Where each key ends in `text`.
    ends: Vec<u64>,
    sizes: Vec<u64>,
    bases: Vec<Location>,
    /// From which sample on a base holds; ascending.
    runs: Vec<(usize, usize)>,
}

impl KeyTable {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn location(&self, index: usize) -> Location {
        let base = &self.bases[self.base(index)];
        base.with_key([base.key(), self.suffix(index)].concat())
    }

    pub(super) fn size(&self, index: usize) -> Option<u64> {
        Some(self.sizes[index]).filter(|size| *size != UNKNOWN)
    }

    fn base(&self, index: usize) -> usize {
        let run = self.runs.partition_point(|(first, _)| *first <= index) - 1;
        self.runs[run].1
    }

    fn suffix(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start as usize..self.ends[index] as usize]
    }

    fn push(&mut self, base: usize, suffix: &str, size: u64) {
        if self.runs.last().is_none_or(|(_, last)| *last != base) {
            self.runs.push((self.len(), base));
        }
        self.text.push_str(suffix);
        self.ends.push(self.text.len() as u64);
        self.sizes.push(size);
    }

    fn shrink(mut self) -> Self {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.sizes.shrink_to_fit();
        self.runs.shrink_to_fit();
        self
    }
}

/// Gathers keys.
#[derive(Debug, Default)]
pub(super) struct KeyTableBuilder {
    table: KeyTable,
    known: HashMap<Location, usize>,
}

impl KeyTableBuilder {
    /// Adds the object whose key is the base's key followed by `suffix`.
    pub(super) fn push(&mut self, base: &Location, suffix: &str, size: Option<u64>) {
        let base = match self.known.get(base) {
            Some(known) => *known,
            None => {
                self.table.bases.push(base.clone());
                self.known.insert(base.clone(), self.table.bases.len() - 1);
                self.table.bases.len() - 1
            }
        };
        self.table.push(base, suffix, size.unwrap_or(UNKNOWN));
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys in the order in which they were added.
    pub(super) fn finish(self) -> KeyTable {
        self.table.shrink()
    }

    /// The keys in byte order, each once.
    pub(super) fn finish_sorted(self) -> KeyTable {
        let table = self.table;
        let key = |index: usize| {
            let base = &table.bases[table.base(index)];
            // Keys of one base, which is the rule, are compared without being put together.
            (base, table.suffix(index))
        };
        let compare = |a: usize, b: usize| {
            let ((base_a, suffix_a), (base_b, suffix_b)) = (key(a), key(b));
            if base_a == base_b {
                return suffix_a.cmp(suffix_b);
            }
            let whole = |base: &Location, suffix: &str| [base.key(), suffix].concat();
            whole(base_a, suffix_a).cmp(&whole(base_b, suffix_b))
        };
        if (1..table.len()).all(|index| compare(index - 1, index).is_lt()) {
            return table.shrink();
        }
        let mut order: Vec<usize> = (0..table.len()).collect();
        order.sort_unstable_by(|a, b| compare(*a, *b));
        // A store that pages through keys while they change may list one twice.
        order.dedup_by(|a, b| compare(*a, *b).is_eq());
        let mut sorted = KeyTable { bases: table.bases.clone(), ..KeyTable::default() };
        for index in order {
            sorted.push(table.base(index), table.suffix(index), table.sizes[index]);
        }
        sorted.shrink()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(uri: &str) -> Location {
        Location::parse(uri).unwrap()
    }

    fn uris(table: &KeyTable) -> Vec<String> {
        (0..table.len()).map(|index| table.location(index).to_string()).collect()
    }

    #[test]
    fn keys_of_several_bases_come_back_as_they_went_in() {
        let mut builder = KeyTableBuilder::default();
        let given =
            [("s3://b/", "x"), ("s3://b/", ""), ("gs://c/dir/", "ü"), ("s3://b/", "a//b"), ("gs://c/dir/", "1")];
        for (at, suffix) in given {
            builder.push(&base(at), suffix, (suffix == "x").then_some(7));
        }
        let table = builder.finish();
        assert_eq!(uris(&table), ["s3://b/x", "s3://b", "gs://c/dir/ü", "s3://b/a//b", "gs://c/dir/1"]);
        assert_eq!((table.size(0), table.size(1)), (Some(7), None));
        assert_eq!(table.bases.len(), 2);
    }

    #[test]
    fn sorting_follows_the_bytes_and_keeps_each_key_once() {
        let mut builder = KeyTableBuilder::default();
        for (suffix, size) in [("l/b/1", 1), ("l/b-0", 2), ("a", 3), ("l/b/1", 1), ("Z", 4)] {
            builder.push(&base("s3://bucket/p/"), suffix, Some(size));
        }
        let table = builder.finish_sorted();
        assert_eq!(uris(&table), ["s3://bucket/p/Z", "s3://bucket/p/a", "s3://bucket/p/l/b-0", "s3://bucket/p/l/b/1"]);
        assert_eq!((0..4).map(|index| table.size(index).unwrap()).collect::<Vec<_>>(), [4, 3, 2, 1]);
    }

    #[test]
    fn a_sample_costs_its_own_part_of_the_key_and_sixteen_bytes() {
        const SAMPLES: usize = 100_000;
        let mut builder = KeyTableBuilder::default();
        let shared = base("s3://bucket/a/rather/long/prefix/that/is/kept/once/");
        for index in 0..SAMPLES {
            builder.push(&shared, &format!("{index:08}"), Some(1));
        }
        let table = builder.finish_sorted();
        let bytes = table.text.capacity()
            + (table.ends.capacity() + table.sizes.capacity()) * size_of::<u64>()
            + table.runs.capacity() * size_of::<(usize, usize)>();
        assert!(bytes <= SAMPLES * (8 + 16) + 64, "{bytes} bytes for {SAMPLES} samples");
    }
}
