//! Tests of the layers together; each kind of value and the memory limit are tested beside their code.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::*;
use crate::constants::{KIB, MIB};

mod documentation;
mod round_trip;

/// The layers from the lowest to the highest; each can give `endpoint_url` for `s3://` a value of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    WellKnown,
    FileTop,
    FileTable,
    Variable,
    Explicit,
}

const LAYERS: [Layer; 5] = [Layer::WellKnown, Layer::FileTop, Layer::FileTable, Layer::Variable, Layer::Explicit];

fn address(layer: Layer) -> String {
    format!("http://{layer:?}.example")
}

fn with_layers(layers: &BTreeSet<Layer>) -> Setting {
    let directory = tempfile::tempdir().unwrap();
    let (mut environment, mut top, mut table) = (Environment::default(), String::new(), String::new());
    let mut builder = Config::builder();
    for layer in layers {
        let value = address(*layer);
        match layer {
            Layer::WellKnown => environment.set("AWS_ENDPOINT_URL", value),
            Layer::FileTop => top = format!("endpoint_url = {value:?}\n"),
            Layer::FileTable => table = format!("[s3]\nendpoint_url = {value:?}\n"),
            Layer::Variable => environment.set("S3DLIO_ENDPOINT_URL", value),
            Layer::Explicit => builder = builder.set("endpoint_url", value),
        }
    }
    let file = directory.path().join("s3dlio.toml");
    fs::write(&file, top + &table).unwrap();
    let config = builder.environment(environment).file(file).build().unwrap();
    setting(&config, Scheme::S3, "endpoint_url")
}

fn setting(config: &Config, scheme: Scheme, key: &str) -> Setting {
    config.explain(scheme).into_iter().find(|setting| setting.key == key).unwrap()
}

fn source(config: &Config, scheme: Scheme, key: &str) -> String {
    setting(config, scheme, key).source.to_string()
}

fn in_file(text: &str) -> Result<Config> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s3dlio.toml");
    fs::write(&path, text).unwrap();
    Config::builder().file(path).build()
}

fn in_environment<const N: usize>(variables: [(&str, &str); N]) -> Result<Config> {
    Config::builder().environment(Environment::from_iter(variables)).build()
}

/// The message of an error, with the name of the temporary directory taken out.
fn message(result: Result<Config>) -> String {
    let error = result.expect_err("a configuration that cannot be");
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    match (text.find("/"), text.find("s3dlio.toml")) {
        (Some(start), Some(end)) if start < end => format!("{}{}", &text[..start], &text[end..]),
        _ => text,
    }
}

#[test]
fn of_each_pair_of_layers_the_higher_wins() {
    for lower in LAYERS {
        for higher in LAYERS.into_iter().filter(|higher| *higher > lower) {
            let found = with_layers(&BTreeSet::from([lower, higher]));
            assert_eq!(found.value, address(higher), "{lower:?} below {higher:?}");
        }
        assert_eq!(with_layers(&BTreeSet::from([lower])).value, address(lower), "{lower:?} above the default");
    }
    assert_eq!(with_layers(&BTreeSet::new()).value, "none");
}

#[test]
fn each_layer_is_above_the_preset_and_the_preset_above_the_default() {
    let key = "range_split_threshold";
    let plain = Config::default();
    assert_eq!(setting(&plain, Scheme::File, key).value, "64MiB");
    assert_eq!(source(&plain, Scheme::File, key), "preset (file)");
    assert_eq!(source(&plain, Scheme::File, "batch_size"), "default");

    let config = in_file("range_split_threshold = '1MiB'").unwrap();
    assert_eq!(config.for_scheme(Scheme::File).range_split_threshold, MIB);
    let config = in_file("[file]\nrange_split_threshold = 4096").unwrap();
    assert_eq!(config.for_scheme(Scheme::File).range_split_threshold, 4096);
    assert_eq!(source(&config, Scheme::Direct, key), "preset (direct)");
    let config = in_environment([("S3DLIO_RANGE_SPLIT_THRESHOLD", "2MiB")]).unwrap();
    assert_eq!(config.for_scheme(Scheme::File).range_split_threshold, 2 * MIB);
}

