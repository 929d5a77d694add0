//! Runs the command in a directory and an environment of its own.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use s3dlio_testkit::servers::S3sFs;
use tempfile::TempDir;

/// How long anything may take on a machine that is very busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A directory to run the command in, and what it finds in its environment.
pub(crate) struct Sandbox {
    directory: TempDir,
    environment: Vec<(String, String)>,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("s3dlio-cli-").tempdir().unwrap();
        std::fs::create_dir(directory.path().join("tmp")).unwrap();
        let mut sandbox = Self { directory, environment: Vec::new() };
        let home = sandbox.path("home").display().to_string();
        let temporary = sandbox.path("tmp").display().to_string();
        sandbox.set("HOME", &home);
        sandbox.set("TMPDIR", &temporary);
        sandbox
    }

    /// One whose `s3://` is a server, reached at `endpoint`.
    pub(crate) fn with_s3(server: &S3sFs, endpoint: &str) -> Self {
        let mut sandbox = Self::new();
        sandbox.set("AWS_ACCESS_KEY_ID", server.access_key());
        sandbox.set("AWS_SECRET_ACCESS_KEY", server.secret_key());
        sandbox.set("AWS_REGION", server.region());
        sandbox.set("AWS_ENDPOINT_URL", endpoint);
        sandbox
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.into(), value.into()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, last changed at a given time.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = std::fs::File::create(path).unwrap();
        file.write_all(content.as_ref()).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)).unwrap();
    }

    /// Every file below the directory, by its name there.
    pub(crate) fn files(&self, below: &str) -> Vec<String> {
        fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => walk(&path, found),
                    false => found.push(path),
                }
            }
        }
        let root = self.path(below);
        let mut found = Vec::new();
        walk(&root, &mut found);
        let mut names: Vec<String> =
            found.iter().map(|path| path.strip_prefix(&root).unwrap().display().to_string()).collect();
        names.sort();
        names
    }

    /// The command, not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_s3dlio"));
        command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the command to its end.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs command lines one after the other and gives what was typed and seen: lines of standard error after a `!`, an
    /// exit code other than 0 in brackets. Words are parted at spaces.
    pub(crate) fn session(&self, lines: &[&str]) -> String {
        let mut seen = String::new();
        for line in lines {
            let arguments: Vec<&str> = line.split(' ').collect();
            let output = self.output(&arguments);
            writeln!(seen, "$ s3dlio {line}").unwrap();
            seen.push_str(&self.shown(&output));
        }
        seen
    }

    /// What a user sees of a run, with the directory's name left out.
    pub(crate) fn shown(&self, output: &Output) -> String {
        let mut seen = text(&output.stdout);
        for line in text(&output.stderr).lines() {
            writeln!(seen, "! {line}").unwrap();
        }
        match output.status.code() {
            Some(0) => {}
            Some(code) => writeln!(seen, "[{code}]").unwrap(),
            None => writeln!(seen, "[{}]", output.status).unwrap(),
        }
        seen.replace(&self.directory.path().display().to_string(), "/DIR")
    }

    /// Starts the command.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running(self.command(arguments).spawn().unwrap())
    }
}

/// A command that runs. It is ended if the test ends first.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.0.id())]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for its end: the exit code, and standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut stderr = self.0.stderr.take().unwrap();
        drop(self.0.stdout.take());
        let mut said = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
        let status = self.0.wait().unwrap();
        (status.code(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, if all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
