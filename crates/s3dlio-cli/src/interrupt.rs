//! Ctrl-C and SIGTERM: the first cancels, the second ends the process.

use std::io;

use s3dlio::CancellationToken;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Exit;
use crate::progress::Screen;

/// Cancels `cancel` at the first signal. From then on every operation of the client ends by itself, and what it began is
/// undone; a second signal does not wait for that.
///
/// # Errors
/// If the signals cannot be had.
pub(crate) fn listen(cancel: CancellationToken, screen: Screen) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Lives as long as the process: there is no time at which a signal must not be heard.
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if !first {
                std::process::exit(Exit::Interrupted as i32);
            }
            cancel.cancel();
            screen.hint("s3dlio: stopping (Ctrl-C again to stop without cleaning up)");
        }
    });
    Ok(())
}
