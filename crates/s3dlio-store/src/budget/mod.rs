//! The two budgets that bound what really runs.
//!
//! The settings multiply (downloads × ranges); what is in flight does not. [`ByteBudget`] bounds the bytes that have been
//! asked for and not yet been taken by the consumer, for all work of a client. [`RequestLimiter`] bounds the requests in
//! flight to one endpoint. Both hand out guards that give back what they hold when they are dropped.
//!
//! Bytes come first: a read that has bytes may wait for a place for its request, and one that has a place never waits
//! for bytes. The other way round, younger reads could hold all places while they wait for the bytes of the oldest, which
//! waits for a place.

mod bytes;
mod requests;

pub use bytes::{ByteBudget, Lease};
pub use requests::{RequestLimiter, RequestPermit};
