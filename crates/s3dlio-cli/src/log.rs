//! Log lines on standard error.

use std::io::{self, Write};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::progress::Screen;

/// Starts to log: warnings by default; with `-v` what this project's crates do, retries for one; with `-vv` all they
/// say, and what others say too; with `-q` errors alone.
pub(crate) fn start(verbose: u8, quiet: bool, screen: &Screen) {
    let filter = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "warn,s3dlio=debug,s3dlio_store=debug,s3dlio_data=debug",
        (false, _) => "debug,s3dlio=trace,s3dlio_store=trace,s3dlio_data=trace",
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(Lines(screen.clone()))
        .with_ansi(screen.is_terminal())
        .finish();
    // Fails only where a subscriber is set already, and nothing else in this process sets one.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Standard error, with a progress bar out of the way while a line is written.
struct Lines(Screen);

/// One line.
struct Line(Screen, Vec<u8>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self.0.clone(), Vec::new())
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.write(&self.1);
    }
}
