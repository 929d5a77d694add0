//! docs/configuration.md says what the code does.

use std::fs;
use std::path::Path;

use super::*;

fn documentation() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_documentation_lists_every_key_with_its_default() {
    let documentation = documentation();
    let documented: Vec<&str> = documentation.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = Config::keys()
        .map(|key| {
            let (name, kind, default) = (key.name(), key.value_name(), key.default());
            format!("| `{name}` | {kind} | {default} | {} |", key.description())
        })
        .collect();
    assert!(documented == expected, "the table of keys in docs/configuration.md must be:\n{}", expected.join("\n"));
}

#[test]
fn the_documentation_shows_the_presets() {
    let documentation = documentation();
    for scheme in Scheme::ALL {
        let config = UnifiedLoaderConfig::for_scheme(scheme);
        let value = |key: &str| Key::find(key).unwrap().print(&config);
        let engine = if config.enable_range_engine { "on" } else { "off" };
        let (ranges, threshold) = (value("max_concurrent_ranges_per_object"), value("range_split_threshold"));
        let row = format!("| {scheme}:// | {engine} | {ranges} | {threshold} |");
        assert!(documentation.contains(&row), "docs/configuration.md lacks {row}");
    }
}

#[test]
fn the_file_in_the_documentation_works() {
    let documentation = documentation();
    let (_, rest) = documentation.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let config = in_file(example).unwrap();
    assert!(config.for_scheme(Scheme::S3) != UnifiedLoaderConfig::for_scheme(Scheme::S3));
}
