//! `config`, `completions`, help.

use insta::assert_snapshot;

use crate::command::{Sandbox, text};

#[test]
fn config_show_says_where_each_value_comes_from() {
    let mut sandbox = Sandbox::new();
    sandbox.file("c.toml", "batch_size = 7\nprefetch_depth = 9\n[s3]\nregion = \"here\"\n");
    sandbox.set("S3DLIO_BATCH_SIZE", "8");
    sandbox.set("AWS_ENDPOINT_URL", "http://h:1");
    sandbox.set("S3DLIO_MEMORY_BUDGET", "1GiB");
    let output =
        sandbox.output(&["config", "show", "--config", "c.toml", "--shuffle", "--seed", "3", "--set", "rank=0"]);
    // The defaults of other keys are not this test's to hold.
    let keys =
        ["prefetch", "enable", "range_split", "memory", "batch", "shuffle", "seed", "rank", "endpoint", "region"];
    let shown = sandbox.shown(&output);
    let lines: Vec<&str> = shown.lines().filter(|line| keys.iter().any(|key| line.starts_with(key))).collect();
    assert_snapshot!(lines.join("\n"), @r#"
    prefetch_depth                    9           file c.toml:2
    enable_range_engine               true        preset                s3 az gs direct http https
    enable_range_engine               false       preset                file memory
    range_split_threshold             4MiB        preset                s3 az gs memory http https
    range_split_threshold             64MiB       preset                file
    range_split_threshold             16MiB       preset                direct
    memory_budget                     1GiB        S3DLIO_MEMORY_BUDGET
    batch_size                        8           S3DLIO_BATCH_SIZE
    shuffle                           true        --shuffle
    seed                              3           --seed
    rank                              0           set explicitly
    endpoint_url                      http://h:1  AWS_ENDPOINT_URL      s3
    endpoint_url                      none        default               az gs file direct memory http https
    region                            here        file c.toml:4         s3
    region                            none        default               az gs file direct memory http https
    "#);
    let output = sandbox.output(&["config", "show", "--scheme", "direct", "--json"]);
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), s3dlio::Config::keys().count());
    let threshold = lines.iter().find(|line| line["key"] == "range_split_threshold").unwrap();
    assert_eq!((&threshold["value"], &threshold["source"]), (&"16MiB".into(), &"preset".into()));
    assert_eq!(threshold["schemes"], serde_json::json!(["direct"]));
}

#[test]
fn every_key_is_a_flag_of_every_command() {
    let sandbox = Sandbox::new();
    let help = text(&sandbox.output(&["help", "config"]).stdout);
    let short = text(&sandbox.output(&["ls", "--help"]).stdout);
    for key in s3dlio::Config::keys() {
        let (name, flag) = (key.name(), key.flag());
        assert!(help.contains(&format!("\n  {flag}")), "{flag} is not in the help");
        assert!(!short.contains(&format!("{flag} ")), "{flag} drowns the help");
        // A value that each accepts beside the defaults of the others.
        let value = match key.value_name() {
            "BOOL" => "true",
            "SIZE" => "8MiB",
            "DURATION" => "1s",
            "URL" => "http://h:1",
            "NAME" | "FILE" => "x",
            _ if name == "rank" => "0",
            _ => "5",
        };
        let output = sandbox.output(&["config", "show", &format!("{flag}={value}")]);
        let shown = sandbox.shown(&output);
        let set = |line: &str| line.starts_with(&format!("{name} ")) && line.ends_with(&flag) && line.contains(value);
        assert!(shown.lines().any(set), "{flag}: {shown}");
    }
}

#[test]
fn completions_know_commands_and_keys() {
    // A broken configuration must not matter.
    let mut sandbox = Sandbox::new();
    sandbox.set("S3DLIO_BATCH_SIZE", "wrong");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = sandbox.output(&["completions", shell]);
        let script = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        for word in ["demo", "recursive", "batch-size"] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
}

#[test]
fn help_documents_exit_codes() {
    let sandbox = Sandbox::new();
    let help = text(&sandbox.output(&["--help"]).stdout);
    assert!(help.contains("130  interrupted"), "{help}");
    assert_eq!(sandbox.output(&[]).status.code(), Some(2));
    assert_eq!(text(&sandbox.output(&["--version"]).stdout), format!("s3dlio {}\n", env!("CARGO_PKG_VERSION")));
}