#[test]
fn every_value_says_where_it_comes_from() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s3dlio.toml");
    fs::write(&path, "seed = 1\n\n[s3]\nshuffle = true\n").unwrap();
    let config = Config::builder()
        .environment(Environment::from_iter([("S3DLIO_BATCH_SIZE", "8"), ("AWS_DEFAULT_REGION", "eu-west-1")]))
        .file(&path)
        .set("rank", 1)
        .flag("world-size", 2)
        .with(|config| config.drop_last = true)
        .build()
        .unwrap();
    let found = |key| source(&config, Scheme::S3, key);
    assert_eq!(found("seed"), format!("file {}:1", path.display()));
    assert_eq!(found("shuffle"), format!("file {}:4", path.display()));
    assert_eq!(found("batch_size"), "S3DLIO_BATCH_SIZE");
    assert_eq!(found("region"), "AWS_DEFAULT_REGION");
    assert_eq!(found("rank"), "set explicitly");
    assert_eq!(found("world_size"), "--world-size");
    assert_eq!(found("drop_last"), "set explicitly");
    assert_eq!(found("prefetch_depth"), "default");
    assert_eq!(source(&config, Scheme::Azure, "region"), "default");
    let json = serde_json::to_value(setting(&config, Scheme::S3, "rank")).unwrap();
    assert_eq!((&json["value"], &json["source"]), (&"1".into(), &"set explicitly".into()));
}

#[test]
fn the_last_explicit_value_counts_however_it_is_set() {
    let build = |builder: ConfigBuilder| builder.build().unwrap().for_scheme(Scheme::S3).batch_size;
    assert_eq!(build(Config::builder().set("batch_size", 2).with(|config| config.batch_size = 3)), 3);
    assert_eq!(build(Config::builder().with(|config| config.batch_size = 3).set("batch_size", 2)), 2);
    let config = Config::builder().set("batch_size", 2).set("seed", 5).build().unwrap();
    let changed = config.with_overrides([("batch_size", 4)]).unwrap().for_scheme(Scheme::Memory);
    assert_eq!((changed.batch_size, changed.seed), (4, 5));
}

