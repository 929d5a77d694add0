//! Every tuned number, with its reason.
//!
//! What a user may change is a default here and a key of the [configuration](crate::config); what nobody should need to
//! change is a limit here and nothing else.

use std::time::Duration;

/// 1,024 bytes.
pub const KIB: u64 = 1024;
/// 1,024 KiB.
pub const MIB: u64 = 1024 * KIB;
/// 1,024 MiB.
pub const GIB: u64 = 1024 * MIB;

/// Default of `prefetch_depth`: one batch is consumed, one is complete and two fill up, so that one slow object does
/// not make the consumer wait; more only holds memory.
pub const PREFETCH_DEPTH: usize = 4;

/// Default of `max_concurrent_downloads`: with small objects, 32 requests of 20 ms each are 1,600 objects a second;
/// more is what the adaptive request limit is for.
pub const MAX_CONCURRENT_DOWNLOADS: usize = 32;

/// Default of `max_concurrent_ranges_per_object` on networks. AWS's own guide counts 85 to 90 MB/s for
/// each concurrent request to S3, so that one object in 32 of them fills a 20 Gbit/s link.
pub const MAX_CONCURRENT_RANGES_PER_OBJECT: usize = 32;

/// Default of `max_concurrent_ranges_per_object` for `direct://`: half of the network's, for a device has
/// far less latency to hide than a network, and each range is several requests of the device already.
pub const DIRECT_MAX_CONCURRENT_RANGES_PER_OBJECT: usize = 16;

/// Default of `range_split_threshold` on networks: below it, transfer takes about as long as a round trip, and a second
/// request gains nothing.
pub const RANGE_SPLIT_THRESHOLD: u64 = 4 * MIB;

/// Default of `range_split_threshold` for `direct://`: a device has no round trip to hide, so that only objects of
/// several blocks are worth the bookkeeping.
pub const DIRECT_RANGE_SPLIT_THRESHOLD: u64 = 16 * MIB;

/// Default of `range_split_threshold` for `file://`, where the engine is off unless asked for: the page cache reads
/// ahead by itself, and reads from several places at once defeat that.
pub const FILE_RANGE_SPLIT_THRESHOLD: u64 = 64 * MIB;

/// Default of `range_chunk_size`: large enough that a request's own cost (tens of microseconds of CPU, one round trip)
/// vanishes beside its transfer, small enough that eight of them fit into the smallest default budget.
pub const RANGE_CHUNK_SIZE: u64 = 8 * MIB;

/// Smallest `range_chunk_size`: below it, the cost of a request exceeds the cost of its bytes.
pub const MINIMUM_RANGE_CHUNK_SIZE: u64 = 64 * KIB;

/// Default of `range_timeout`: with [`OPERATION_DEADLINE`], which it equals, a stalled body is reported within 30 s.
pub const RANGE_TIMEOUT: Duration = Duration::from_secs(25);

/// Which share of the memory that the process may use is its default `memory_budget`: a training process needs the rest
/// for itself, and several loaders may run side by side.
pub const MEMORY_BUDGET_SHARE: u64 = 4;

/// Largest default `memory_budget`: at 10 GB/s and 100 ms of latency 1 GB is in flight, so more than four times that is
/// only ever held, not used.
pub const MEMORY_BUDGET_MAXIMUM: u64 = 4 * GIB;

/// Smallest default `memory_budget`: eight ranges of the default size, enough to overlap transfer with latency in the
/// smallest container.
pub const MEMORY_BUDGET_MINIMUM: u64 = 64 * MIB;

/// The memory that is assumed where the system does not say how much it has.
pub const MEMORY_ASSUMED: u64 = 4 * GIB;

/// Smallest `memory_budget` that may be set: one part of an upload must fit.
pub const MEMORY_BUDGET_FLOOR: u64 = MINIMUM_PART_SIZE;

/// Default of `batch_size`, a common one in training scripts.
pub const BATCH_SIZE: usize = 32;

/// Largest `batch_size`: a batch is held in memory whole, and so is its list of samples.
pub const BATCH_SIZE_MAXIMUM: usize = 1 << 24;

/// Most requests, objects, ranges, parts or batches at once that may be asked for: one address has no more ports.
pub const CONCURRENCY_MAXIMUM: usize = 65_535;

