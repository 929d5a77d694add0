//! What the layers made: for every scheme the values, and where each came from.

use std::collections::BTreeMap;

use super::UnifiedLoaderConfig;
use super::keys::Key;
use super::presets::Preset;
use super::source::{Assignment, Setting, Source};
use crate::error::Result;
use crate::uri::Scheme;

/// The values of every scheme. Layers are put on from the lowest to the highest.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layers(BTreeMap<Scheme, Values>);

/// The values of one scheme.
#[derive(Debug, Clone, PartialEq)]
struct Values {
    config: UnifiedLoaderConfig,
    /// By the name of the key; what is not in it is a default.
    sources: BTreeMap<&'static str, Source>,
}

impl Default for Layers {
    /// The defaults, and the presets over them.
    fn default() -> Self {
        let defaults = UnifiedLoaderConfig::default();
        let preset = |scheme| {
            let mut config = defaults.clone();
            Preset::of(scheme).apply(&mut config);
            Values { config, sources: Preset::KEYS.map(|key| (key, Source::Preset(scheme))).into() }
        };
        Self(Scheme::ALL.map(|scheme| (scheme, preset(scheme))).into())
    }
}

impl Layers {
    /// The values of one scheme.
    pub(super) fn of(&self, scheme: Scheme) -> &UnifiedLoaderConfig {
        &self.values(scheme).config
    }

    fn values(&self, scheme: Scheme) -> &Values {
        // Made with every scheme, and none is ever taken out.
        &self.0[&scheme]
    }

    /// Every value of one scheme with its source.
    pub(super) fn settings(&self, scheme: Scheme) -> Vec<Setting> {
        let values = self.values(scheme);
        Key::all()
            .map(|key| Setting {
                key: key.name(),
                value: key.print(&values.config),
                source: values.source(key.name()).clone(),
                description: key.description(),
            })
            .collect()
    }

    /// Puts one value over what is there, for every scheme.
    pub(super) fn assign(&mut self, assignment: &Assignment) -> Result<()> {
        self.0.values_mut().try_for_each(|values| values.assign(assignment))
    }

    /// Puts one value over what is there, for one scheme.
    pub(super) fn assign_for(&mut self, scheme: Scheme, assignment: &Assignment) -> Result<()> {
        self.0.get_mut(&scheme).map_or(Ok(()), |values| values.assign(assignment))
    }

    /// Runs code on the values of every scheme.
    pub(super) fn change(&mut self, change: &dyn Fn(&mut UnifiedLoaderConfig)) {
        for values in self.0.values_mut() {
            let before = values.config.clone();
            change(&mut values.config);
            for key in Key::all().filter(|key| key.print(&before) != key.print(&values.config)) {
                values.sources.insert(key.name(), Source::Explicit);
            }
        }
    }

    /// Checks each value and how they go together.
    pub(super) fn check(&self) -> Result<()> {
        self.0.values().try_for_each(|values| {
            values.config.check().map_err(|rejected| {
                let source = values.source(rejected.key()).clone();
                rejected.into_error(Some(&source))
            })
        })
    }
}

impl Values {
    fn source(&self, key: &str) -> &Source {
        self.sources.get(key).unwrap_or(&Source::Default)
    }

    fn assign(&mut self, Assignment { key, text, source }: &Assignment) -> Result<()> {
        key.try_assign(&mut self.config, text).map_err(|rejected| rejected.into_error(Some(source)))?;
        self.sources.insert(key.name(), source.clone());
        Ok(())
    }
}
