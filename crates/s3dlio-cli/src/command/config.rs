//! `config`: shows the configuration.

use s3dlio::config::Setting;
use s3dlio::{Config, Scheme, Source};
use serde::Serialize;

use crate::arguments::{ConfigArguments, ConfigCommand, ConfigShow};
use crate::failure::Exit;
use crate::output::{Output, printable};
use crate::session::Session;

/// A value, where it came from, and for which schemes.
#[derive(Debug, Serialize)]
struct Row {
    key: &'static str,
    value: String,
    source: String,
    schemes: Vec<&'static str>,
    description: &'static str,
}

pub(super) async fn run(arguments: &ConfigArguments, session: &Session) -> anyhow::Result<Exit> {
    let ConfigCommand::Show(arguments) = &arguments.command;
    let mut output = session.output();
    show(session.client.config(), arguments, &mut output)?;
    output.finish().await?;
    Ok(Exit::Success)
}

fn show(config: &Config, arguments: &ConfigShow, output: &mut Output) -> anyhow::Result<()> {
    let schemes = match arguments.scheme {
        Some(scheme) => vec![scheme],
        None => Scheme::ALL.to_vec(),
    };
    let rows = rows(config, &schemes);
    if arguments.json {
        return rows.iter().try_for_each(|row| output.json(row));
    }
    let width = |column: fn(&Row) -> &str| rows.iter().map(|row| column(row).chars().count()).max().unwrap_or(0);
    let (keys, values, sources) = (width(|row| row.key), width(|row| &row.value), width(|row| &row.source));
    for Row { key, value, source, schemes: of, .. } in &rows {
        let of = if of.len() == schemes.len() { String::new() } else { of.join(" ") };
        let line = format!("{key:<keys$}  {:<values$}  {source:<sources$}  {of}", printable(value));
        output.line(line.trim_end());
    }
    Ok(())
}

/// One row per key and, where schemes differ, per value.
fn rows(config: &Config, schemes: &[Scheme]) -> Vec<Row> {
    let settings: Vec<(Scheme, Vec<Setting>)> =
        schemes.iter().map(|scheme| (*scheme, config.explain(*scheme))).collect();
    let mut rows = Vec::new();
    for index in 0..Config::keys().count() {
        let first = rows.len();
        for (scheme, setting) in settings.iter().map(|(scheme, settings)| (scheme, &settings[index])) {
            let source = match &setting.source {
                // Each scheme has a preset of its own, many of them alike.
                Source::Preset(_) => "preset".to_owned(),
                other => other.to_string(),
            };
            let known =
                rows[first..].iter_mut().find(|row: &&mut Row| row.value == setting.value && row.source == source);
            match known {
                Some(row) => row.schemes.push(scheme.as_str()),
                None => rows.push(Row {
                    key: setting.key,
                    value: setting.value.clone(),
                    source,
                    schemes: vec![scheme.as_str()],
                    description: setting.description,
                }),
            }
        }
    }
    rows
}
