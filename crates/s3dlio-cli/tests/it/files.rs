//! `ls`, `stat`, `cat`, `du` and `rm` on files.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;

use insta::assert_snapshot;

use crate::command::{Running, Sandbox, text};

fn sample() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("set/a.npz", vec![1; 1500]);
    sandbox.file("set/b c.txt", "0123456789");
    sandbox.file("set/sub/a.npz", vec![2; 3_000_000]);
    sandbox.file("set/sub/deep/empty.npz", "");
    sandbox
}

#[test]
fn ls_shows_one_level_or_everything() {
    assert_snapshot!(sample().session(&["ls set", "ls -r set/", "ls -l set", "ls -rH set", "ls set/sub --uris"]), @r#"
    $ s3dlio ls set
    a.npz
    b c.txt
    sub/
    $ s3dlio ls -r set/
    a.npz
    b c.txt
    sub/a.npz
    sub/deep/empty.npz
    $ s3dlio ls -l set
            1500  2027-01-15T08:00:00Z  a.npz
              10  2027-01-15T08:00:00Z  b c.txt
               -                     -  sub/
    $ s3dlio ls -rH set
         1.5 KiB  2027-01-15T08:00:00Z  a.npz
            10 B  2027-01-15T08:00:00Z  b c.txt
         2.9 MiB  2027-01-15T08:00:00Z  sub/a.npz
             0 B  2027-01-15T08:00:00Z  sub/deep/empty.npz
    $ s3dlio ls set/sub --uris
    file:///DIR/set/sub/a.npz
    file:///DIR/set/sub/deep/
    "#);
}

#[test]
fn ls_filters_and_counts() {
    let lines = [
        "ls -r set --glob *.npz",
        "ls -r set --glob sub/*",
        "ls -r set --regex ^sub.*z$ --glob a*",
        "ls -rc set",
        "ls -c set --glob *.npz",
        "ls -c --json set",
        "ls -r set --glob *.none",
        "ls set --glob [",
    ];
    assert_snapshot!(sample().session(&lines), @r#"
    $ s3dlio ls -r set --glob *.npz
    a.npz
    sub/a.npz
    sub/deep/empty.npz
    $ s3dlio ls -r set --glob sub/*
    sub/a.npz
    $ s3dlio ls -r set --regex ^sub.*z$ --glob a*
    sub/a.npz
    $ s3dlio ls -rc set
    4
    $ s3dlio ls -c set --glob *.npz
    1
    $ s3dlio ls -c --json set
    {"count":3}
    $ s3dlio ls -r set --glob *.none
    $ s3dlio ls set --glob [
    ! s3dlio: invalid value '[' for '--glob <PATTERN>': error parsing glob '[': unclosed character class; missing ']' (see `s3dlio --help`)
    [2]
    "#);
}

#[test]
fn ls_prints_json_lines() {
    let sandbox = sample();
    sandbox.file("set/new\nline", "");
    let listed = sandbox.output(&["ls", "--json", "set"]);
    let lines: Vec<serde_json::Value> =
        text(&listed.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> =
        lines.iter().map(|line| line["key"].as_str().unwrap().rsplit("set/").next().unwrap()).collect();
    assert_eq!(names, ["a.npz", "b c.txt", "new\nline", "sub/"]);
    assert_eq!((&lines[0]["type"], &lines[0]["size"]), (&"object".into(), &1500.into()));
    assert_eq!(lines[0]["last_modified"], "2027-01-15T08:00:00Z");
    assert!(lines[0]["e_tag"].is_string() && lines[0]["uri"].as_str().unwrap().starts_with("file:///"));
    assert_eq!(lines[3]["type"], "prefix");
    assert_snapshot!(sandbox.session(&["ls set --glob new*"]), @r#"
    $ s3dlio ls set --glob new*
    new\nline
    "#);
}

#[test]
fn stat_shows_metadata() {
    let sandbox = sample();
    let put = ["put", "set/a.npz", "set/typed", "--content-type", "a/b", "--metadata", "x=1", "--metadata", "y=a b"];
    assert_snapshot!(sandbox.shown(&sandbox.output(&put)), @"! wrote 1 object, 1.5 KiB");
    let shown = text(&sandbox.output(&["stat", "set/typed"]).stdout);
    let stable: Vec<&str> = shown.lines().filter(|line| !line.contains("modified") && !line.contains("etag")).collect();
    assert_eq!(stable[0], format!("file://{}", sandbox.path("set/typed").display()));
    assert_snapshot!(stable[1..].join("\n"), @r#"
      size          1500 (1.5 KiB)
      content type  a/b
      metadata      x=1
      metadata      y=a b
    "#);
    let json: serde_json::Value =
        serde_json::from_slice(&sandbox.output(&["stat", "--json", "set/typed"]).stdout).unwrap();
    assert_eq!((&json["size"], &json["metadata"]["y"]), (&1500.into(), &"a b".into()));
    assert_eq!(json["content_type"], "a/b");
}

#[test]
fn cat_writes_ranges_as_http_counts_them() {
    let sandbox = sample();
    let cat = |range: &str| text(&sandbox.output(&["cat", "--range", range, "set/b c.txt"]).stdout);
    assert_eq!(["0-0", "2-4", "7-", "-3", "-99", "8-99"].map(cat), ["0", "234", "789", "789", "0123456789", "89"]);
    let both = sandbox.output(&["cat", "set/sub/a.npz", "set/b c.txt"]);
    assert_eq!(both.stdout.len(), 3_000_010);
    assert!(both.stdout.ends_with(b"\x020123456789"));
}

#[test]
fn du_counts() {
    let lines = ["du set", "du -H set set/sub", "du --json set --glob *.npz", "du set/a.npz", "du none"];
    assert_snapshot!(sample().session(&lines), @r#"
    $ s3dlio du set
         3001510         4 objects  file:///DIR/set
    $ s3dlio du -H set set/sub
         2.9 MiB         4 objects  file:///DIR/set
         2.9 MiB         2 objects  file:///DIR/set/sub
         5.7 MiB         6 objects  total
    $ s3dlio du --json set --glob *.npz
    {"uri":"file:///DIR/set","objects":3,"bytes":3001500}
    $ s3dlio du set/a.npz
            1500          1 object  file:///DIR/set/a.npz
    $ s3dlio du none
    ! s3dlio: stat file:///DIR/none: not found: No such file or directory (os error 2)
    [4]
    "#);
}

#[test]
fn rm_removes_what_it_is_told_to() {
    let sandbox = sample();
    sandbox.file("other/x.tmp", "");
    sandbox.file("other/y", "");
    let lines = [
        "rm set",
        "rm -r set",
        "rm set/a.npz set/none",
        "rm -r --yes set/sub",
        "ls -r set",
        "rm -r --yes --glob *.tmp other",
        "ls other",
        "rm --glob *.tmp other/y",
        "rm -ry none",
    ];
    assert_snapshot!(sandbox.session(&lines), @r#"
    $ s3dlio rm set
    ! s3dlio: file:///DIR/set is not one object (use -r for everything below it)
    [2]
    $ s3dlio rm -r set
    ! s3dlio: rm -r needs --yes where nobody can be asked
    [2]
    $ s3dlio rm set/a.npz set/none
    ! s3dlio: delete file:///DIR/set/none: not found: No such file or directory (os error 2)
    ! removed 1 object, 1 failed
    [3]
    $ s3dlio rm -r --yes set/sub
    ! removed 2 objects
    $ s3dlio ls -r set
    b c.txt
    $ s3dlio rm -r --yes --glob *.tmp other
    ! removed 1 object
    $ s3dlio ls other
    y
    $ s3dlio rm --glob *.tmp other/y
    ! s3dlio: --glob and --regex choose among what is below a prefix: use -r
    [2]
    $ s3dlio rm -ry none
    ! s3dlio: stat file:///DIR/none: not found: No such file or directory (os error 2)
    [4]
    "#);
    assert!(!sandbox.path("set/sub").exists());
}

#[test]
fn rm_asks_on_a_terminal() {
    let sandbox = sample();
    let answer = |answer: &str| {
        let run =
            format!("printf '{answer}\\n' | script -qec '{} rm -r set/sub' /dev/null", env!("CARGO_BIN_EXE_s3dlio"));
        let output = Command::new("sh").args(["-c", &run]).current_dir(sandbox.path("")).output().unwrap();
        assert!(text(&output.stdout).contains("/set/sub/? [y/N]"), "{output:?}");
        output.status.code()
    };
    assert_eq!(answer("n"), Some(1));
    assert!(sandbox.path("set/sub/a.npz").exists());
    assert_eq!(answer("y"), Some(0));
    assert!(!sandbox.path("set/sub").exists());
}

#[test]
fn directories_are_made_and_removed() {
    assert_snapshot!(sample().session(&["mb new", "mb new", "rb new", "rb new", "rb set"]), @r#"
    $ s3dlio mb new
    $ s3dlio mb new
    ! s3dlio: create bucket file:///DIR/new: already exists: File exists (os error 17)
    [1]
    $ s3dlio rb new
    $ s3dlio rb new
    ! s3dlio: delete bucket file:///DIR/new: not found: No such file or directory (os error 2)
    [4]
    $ s3dlio rb set
    ! s3dlio: delete bucket file:///DIR/set: precondition failed: Directory not empty (os error 39)
    [1]
    "#);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let sandbox = Sandbox::new();
    let name = "n".repeat(200);
    // Far more than a pipe holds.
    for number in 0..2000 {
        sandbox.file(&format!("set/{number:04}-{name}"), "");
    }
    sandbox.file("large", vec![b'x'; 8 << 20]);
    for arguments in [["ls", "-l", "set"].as_slice(), &["cat", "large"]] {
        let mut running = sandbox.start(arguments);
        let mut reader = BufReader::new(running.0.stdout.take().unwrap());
        let mut start = Vec::new();
        reader.by_ref().take(100).read_until(b'\n', &mut start).unwrap();
        assert_eq!(start.len(), 100);
        drop(reader);
        assert_eq!(Running::end(running), (Some(0), String::new()), "{arguments:?}");
    }
}
