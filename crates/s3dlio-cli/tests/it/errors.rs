//! One line, with the cause and what to do, and the exit code.

use insta::assert_snapshot;

use crate::command::{Sandbox, text};

#[test]
fn a_wrong_command_line_is_one_line_and_2() {
    let lines =
        ["list", "ls --recursiv", "stat", "ls s4://b", "cat --range 5-2 x", "--set foo ls", "load", "cp only-one"];
    assert_snapshot!(Sandbox::new().session(&lines), @r#"
    $ s3dlio list
    ! s3dlio: unrecognized subcommand 'list' (a similar subcommand exists: 'ls')
    [2]
    $ s3dlio ls --recursiv
    ! s3dlio: unexpected argument '--recursiv' found (a similar argument exists: '--recursive')
    [2]
    $ s3dlio stat
    ! s3dlio: the following required arguments were not provided: <URI>... (see `s3dlio --help`)
    [2]
    $ s3dlio ls s4://b
    ! s3dlio: invalid value 's4://b' for '[URI]': parse s4://b: invalid input: unknown scheme "s4" (did you mean s3://?) (see `s3dlio --help`)
    [2]
    $ s3dlio cat --range 5-2 x
    ! s3dlio: invalid value '5-2' for '--range <RANGE>': the last byte comes before the first (see `s3dlio --help`)
    [2]
    $ s3dlio --set foo ls
    ! s3dlio: invalid value 'foo' for '--set <KEY=VALUE>': write NAME=VALUE (see `s3dlio --help`)
    [2]
    $ s3dlio load
    ! s3dlio: the following required arguments were not provided: <URI> (see `s3dlio --help`)
    [2]
    $ s3dlio cp only-one
    ! s3dlio: the following required arguments were not provided: <SRC>... (see `s3dlio --help`)
    [2]
    "#);
}

#[test]
fn a_wrong_configuration_is_2() {
    let mut sandbox = Sandbox::new();
    sandbox.file("c.toml", "[s3]\nregoin = \"x\"\n");
    assert_snapshot!(sandbox.session(&["--batch-size 0 ls", "ls --set batchsize=1", "ls --config c.toml", "ls --config none"]), @r#"
    $ s3dlio --batch-size 0 ls
    ! s3dlio: configure batch_size: configuration: "0" (--batch-size) is not a whole number from 1 to 16777216
    [2]
    $ s3dlio ls --set batchsize=1
    ! s3dlio: configure batchsize: configuration: unknown key (did you mean batch_size?)
    [2]
    $ s3dlio ls --config c.toml
    ! s3dlio: configure regoin: configuration: unknown key (file c.toml:2) (did you mean region?)
    [2]
    $ s3dlio ls --config none
    ! s3dlio: configure none: configuration: the configuration file cannot be read: No such file or directory (os error 2) (it is named by --config or S3DLIO_CONFIG, or lies in the configuration directory)
    [2]
    "#);
    sandbox.set("S3DLIO_SHUFFEL", "1");
    sandbox.file("x", "");
    assert_snapshot!(sandbox.session(&["ls x", "-q ls x"]), @r#"
    $ s3dlio ls x
    x
    ! s3dlio: warning: the environment variable S3DLIO_SHUFFEL is not one of s3dlio's and is ignored (did you mean S3DLIO_SHUFFLE?)
    $ s3dlio -q ls x
    x
    "#);
}

#[test]
fn what_cannot_be_read_is_said() {
    let sandbox = Sandbox::new();
    sandbox.file("x", "12345");
    let lines = [
        "ls none",
        "ls none/",
        "stat none",
        "stat none x/y",
        "cat none",
        "cat --range 9- x",
        "cat x/y",
        "ls memory:///",
        "ls memory:///a",
        "stat memory:///a",
    ];
    assert_snapshot!(sandbox.session(&lines), @r#"
    $ s3dlio ls none
    ! s3dlio: list file:///DIR/none: not found: nothing begins with this
    [4]
    $ s3dlio ls none/
    ! s3dlio: list file:///DIR/none/: not found: nothing begins with this
    [4]
    $ s3dlio stat none
    ! s3dlio: stat file:///DIR/none: not found: No such file or directory (os error 2)
    [4]
    $ s3dlio stat none x/y
    ! s3dlio: stat file:///DIR/none: not found: No such file or directory (os error 2)
    ! s3dlio: stat file:///DIR/x/y: not found: a parent of it is a file: Not a directory (os error 20)
    [4]
    $ s3dlio cat none
    ! s3dlio: get file:///DIR/none: not found: No such file or directory (os error 2)
    [4]
    $ s3dlio cat --range 9- x
    ! s3dlio: get file:///DIR/x: range beyond the end: the file has 5 bytes: Wanted range starting at 9, but object was only 5 bytes long
    [1]
    $ s3dlio cat x/y
    ! s3dlio: get file:///DIR/x/y: not found: a parent of it is a file: Not a directory (os error 20)
    [4]
    $ s3dlio ls memory:///
    $ s3dlio ls memory:///a
    ! s3dlio: list memory:///a: not found: nothing begins with this
    [4]
    $ s3dlio stat memory:///a
    ! s3dlio: stat memory:///a: not found: No data in memory found. Location: a
    [4]
    "#);
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
