//! Loaders over stores that count, servers that fail, and tokens that are cancelled.

mod budget;
mod cancellation;
mod datasets;
mod errors;
mod order;
mod prefetch;
mod resume;
mod support;
