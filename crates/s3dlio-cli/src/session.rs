//! What a command works with: the client, standard output, and what is counted and reported.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use s3dlio::error::Result;
use s3dlio::{CancellationToken, Client, Error, ErrorKind};

use crate::failure::{Exit, NobodyReads, exit_of, exit_of_store, one_line};
use crate::output::{Output, count, human_size};
use crate::progress::{Progress, Reading, Screen};

/// What a command works with. Clones share it all.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) screen: Screen,
    quiet: bool,
    tally: Arc<Tally>,
}

/// What has been done so far: `copied 3 objects, 1.5 MiB`.
#[derive(Debug, Default)]
struct Tally {
    deed: Mutex<Option<(&'static str, &'static str)>>,
    objects: AtomicU64,
    bytes: AtomicU64,
    kept: AtomicU64,
    failed: AtomicU64,
    missing: AtomicU64,
    cancelled: AtomicBool,
}

impl Session {
    pub(crate) fn new(client: Client, screen: Screen, quiet: bool) -> Self {
        Self { client, screen, quiet, tally: Arc::default() }
    }

    /// The token that an interrupt cancels.
    pub(crate) fn cancellation(&self) -> &CancellationToken {
        self.client.cancellation()
    }

    /// Standard output. A command opens it once.
    pub(crate) fn output(&self) -> Output {
        Output::new(self.cancellation().clone())
    }

    /// Says what this command does, in the past tense, and to what: `copied`, `object`.
    pub(crate) fn does(&self, verb: &'static str, noun: &'static str) {
        *self.tally.deed.lock().unwrap_or_else(PoisonError::into_inner) = Some((verb, noun));
    }

    /// Shows a bar that counts what is done, by what the command counts and by what the wire has moved meanwhile. `verb`
    /// is what is done to objects.
    pub(crate) fn progress(&self, verb: &'static str, total: Option<u64>) -> Progress {
        self.does(verb, "object");
        self.bar(total)
    }

    /// As [`progress`](Self::progress), for what the command does already.
    pub(crate) fn bar(&self, total: Option<u64>) -> Progress {
        let (client, tally) = (self.client.clone(), self.tally.clone());
        let moved = move || {
            let statistics = client.statistics();
            statistics.bytes_received.max(statistics.bytes_sent)
        };
        let before = moved();
        self.screen.progress(total, move || {
            let counted = tally.bytes.load(Ordering::Relaxed);
            Reading { bytes: counted.max(moved() - before), text: tally.deed() }
        })
    }

    /// Counts from nothing again, for a command that does several things one after the other.
    pub(crate) fn restart(&self) {
        for counter in [&self.tally.objects, &self.tally.bytes, &self.tally.kept] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Counts an object of so many bytes as done.
    pub(crate) fn done(&self, bytes: u64) {
        self.tally.objects.fetch_add(1, Ordering::Relaxed);
        self.moved(bytes);
    }

    /// Counts bytes of an object that is not done yet.
    pub(crate) fn moved(&self, bytes: u64) {
        self.tally.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts an object as left as it was.
    pub(crate) fn kept(&self) {
        self.tally.kept.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an object as failed and says why. That it was cancelled is said once, at the end.
    pub(crate) fn failed(&self, error: &Error) {
        match exit_of_store(error) {
            Exit::Interrupted => return self.tally.cancelled.store(true, Ordering::Relaxed),
            Exit::NotFound => drop(self.tally.missing.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
        self.tally.failed.fetch_add(1, Ordering::Relaxed);
        self.screen.line(&format!("s3dlio: {error}"));
    }

    /// Counts what became of an object of `bytes` bytes; with `keep_existing`, one that was there was left.
    pub(crate) fn settle(&self, result: Result<()>, bytes: u64, keep_existing: bool) {
        match result {
            Ok(()) => self.done(bytes),
            Err(error) if keep_existing && error.kind() == ErrorKind::AlreadyExists => self.kept(),
            Err(error) => self.failed(&error),
        }
    }

    /// How many objects were done, left or failed.
    pub(crate) fn seen(&self) -> u64 {
        [&self.tally.objects, &self.tally.kept, &self.tally.failed].map(|n| n.load(Ordering::Relaxed)).iter().sum()
    }

    /// Whether nothing failed and nothing was cancelled so far.
    pub(crate) fn is_clean(&self) -> bool {
        !self.tally.cancelled.load(Ordering::Relaxed) && self.tally.failed.load(Ordering::Relaxed) == 0
    }

    /// Says what was done, in one line on standard error, and gives the exit code for it. An interrupt is said by
    /// [`finish`](Self::finish).
    pub(crate) fn summary(&self) -> Exit {
        let exit = self.tally.exit();
        // One line is enough for one error.
        let one_failed = self.seen() == 1 && exit != Exit::Success;
        if !self.quiet && !one_failed && exit != Exit::Interrupted {
            self.screen.line(&self.tally.to_string());
        }
        exit
    }

    /// The exit code for what was counted, without a word.
    pub(crate) fn outcome(&self) -> Exit {
        self.tally.exit()
    }

    /// Waits until what was begun is finished or undone, and says what ended the command.
    pub(crate) async fn finish(&self, result: anyhow::Result<Exit>) -> Exit {
        let exit = match &result {
            Ok(exit) => *exit,
            Err(error) => exit_of(error),
        };
        match result {
            _ if exit == Exit::Interrupted => self.screen.line(&format!("s3dlio: interrupted: {}", self.tally)),
            Err(error) if !error.is::<NobodyReads>() => self.screen.line(&format!("s3dlio: {}", one_line(&error))),
            _ => {}
        }
        self.client.close().await;
        exit
    }
}

impl Tally {
    fn exit(&self) -> Exit {
        let [objects, kept, failed, missing] =
            [&self.objects, &self.kept, &self.failed, &self.missing].map(|counter| counter.load(Ordering::Relaxed));
        match failed {
            _ if self.cancelled.load(Ordering::Relaxed) => Exit::Interrupted,
            0 => Exit::Success,
            _ if objects + kept > 0 => Exit::Partial,
            failed if failed == missing => Exit::NotFound,
            _ => Exit::Failure,
        }
    }

    /// What was done to how many.
    fn deed(&self) -> String {
        match *self.deed.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((verb, noun)) => format!("{verb} {}", count(self.objects.load(Ordering::Relaxed), noun)),
            None => "nothing was done".into(),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [bytes, kept, failed] =
            [&self.bytes, &self.kept, &self.failed].map(|counter| counter.load(Ordering::Relaxed));
        f.write_str(&self.deed())?;
        for (number, what) in [(kept, "kept"), (failed, "failed")] {
            if number > 0 {
                write!(f, ", {number} {what}")?;
            }
        }
        if bytes > 0 {
            write!(f, ", {}", human_size(bytes))?;
        }
        Ok(())
    }
}