#[test]
fn well_known_variables_count_for_their_own_scheme_alone() {
    let config = in_environment([
        ("AWS_ENDPOINT_URL", "http://general"),
        ("AWS_ENDPOINT_URL_S3", "http://specific"),
        ("AWS_REGION", "r1"),
        ("AWS_DEFAULT_REGION", "r2"),
        ("AWS_PROFILE", "p"),
        ("AWS_CA_BUNDLE", "/ca.pem"),
        ("STORAGE_EMULATOR_HOST", "127.0.0.1:4443"),
    ])
    .unwrap();
    let s3 = config.for_scheme(Scheme::S3);
    assert_eq!(s3.endpoint_url.as_deref(), Some("http://specific"));
    assert_eq!((s3.region.as_deref(), s3.profile.as_deref()), (Some("r1"), Some("p")));
    assert_eq!(s3.ca_bundle, Some(PathBuf::from("/ca.pem")));
    assert_eq!(config.for_scheme(Scheme::Gcs).endpoint_url.as_deref(), Some("http://127.0.0.1:4443"));
    for scheme in [Scheme::Azure, Scheme::File, Scheme::Direct, Scheme::Memory, Scheme::Http, Scheme::Https] {
        assert_eq!(config.for_scheme(scheme), UnifiedLoaderConfig::for_scheme(scheme), "{scheme}");
    }

    let ignored = [("AWS_ENDPOINT_URL_S3", "http://x"), ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")];
    assert_eq!(in_environment(ignored).unwrap().for_scheme(Scheme::S3).endpoint_url, None);
}

#[test]
fn none_takes_a_value_of_a_lower_layer_back() {
    let config = in_environment([("AWS_PROFILE", "p"), ("S3DLIO_PROFILE", "none")]).unwrap();
    assert_eq!(config.for_scheme(Scheme::S3).profile, None);
    assert_eq!(source(&config, Scheme::S3, "profile"), "S3DLIO_PROFILE");
}

#[test]
fn the_file_is_found_where_the_environment_says() {
    let home = tempfile::tempdir().unwrap();
    let write = |path: &str, seed: u64| {
        let path = home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("seed = {seed}")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let seed = |environment: &Environment| {
        Config::builder().environment(environment.clone()).build().unwrap().for_scheme(Scheme::S3).seed
    };
    let mut environment = Environment::from_iter([("HOME", home.path().to_str().unwrap())]);
    assert_eq!(seed(&environment), 0, "no file is no error");
    write(".config/s3dlio/config.toml", 1);
    assert_eq!(seed(&environment), 1);
    write("xdg/s3dlio/config.toml", 2);
    environment.set("XDG_CONFIG_HOME", home.path().join("xdg").to_str().unwrap());
    assert_eq!(seed(&environment), 2);
    environment.set("S3DLIO_CONFIG", write("own.toml", 3));
    assert_eq!(seed(&environment), 3);
    let explicit = write("explicit.toml", 4);
    let config = Config::builder().environment(environment.clone()).file(explicit).build().unwrap();
    assert_eq!(config.for_scheme(Scheme::S3).seed, 4);

    environment.set("S3DLIO_CONFIG", "/nowhere/s3dlio.toml");
    assert!(message(Config::builder().environment(environment).build()).contains("cannot be read: No such file"));
}

#[test]
fn a_directory_that_cannot_be_looked_into_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    // Below a symbolic link to itself nothing can be looked for, whoever asks.
    let ring = directory.path().join("ring");
    std::os::unix::fs::symlink(&ring, &ring).unwrap();
    let config = in_environment([("XDG_CONFIG_HOME", ring.to_str().unwrap())]).unwrap();
    assert_eq!(config.warnings().len(), 1);
    assert!(config.warnings()[0].contains("ring/s3dlio/config.toml cannot be looked for"), "{:?}", config.warnings());
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest() {
    let hint = |name: &str| Config::builder().set(name, 1).build().unwrap_err().hint().unwrap().to_owned();
    assert_eq!(hint("batchsize"), "did you mean batch_size?");
    assert_eq!(hint("Prefetch-Depth"), "did you mean prefetch_depth?");
    assert_eq!(hint("endpoint"), "did you mean endpoint_url?");
    assert_eq!(hint("prefetch"), "did you mean prefetch_depth?");
    assert_eq!(hint("max_concurent_range_per_object"), "did you mean max_concurrent_ranges_per_object?");
    assert_eq!(hint("colour"), "`s3dlio config show` lists the keys");

    assert_eq!(
        message(in_file("\n[s3]\nchunk_sise = 1")),
        "configure chunk_sise: configuration: unknown key (file s3dlio.toml:3) (`s3dlio config show` lists the keys)"
    );
    assert_eq!(
        message(Config::builder().flag("--batch-sise", 4).build()),
        "configure batch_sise: configuration: unknown key (--batch-sise) (did you mean batch_size?)"
    );
    assert_eq!(
        message(in_file("[s4]\nseed = 1")),
        "configure s4: configuration: unknown table (file s3dlio.toml:1) (did you mean [s3]?)"
    );
}

#[test]
fn an_unknown_variable_is_a_warning_that_names_it_and_no_value() {
    let config = in_environment([
        ("S3DLIO_BATCHSIZE", "hunter2"),
        ("S3DLIO_COLOUR", "hunter2"),
        ("S3DLIO_batch_size", "hunter2"),
        ("S3DLIO_TEST_TOOLS", "/tools"),
        ("S3DLIO_SEED", "1"),
        ("OTHER", "x"),
    ])
    .unwrap();
    let warnings = config.warnings();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].contains("S3DLIO_BATCHSIZE") && warnings[0].contains("did you mean S3DLIO_BATCH_SIZE?"));
    assert!(warnings[1].contains("S3DLIO_COLOUR") && warnings[1].contains("config show"));
    assert!(warnings[2].contains("S3DLIO_batch_size") && warnings[2].contains("did you mean S3DLIO_BATCH_SIZE?"));
    assert!(!format!("{warnings:?}").contains("hunter2"));
}

#[test]
fn a_value_that_cannot_be_names_key_value_source_and_what_is_accepted() {
    assert_eq!(
        message(in_environment([("S3DLIO_SHUFFLE", "perhaps")])),
        r#"configure shuffle: configuration: "perhaps" (S3DLIO_SHUFFLE) is not true or false"#
    );
    assert_eq!(
        message(in_file("seed = 1\nmultipart_part_size = '1MiB'")),
        "configure multipart_part_size: configuration: \"1MiB\" (file s3dlio.toml:2) is not a size such as 8MiB, 64KiB, \
         1GB or a number of bytes, from 5MiB to 5GiB"
    );
    assert_eq!(
        message(in_file("seed = [1]")),
        "configure seed: configuration: a value of type array (file s3dlio.toml:1) is not a whole number from 0 to \
         18446744073709551615"
    );
    assert_eq!(
        message(Config::builder().flag("prefetch-depth", 0).build()),
        r#"configure prefetch_depth: configuration: "0" (--prefetch-depth) is not a whole number from 1 to 65535"#
    );
    assert_eq!(
        message(in_environment([("AWS_ENDPOINT_URL", "localhost:9000")])),
        "configure endpoint_url: configuration: \"localhost:9000\" (AWS_ENDPOINT_URL) is not an address such as \
         https://host:port, without a user name, a password or a query or \"none\""
    );
    assert!(
        message(in_file("seed = 1\nseed = 2")).starts_with("configure s3dlio.toml:2: configuration: duplicate key")
    );
    assert!(message(in_file("s3 = 1")).ends_with("(write [s3] on a line of its own)"));
}

