//! Standard error: messages, and a progress bar for what lasts.
//!
//! A bar appears once something has lasted over a second, is never drawn where standard error is not a terminal, and is
//! out of the way while a message is written.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

/// What lasts shorter than this shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a bar is drawn.
const REFRESH: Duration = Duration::from_millis(100);

/// Standard error.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    bars: MultiProgress,
    terminal: bool,
    quiet: bool,
}

/// What a bar shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// Bytes so far.
    pub(crate) bytes: u64,
    /// What else there is to say, e.g. `copied 12 objects`.
    pub(crate) text: String,
}

/// A bar for as long as this lives.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    task: Option<JoinHandle<()>>,
}

impl Screen {
    /// The process's standard error.
    pub(crate) fn new(quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), terminal, quiet }
    }

    /// Whether somebody looks at it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes bytes that end a line.
    pub(crate) fn write(&self, bytes: &[u8]) {
        // Where standard error is closed, there is nobody to tell.
        self.bars.suspend(|| drop(io::stderr().lock().write_all(bytes)));
    }

    /// Writes one line.
    pub(crate) fn line(&self, text: &str) {
        self.write(format!("{text}\n").as_bytes());
    }

    /// Writes one line, if somebody looks.
    pub(crate) fn hint(&self, text: &str) {
        if self.terminal && !self.quiet {
            self.line(text);
        }
    }

    /// Shows what `read` says, again and again, until the answer is dropped. `total` is how many bytes there are in all,
    /// where that is known.
    pub(crate) fn progress(&self, total: Option<u64>, read: impl Fn() -> Reading + Send + 'static) -> Progress {
        if !self.terminal || self.quiet {
            return Progress { bar: ProgressBar::hidden(), task: None };
        }
        let bar = self.bars.add(ProgressBar::no_length());
        let template = match total {
            Some(total) => {
                bar.set_length(total);
                "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"
            }
            None => "{spinner} {msg} {binary_bytes} {binary_bytes_per_sec} {elapsed}",
        };
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let (bars, shown) = (self.bars.clone(), bar.clone());
        let task = tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            bars.set_draw_target(ProgressDrawTarget::stderr());
            let mut ticks = tokio::time::interval(REFRESH);
            loop {
                ticks.tick().await;
                let Reading { bytes, text } = read();
                shown.set_message(text);
                shown.set_position(bytes);
                shown.tick();
            }
        });
        Progress { bar, task: Some(task) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
            self.bar.finish_and_clear();
        }
    }
}
