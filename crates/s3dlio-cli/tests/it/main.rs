//! The real command against real stores. Output is compared whole: what a user sees is what these tests hold.

mod command;
mod config;
mod copying;
mod errors;
mod files;
mod interrupts;
mod loading;
mod s3;