#[test]
fn values_that_do_not_go_together_are_rejected() {
    let rejected = |values: &[(&str, &str)]| message(Config::default().with_overrides(values.iter().copied()));
    assert_eq!(
        rejected(&[("world_size", "4"), ("rank", "4")]),
        r#"configure rank: configuration: "4" (set explicitly) is not below world_size, which is 4: ranks count from 0"#
    );
    assert_eq!(
        rejected(&[("retry_max_backoff", "50ms")]),
        "configure retry_initial_backoff: configuration: \"100ms\" (default) is above retry_max_backoff, which is 50ms"
    );
    assert_eq!(
        rejected(&[("memory_budget", "16MiB"), ("range_chunk_size", "32MiB")]),
        "configure range_chunk_size: configuration: \"32MiB\" (set explicitly) is above memory_budget, which is 16MiB"
    );
    assert_eq!(
        rejected(&[("multipart_part_size", "1GiB"), ("memory_budget", "64MiB")]),
        "configure multipart_part_size: configuration: \"1GiB\" (set explicitly) is above memory_budget, which is 64MiB"
    );
    let error = Config::builder().with(|config| config.range_chunk_size = 1).build().unwrap_err();
    assert!(error.to_string().contains("\"1\" (set explicitly) is not a size"), "{error}");

    let config = UnifiedLoaderConfig { direct_block_size: 6 * KIB, ..Default::default() };
    let error = config.validate().unwrap_err().to_string();
    assert!(error.ends_with("from 4KiB to 1GiB, a multiple of 4KiB"), "{error}");
}

#[test]
fn a_rejected_value_leaves_the_configuration_as_it_was() {
    let mut config = UnifiedLoaderConfig::default();
    let key = Key::find("batch_size").unwrap();
    assert!(key.assign(&mut config, "0").is_err());
    assert_eq!(config, UnifiedLoaderConfig::default());
    key.assign(&mut config, "7").unwrap();
    assert_eq!((config.batch_size, key.print(&config).as_str()), (7, "7"));
}

#[test]
fn no_secret_is_in_a_debug_form_or_a_message() {
    let config = Config::builder()
        .environment(Environment::from_iter([("AWS_SECRET_ACCESS_KEY", "hunter2"), ("S3DLIO_NOTHING", "hunter2")]))
        .build()
        .unwrap();
    let shown = format!("{config:?} {:?} {:?}", config.environment(), config.warnings());
    assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("hunter2"), "{shown}");

    let address = "http://user:hunter2@host/";
    let typed = UnifiedLoaderConfig { endpoint_url: Some(address.into()), ..Default::default() };
    let invalid = typed.validate().unwrap_err();
    let set = Config::builder().set("endpoint_url", address);
    let shown = format!("{typed:?} {invalid} {invalid:?} {set:?} {:?}", set.clone().build().unwrap_err());
    assert!(shown.contains("http://…@host/") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn presets_are_the_recommended_ones() {
    for scheme in Scheme::ALL {
        let preset = UnifiedLoaderConfig::for_scheme(scheme);
        let network = UnifiedLoaderConfig::default();
        let expected = match scheme {
            Scheme::S3 | Scheme::Azure | Scheme::Gcs | Scheme::Http | Scheme::Https => network,
            Scheme::Direct => {
                UnifiedLoaderConfig { max_concurrent_ranges_per_object: 16, range_split_threshold: 16 * MIB, ..network }
            }
            Scheme::File => {
                UnifiedLoaderConfig { enable_range_engine: false, range_split_threshold: 64 * MIB, ..network }
            }
            Scheme::Memory => UnifiedLoaderConfig { enable_range_engine: false, ..network },
        };
        assert_eq!(preset, expected, "{scheme}");
        assert_eq!(Config::default().for_scheme(scheme), expected, "{scheme}");
        preset.validate().unwrap();
    }
}

#[test]
fn the_product_of_the_settings_does_not_overflow() {
    let config = UnifiedLoaderConfig { max_concurrent_downloads: usize::MAX, ..Default::default() };
    assert_eq!(config.max_total_parallelism(), usize::MAX);
    assert_eq!(UnifiedLoaderConfig::default().max_total_parallelism(), 1024);
}

#[test]
fn the_defaults_that_are_shown_are_the_defaults() {
    let config = UnifiedLoaderConfig::default();
    for key in Config::keys().filter(|key| key.name() != "memory_budget") {
        assert_eq!(key.print(&config), key.default(), "{}", key.name());
    }
    let budget = config.memory_budget;
    assert!((64 * MIB..=4096 * MIB).contains(&budget), "{budget}");
}
