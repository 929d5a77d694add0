//! A server process that cannot outlive the test process.
//!
//! Between the two stands a shell that starts the server, reports its pid and then reads its own standard input, a pipe
//! of which only the test process holds the other end. When the handle is dropped, or the test process exits, panics
//! or is killed, the pipe ends; the shell then kills the server by pid and removes its directory. No signal handler and
//! no `unsafe` is needed, and nothing depends on which thread started what.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;

/// `$1` is the server's directory, `$2` a shell pattern of files that it leaves elsewhere, the rest its command.
///
/// The pids are written to files so that `./test` can end what a killed shell left behind.
const SUPERVISOR: &str = r#"
directory=$1 leftovers=$2
shift 2
echo $$ >"$directory/supervisor.pid"
cd "$directory" || exit 1
"$@" </dev/null >log 2>&1 &
server=$!
echo "$server" >server.pid
echo "$server"
read -r _
kill -KILL "$server"
wait "$server"
cd /
rm -rf "$directory" $leftovers
"#;

/// Longer than any start on a loaded machine: only a broken server reaches it.
const START_LIMIT: Duration = Duration::from_secs(90);
/// How often the ports are drawn anew: a port can be taken between its choice and its use.
const START_ATTEMPTS: usize = 5;

/// What to run, once its ports are known.
pub(crate) struct Plan {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// A shell pattern of files outside of its directory that the server never removes.
    pub(crate) leftovers: String,
}

/// A running server and its supervisor.
#[derive(Debug)]
pub(crate) struct Supervised {
    name: &'static str,
    supervisor: Mutex<(Child, Option<ChildStdin>)>,
    pid: u32,
    directory: PathBuf,
    ports: Vec<u16>,
}

impl Supervised {
    /// Starts a server on `port_count` free ports and waits until `is_ready` says so.
    ///
    /// `plan` gets the server's directory and ports. A server that ends before it is ready is started again on other
    /// ports.
    pub(crate) fn start(
        name: &'static str,
        port_count: usize,
        plan: impl Fn(&Path, &[u16]) -> Result<Plan>,
        is_ready: impl Fn(&[u16]) -> bool,
    ) -> Result<Self> {
        let mut log = String::new();
        for _ in 0..START_ATTEMPTS {
            let server = Self::spawn(name, free_ports(port_count)?, &plan)?;
            let start = Instant::now();
            while server.is_running() {
                if is_ready(&server.ports) {
                    return Ok(server);
                }
                if start.elapsed() > START_LIMIT {
                    bail!("{name} does not answer after {START_LIMIT:?}; the end of its log:\n{}", server.log_tail());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            log = server.log_tail();
        }
        bail!("{name} ended {START_ATTEMPTS} times before it was ready; the end of its last log:\n{log}")
    }

    fn spawn(name: &'static str, ports: Vec<u16>, plan: impl Fn(&Path, &[u16]) -> Result<Plan>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("s3dlio-server-").tempdir()?;
        let plan = plan(directory.path(), &ports)?;
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, name])
            .arg(directory.path())
            .arg(&plan.leftovers)
            .args(&plan.command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal goes to the whole foreground group; the supervisor must live to clean up.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start the supervisor of {name}"))?;
        // The supervisor removes the directory from here on.
        let directory = directory.keep();
        let stdin = supervisor.stdin.take();
        let mut line = String::new();
        let stdout = supervisor.stdout.take().context("the supervisor has no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let pid = line.trim().parse().with_context(|| format!("{name} was not started"))?;
        Ok(Self { name, supervisor: Mutex::new((supervisor, stdin)), pid, directory, ports })
    }

    /// The server's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The ports that it was given, in the order of the plan.
    pub(crate) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// The last lines of what the server printed.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read(self.directory.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// A server that has ended stays a zombie until its supervisor is told to collect it.
    fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // The state follows the command name, which is in parentheses and may contain anything.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let (supervisor, stdin) = self.supervisor.get_mut();
        drop(stdin.take());
        if let Err(error) = supervisor.wait() {
            let _ = writeln!(std::io::stderr(), "cannot wait for the supervisor of {}: {error}", self.name);
        }
    }
}

/// Different ports that were free a moment ago.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<std::io::Result<_>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Plan {
        Plan { command: vec!["sh".into(), "-c".into(), script.into()], leftovers: String::new() }
    }

    fn exists(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn dropping_the_handle_kills_the_server_and_removes_its_directory() {
        let server = Supervised::start("sleeper", 1, |_, _| Ok(shell("echo up; exec sleep 1000")), |_| true).unwrap();
        let (pid, directory) = (server.pid(), server.directory.clone());
        assert!(exists(pid) && directory.exists());
        drop(server);
        assert!(!exists(pid) && !directory.exists());
    }

    #[test]
    fn a_server_that_cannot_start_is_an_error_with_its_log() {
        let error = Supervised::start("broken", 1, |_, _| Ok(shell("echo no luck; exit 1")), |_| false).unwrap_err();
        assert!(error.to_string().contains("no luck"), "{error}");
    }

    #[test]
    fn a_server_whose_port_was_taken_is_started_again() {
        let marker = tempfile::tempdir().unwrap();
        let first = marker.path().join("first").display().to_string();
        let script = format!("test -e {first} || {{ touch {first}; exit 1; }}; touch {first}.2; exec sleep 1000");
        let second = format!("{first}.2");
        let server =
            Supervised::start("second", 1, |_, _| Ok(shell(&script)), |_| Path::new(&second).exists()).unwrap();
        assert!(server.is_running());
    }
}
