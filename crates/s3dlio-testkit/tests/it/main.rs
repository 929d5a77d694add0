//! Proves the test kit: each server answers object_store's own client as its declared deviations say.

mod connector;
mod contracts;
mod gcs_front;
mod http_server;
mod servers;
