//! `load` and `demo`. Measured values differ from run to run; everything else is held.

use insta::assert_snapshot;
use s3dlio_testkit::data::bytes;
use s3dlio_testkit::fault_proxy::{FaultProxy, Rule};
use s3dlio_testkit::process::eventually;
use s3dlio_testkit::servers::S3sFs;

use crate::command::{LIMIT, Sandbox, text};

/// A table with measured values masked; counts and sizes of what was read stay.
fn masked(table: &str) -> String {
    let value = regex::Regex::new(r" +[0-9.]+( (us|ms|s|KiB|MiB))?\b").unwrap();
    let name = regex::Regex::new(r"s3dlio-demo-\w+").unwrap();
    let table = name.replace_all(table, "s3dlio-demo-NAME");
    let lines = table.lines().map(|line| match line.split_once("  ") {
        Some((name, values))
            if !["samples", "data", "data set", "loader", "requests sent", "", "checksums"].contains(&name) =>
        {
            format!("{name}{}", value.replace_all(values, " #"))
        }
        _ => line.trim_end().to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn load_measures_both_loaders() {
    let sandbox = Sandbox::new();
    for number in 0..10 {
        sandbox.file(&format!("set/{number}"), bytes(number, 1000));
    }
    sandbox.file("list", "set/1\nset/2\n");
    let batches = sandbox.output(&["load", "set", "--epochs", "2", "--batch-size", "4"]);
    assert_snapshot!(masked(&text(&batches.stdout)), @r#"
                               epoch 0       epoch 1           all
    samples                         10            10            20
    data                       9.8 KiB       9.8 KiB      19.5 KiB
    samples/s # # #
    MB/s # # #
    time to first batch # # #
    waited for data # # #
    latency p50 # # #
    latency p99 # # #
    requests sent         none (local)  none (local)  none (local)
    peak memory #
    "#);
    let pool = sandbox.output(&["load", "set", "--pool"]);
    assert_snapshot!(masked(&text(&pool.stdout)), @r#"
                               epoch 0
    samples                         10
    data                       9.8 KiB
    samples/s #
    MB/s #
    time to first batch #
    waited for data #
    latency p50 #
    latency p99 #
    requests sent         none (local)
    peak memory #
    "#);
    let json = sandbox.output(&["load", "--json", "--epochs", "2", "--manifest", "list"]);
    let lines: Vec<serde_json::Value> =
        text(&json.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| &line["epoch"]).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((&lines[1]["samples"], &lines[1]["bytes"]), (&2.into(), &2000.into()));
    assert!(lines[0]["requests"].is_null() && lines[0]["latency_p99_seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_sample_that_cannot_be_read_is_named_and_counted() {
    let sandbox = Sandbox::new();
    sandbox.file("set/a", "1");
    sandbox.file("list", "set/a\nset/none\n");
    let output = sandbox.output(&["load", "--manifest", "list", "--batch-size", "1"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("/set/none: not found"), "{}", text(&output.stderr));
}

#[test]
fn demo_on_files_leaves_nothing() {
    let sandbox = Sandbox::new();
    let output = sandbox.output(&["demo", "--size", "300KiB"]);
    assert_snapshot!(masked(&sandbox.shown(&output)), @r#"
    data set   32 objects, 300.0 KiB, from 4.0 KiB to 18.1 KiB each, in file:///DIR/tmp/s3dlio-demo-NAME/
    loader     2 epochs in shuffled batches of 8, every checksum verified

                               epoch 0       epoch 1           all
    samples                         32            32            64
    data                     300.0 KiB     300.0 KiB     600.0 KiB
    samples/s # # #
    MB/s # # #
    time to first batch # # #
    waited for data # # #
    latency p50 # # #
    latency p99 # # #
    requests sent         none (local)  none (local)  none (local)
    peak memory #
    checksums                all right
    "#);
    assert_eq!(std::fs::read_dir(sandbox.path("tmp")).unwrap().count(), 0);
}

#[test]
fn demo_on_s3_counts_requests_and_leaves_nothing() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let sandbox = Sandbox::with_s3(&server, &server.endpoint());
    let output = sandbox.output(&["demo", "--size", "100KiB", "--uri", "s3://bucket/tmp", "--epochs", "1"]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let gets = server.log().count_operation("GetObject");
    let requests = shown.lines().find_map(|line| line.strip_prefix("requests sent")).unwrap().trim().to_owned();
    assert_eq!(requests, gets.to_string(), "{shown}");
    assert_snapshot!(sandbox.session(&["ls -r s3://bucket"]), @"$ s3dlio ls -r s3://bucket");
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let proxy = FaultProxy::start(server.address()).unwrap();
    // Some are made; the rest never are.
    proxy.add(Rule::method("PUT").after(20).never_answer());
    let sandbox = Sandbox::with_s3(&server, &proxy.endpoint());
    let demo = sandbox.start(&["demo", "--size", "1MiB", "--uri", "s3://bucket"]);
    assert!(eventually(LIMIT, || proxy.log().count_operation("PutObject") > 20));
    demo.signal("TERM");
    let (code, said) = demo.end();
    assert_eq!(code, Some(130));
    assert!(said.starts_with("s3dlio: interrupted: made "), "{said}");
    proxy.heal();
    assert_snapshot!(sandbox.session(&["ls -r s3://bucket"]), @"$ s3dlio ls -r s3://bucket");
}

#[test]
fn wrong_bytes_are_found() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let proxy = FaultProxy::start(server.address()).unwrap();
    proxy.add(Rule::method("GET").path(".bin").nth(3).flip_bytes(1, 1));
    let sandbox = Sandbox::with_s3(&server, &proxy.endpoint());
    let output = sandbox.output(&["demo", "--size", "100KiB", "--uri", "s3://bucket/tmp"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(".bin: wrong data: "), "{said}");
}