/// Longest timeout, deadline or pause that may be set: what takes longer is not waiting but hanging, and a deadline
/// that is too far away overflows the clock.
pub const DURATION_MAXIMUM: Duration = Duration::from_secs(24 * 60 * 60);

/// Default of `connect_timeout`: a TCP connect around the globe takes 300 ms and its first retransmission comes after
/// 1 s, so that one lost packet is survived and an endpoint that is not there is reported within 3 s.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Default of `idle_timeout`: object stores answer within 1 s but for rare stragglers, which are worth a second
/// attempt; two attempts fit into [`OPERATION_DEADLINE`].
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Default of `operation_deadline`: an endpoint that accepts and never answers is reported within 30 s.
pub const OPERATION_DEADLINE: Duration = Duration::from_secs(25);

/// Default of `retry_max_attempts`. With backoffs of 0.1, 0.2, 0.4, 0.8, 1.6, 2 and 2 s, eight attempts take 7.1 s:
/// long enough for a store that sheds load, and an endpoint that always says 503 is reported within 10 s.
pub const RETRY_MAX_ATTEMPTS: usize = 8;

/// Default of `retry_initial_backoff`: several round trips inside one region.
pub const RETRY_INITIAL_BACKOFF: Duration = Duration::from_millis(100);

/// Default of `retry_max_backoff`; see [`RETRY_MAX_ATTEMPTS`].
pub const RETRY_MAX_BACKOFF: Duration = Duration::from_secs(2);

/// Default of `retry_budget`: the seven pauses above fit, and so does a server's own Retry-After of a few seconds,
/// while an endpoint that always says 503 is still reported within 10 s.
pub const RETRY_BUDGET: Duration = Duration::from_secs(8);

/// Default of `multipart_part_size`: S3 allows 10,000 parts, so that 78 GiB can be written without knowing the size
/// beforehand, and eight parts in flight hold 64 MiB.
pub const MULTIPART_PART_SIZE: u64 = 8 * MIB;

/// Smallest part that S3 accepts, but for the last of an upload.
pub const MINIMUM_PART_SIZE: u64 = 5 * MIB;

/// Largest part that S3 accepts.
pub const MAXIMUM_PART_SIZE: u64 = 5 * GIB;

/// Default of `max_concurrent_parts`: at the 85 to 90 MB/s of one request, eight fill a 5 Gbit/s link.
pub const MAX_CONCURRENT_PARTS: usize = 8;

/// Default of `direct_block_size`: as fast as 4 MiB beside fio (docs/performance.md), with a quarter of the memory in
/// flight; devices split larger requests themselves.
pub const DIRECT_BLOCK_SIZE: u64 = MIB;

/// What every O_DIRECT offset, length and address is a multiple of: the logical block of 4 KiB of current devices,
/// which those of 512 bytes accept as well.
pub const DIRECT_ALIGNMENT: u64 = 4 * KIB;

/// Largest `direct_block_size`: the kernel moves at most 2 GiB less one page in one call.
pub const DIRECT_BLOCK_SIZE_MAXIMUM: u64 = GIB;

/// Default of `direct_queue_depth`: with blocks of 1 MiB, 16 MiB are in flight; a device of 7 GB/s needs 2 ms for them,
/// twenty times its latency, so that it is never idle.
pub const DIRECT_QUEUE_DEPTH: usize = 16;

/// Largest `direct_queue_depth`: the submission queue of one io_uring has at most this many entries.
pub const DIRECT_QUEUE_DEPTH_MAXIMUM: usize = 32768;

/// An idle connection is not used again after this long. Servers close theirs after 20 s (S3) to 75 s (nginx); a
/// request on one that is just being closed costs a second round trip.
pub(crate) const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Idle connections that are kept at most, over all origins: as many as the adaptive limit lets one endpoint use, and a
/// quarter of the descriptors that a process has by default.
pub(crate) const POOL_IDLE_MAX: usize = 256;

/// A connection is given up that is not ready for its next request by then: whatever it still does for the one before
/// takes longer than a new connection.
pub(crate) const SETTLE_LIMIT: Duration = Duration::from_secs(1);

