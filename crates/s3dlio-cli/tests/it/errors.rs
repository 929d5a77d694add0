//! One line, with the cause and what to do, and the exit code.

use insta::assert_snapshot;

use crate::command::{Sandbox, text};

#[test]
fn a_wrong_command_line_is_one_line_and_2() {
    let lines =
        ["list", "ls --recursiv", "stat", "ls s4://b", "cat --range 5-2 x", "--set foo ls", "load", "cp only-one"];
    assert_snapshot!(Sandbox::new().session(&lines), @r"
    $ s3dlio list
    ! s3dlio: unrecognized subcommand 'list' (a similar subcommand exists: 'ls')
    [2]
    ");
}

#[test]
fn a_wrong_configuration_is_2() {
    let mut sandbox = Sandbox::new();
    sandbox.file("c.toml", "[s3]\nregoin = \"x\"\n");
    assert_snapshot!(sandbox.session(&["--batch-size 0 ls", "ls --set batchsize=1", "ls --config c.toml", "ls --config none"]), @r"
    ");
    sandbox.set("S3DLIO_SHUFFEL", "1");
    sandbox.file("x", "");
    assert_snapshot!(sandbox.session(&["ls x", "-q ls x"]), @r"
    ");
}

#[test]
fn what_cannot_be_read_is_said() {
    let sandbox = Sandbox::new();
    sandbox.file("x", "12345");
    let lines = [
        "ls none",
        "ls none/",
        "stat none",
        "stat x none",
        "cat none",
        "cat --range 9- x",
        "cat x/y",
        "ls memory:///",
        "ls memory:///a",
        "stat memory:///a",
    ];
    assert_snapshot!(sandbox.session(&lines), @r"
    ");
}

#[test]
fn a_refused_port_says_what_to_check() {
    let sandbox = Sandbox::new();
    let endpoint = format!("http://{}", s3dlio_testkit::fault_proxy::refusing_address());
    let output = sandbox.output(&["stat", "s3://b/k", "--anonymous", "--endpoint-url", &endpoint]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with("s3dlio: stat s3://b/k: cannot connect: 127.0.0.1:"), "{said}");
    assert!(said.contains("check endpoint_url") && said.lines().count() == 1, "{said}");
}