/// How long what a server says about its refusal is waited for. The refusal itself is known.
pub(crate) const ERROR_BODY_WAIT: Duration = Duration::from_secs(2);

/// Bytes of an upload that count as one step of progress: at 64 KiB/s, the slowest link worth serving, a step takes
/// 4 s, well below `idle_timeout`. Pieces share the caller's memory; hyper writes up to 16 of them by one system call.
pub(crate) const UPLOAD_FRAME_SIZE: usize = 256 * 1024;

/// As many redirects as browsers' fetch and reqwest allow at least; S3 and GCS use one.
pub(crate) const MAX_REDIRECTS: usize = 5;

/// Bytes of an error's body that are read; S3's and Azure's errors are under 2 KiB.
pub(crate) const MAX_ERROR_BODY: usize = 64 * 1024;

/// Alignment of every large destination: the page of all platforms that are built for.
pub(crate) const PAGE_SIZE: usize = 4096;

/// Where the adaptive limit of requests in flight begins: enough for 3 GB/s at 10 ms and 1 MiB.
pub(crate) const REQUEST_LIMIT_START: usize = 32;

/// The adaptive limit never falls below this: one request that hangs must not stop all work.
pub(crate) const REQUEST_LIMIT_MIN: usize = 4;

/// The adaptive limit never climbs above this; a process has 1,024 descriptors by default.
pub(crate) const REQUEST_LIMIT_MAX: usize = 256;

/// What a request counts for besides its bytes, so that small objects are judged by their rate: the bytes that a
/// 1 Gbit/s link moves in half a millisecond.
pub(crate) const REQUEST_WEIGHT: u64 = 64 * 1024;

/// A window of the adaptive limit lasts at least this long; shorter ones measure the scheduler.
pub(crate) const REQUEST_WINDOW_MIN: Duration = Duration::from_millis(50);

/// Windows without gain after which the adaptive limit measures its best anew.
pub(crate) const REQUEST_PROBE_WINDOWS: usize = 32;

/// Objects from this size on are read into pooled, page-aligned buffers; below it a copy into memory of the exact size
/// costs less than a page.
pub(crate) const POOLED_BUFFER_MIN: usize = 64 * 1024;

/// Ranges of one object with a gap of at most this are fetched by one request: what a 1 Gbit/s connection brings in the
/// 2 ms of a round trip within a region.
pub(crate) const RANGE_COALESCE_GAP: u64 = 256 * 1024;

/// Attempts in a row that bring no byte before a range is given up.
pub(crate) const RESUME_ATTEMPTS: u32 = 5;

/// The pause before a range is resumed grows by this with every attempt that brought no byte.
pub(crate) const RESUME_BACKOFF: Duration = Duration::from_millis(100);

/// Bytes that a stream fetches ahead of its consumer: 10 Gbit/s for 50 ms.
pub(crate) const STREAM_WINDOW: u64 = 64 * 1024 * 1024;

/// A whole put is sent in parts from this many parts on: below it, the extra requests to begin and complete cost more
/// than they bring.
pub(crate) const MULTIPART_MIN_PARTS: u64 = 4;

/// An upload's part size doubles after every thousand parts, so that S3's 10,000 parts hold 8 GiB + 16 GiB + … = 8 TiB
/// with the default of 8 MiB, above its limit of 5 TiB.
pub(crate) const PARTS_PER_SIZE: u64 = 1000;

/// S3 and Azure refuse parts above 5 GiB and 4,000 MiB.
pub(crate) const PART_SIZE_MAX: usize = 4000 * 1024 * 1024;

/// How long the answer to a request is waited for that nobody wants any more, but whose effect has to be undone: many
/// round trips, and short enough not to hold up a program that is about to end.
pub(crate) const ABANDONED_REQUEST_WAIT: Duration = Duration::from_secs(2);

/// Objects that are removed by one round of batched requests: ten full batches of S3.
pub(crate) const DELETE_BATCH: usize = 10_000;

/// How long the parts of an upload that is given up may still take before they are cut off: those that the server has
/// received in full are answered within this, and a cancelled upload has ended in 100 ms.
pub(crate) const ABORT_GRACE: Duration = Duration::from_millis(50);
